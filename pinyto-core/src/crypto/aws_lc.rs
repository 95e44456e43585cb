//! RSA by AWS-LC.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{
        KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        PrivateDecryptingKey, PublicEncryptingKey,
    },
    signature::{
        RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaParameters, RsaPssSaltLength,
        RsaPublicKeyComponents, RsaSignatureEncoding,
    },
};
use zeroize::Zeroizing;

use super::{
    CryptoError, InvalidPrivateKey, RsaBackend, RsaPrivateKey, RsaPublicKey,
    private_key_file::public_half,
};
use crate::key::PublicKey;

static SIGNING: RsaSignatureEncoding = RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
static VERIFICATION: RsaParameters =
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
static PS256_SIGNING: RsaSignatureEncoding =
    RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Digest);
static PS256_VERIFICATION: RsaParameters =
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Digest);

/// The fast backend, AWS-LC. Makes keys of 4096 and 8192 bits; uses all that the protocol accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl RsaBackend for AwsLc {
    fn name(&self) -> &'static str {
        "aws-lc"
    }

    fn generate(&self, bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        let size = match bits {
            4096 => KeySize::Rsa4096,
            8192 => KeySize::Rsa8192,
            _ => return Err(CryptoError::UnsupportedKeySize { bits }),
        };
        let key = PrivateDecryptingKey::generate(size).map_err(|_| CryptoError::Backend {
            operation: "make a key",
        })?;
        PrivateKey::new(&key).map(|key| Arc::new(key) as Arc<dyn RsaPrivateKey>)
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        public_half(der)?;
        let key =
            PrivateDecryptingKey::from_pkcs8(der).map_err(|_| InvalidPrivateKey::Inconsistent)?;
        PrivateKey::new(&key).map(|key| Arc::new(key) as Arc<dyn RsaPrivateKey>)
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        let refused = CryptoError::Backend {
            operation: "prepare a public key",
        };
        let inner: PublicEncryptingKey = components(key).try_into().map_err(|_| refused)?;
        let encryption = OaepPublicEncryptingKey::new(inner).map_err(|_| refused)?;
        Ok(Arc::new(PreparedPublicKey {
            encryption,
            public: key.clone(),
        }))
    }
}

struct PrivateKey {
    decryption: OaepPrivateDecryptingKey,
    pkcs8: Zeroizing<Vec<u8>>,
    // AWS-LC checks a key each time it is loaded (0.6 ms), and devices never sign.
    signing: OnceLock<KeyPair>,
    public: PublicKey,
}

impl PrivateKey {
    fn new(key: &PrivateDecryptingKey) -> Result<Self, CryptoError> {
        let failed = CryptoError::Backend {
            operation: "load a private key",
        };
        let der: Pkcs8V1Der<'static> = key.as_der().map_err(|_| failed)?;
        let pkcs8 = Zeroizing::new(der.as_ref().to_vec());
        Ok(Self {
            public: public_half(&pkcs8)?,
            pkcs8,
            decryption: OaepPrivateDecryptingKey::new(key.clone()).map_err(|_| failed)?,
            signing: OnceLock::new(),
        })
    }

    fn signing_key(&self) -> Result<&KeyPair, CryptoError> {
        if let Some(key) = self.signing.get() {
            return Ok(key);
        }
        let key = KeyPair::from_pkcs8(&self.pkcs8).map_err(|_| CryptoError::Backend {
            operation: "load a private key",
        })?;
        Ok(self.signing.get_or_init(|| key))
    }

    fn sign(
        &self,
        encoding: &'static RsaSignatureEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; self.public.size()];
        self.signing_key()?
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| CryptoError::Backend { operation: "sign" })?;
        Ok(signature)
    }
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
        Ok(self.pkcs8.clone())
    }

    fn decrypt_oaep_sha1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let mut buffer = Zeroizing::new(vec![0; self.decryption.min_output_size()]);
        let length = self
            .decryption
            .decrypt(&OAEP_SHA1_MGF1SHA1, ciphertext, &mut buffer, None)
            .map_err(|_| CryptoError::Decryption)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sign(&SIGNING, message)
    }

    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sign(&PS256_SIGNING, message)
    }
}

#[derive(Debug)]
struct PreparedPublicKey {
    encryption: OaepPublicEncryptingKey,
    public: PublicKey,
}

impl RsaPublicKey for PreparedPublicKey {
    fn encrypt_oaep_sha1(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if plaintext.len() > self.encryption.max_plaintext_size(&OAEP_SHA1_MGF1SHA1) {
            return Err(CryptoError::PlaintextTooLong);
        }
        let mut ciphertext = vec![0; self.encryption.ciphertext_size()];
        let length = self
            .encryption
            .encrypt(&OAEP_SHA1_MGF1SHA1, plaintext, &mut ciphertext, None)
            .map_err(|_| CryptoError::Backend {
                operation: "encrypt",
            })?
            .len();
        ciphertext.truncate(length);
        Ok(ciphertext)
    }

    fn verify_pss_sha256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        components(&self.public)
            .verify(&VERIFICATION, message, signature)
            .map_err(|_| CryptoError::BadSignature)
    }

    fn verify_ps256(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        components(&self.public)
            .verify(&PS256_VERIFICATION, message, signature)
            .map_err(|_| CryptoError::BadSignature)
    }
}

fn components(key: &PublicKey) -> RsaPublicKeyComponents<Vec<u8>> {
    let e = key.e().to_be_bytes();
    let zeros = e.iter().take_while(|byte| **byte == 0).count();
    RsaPublicKeyComponents {
        n: key.modulus_be().to_vec(),
        e: e.get(zeros..).unwrap_or_default().to_vec(),
    }
}
