//! OpenPGP as gpgAuth uses it, behind a trait: nothing else here knows an OpenPGP library.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    key::{KeyFingerprint, OpenPgpKey},
};

/// Does OpenPGP with a server's key: a library, an agent or a hardware module.
///
/// All methods compute for up to many milliseconds or wait for a device; they are called where
/// blocking is allowed. What comes from outside is hostile: no method may panic or take memory
/// without bound, whatever it is given.
pub trait OpenPgp: Send + Sync + fmt::Debug {
    /// The fingerprint of the server's key.
    fn fingerprint(&self) -> KeyFingerprint;

    /// The server's public key, ASCII-armored (RFC 9580, 6.2), without armor headers.
    fn public_key(&self) -> &str;

    /// A secret of 32 bytes that all servers of one cloud share and nobody else knows: login tokens
    /// are made with it. Usually derived from the secret half of the server's key.
    ///
    /// # Errors
    ///
    /// [`OpenPgpError`] if it can't be had.
    fn login_secret(&self) -> Result<Zeroizing<[u8; 32]>, OpenPgpError>;

    /// Reads an ASCII-armored public key of a user.
    ///
    /// # Errors
    ///
    /// [`InvalidOpenPgpKey`] if it is none, or may not be used at `now`.
    fn read_key(&self, armored: &str, now: Timestamp) -> Result<OpenPgpKey, InvalidOpenPgpKey>;

    /// Judges a key that was read, and kept, again.
    ///
    /// # Errors
    ///
    /// [`InvalidOpenPgpKey`] if it may not be used at `now`.
    fn check(&self, key: &OpenPgpKey, now: Timestamp) -> Result<(), InvalidOpenPgpKey>;

    /// Decrypts an ASCII-armored message to the server's key and gives its literal text: at most
    /// [`MAX_TEXT`] bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidMessage`].
    fn decrypt(&self, message: &str) -> Result<Zeroizing<Vec<u8>>, InvalidMessage>;

    /// Signs `text` with the server's key and encrypts it for the newest subkey of `recipient` that
    /// may be used at `now`; ASCII-armored, without armor headers.
    ///
    /// # Errors
    ///
    /// [`EncryptionError::Key`] if no part of the key may be used at `now`.
    fn encrypt(
        &self,
        recipient: &OpenPgpKey,
        text: &str,
        now: Timestamp,
    ) -> Result<String, EncryptionError>;

    /// A message like those of [`OpenPgp::encrypt`] that nobody can decrypt, for a key that only
    /// its `fingerprint` is known of. The same fingerprint gives the same recipient each time.
    ///
    /// # Errors
    ///
    /// [`OpenPgpError`].
    fn encrypt_for_nobody(
        &self,
        fingerprint: &KeyFingerprint,
        text: &str,
        now: Timestamp,
    ) -> Result<String, OpenPgpError>;
}

/// The most characters of an armored message to the server: 16 KiB.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// The most bytes of the text in a message to the server, also when it is unpacked: 4 KiB.
pub const MAX_TEXT: usize = 4 * 1024;

/// The most characters of an armored public key of a user: 64 KiB.
pub const MAX_KEY: usize = 64 * 1024;

/// Why an OpenPGP key of a user can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOpenPgpKey {
    /// The text is longer than [`MAX_KEY`].
    #[error(
        "The OpenPGP key is too long: at most {MAX_KEY} characters. Export it without photos and signatures of others (gpg: --export-options export-minimal)."
    )]
    TooLong,
    /// The text is no armored public key, or more than one.
    #[error(
        "openpgp_key has to be one ASCII-armored public key, as gpg --armor --export writes it."
    )]
    NotArmored,
    /// The packets are damaged, or unknown.
    #[error("The OpenPGP key can't be read.")]
    Malformed,
    /// It has more signatures than are checked.
    #[error(
        "The OpenPGP key has too many signatures. Export it without old ones and those of others (gpg: --export-options export-minimal)."
    )]
    TooManySignatures,
    /// It has secret key material.
    #[error(
        "That is a secret key! Keep it to yourself and send the public one, as gpg --armor --export writes it."
    )]
    Secret,
    /// The primary key or all that could encrypt is of an algorithm that is not accepted.
    #[error(
        "The OpenPGP key's algorithm is not accepted: {algorithm}. Make one with Ed25519 and Cv25519, or RSA of 2048 to 4096 bits."
    )]
    Algorithm {
        /// Which one it is.
        algorithm: String,
    },
    /// It is RSA of less than 2048 bits.
    #[error(
        "The OpenPGP key's RSA modulus is too small. Make one of at least 2048 bits, or Ed25519 and Cv25519."
    )]
    TooWeak,
    /// Its self-signatures are missing, wrong, or made with SHA-1 or MD5.
    #[error("The OpenPGP key has no valid signature of itself with SHA-256 or better.")]
    SelfSignature,
    /// It has expired, or is from the future.
    #[error("The OpenPGP key has expired, or isn't valid yet.")]
    Expired,
    /// It is revoked, or has some packet of a revocation.
    #[error("The OpenPGP key is revoked.")]
    Revoked,
    /// No part of it may encrypt.
    #[error("The OpenPGP key has no valid part that may encrypt. Add an encryption subkey to it.")]
    NoEncryption,
    /// It is the server's, or shares a key with it.
    #[error("That is the server's own OpenPGP key.")]
    OfServer,
}

impl InvalidOpenPgpKey {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "openpgp_key_too_long",
            Self::NotArmored => "openpgp_key_not_armored",
            Self::Malformed => "openpgp_key_malformed",
            Self::TooManySignatures => "openpgp_key_too_many_signatures",
            Self::Secret => "openpgp_key_secret",
            Self::Algorithm { .. } => "openpgp_key_algorithm",
            Self::TooWeak => "openpgp_key_too_weak",
            Self::SelfSignature => "openpgp_key_self_signature",
            Self::Expired => "openpgp_key_expired",
            Self::Revoked => "openpgp_key_revoked",
            Self::NoEncryption => "openpgp_key_no_encryption",
            Self::OfServer => "openpgp_key_of_server",
        }
    }
}

/// Why a message to the server can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// It is no ASCII-armored message, or longer than [`MAX_MESSAGE`].
    #[error("The token has to be an ASCII-armored OpenPGP message.")]
    NotArmored,
    /// It can't be decrypted: damaged, for another key, too long when unpacked. Which is not told.
    #[error("The message can't be decrypted with the server's key.")]
    Undecryptable,
}

impl InvalidMessage {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotArmored => "gpgauth_not_armored",
            Self::Undecryptable => "gpgauth_undecryptable",
        }
    }
}

/// Why nothing could be encrypted for a user.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// Her key may not be used (any more).
    #[error(transparent)]
    Key(#[from] InvalidOpenPgpKey),
    /// The OpenPGP library, or whatever has the key, failed.
    #[error(transparent)]
    Failed(#[from] OpenPgpError),
}

impl EncryptionError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Failed(error) => error.code(),
        }
    }
}

/// The OpenPGP library, or whatever has the server's key, failed in what it has to be able to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the OpenPGP operation failed: {operation}")]
pub struct OpenPgpError {
    /// What was to be done; nothing secret.
    pub operation: &'static str,
}

impl OpenPgpError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "openpgp_failed"
    }
}
