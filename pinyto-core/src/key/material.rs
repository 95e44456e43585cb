//! The public half of a registered key, of whatever kind.

use std::{fmt, sync::Arc};

use super::{KeyFingerprint, PublicKey};
use crate::clock::Timestamp;

/// The public half of a registered key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMaterial {
    /// A device's RSA key, for the challenge.
    Rsa(PublicKey),
    /// An OpenPGP key, for gpgAuth.
    OpenPgp(OpenPgpKey),
}

impl KeyMaterial {
    /// What identifies the key.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        match self {
            Self::Rsa(key) => key.fingerprint(),
            Self::OpenPgp(key) => key.fingerprint(),
        }
    }

    /// The kind as clients and stores write it: `rsa` or `openpgp`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::OpenPgp(_) => "openpgp",
        }
    }

    /// Whether it opens nothing before its holder has proved to have it. Public OpenPGP keys are
    /// known to everybody and name no account when they log in, so without that anybody could have
    /// another's logins end in his account.
    #[must_use]
    pub const fn needs_proof(&self) -> bool {
        matches!(self, Self::OpenPgp(_))
    }

    /// Whether it is valid longer than `other`.
    pub(super) fn outlasts(&self, other: &Self) -> bool {
        match (self.expires_at(), other.expires_at()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(this), Some(other)) => this > other,
        }
    }

    /// The key if it is an RSA key.
    #[must_use]
    pub const fn as_rsa(&self) -> Option<&PublicKey> {
        match self {
            Self::Rsa(key) => Some(key),
            Self::OpenPgp(_) => None,
        }
    }

    /// The key if it is an OpenPGP key.
    #[must_use]
    pub const fn as_openpgp(&self) -> Option<&OpenPgpKey> {
        match self {
            Self::Rsa(_) => None,
            Self::OpenPgp(key) => Some(key),
        }
    }

    /// From when on the key opens nothing any more, if such a moment is known.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.as_openpgp().and_then(OpenPgpKey::expires_at)
    }
}

impl From<PublicKey> for KeyMaterial {
    fn from(key: PublicKey) -> Self {
        Self::Rsa(key)
    }
}

impl From<OpenPgpKey> for KeyMaterial {
    fn from(key: OpenPgpKey) -> Self {
        Self::OpenPgp(key)
    }
}

impl PartialEq<PublicKey> for KeyMaterial {
    fn eq(&self, other: &PublicKey) -> bool {
        self.as_rsa() == Some(other)
    }
}

/// An OpenPGP public key with what its owner wants to see of it.
///
/// Cheap to clone. Says nothing about whether the key may be used: that is judged anew each time,
/// by the feature `gpgauth`.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenPgpKey(Arc<OpenPgpParts>);

/// The parts of an [`OpenPgpKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPgpParts {
    /// The key as binary packets: a transferable public key (RFC 9580, 10.1).
    pub certificate: Box<[u8]>,
    /// The fingerprint of its primary key.
    pub fingerprint: KeyFingerprint,
    /// Its user ids, the primary one first; without control characters.
    pub user_ids: Vec<String>,
    /// What its primary key is and what encrypts, in words: `ed25519, cv25519`.
    pub algorithm: String,
    /// When it, or the last of its subkeys that can encrypt, expires.
    pub expires_at: Option<Timestamp>,
}

impl OpenPgpKey {
    /// Puts a key together, as it was read or as a store kept it.
    #[must_use]
    pub fn new(parts: OpenPgpParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The key as binary packets: a transferable public key (RFC 9580, 10.1).
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.0.certificate
    }

    /// The fingerprint of its primary key.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.0.fingerprint
    }

    /// Its user ids, the primary one first; without control characters.
    #[must_use]
    pub fn user_ids(&self) -> &[String] {
        &self.0.user_ids
    }

    /// What its primary key is and what encrypts, in words: `ed25519, cv25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.0.algorithm
    }

    /// When it, or the last of its subkeys that can encrypt, expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }
}

impl fmt::Debug for OpenPgpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenPgpKey({})", self.fingerprint())
    }
}
