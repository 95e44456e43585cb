//! The forms in which private keys are kept: PKCS#8 and PKCS#1, DER and PEM.

use pem_rfc7468::LineEnding;
use pkcs8::{
    PrivateKeyInfoRef,
    der::{Decode as _, Encode as _, asn1::OctetStringRef},
};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::key::{InvalidPublicKey, PublicKey};

/// Why a private key is refused. The text is for the operator who brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPrivateKey {
    /// The text is no PEM (RFC 7468).
    #[error(
        "the private key is no PEM file; it has to begin with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
    )]
    NotPem,
    /// The file holds something else than a private key, a certificate for example.
    #[error(
        "the PEM file holds no RSA private key; it has to begin with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
    )]
    OtherContent,
    /// The key is protected with a password.
    #[error(
        "the private key is encrypted with a password; decrypt it first, with `openssl pkey -in FILE -out NEWFILE`"
    )]
    Encrypted,
    /// The key is for another algorithm than plain RSA.
    #[error("the private key is none for RSA encryption")]
    NotRsa,
    /// The key's structure is damaged.
    #[error("the private key is damaged: its structure can't be read")]
    Malformed,
    /// The key's numbers don't fit each other, or the library doesn't support them.
    #[error("the private key is damaged: its numbers don't belong together")]
    Inconsistent,
    /// The key's public half breaks a rule.
    #[error("the private key can't be used: {0}")]
    Numbers(InvalidPublicKey),
}

impl InvalidPrivateKey {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotPem => "private_key_not_pem",
            Self::OtherContent => "private_key_other_content",
            Self::Encrypted => "private_key_encrypted",
            Self::NotRsa => "private_key_not_rsa",
            Self::Malformed => "private_key_malformed",
            Self::Inconsistent => "private_key_inconsistent",
            Self::Numbers(invalid) => invalid.code(),
        }
    }
}

/// PKCS#8 DER from a PEM file that holds PKCS#8 or PKCS#1.
pub(crate) fn pkcs8_from_pem(pem: &str) -> Result<Zeroizing<Vec<u8>>, InvalidPrivateKey> {
    // The older form of encryption is not PEM in the sense of RFC 7468, so look before reading.
    if ["-----BEGIN ENCRYPTED ", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.contains(mark))
    {
        return Err(InvalidPrivateKey::Encrypted);
    }
    let (label, der) = super::pem::decode(pem).ok_or(InvalidPrivateKey::NotPem)?;
    match label {
        "PRIVATE KEY" => Ok(der),
        "RSA PRIVATE KEY" => {
            let key = OctetStringRef::new(&der).map_err(|_| InvalidPrivateKey::Malformed)?;
            PrivateKeyInfoRef::new(pkcs1::ALGORITHM_ID, key)
                .to_der()
                .map(Zeroizing::new)
                .map_err(|_| InvalidPrivateKey::Malformed)
        }
        _ => Err(InvalidPrivateKey::OtherContent),
    }
}

/// A PEM file (RFC 7468) from PKCS#8 DER.
pub(crate) fn pkcs8_to_pem(der: &[u8]) -> Result<Zeroizing<String>, CryptoError> {
    pem_rfc7468::encode_string("PRIVATE KEY", LineEnding::LF, der)
        .map(Zeroizing::new)
        .map_err(|_| CryptoError::Backend {
            operation: "write a private key",
        })
}

/// The public half of a private key, from its PKCS#8 DER.
///
/// By this every backend accepts the same keys; whether the private numbers fit is left to it.
///
/// # Errors
///
/// [`InvalidPrivateKey`] if the bytes are no RSA key in PKCS#8 or break a rule of [`PublicKey`].
pub fn public_half(pkcs8: &[u8]) -> Result<PublicKey, InvalidPrivateKey> {
    let info = PrivateKeyInfoRef::from_der(pkcs8).map_err(|_| InvalidPrivateKey::Malformed)?;
    if info.algorithm.oid != pkcs1::ALGORITHM_OID {
        return Err(InvalidPrivateKey::NotRsa);
    }
    let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes())
        .map_err(|_| InvalidPrivateKey::Malformed)?;
    PublicKey::from_pkcs1(&key.public_key()).map_err(InvalidPrivateKey::Numbers)
}

/// The two prime numbers of a private key, the larger one first, from its PKCS#8 DER: the same
/// secret however the key is encoded, which may differ in attributes, in the order of the primes,
/// or in the private exponent. `None` if it is no RSA key in PKCS#8.
pub(crate) fn primes(pkcs8: &[u8]) -> Option<[Zeroizing<Vec<u8>>; 2]> {
    let info = PrivateKeyInfoRef::from_der(pkcs8).ok()?;
    let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).ok()?;
    // Without leading zeros: the longer one is the larger one.
    let mut primes = [key.prime1, key.prime2].map(|prime| prime.as_bytes());
    primes.sort_unstable_by_key(|prime| std::cmp::Reverse((prime.len(), *prime)));
    Some(primes.map(|prime| Zeroizing::new(prime.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::keys;

    #[test]
    fn the_primes_are_the_same_in_whatever_order_the_file_has_them() {
        let pkcs8 = pkcs8_from_pem(keys::server_pem()).unwrap();
        let info = PrivateKeyInfoRef::from_der(&pkcs8).unwrap();
        let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).unwrap();
        let swapped = pkcs1::RsaPrivateKey {
            prime1: key.prime2,
            prime2: key.prime1,
            exponent1: key.exponent2,
            exponent2: key.exponent1,
            private_exponent: key.modulus,
            ..key
        };
        let swapped = swapped.to_der().unwrap();
        let swapped = OctetStringRef::new(&swapped).unwrap();
        let swapped = PrivateKeyInfoRef::new(pkcs1::ALGORITHM_ID, swapped);
        let swapped = swapped.to_der().unwrap();
        assert_ne!(*swapped, **pkcs8);
        let [larger, smaller] = primes(&pkcs8).unwrap();
        assert!(*larger > *smaller);
        assert_eq!(primes(&swapped).unwrap(), [larger, smaller]);
        assert_eq!(primes(b"something else"), None);
    }
}
