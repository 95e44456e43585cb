//! Accounts with a password.

use pinyto_core::{challenge::RequestToken, user::UserName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    CHANGE_PASSWORD, KEYSERVER_AUTHENTICATE, KEYSERVER_REGISTER, SET_PASSWORD_LOGIN, Success,
};
use crate::client::{Client, error::Error, login::Proof, session::Session, transport::Body};

#[derive(Serialize)]
struct Account<'a> {
    username: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct ChangePassword<'a> {
    password: &'a str,
}

#[derive(Serialize)]
struct SetPasswordLogin {
    allowed: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "token")]
    token: RequestToken,
}

fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RequestToken, D::Error> {
    String::deserialize(deserializer).map(RequestToken::new)
}

impl Client {
    /// Registers a user who has a password instead of a device. Pins the server's key if there is
    /// no pin yet.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `user_name_taken`, `invalid_password` and
    /// others; [`Error::ServerKeyChanged`].
    pub async fn register_with_password(
        &self,
        user: &UserName,
        password: &SecretString,
    ) -> Result<(), Error> {
        let pinned = self.pinned_key().await?;
        self.compare(&pinned, &self.offered_key().await?)?;
        let body = Body::json(&Account {
            username: user.as_str(),
            password: password.expose_secret(),
        })?;
        let call = KEYSERVER_REGISTER;
        let done: Success = self.transport().call(call, Some(&body), None).await?;
        done.check()
    }

    pub(in crate::client) async fn password_token(
        &self,
        username: &str,
        password: &str,
    ) -> Result<RequestToken, Error> {
        let body = Body::json(&Account { username, password })?;
        let call = KEYSERVER_AUTHENTICATE;
        let answer: TokenAnswer = self.transport().call(call, Some(&body), None).await?;
        Ok(answer.token)
    }
}

impl Session {
    /// Gives the account another password. A session that was opened with the old one logs in
    /// with the new one from now on. If this fails without an answer of the server, the password
    /// may have changed or not.
    ///
    /// # Errors
    ///
    /// [`Error::ServerKeyChanged`], before anything is sent; [`Error::Refused`], with the server's
    /// codes `invalid_password`, `no_keyserver_account`.
    pub async fn change_password(&self, password: &SecretString) -> Result<(), Error> {
        self.client().same_server().await?;
        let request = ChangePassword {
            password: password.expose_secret(),
        };
        self.change(CHANGE_PASSWORD, &request).await?;
        self.replace_login(|login| {
            if let Proof::Password(old) = &mut login.proof {
                *old = password.clone();
            }
        });
        Ok(())
    }

    /// Allows or forbids that the password opens the account. Forbidding takes a session of
    /// another key.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `password_session`, `no_keyserver_account`.
    pub async fn set_password_login(&self, allowed: bool) -> Result<(), Error> {
        let request = SetPasswordLogin { allowed };
        self.change(SET_PASSWORD_LOGIN, &request).await
    }
}
