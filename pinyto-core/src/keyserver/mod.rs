//! The keyserver: holds a key pair for users of web apps, which can't keep a key, and does the
//! device's half of the challenge for whoever knows the password.

mod key_stock;
mod password;
mod repository;
mod sealed_key;
mod service;

pub use key_stock::{KeyStock, KeyStockRefill};
pub use password::{HashCost, InvalidPassword, Password, PasswordHash};
pub use repository::{
    ChangePasswordOutcome, KeyserverRepository, NewCredentials, PasswordLoginOutcome,
};
pub use sealed_key::SealedKey;

use crate::{id::KeyId, user::User};

/// A user's account at the keyserver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Whose account it is.
    pub user: User,
    /// The key whose private half is kept here.
    pub key: KeyId,
    /// Whether that key is active: else the password opens nothing.
    pub active: bool,
    /// The hash of the password.
    pub password_hash: PasswordHash,
    /// The private half of the key, sealed under the password.
    pub sealed_key: SealedKey,
}

impl Account {
    /// The account of a user whose key is not active.
    #[must_use]
    pub const fn new(
        user: User,
        key: KeyId,
        password_hash: PasswordHash,
        sealed_key: SealedKey,
    ) -> Self {
        Self {
            user,
            key,
            active: false,
            password_hash,
            sealed_key,
        }
    }
}
