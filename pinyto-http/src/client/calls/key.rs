//! The user's keys.

use pinyto_core::key::{KeyHash, PublicKey};
use serde::{Deserialize, Serialize};

use super::{
    DELETE_KEY, LIST_KEYS, Nothing, PROVE_OPENPGP_KEY, REGISTER_NEW_KEY, SET_KEY_ACTIVE,
    user::Numbers,
};
use crate::client::{error::Error, session::Session, types::ListedKey};

#[derive(Serialize)]
struct RegisterNewKey<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<Numbers<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openpgp_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

#[derive(Deserialize)]
struct Registered {
    challenge: Option<String>,
}

#[derive(Serialize)]
struct ProveOpenPgpKey<'a> {
    key_hash: &'a str,
    answer: &'a str,
}

#[derive(Serialize)]
struct SetKeyActive<'a> {
    key_hash: &'a str,
    active_state: bool,
}

#[derive(Serialize)]
struct DeleteKey<'a> {
    key_hash: &'a str,
}

impl Session {
    /// The user's keys, oldest first.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn list_keys(&self) -> Result<Vec<ListedKey>, Error> {
        self.read(LIST_KEYS, &Nothing {}).await
    }

    /// Registers the key of another device.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `key_already_registered`, `limit_reached` and
    /// others.
    pub async fn register_key(&self, key: &PublicKey, label: Option<&str>) -> Result<(), Error> {
        let request = RegisterNewKey {
            public_key: Some(key.into()),
            openpgp_key: None,
            label,
        };
        self.change(REGISTER_NEW_KEY, &request).await
    }

    /// Registers an OpenPGP key, ASCII-armored, if the server offers gpgAuth. Gives the message to
    /// that key whose text is the answer for [`Session::prove_openpgp_key`], within five minutes;
    /// `None` if it was proved before.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `invalid_openpgp_key`, `gpgauth_disabled` and
    /// others.
    pub async fn register_openpgp_key(
        &self,
        armored: &str,
        label: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let request = RegisterNewKey {
            public_key: None,
            openpgp_key: Some(armored),
            label,
        };
        let registered: Registered = self.read(REGISTER_NEW_KEY, &request).await?;
        Ok(registered.challenge)
    }

    /// Proves that the user has an OpenPGP key: `answer` is the decrypted challenge, or the code
    /// at its end.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `unknown_key`, `gpgauth_invalid_token` and
    /// others.
    pub async fn prove_openpgp_key(&self, key: &KeyHash, answer: &str) -> Result<(), Error> {
        let key_hash = key.as_str();
        let request = ProveOpenPgpKey { key_hash, answer };
        self.change(PROVE_OPENPGP_KEY, &request).await
    }

    /// Activates or deactivates a key. Deactivating it ends its session.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `unknown_key`, `ambiguous_key_hash`,
    /// `last_active_key`.
    pub async fn set_key_active(&self, key: &KeyHash, active: bool) -> Result<(), Error> {
        let request = SetKeyActive {
            key_hash: key.as_str(),
            active_state: active,
        };
        self.change(SET_KEY_ACTIVE, &request).await
    }

    /// Deletes a key, which ends its session.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `unknown_key`, `ambiguous_key_hash`,
    /// `last_active_key`.
    pub async fn delete_key(&self, key: &KeyHash) -> Result<(), Error> {
        let key_hash = key.as_str();
        self.change(DELETE_KEY, &DeleteKey { key_hash }).await
    }
}
