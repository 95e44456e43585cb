//! The device's half of the challenge: what a client needs.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{
    Challenge, InvalidSessionToken, RequestToken, SessionToken, base64_text, server_key::seal_for,
};
use crate::{
    crypto::{
        CryptoError, GENERATED_KEY_BITS, RsaBackend, RsaPrivateKey, RsaPublicKey, pkcs8_from_pem,
        pkcs8_to_pem,
    },
    key::{KeyHash, PublicKey},
};

/// A device's key pair: registered with its public half, it answers challenges with the private
/// one, which never leaves the device. Cheap to clone.
///
/// See [the module](super) for a whole login. `Debug` shows the public fingerprint only.
#[derive(Clone)]
pub struct DeviceKey {
    backend: Arc<dyn RsaBackend>,
    private: Arc<dyn RsaPrivateKey>,
}

impl DeviceKey {
    /// Makes a new key of 4096 bits; takes about a second, sometimes several.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn generate(backend: Arc<dyn RsaBackend>) -> Result<Self, CryptoError> {
        let private = backend.generate(GENERATED_KEY_BITS)?;
        Ok(Self { backend, private })
    }

    /// Reads the key from PEM (RFC 7468): PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`),
    /// 4096 to 8192 bits.
    ///
    /// # Errors
    ///
    /// [`CryptoError::PrivateKey`] tells why the key is refused.
    pub fn from_pem(backend: Arc<dyn RsaBackend>, pem: &str) -> Result<Self, CryptoError> {
        Self::from_pkcs8_der(backend, &pkcs8_from_pem(pem)?)
    }

    /// Reads the key from PKCS#8 DER (RFC 5208), 4096 to 8192 bits.
    ///
    /// # Errors
    ///
    /// [`CryptoError::PrivateKey`] tells why the key is refused.
    pub fn from_pkcs8_der(backend: Arc<dyn RsaBackend>, der: &[u8]) -> Result<Self, CryptoError> {
        let private = backend.private_key_from_pkcs8(der)?;
        Ok(Self { backend, private })
    }

    /// The private key as PKCS#8 PEM, to be kept where nobody else can read it.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, CryptoError> {
        pkcs8_to_pem(&self.to_pkcs8_der()?)
    }

    /// The private key as PKCS#8 DER, to be kept where nobody else can read it.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.private.to_pkcs8_der()
    }

    /// The public half: what to register.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.private.public_key()
    }

    /// What to send as `key_hash` with `authenticate`.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        self.public_key().key_hash()
    }

    /// Answers a challenge: the result is the `token` of every request of the session.
    ///
    /// `server` is the server's public key as the client knows it from a trusted source, not as
    /// it came along with the challenge.
    ///
    /// # Errors
    ///
    /// As [`DeviceKey::open`].
    pub fn answer(
        &self,
        challenge: &Challenge,
        server: &PublicKey,
    ) -> Result<RequestToken, ChallengeError> {
        let prepared = self.backend.public_key(server)?;
        let token = self.check_and_decrypt(challenge, server, prepared.as_ref())?;
        Ok(seal_for(prepared.as_ref(), &token)?)
    }

    /// Answers a challenge up to the session token itself. [`DeviceKey::answer`] is what a client
    /// usually needs.
    ///
    /// # Errors
    ///
    /// [`ChallengeError::BadSignature`] if the challenge is not by `server`; nothing was decrypted
    /// then. Else that it is not for this key, or that the backend failed.
    pub fn open(
        &self,
        challenge: &Challenge,
        server: &PublicKey,
    ) -> Result<SessionToken, ChallengeError> {
        let prepared = self.backend.public_key(server)?;
        self.check_and_decrypt(challenge, server, prepared.as_ref())
    }

    fn check_and_decrypt(
        &self,
        challenge: &Challenge,
        server: &PublicKey,
        prepared: &dyn RsaPublicKey,
    ) -> Result<SessionToken, ChallengeError> {
        let signed = challenge.encrypted_token.as_bytes();
        let signature = base64_text::decode(&challenge.signature, server.size())
            .ok_or(ChallengeError::BadSignature)?;
        match prepared.verify_pss_sha256(signed, &signature) {
            Ok(()) => {}
            Err(CryptoError::BadSignature) => return Err(ChallengeError::BadSignature),
            Err(error) => return Err(error.into()),
        }
        let ciphertext = base64_text::decode(&challenge.encrypted_token, self.public_key().size())
            .ok_or(ChallengeError::OtherKey)?;
        let token = match self.private.decrypt_oaep_sha1(&ciphertext) {
            Ok(token) => token,
            Err(CryptoError::Decryption) => return Err(ChallengeError::OtherKey),
            Err(error) => return Err(error.into()),
        };
        SessionToken::from_bytes(&token).map_err(ChallengeError::Token)
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey")
            .field("public_key", self.public_key())
            .field("backend", &self.backend)
            .finish()
    }
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The challenge doesn't come from the server whose key is known: don't go on.
    #[error(
        "the challenge is not signed by the server that is known; somebody may be in between, or the server has another key now"
    )]
    BadSignature,
    /// The challenge is genuine but encrypted for another device's key.
    #[error("the challenge is for another key than this device's")]
    OtherKey,
    /// What was decrypted is no session token.
    #[error("the server sent a strange challenge: {0}")]
    Token(#[source] InvalidSessionToken),
    /// The cryptography failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl ChallengeError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "challenge_bad_signature",
            Self::OtherKey => "challenge_for_other_key",
            Self::Token(_) => "challenge_strange_token",
            Self::Crypto(error) => error.code(),
        }
    }
}
