//! gpgAuth 1.3.0: logging in with an OpenPGP key, beside the RSA challenge.
//!
//! Both sides prove themselves by decrypting a [`Nonce`], in three stages:
//!
//! | stage | the client | the server |
//! |---|---|---|
//! | 0, [`Cloud::gpgauth_verify`](crate::Cloud::gpgauth_verify) | encrypts a nonce for the server's key | gives the nonce back: it holds its key. Learns nothing about the client |
//! | 1, [`Cloud::gpgauth_begin`](crate::Cloud::gpgauth_begin) | says which key she has | encrypts a fresh nonce for it, signed |
//! | 2, [`Cloud::gpgauth_complete`](crate::Cloud::gpgauth_complete) | gives that nonce back: she holds her key | opens a session, like any other |
//!
//! There is no current specification; this is what deployed servers and clients do. OpenPGP itself
//! (RFC 9580) is behind the trait [`OpenPgp`], so that the server's key can be in an agent or in
//! hardware; [`RPgp`] does it with a library. An OpenPGP key is registered, listed, deactivated and
//! deleted as RSA keys are, but opens nothing before its holder has proved to have it:
//! [`Cloud::register_openpgp_key`](crate::Cloud::register_openpgp_key) gives a challenge,
//! [`Cloud::prove_openpgp_key`](crate::Cloud::prove_openpgp_key) takes the answer.
//!
//! The nonces name no server, so a hostile one could pass them on: clients have to reach the right
//! one by TLS.

mod nonce;
mod openpgp;
mod possession;
mod rpgp;
mod service;

use std::sync::Arc;

use crate::{error::Error, workers::Workers};
use nonce::ProofTokens;

pub use nonce::{InvalidNonce, Nonce};
pub use openpgp::{
    EncryptionError, InvalidMessage, InvalidOpenPgpKey, MAX_KEY, MAX_MESSAGE, MAX_TEXT, OpenPgp,
    OpenPgpError,
};
pub use rpgp::{InvalidServerKey, RPgp, armored, read_key};
pub use service::GpgAuthLogin;

/// What an operator may want otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GpgAuthSettings {
    /// Whether a client learns that nobody has the key it begins to log in with
    /// ([`GpgAuthError::UnknownKey`]). Otherwise it gets a message that nobody can decrypt.
    /// Default: no.
    pub tells_unknown_keys: bool,
}

/// What went wrong in a login. The text tells the author of a client what to do; nothing in it is
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpgAuthError {
    /// Nobody has registered that key, or it is not active. Clients search for the sentence.
    #[error("There is no user associated with this key.")]
    UnknownKey,
    /// The user's key can't be used (any more).
    #[error("You can't log in with your key. {0}")]
    UnusableKey(InvalidOpenPgpKey),
    /// What was sent for the server to decrypt is no message to it.
    #[error(transparent)]
    InvalidMessage(#[from] InvalidMessage),
    /// What was sent for the server to decrypt is no nonce, and is told to nobody.
    #[error("The decrypted token is no nonce: gpgauthv1.3.0|36|<uuid>|gpgauthv1.3.0.")]
    NoNonce,
    /// The token is none, is another key's, was shown before or has expired; which is not told.
    #[error("The token is not valid, or not any more. Begin the login again.")]
    InvalidToken,
}

impl GpgAuthError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey => "gpgauth_unknown_key",
            Self::UnusableKey(_) => "gpgauth_unusable_key",
            Self::InvalidMessage(error) => error.code(),
            Self::NoNonce => "gpgauth_no_nonce",
            Self::InvalidToken => "gpgauth_invalid_token",
        }
    }
}

/// What a cloud needs for it.
pub(crate) struct GpgAuth {
    openpgp: Arc<dyn OpenPgp>,
    tokens: ProofTokens,
    possession: ProofTokens,
    settings: GpgAuthSettings,
    workers: Workers,
}

impl GpgAuth {
    pub(crate) fn new(
        openpgp: Arc<dyn OpenPgp>,
        settings: GpgAuthSettings,
        workers: Workers,
    ) -> Result<Self, Error> {
        let secret = openpgp.login_secret()?;
        Ok(Self {
            tokens: ProofTokens::new(&secret, b"pinyto gpgauth login tokens"),
            possession: ProofTokens::new(&secret, b"pinyto openpgp possession"),
            openpgp,
            settings,
            workers,
        })
    }
}
