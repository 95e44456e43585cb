//! The key of a cloud that nobody logs in to: making a real one would take a second.

use std::sync::Arc;

use pinyto_core::{
    challenge::ServerKey,
    crypto::{
        CryptoError, InvalidPrivateKey, RsaBackend, RsaPrivateKey, RsaPublicKey, default_backend,
    },
    key::PublicKey,
};
use zeroize::Zeroizing;

/// A key that opens and signs nothing.
///
/// # Errors
///
/// One sentence; doesn't happen.
pub(super) fn server_key() -> Result<ServerKey, String> {
    ServerKey::generate(Arc::new(NoBackend)).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct NoBackend;

#[derive(Debug)]
struct NoKey(PublicKey);

impl RsaBackend for NoBackend {
    fn name(&self) -> &'static str {
        "none"
    }

    fn generate(&self, _bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        // 4096 bits that nobody knows the factors of.
        let mut modulus = [0xff; 512];
        modulus[256..].fill(0xa5);
        let public_key = PublicKey::from_parts(&modulus, 65_537)?;
        Ok(Arc::new(NoKey(public_key)))
    }

    fn private_key_from_pkcs8(&self, _der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        Err(InvalidPrivateKey::Malformed.into())
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        default_backend().public_key(key)
    }
}

impl RsaPrivateKey for NoKey {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        Err(InvalidPrivateKey::Malformed.into())
    }

    fn decrypt_oaep_sha1(&self, _ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        Err(CryptoError::Decryption)
    }

    fn sign_pss_sha256(&self, _message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::BadSignature)
    }

    fn sign_ps256(&self, _message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::BadSignature)
    }
}
