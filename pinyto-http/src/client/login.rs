//! How a user opens a session.

use std::fmt;

use pinyto_core::{challenge::DeviceKey, user::UserName};
use secrecy::SecretString;

/// Who logs in, and with what. A [`Session`](super::Session) keeps it, to open another one when
/// the server has ended it.
#[derive(Clone)]
pub struct Login {
    pub(super) user: UserName,
    pub(super) proof: Proof,
}

#[derive(Clone)]
pub(super) enum Proof {
    Key(DeviceKey),
    Password(SecretString),
}

impl Login {
    /// With a device's key, which the user has registered. The private half never leaves the
    /// device, and the server has to prove that it has the pinned key.
    #[must_use]
    pub fn key(user: UserName, key: DeviceKey) -> Self {
        let proof = Proof::Key(key);
        Self { user, proof }
    }

    /// With a password at the keyserver. The server gets to know the password, and only TLS proves
    /// which server that is: prefer a key.
    #[must_use]
    pub fn password(user: UserName, password: SecretString) -> Self {
        let proof = Proof::Password(password);
        Self { user, proof }
    }

    /// Who logs in.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Login");
        shown.field("user", &self.user);
        match &self.proof {
            Proof::Key(key) => shown.field("key", key.public_key()),
            Proof::Password(_) => shown.field("password", &format_args!("..")),
        };
        shown.finish()
    }
}
