//! The server's half of the challenge.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{Challenge, RequestToken, SessionToken, base64_text};
use crate::{
    crypto::{
        CryptoError, GENERATED_KEY_BITS, RsaBackend, RsaPrivateKey, RsaPublicKey, pkcs8_from_pem,
        pkcs8_to_pem, primes,
    },
    key::PublicKey,
};

/// The server's key pair. Clients pin its public half; cheap to clone.
///
/// `Debug` shows the public fingerprint only.
#[derive(Clone)]
pub struct ServerKey(Arc<Parts>);

struct Parts {
    backend: Arc<dyn RsaBackend>,
    private: Arc<dyn RsaPrivateKey>,
    public: Arc<dyn RsaPublicKey>,
}

impl ServerKey {
    /// Makes a new key of 4096 bits; takes about a second, sometimes several.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn generate(backend: Arc<dyn RsaBackend>) -> Result<Self, CryptoError> {
        let private = backend.generate(GENERATED_KEY_BITS)?;
        Self::new(backend, private)
    }

    /// Reads the key from PEM (RFC 7468): PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`),
    /// 4096 to 8192 bits.
    ///
    /// # Errors
    ///
    /// [`CryptoError::PrivateKey`] tells the operator why the key is refused.
    pub fn from_pem(backend: Arc<dyn RsaBackend>, pem: &str) -> Result<Self, CryptoError> {
        let private = backend.private_key_from_pkcs8(&pkcs8_from_pem(pem)?)?;
        Self::new(backend, private)
    }

    fn new(
        backend: Arc<dyn RsaBackend>,
        private: Arc<dyn RsaPrivateKey>,
    ) -> Result<Self, CryptoError> {
        let public = backend.public_key(private.public_key())?;
        Ok(Self(Arc::new(Parts {
            backend,
            private,
            public,
        })))
    }

    /// The private key as PKCS#8 PEM, to be kept where nobody else can read it.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, CryptoError> {
        pkcs8_to_pem(&self.0.private.to_pkcs8_der()?)
    }

    /// Bytes that only who has the private key knows, the same however its file encodes it and
    /// whatever backend has read it.
    pub(crate) fn secret(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let der = self.0.private.to_pkcs8_der()?;
        Ok(match primes(&der) {
            Some([larger, smaller]) => Zeroizing::new([&**larger, &**smaller].concat()),
            // Of a backend with keys of its own.
            None => der,
        })
    }

    /// Signs `message` by PS256, for [tickets](crate::ticket). Costs one private operation.
    pub(crate) fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.private.sign_ps256(message)
    }

    /// The public half, which clients pin.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.0.private.public_key()
    }

    /// What does the RSA for this key.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn RsaBackend> {
        &self.0.backend
    }

    /// Encrypts `token` for the device with the key `recipient`, and signs the result.
    ///
    /// Costs one private operation.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn issue(
        &self,
        recipient: &PublicKey,
        token: &SessionToken,
    ) -> Result<Challenge, CryptoError> {
        let recipient = self.0.backend.public_key(recipient)?;
        let ciphertext = recipient.encrypt_oaep_sha1(token.expose().as_bytes())?;
        let encrypted_token = base64_text::encode(&ciphertext);
        let signature = self.0.private.sign_pss_sha256(encrypted_token.as_bytes())?;
        Ok(Challenge {
            encrypted_token,
            signature: base64_text::encode(&signature),
        })
    }

    /// Decrypts what a client sent as token. Whether a session has it is for the caller to find
    /// out.
    ///
    /// Costs one private operation, unless the text is refused by its form alone.
    ///
    /// # Errors
    ///
    /// [`InvalidRequestToken`]; see [`InvalidRequestToken::was_costly`] about throttling.
    pub fn open(&self, request: &RequestToken) -> Result<SessionToken, InvalidRequestToken> {
        let ciphertext = base64_text::decode(request.expose(), self.public_key().size())
            .ok_or(InvalidRequestToken::Malformed)?;
        let token = match self.0.private.decrypt_oaep_sha1(&ciphertext) {
            Ok(token) => token,
            Err(CryptoError::Decryption) => return Err(InvalidRequestToken::Undecryptable),
            Err(error) => return Err(InvalidRequestToken::Unavailable(error)),
        };
        SessionToken::from_bytes(&token).map_err(|_| InvalidRequestToken::Undecryptable)
    }

    /// Encrypts `token` for this server, as a device does: [`ServerKey::open`] reads it back.
    ///
    /// # Errors
    ///
    /// That the backend failed.
    pub fn seal(&self, token: &SessionToken) -> Result<RequestToken, CryptoError> {
        seal_for(self.0.public.as_ref(), token)
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerKey")
            .field("public_key", self.public_key())
            .field("backend", &self.0.backend)
            .finish()
    }
}

pub(super) fn seal_for(
    server: &dyn RsaPublicKey,
    token: &SessionToken,
) -> Result<RequestToken, CryptoError> {
    let ciphertext = server.encrypt_oaep_sha1(token.expose().as_bytes())?;
    Ok(RequestToken::new(base64_text::encode(&ciphertext)))
}

/// A request token that gives no session token.
///
/// The first two read the same, and like the answer to a token that nobody knows: what exactly is
/// wrong helps only those who guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequestToken {
    /// The text is no base64 of the right length; finding that out cost nothing.
    #[error("Unknown token. Please authenticate.")]
    Malformed,
    /// It can't be decrypted to a session token; finding that out cost a private operation.
    #[error("Unknown token. Please authenticate.")]
    Undecryptable,
    /// The server failed, whatever the token may be worth.
    #[error("The token could not be checked: {0}.")]
    Unavailable(#[source] CryptoError),
}

impl InvalidRequestToken {
    /// Whether finding this out cost a private operation, so that repeating it has to be
    /// throttled.
    #[must_use]
    pub const fn was_costly(&self) -> bool {
        matches!(self, Self::Undecryptable)
    }

    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed | Self::Undecryptable => "unknown_token",
            Self::Unavailable(error) => error.code(),
        }
    }
}
