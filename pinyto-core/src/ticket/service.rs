use super::{Audience, Ticket, TicketId, claims::Claims};
use crate::{audit::Event, clock::Timestamp, cloud::Cloud, error::Error, session::Session};

/// A ticket, and how long it is good for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuedTicket {
    /// What the client sends to the service.
    pub ticket: Ticket,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl Cloud {
    /// Issues a ticket by which the service `audience` learns whose session this is. It is good for
    /// [`Settings::ticket_lifetime`](crate::Settings::ticket_lifetime), whatever becomes of the
    /// session.
    ///
    /// # Errors
    ///
    /// [`Error::Throttled`] after too many failures from one address; [`Error::Busy`].
    pub async fn issue_ticket(
        &self,
        session: &Session,
        audience: &Audience,
    ) -> Result<IssuedTicket, Error> {
        self.refuse_guessing(None)?;
        let issued_at = whole_seconds(self.now());
        let expires_at = issued_at.saturating_add(self.settings().ticket_lifetime);
        let claims = Claims {
            issuer: self.server_public_key().fingerprint(),
            user: session.user.name.clone(),
            audience: audience.clone(),
            issued_at,
            expires_at: whole_seconds(expires_at),
            id: TicketId::generate(self.randomness().as_ref())?,
        };
        let expires_at = claims.expires_at;
        let key = self.server_key().clone();
        let signed = self.rsa_workers().run(move || claims.signed_by(&key));
        let ticket = signed.await??;
        self.audit(Event::TicketIssued, Some(&session.user.name), None);
        Ok(IssuedTicket { ticket, expires_at })
    }
}

/// What a ticket's times are written in, rounded down.
fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(moment.unix_seconds().saturating_mul(1000))
}
