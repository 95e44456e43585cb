//! Registration and the end of sessions.

use pinyto_core::{challenge::RequestToken, key::PublicKey, user::UserName};
use serde::Serialize;

use super::{KEYSERVER_LOGOUT, LOGOUT, Nothing, REGISTER, Success};
use crate::client::{
    Client,
    error::Error,
    login::{Login, Proof},
    transport::Body,
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
