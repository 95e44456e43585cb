//! RSA as the protocol uses it, behind traits: the only place that knows an RSA library.
//!
//! Two backends come with the library, and each reads what the other writes:
//!
//! - feature `rustcrypto` (default): pure Rust, compiles everywhere;
//! - feature `aws-lc`: AWS-LC, three to five times as fast, needs a C compiler.
//!
//! Both blind private operations, compare paddings in constant time and draw on the operating
//! system's randomness. All methods compute for up to many milliseconds (generation: seconds) and
//! never wait: call them where blocking is allowed.
//!
//! The schemes (RFC 8017): encryption is RSAES-OAEP with SHA-1, MGF1 with SHA-1 and an empty
//! label; signatures are RSASSA-PSS with SHA-256, MGF1 with SHA-256 and the longest salt that
//! fits, 478 bytes for a 4096-bit key. SHA-1's broken collision resistance doesn't matter in OAEP.
//! Tickets are signed with a salt of 32 bytes, as PS256 (RFC 7518) wants it. The length of the salt
//! is checked, so no signature is good as both.

#[cfg(feature = "aws-lc")]
mod aws_lc;
pub(crate) mod pem;
mod private_key_file;
#[cfg(feature = "rustcrypto")]
mod rustcrypto;

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use crate::key::{InvalidPublicKey, PublicKey};

#[cfg(feature = "aws-lc")]
pub use aws_lc::AwsLc;
pub use private_key_file::{InvalidPrivateKey, public_half};
pub(crate) use private_key_file::{pkcs8_from_pem, pkcs8_to_pem, primes};
#[cfg(feature = "rustcrypto")]
pub use rustcrypto::RustCrypto;

/// The size in bits of the keys that the server and the keyserver make.
pub const GENERATED_KEY_BITS: usize = 4096;

/// A library that does RSA.
pub trait RsaBackend: Send + Sync + fmt::Debug {
    /// The backend's name, for logs: `rustcrypto`, `aws-lc`.
    fn name(&self) -> &'static str;

    /// Makes a key pair with a modulus of `bits` and the exponent 65537.
    ///
    /// 4096 and 8192 work with every backend. 4096 takes a second or so, with a long tail.
    ///
    /// # Errors
    ///
    /// [`CryptoError::UnsupportedKeySize`], or that the library failed.
    fn generate(&self, bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError>;

    /// Reads a private key from PKCS#8 DER (RFC 5208), not encrypted, and checks its consistency.
    ///
    /// # Errors
    ///
    /// [`CryptoError::PrivateKey`] if the bytes are none or break a rule of [`PublicKey`].
    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError>;

    /// Prepares a public key for use.
    ///
    /// # Errors
    ///
    /// That the library refuses it; none is known that does for a [`PublicKey`].
    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError>;
}

/// A private key, ready for use. `Debug` shows the public fingerprint only.
pub trait RsaPrivateKey: Send + Sync + fmt::Debug {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The key as PKCS#8 DER (RFC 5208), for keeping it.
    ///
    /// # Errors
    ///
    /// That the library failed.
    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError>;

    /// Decrypts what was encrypted with [`RsaPublicKey::encrypt_oaep_sha1`].
    ///
    /// # Errors
    ///
    /// [`CryptoError::Decryption`], whatever is wrong with the ciphertext: telling more would help
    /// who guesses (Manger's attack).
    fn decrypt_oaep_sha1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError>;

    /// Signs `message`; the signature is as long as the modulus.
    ///
    /// # Errors
    ///
    /// That the library failed.
    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Signs `message` by PS256 (RFC 7518, 3.5): as the other, but with a salt of 32 bytes.
    ///
    /// # Errors
    ///
    /// That the library failed.
    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError>;
}

/// A public key, ready for use.
pub trait RsaPublicKey: Send + Sync + fmt::Debug {
    /// Encrypts up to `size - 42` bytes; the ciphertext is as long as the modulus.
    ///
    /// # Errors
    ///
    /// [`CryptoError::PlaintextTooLong`], or that the library failed.
    fn encrypt_oaep_sha1(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Checks a signature over `message` that has the longest possible salt.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadSignature`], also for one that is right but for the length of its salt.
    fn verify_pss_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError>;

    /// Checks a signature over `message` by PS256, whose salt has 32 bytes.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadSignature`], also for one that is right but for the length of its salt.
    fn verify_ps256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError>;
}

/// The fastest backend that is compiled in.
#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
#[must_use]
pub fn default_backend() -> Arc<dyn RsaBackend> {
    #[cfg(feature = "aws-lc")]
    return Arc::new(AwsLc);
    #[cfg(not(feature = "aws-lc"))]
    return Arc::new(RustCrypto);
}

/// What goes wrong with keys, ciphertexts and signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// A ciphertext is not one of this key and scheme. There is one text for all ways to fail.
    #[error("the ciphertext can't be decrypted with this key")]
    Decryption,
    /// A signature is not by this key over this message with a salt of the right length.
    #[error("the signature is not by this key over this message")]
    BadSignature,
    /// A plaintext doesn't fit the key.
    #[error("the plaintext is too long for the key")]
    PlaintextTooLong,
    /// The backend doesn't make keys of this size.
    #[error("keys of {bits} bits can't be made; use 4096")]
    UnsupportedKeySize {
        /// The size that was asked for.
        bits: usize,
    },
    /// A private key is refused.
    #[error(transparent)]
    PrivateKey(#[from] InvalidPrivateKey),
    /// A public key is refused.
    #[error(transparent)]
    PublicKey(#[from] InvalidPublicKey),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// The library failed where it shouldn't, for want of memory for example.
    #[error("the cryptographic library failed to {operation}")]
    Backend {
        /// What it was asked to do.
        operation: &'static str,
    },
}

impl CryptoError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Decryption => "decryption_failed",
            Self::BadSignature => "bad_signature",
            Self::PlaintextTooLong => "plaintext_too_long",
            Self::UnsupportedKeySize { .. } => "unsupported_key_size",
            Self::PrivateKey(invalid) => invalid.code(),
            Self::PublicKey(invalid) => invalid.code(),
            Self::Randomness => "randomness_unavailable",
            Self::Backend { .. } => "crypto_backend_failed",
        }
    }
}
