use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Audience, Ticket, TicketId,
    claims::{Claims, HEADER},
};
use crate::{
    clock::Timestamp,
    crypto::{CryptoError, RsaBackend, RsaPublicKey},
    key::{KeyFingerprint, PublicKey},
    user::UserName,
};

/// Accepts the tickets that one Pinyto server has issued for one service. Cheap to clone.
///
/// Asks nobody: what is checked is the signature, the audience and the time. So a ticket is good until
/// it expires, also if the session has ended meanwhile.
#[derive(Clone, Debug)]
pub struct TicketVerifier {
    server: Arc<dyn RsaPublicKey>,
    signature_size: usize,
    issuer: KeyFingerprint,
    audience: Audience,
}

/// What a ticket that is good says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Whose session the ticket was issued for. Names are the server's: those of two servers have
    /// nothing to do with each other.
    pub user: UserName,
    /// What tells the ticket from any other.
    pub id: TicketId,
    /// When it was issued, in whole seconds.
    pub issued_at: Timestamp,
    /// When it expires, in whole seconds.
    pub expires_at: Timestamp,
}

impl TicketVerifier {
    /// By how much the service's clock may differ from the server's: a ticket is still accepted so
    /// long after it has expired, and already before it was issued.
    pub const LEEWAY: Duration = Duration::from_secs(30);

    /// Accepts what the server with the key `server` issues for `audience`.
    ///
    /// `server` is the key as the service knows it from a trusted source: pinned, not asked for each
    /// time. [`PublicKey::from_pem`] reads one from a file.
    ///
    /// # Errors
    ///
    /// That the backend refuses the key.
    pub fn new(
        backend: &dyn RsaBackend,
        server: &PublicKey,
        audience: Audience,
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            server: backend.public_key(server)?,
            signature_size: server.size(),
            issuer: server.fingerprint(),
            audience,
        })
    }

    /// For whom tickets have to be.
    #[must_use]
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Checks a ticket as it was sent, at the moment `now`.
    ///
    /// Costs one public operation, which takes about a millisecond or less and never waits, unless the
    /// text is refused by its form alone. Nothing of the claims is read before the signature was found
    /// good.
    ///
    /// # Errors
    ///
    /// [`InvalidTicket`] tells why it is not accepted.
    pub fn verify(&self, ticket: &str, now: Timestamp) -> Result<Verified, InvalidTicket> {
        if ticket.len() > Ticket::MAX_LENGTH {
            return Err(InvalidTicket::Malformed);
        }
        let (signed, signature) = ticket.rsplit_once('.').ok_or(InvalidTicket::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(InvalidTicket::Malformed)?;
        if header != HEADER {
            return Err(InvalidTicket::OtherFormat);
        }
        let claims = decode(claims)?;
        let signature = decode(signature)?;
        if signature.len() != self.signature_size {
            return Err(InvalidTicket::BadSignature);
        }
        match self.server.verify_ps256(signed.as_bytes(), &signature) {
            Ok(()) => {}
            Err(CryptoError::BadSignature) => return Err(InvalidTicket::BadSignature),
            Err(error) => return Err(InvalidTicket::Unavailable(error)),
        }
        let claims = Claims::from_json(&claims).ok_or(InvalidTicket::StrangeClaims)?;
        self.accept(claims, now)
    }

    /// Judges what the server has said.
    fn accept(&self, claims: Claims, now: Timestamp) -> Result<Verified, InvalidTicket> {
        if claims.issuer != self.issuer {
            return Err(InvalidTicket::StrangeClaims);
        }
        if claims.audience != self.audience {
            return Err(InvalidTicket::OtherAudience);
        }
        if claims.expires_at <= now.saturating_sub(Self::LEEWAY) {
            return Err(InvalidTicket::Expired);
        }
        if claims.issued_at > now.saturating_add(Self::LEEWAY) {
            return Err(InvalidTicket::NotYetValid);
        }
        Ok(Verified {
            user: claims.user,
            id: claims.id,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidTicket> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| InvalidTicket::Malformed)
}

/// Why a ticket is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTicket {
    /// The text is not three parts in base64url, or too long.
    #[error("that is no ticket")]
    Malformed,
    /// Its header is not that of a ticket: another algorithm, another type, or a newer format.
    #[error("that is no ticket of a kind that is accepted here")]
    OtherFormat,
    /// It is not signed by the server whose key is known.
    #[error("the ticket is not signed by the server that is known")]
    BadSignature,
    /// The server has signed it, but it doesn't say what a ticket says.
    #[error("the ticket says something that is not understood")]
    StrangeClaims,
    /// It is for another service.
    #[error("the ticket is for another audience")]
    OtherAudience,
    /// It has expired.
    #[error("the ticket has expired; get a new one")]
    Expired,
    /// It was issued later than now: the clocks differ by more than [`TicketVerifier::LEEWAY`].
    #[error("the ticket is not valid yet; the clocks differ")]
    NotYetValid,
    /// The cryptography failed, whatever the ticket may be worth.
    #[error("the ticket could not be checked: {0}")]
    Unavailable(#[source] CryptoError),
}

impl InvalidTicket {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "ticket_malformed",
            Self::OtherFormat => "ticket_other_format",
            Self::BadSignature => "ticket_bad_signature",
            Self::StrangeClaims => "ticket_strange_claims",
            Self::OtherAudience => "ticket_for_other_audience",
            Self::Expired => "ticket_expired",
            Self::NotYetValid => "ticket_not_yet_valid",
            Self::Unavailable(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        challenge::ServerKey,
        testing::{given::at, rsa::Toy},
    };

    fn signed(key: &ServerKey, header: &str, claims: &str) -> String {
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = key.sign_ps256(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn what_the_server_has_signed_is_still_refused_if_it_is_no_ticket() {
        let toy = Toy::new();
        let key = ServerKey::generate(toy.clone()).unwrap();
        let audience = Audience::parse("photos").unwrap();
        let verifier = TicketVerifier::new(&*toy, key.public_key(), audience).unwrap();
        let now = at(0).unix_seconds();
        let of = |iss: &str, more: &str| {
            format!(
                r#"{{"iss":"{iss}","sub":"ada","aud":"photos","iat":{now},"exp":{},"jti":"AAECAwQFBgcICQoLDA0ODw"{more}}}"#,
                now + 60
            )
        };
        let own = key.public_key().fingerprint().to_hex();
        let good = signed(&key, HEADER, &of(&own, ""));
        let verified = verifier.verify(&good, at(0)).unwrap();
        assert_eq!(verified.user.as_str(), "ada");

        let strange = Err(InvalidTicket::StrangeClaims);
        for claims in [
            of(&"0".repeat(64), ""),
            of(&own, r#","nbf":0"#),
            of(&own, r#","sub":"bob""#),
            "ada".to_owned(),
            String::new(),
        ] {
            let ticket = signed(&key, HEADER, &claims);
            assert_eq!(verifier.verify(&ticket, at(0)), strange, "{claims}");
        }
        for header in [
            r#"{"alg":"none","typ":"pinyto-ticket+jwt"}"#,
            r#"{"alg":"HS256","typ":"pinyto-ticket+jwt"}"#,
            r#"{"alg":"RS256","typ":"pinyto-ticket+jwt"}"#,
            r#"{"alg":"PS256","typ":"JWT"}"#,
            r#"{"alg":"PS256"}"#,
            r#"{"alg":"PS256","typ":"pinyto-ticket+jwt","crit":["x"]}"#,
            r#"{ "alg":"PS256","typ":"pinyto-ticket+jwt"}"#,
            "",
        ] {
            let ticket = signed(&key, &URL_SAFE_NO_PAD.encode(header), &of(&own, ""));
            let refused = verifier.verify(&ticket, at(0));
            assert_eq!(refused, Err(InvalidTicket::OtherFormat), "{header}");
        }
    }
}
