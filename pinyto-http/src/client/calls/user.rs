//! Registration and the end of sessions.

use pinyto_core::{challenge::RequestToken, key::PublicKey, ticket::Audience, user::UserName};
use serde::Serialize;

use super::{ISSUE_TICKET, KEYSERVER_LOGOUT, LOGOUT, Nothing, REGISTER, Success, WHO_AM_I};
use crate::client::{
    Client,
    error::Error,
    login::{Login, Proof},
    session::Session,
    transport::Body,
    types::{Ticket, WhoAmI},
};

/// A public key as it is sent.
#[derive(Serialize)]
pub(super) struct Numbers<'a> {
    #[serde(rename = "N")]
    n: &'a str,
    e: String,
}

impl<'a> From<&'a PublicKey> for Numbers<'a> {
    fn from(key: &'a PublicKey) -> Self {
        Self {
            n: key.n_decimal(),
            e: key.e().to_string(),
        }
    }
}

#[derive(Serialize)]
struct Register<'a> {
    username: &'a str,
    public_key: Numbers<'a>,
}

#[derive(Serialize)]
struct IssueTicket<'a> {
    audience: &'a str,
}

impl Session {
    /// Whose session it is.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn who_am_i(&self) -> Result<WhoAmI, Error> {
        self.read(WHO_AM_I, &Nothing {}).await
    }

    /// A ticket by which another service learns whose session it is; see
    /// [`pinyto_core::ticket`].
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn ticket(&self, audience: &Audience) -> Result<Ticket, Error> {
        let audience = audience.as_str();
        self.read(ISSUE_TICKET, &IssueTicket { audience }).await
    }
}

impl Client {
    /// Registers a user with her first key. Pins the server's key if there is no pin yet.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `user_name_taken`, `reserved_user_name` and
    /// others.
    pub async fn register(&self, user: &UserName, key: &PublicKey) -> Result<(), Error> {
        self.pinned_key().await?;
        let body = Body::json(&Register {
            username: user.as_str(),
            public_key: key.into(),
        })?;
        let done: Success = self.transport().call(REGISTER, Some(&body), None).await?;
        done.check()
    }

    /// Ends a session that was opened with `login`. One that is dead already has ended.
    pub(in crate::client) async fn end(
        &self,
        login: &Login,
        token: &RequestToken,
    ) -> Result<(), Error> {
        let call = match login.proof {
            Proof::Key(_) => LOGOUT,
            Proof::Password(_) => KEYSERVER_LOGOUT,
        };
        let body = Body::json(&Nothing {})?;
        let done: Result<Success, Error> =
            self.transport().call(call, Some(&body), Some(token)).await;
        match done {
            Err(error) if error.is_unknown_token() => Ok(()),
            done => done?.check(),
        }
    }
}
