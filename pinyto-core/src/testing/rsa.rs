//! RSA backends for tests: one that costs nothing, one with fixed keys, one that counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::keys;
use crate::{
    crypto::{CryptoError, InvalidPrivateKey, RsaBackend, RsaPrivateKey, RsaPublicKey},
    key::PublicKey,
    randomness::{OsRandomness, Randomness as _},
};

/// **No cryptography at all**: ciphertexts show the plaintext and anybody can sign. But it answers
/// as RSA would (each encryption differs, only the right key decrypts, a signature is for one key
/// and message), in microseconds, and a key costs nothing.
///
/// The pairs it makes are [`keys::synthetic`]`(0)`, `(1)`, ...
#[derive(Debug, Default)]
pub struct Toy {
    made: AtomicU64,
}

impl Toy {
    /// A backend that has made no key yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl RsaBackend for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn generate(&self, _bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(ToyKey::new(number)))
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        let number = der.strip_prefix(TOY_DER).map(<[u8; 8]>::try_from);
        match number {
            Some(Ok(number)) => Ok(Arc::new(ToyKey::new(u64::from_be_bytes(number)))),
            _ => Err(InvalidPrivateKey::Malformed.into()),
        }
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        Ok(Arc::new(ToyPublicKey(key.clone())))
    }
}

const TOY_DER: &[u8] = b"toy private key ";

#[derive(Debug)]
struct ToyKey {
    number: u64,
    public: PublicKey,
}

impl ToyKey {
    fn new(number: u64) -> Self {
        let public = keys::synthetic(number);
        Self { number, public }
    }
}

impl RsaPrivateKey for ToyKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        Ok(Zeroizing::new(
            [TOY_DER, &self.number.to_be_bytes()].concat(),
        ))
    }

    fn decrypt_oaep_sha1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let fingerprint = self.public.fingerprint();
        ciphertext
            .strip_prefix(fingerprint.as_bytes())
            .and_then(|rest| rest.get(NOISE..))
            .and_then(|rest| rest.split_first())
            .and_then(|(length, rest)| rest.get(..usize::from(*length)))
            .map(|plaintext| Zeroizing::new(plaintext.to_vec()))
            .ok_or(CryptoError::Decryption)
    }

    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(toy_signature(&self.public, b"", message))
    }

    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(toy_signature(&self.public, PS256, message))
    }
}

const NOISE: usize = 16;

/// What tells signatures of this scheme from the other's.
const PS256: &[u8] = b"PS256";

fn toy_signature(key: &PublicKey, scheme: &[u8], message: &[u8]) -> Vec<u8> {
    let fingerprint = key.fingerprint();
    let hash = Sha256::digest([fingerprint.as_bytes(), scheme, message].concat());
    let mut signature = hash.to_vec();
    signature.resize(key.size(), 0);
    signature
}

#[derive(Debug)]
struct ToyPublicKey(PublicKey);

impl RsaPublicKey for ToyPublicKey {
    fn encrypt_oaep_sha1(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let length = u8::try_from(plaintext.len()).map_err(|_| CryptoError::PlaintextTooLong)?;
        let mut noise = [0; NOISE];
        OsRandomness
            .fill(&mut noise)
            .map_err(|_| CryptoError::Randomness)?;
        let fingerprint = self.0.fingerprint();
        let head = [fingerprint.as_bytes(), &noise, &[length]].concat();
        let mut ciphertext = [&head, plaintext].concat();
        ciphertext.resize(self.0.size(), 0);
        Ok(ciphertext)
    }

    fn verify_pss_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if signature == toy_signature(&self.0, b"", message) {
            Ok(())
        } else {
            Err(CryptoError::BadSignature)
        }
    }

    fn verify_ps256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if signature == toy_signature(&self.0, PS256, message) {
            Ok(())
        } else {
            Err(CryptoError::BadSignature)
        }
    }
}

/// Real RSA, whose new keys are the fixed ones of [`keys::device`] in turn: makes keys in no time.
#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
#[derive(Debug)]
pub struct FixedKeys {
    backend: Arc<dyn RsaBackend>,
    made: AtomicUsize,
}

#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
impl FixedKeys {
    /// The default backend, with fixed keys.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            backend: crate::crypto::default_backend(),
            made: AtomicUsize::new(0),
        })
    }
}

#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
impl RsaBackend for FixedKeys {
    fn name(&self) -> &'static str {
        "fixed keys"
    }

    fn generate(&self, _bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        let index = self.made.fetch_add(1, Ordering::Relaxed) % keys::DEVICES;
        let der = crate::crypto::pkcs8_from_pem(keys::device_pem(index))?;
        self.private_key_from_pkcs8(&der)
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        self.backend.private_key_from_pkcs8(der)
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        self.backend.public_key(key)
    }
}

/// A backend that counts what costs: made keys and private operations.
#[derive(Debug)]
pub struct Counting {
    backend: Arc<dyn RsaBackend>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    generated: AtomicUsize,
    decrypted: AtomicUsize,
    signed: AtomicUsize,
}

impl Counting {
    /// Counts what `backend` does.
    #[must_use]
    pub fn new(backend: Arc<dyn RsaBackend>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            counts: Arc::default(),
        })
    }

    /// How many keys it has made.
    #[must_use]
    pub fn generated(&self) -> usize {
        self.counts.generated.load(Ordering::SeqCst)
    }

    /// How many ciphertexts its keys have decrypted or tried to.
    #[must_use]
    pub fn decrypted(&self) -> usize {
        self.counts.decrypted.load(Ordering::SeqCst)
    }

    /// How many texts its keys have signed.
    #[must_use]
    pub fn signed(&self) -> usize {
        self.counts.signed.load(Ordering::SeqCst)
    }

    fn counted(&self, key: Arc<dyn RsaPrivateKey>) -> Arc<dyn RsaPrivateKey> {
        let counts = self.counts.clone();
        Arc::new(CountingKey { key, counts })
    }
}

impl RsaBackend for Counting {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn generate(&self, bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        self.counts.generated.fetch_add(1, Ordering::SeqCst);
        Ok(self.counted(self.backend.generate(bits)?))
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        Ok(self.counted(self.backend.private_key_from_pkcs8(der)?))
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        self.backend.public_key(key)
    }
}

#[derive(Debug)]
struct CountingKey {
    key: Arc<dyn RsaPrivateKey>,
    counts: Arc<Counts>,
}

impl RsaPrivateKey for CountingKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.key.to_pkcs8_der()
    }

    fn decrypt_oaep_sha1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.counts.decrypted.fetch_add(1, Ordering::SeqCst);
        self.key.decrypt_oaep_sha1(ciphertext)
    }

    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.counts.signed.fetch_add(1, Ordering::SeqCst);
        self.key.sign_pss_sha256(message)
    }

    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.counts.signed.fetch_add(1, Ordering::SeqCst);
        self.key.sign_ps256(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toy_answers_as_rsa_would() {
        let toy = Toy::new();
        let (one, other) = (toy.generate(4096).unwrap(), toy.generate(4096).unwrap());
        assert_ne!(one.public_key(), other.public_key());
        let public = toy.public_key(one.public_key()).unwrap();
        let (first, second) = (
            public.encrypt_oaep_sha1(b"token").unwrap(),
            public.encrypt_oaep_sha1(b"token").unwrap(),
        );
        assert_ne!(first, second);
        assert_eq!(one.decrypt_oaep_sha1(&first).unwrap().as_slice(), b"token");
        assert_eq!(
            other.decrypt_oaep_sha1(&first),
            Err(CryptoError::Decryption)
        );
        let signature = one.sign_pss_sha256(b"text").unwrap();
        assert_eq!(signature.len(), one.public_key().size());
        assert!(public.verify_pss_sha256(b"text", &signature).is_ok());
        assert!(public.verify_pss_sha256(b"test", &signature).is_err());
        let again = toy.private_key_from_pkcs8(&one.to_pkcs8_der().unwrap());
        assert_eq!(again.unwrap().public_key(), one.public_key());
        assert!(toy.private_key_from_pkcs8(b"").is_err());
    }
}
