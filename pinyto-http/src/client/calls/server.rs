//! What the server says about itself.

use pinyto_core::key::PublicKey;
use serde::Deserialize;
use serde_json::Value;

use super::{HEALTHZ, OPENAPI, PUBLIC_KEY, READYZ};
use crate::client::{
    Client,
    error::{Error, Sentence},
};

#[derive(Deserialize)]
struct PublicKeyAnswer {
    #[serde(rename = "N")]
    n: String,
    e: String,
}

#[derive(Deserialize)]
struct Status {
    status: String,
}

impl Client {
    /// The key that the server shows now, whatever is pinned: for comparing it with what the
    /// operator says, not for trusting it.
    ///
    /// # Errors
    ///
    /// That the server can't be asked; [`Error::InvalidServerKey`].
    pub async fn offered_key(&self) -> Result<PublicKey, Error> {
        let key: PublicKeyAnswer = self.transport().call(PUBLIC_KEY, None, None).await?;
        Ok(PublicKey::from_decimal(&key.n, &key.e)?)
    }

    /// Asks whether the server's process lives.
    ///
    /// # Errors
    ///
    /// That it doesn't answer.
    pub async fn healthy(&self) -> Result<(), Error> {
        let answer: Status = self.transport().call(HEALTHZ, None, None).await?;
        answer.check()
    }

    /// Asks whether the server can reach its database.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `database_unavailable`.
    pub async fn ready(&self) -> Result<(), Error> {
        let answer: Status = self.transport().call(READYZ, None, None).await?;
        answer.check()
    }

    /// The server's description of all its calls (OpenAPI), if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `unknown_route` if it has none.
    pub async fn openapi(&self) -> Result<Value, Error> {
        self.transport().call(OPENAPI, None, None).await
    }
}

impl Status {
    fn check(self) -> Result<(), Error> {
        match &*self.status {
            "ok" => Ok(()),
            _ => Err(Error::unexpected(Sentence("another status than ok"))),
        }
    }
}
