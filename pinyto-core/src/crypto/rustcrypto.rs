//! RSA by the RustCrypto project's `rsa`.

use std::{fmt, sync::Arc};

use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rand::{
    SeedableRng as _,
    rngs::{StdRng, SysRng},
};
use rsa::{
    BoxedUint, Oaep, Pss,
    traits::{PaddingScheme as _, SignatureScheme as _},
};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    CryptoError, InvalidPrivateKey, RsaBackend, RsaPrivateKey, RsaPublicKey,
    private_key_file::public_half,
};
use crate::key::PublicKey;

/// The portable backend, pure Rust.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl RsaBackend for RustCrypto {
    fn name(&self) -> &'static str {
        "rustcrypto"
    }

    fn generate(&self, bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        if !(PublicKey::MIN_BITS..=PublicKey::MAX_BITS).contains(&bits) {
            return Err(CryptoError::UnsupportedKeySize { bits });
        }
        // Key generation wants a generator that can't fail, so one is seeded with 256 bits.
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| CryptoError::Randomness)?;
        let key = rsa::RsaPrivateKey::new(&mut rng, bits).map_err(|_| CryptoError::Backend {
            operation: "make a key",
        })?;
        let public = public_half(&pkcs8_der(&key)?)?;
        Ok(Arc::new(PrivateKey { key, public }))
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        let public = public_half(der)?;
        let key =
            rsa::RsaPrivateKey::from_pkcs8_der(der).map_err(|_| InvalidPrivateKey::Inconsistent)?;
        Ok(Arc::new(PrivateKey { key, public }))
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        let modulus = BoxedUint::from_be_slice_vartime(key.modulus_be());
        let inner = rsa::RsaPublicKey::new(modulus, BoxedUint::from(key.e())).map_err(|_| {
            CryptoError::Backend {
                operation: "prepare a public key",
            }
        })?;
        Ok(Arc::new(PreparedPublicKey {
            key: inner,
            public: key.clone(),
        }))
    }
}

struct PrivateKey {
    key: rsa::RsaPrivateKey,
    public: PublicKey,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public).finish()
    }
}

impl RsaPrivateKey for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        pkcs8_der(&self.key)
    }

    // Both private operations call the padding scheme itself: given a generator it blinds and
    // reports the generator's failure, while `RsaPrivateKey::decrypt` doesn't blind at all when
    // the crate's default features are off.

    fn decrypt_oaep_sha1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        Oaep::<Sha1>::new()
            .decrypt(Some(&mut SysRng), &self.key, ciphertext)
            .map(Zeroizing::new)
            .map_err(|error| match error {
                rsa::Error::Rng => CryptoError::Randomness,
                _ => CryptoError::Decryption,
            })
    }

    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        sign(&self.key, self.public.pss_salt_length(), message)
    }

    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        sign(&self.key, PS256_SALT, message)
    }
}

#[derive(Debug)]
struct PreparedPublicKey {
    key: rsa::RsaPublicKey,
    public: PublicKey,
}

impl RsaPublicKey for PreparedPublicKey {
    fn encrypt_oaep_sha1(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Oaep::<Sha1>::new()
            .encrypt(&mut SysRng, &self.key, plaintext)
            .map_err(|error| match error {
                rsa::Error::Rng => CryptoError::Randomness,
                rsa::Error::MessageTooLong => CryptoError::PlaintextTooLong,
                _ => CryptoError::Backend {
                    operation: "encrypt",
                },
            })
    }

    fn verify_pss_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        verify(&self.key, self.public.pss_salt_length(), message, signature)
    }

    fn verify_ps256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        verify(&self.key, PS256_SALT, message, signature)
    }
}

/// As long as the hash (RFC 7518, 3.5), in bytes.
const PS256_SALT: usize = 32;

fn sign(key: &rsa::RsaPrivateKey, salt: usize, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Pss::<Sha256>::new_blinded_with_salt(salt)
        .sign(Some(&mut SysRng), key, &Sha256::digest(message))
        .map_err(|error| match error {
            rsa::Error::Rng => CryptoError::Randomness,
            _ => CryptoError::Backend { operation: "sign" },
        })
}

fn verify(
    key: &rsa::RsaPublicKey,
    salt: usize,
    message: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    Pss::<Sha256>::new_with_salt(salt)
        .verify(key, &Sha256::digest(message), signature)
        .map_err(|_| CryptoError::BadSignature)
}

fn pkcs8_der(key: &rsa::RsaPrivateKey) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    key.to_pkcs8_der()
        .map(|document| document.to_bytes())
        .map_err(|_| CryptoError::Backend {
            operation: "write a private key",
        })
}
