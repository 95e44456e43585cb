//! An RSA public key: parsed and checked once, at the door.

use std::{
    fmt, hash,
    sync::{Arc, OnceLock},
};

use crypto_bigint::BoxedUint;
use pem_rfc7468::LineEnding;
use pkcs1::{RsaPublicKeyRef, UintRef};
use pkcs8::{
    SubjectPublicKeyInfoRef,
    der::{Decode as _, Encode as _, asn1::BitStringRef},
};

use super::{KeyFingerprint, KeyHash};
use crate::crypto::pem;

/// Digits of 2^8192 - 1: a longer text can't be a modulus that is accepted.
const MAX_MODULUS_DIGITS: usize = 2467;
/// Digits of 2^33 - 1.
const MAX_EXPONENT_DIGITS: usize = 10;

/// An RSA public key that the protocol accepts: 4096 to 8192 bits with an odd modulus, an odd
/// exponent of at least 3 and less than 2^33.
///
/// Whether the modulus is the product of two primes can't be seen from outside; who registers
/// another one only harms themselves.
///
/// Cheap to clone. Equality compares the two numbers. `Debug` shows the fingerprint only.
#[derive(Clone)]
pub struct PublicKey(Arc<Numbers>);

struct Numbers {
    /// The modulus in decimal digits; computed when it is first asked for.
    n: OnceLock<Box<str>>,
    modulus: Box<[u8]>,
    e: u64,
    pem: Box<str>,
    fingerprint: KeyFingerprint,
}

impl PublicKey {
    /// The smallest accepted size of a modulus, in bits.
    pub const MIN_BITS: usize = 4096;

    /// The largest accepted size of a modulus, in bits.
    pub const MAX_BITS: usize = 8192;

    /// Reads a key from its two numbers as decimal text, as clients send them.
    ///
    /// Only the digits `0` to `9` are accepted, without leading zero. A text that is too long is
    /// refused by its length alone.
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKey`] tells which rule the numbers break.
    ///
    /// # Examples
    ///
    /// ```
    /// use pinyto_core::key::{InvalidPublicKey, PublicKey};
    ///
    /// let refused = PublicKey::from_decimal("12345", "65537");
    /// assert_eq!(refused, Err(InvalidPublicKey::ModulusTooSmall));
    /// ```
    pub fn from_decimal(n: &str, e: &str) -> Result<Self, InvalidPublicKey> {
        if n.len() > MAX_MODULUS_DIGITS {
            return Err(InvalidPublicKey::ModulusTooLarge);
        }
        if !is_plain_decimal(n) {
            return Err(InvalidPublicKey::ModulusNotDecimal);
        }
        if e.len() > MAX_EXPONENT_DIGITS {
            return Err(InvalidPublicKey::ExponentOutOfRange);
        }
        if !is_plain_decimal(e) {
            return Err(InvalidPublicKey::ExponentNotDecimal);
        }
        let modulus = BoxedUint::from_str_radix_vartime(n, 10)
            .map_err(|_| InvalidPublicKey::ModulusNotDecimal)?;
        let e = e
            .parse()
            .map_err(|_| InvalidPublicKey::ExponentOutOfRange)?;
        Self::from_parts(&modulus.to_be_bytes_trimmed_vartime(), e)
    }

    /// Makes a key from its modulus as big-endian bytes (leading zeros are ignored) and its
    /// exponent.
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKey`] tells which rule the numbers break.
    pub fn from_parts(modulus: &[u8], e: u64) -> Result<Self, InvalidPublicKey> {
        Self::with_fingerprint(modulus, e, Numbers::fingerprint_of_numbers)
    }

    /// A key as a store kept it, with the fingerprint that the store kept beside it: computes no
    /// decimal digits, which is nearly all the work of [`PublicKey::from_parts`] (30 of 32 µs).
    ///
    /// For stores only. All rules about the numbers are checked, but that `fingerprint` is that of
    /// the key is believed.
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKey`] tells which rule the numbers break.
    pub fn from_stored(
        modulus: &[u8],
        e: u64,
        fingerprint: KeyFingerprint,
    ) -> Result<Self, InvalidPublicKey> {
        Self::with_fingerprint(modulus, e, |_| fingerprint)
    }

    /// Reads a key from PEM (RFC 7468): `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 5280) or
    /// `RSA PUBLIC KEY` (PKCS#1, RFC 8017).
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKey::NotPem`] if the text is neither; otherwise which rule the key breaks.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPublicKey> {
        let (label, der) = pem::decode(pem).ok_or(InvalidPublicKey::NotPem)?;
        match label {
            "PUBLIC KEY" => {
                let info = SubjectPublicKeyInfoRef::from_der(&der)
                    .map_err(|_| InvalidPublicKey::NotPem)?;
                if info.algorithm.oid != pkcs1::ALGORITHM_OID {
                    return Err(InvalidPublicKey::NotRsa);
                }
                let der = info
                    .subject_public_key
                    .as_bytes()
                    .ok_or(InvalidPublicKey::NotPem)?;
                Self::from_pkcs1_der(der)
            }
            "RSA PUBLIC KEY" => Self::from_pkcs1_der(&der),
            _ => Err(InvalidPublicKey::NotPem),
        }
    }

    fn from_pkcs1_der(der: &[u8]) -> Result<Self, InvalidPublicKey> {
        let numbers = RsaPublicKeyRef::from_der(der).map_err(|_| InvalidPublicKey::NotPem)?;
        Self::from_pkcs1(&numbers)
    }

    pub(crate) fn from_pkcs1(numbers: &RsaPublicKeyRef<'_>) -> Result<Self, InvalidPublicKey> {
        let e = numbers.public_exponent.as_bytes();
        if e.len() > size_of::<u64>() {
            return Err(InvalidPublicKey::ExponentOutOfRange);
        }
        let e = e.iter().fold(0, |e, byte| e << 8 | u64::from(*byte));
        Self::from_parts(numbers.modulus.as_bytes(), e)
    }

    fn with_fingerprint(
        modulus: &[u8],
        e: u64,
        fingerprint: impl FnOnce(&Numbers) -> KeyFingerprint,
    ) -> Result<Self, InvalidPublicKey> {
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let modulus = modulus.get(zeros..).unwrap_or_default();
        let bits = bits(modulus);
        if bits < Self::MIN_BITS {
            return Err(InvalidPublicKey::ModulusTooSmall);
        }
        if bits > Self::MAX_BITS {
            return Err(InvalidPublicKey::ModulusTooLarge);
        }
        if modulus.last().is_none_or(|byte| byte.is_multiple_of(2)) {
            return Err(InvalidPublicKey::ModulusEven);
        }
        if !(3..1 << 33).contains(&e) || e.is_multiple_of(2) {
            return Err(InvalidPublicKey::ExponentOutOfRange);
        }
        let der = spki_der(modulus, e).map_err(|_| InvalidPublicKey::NotPem)?;
        let pem = pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, &der)
            .map_err(|_| InvalidPublicKey::NotPem)?;
        let mut numbers = Numbers {
            n: OnceLock::new(),
            modulus: modulus.into(),
            e,
            pem: pem.into(),
            fingerprint: KeyFingerprint::from_bytes([0; 32]),
        };
        numbers.fingerprint = fingerprint(&numbers);
        Ok(Self(Arc::new(numbers)))
    }

    /// The modulus in decimal digits; [`PublicKey::from_decimal`] reads it back.
    #[must_use]
    pub fn n_decimal(&self) -> &str {
        self.0.n_decimal()
    }

    /// The modulus as big-endian bytes without leading zero.
    #[must_use]
    pub fn modulus_be(&self) -> &[u8] {
        &self.0.modulus
    }

    /// The public exponent.
    #[must_use]
    pub fn e(&self) -> u64 {
        self.0.e
    }

    /// The size of the modulus in bits, 4096 to 8192.
    #[must_use]
    pub fn bits(&self) -> usize {
        bits(&self.0.modulus)
    }

    /// The size of the modulus in bytes: that of every ciphertext and signature of this key.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.modulus.len()
    }

    /// The salt length of its PSS signatures in bytes, the longest that fits (RFC 8017, 9.1.1,
    /// with SHA-256): 478 for 4096 bits.
    #[must_use]
    pub fn pss_salt_length(&self) -> usize {
        (self.bits() - 1).div_ceil(8) - 32 - 2
    }

    /// The key as PEM (RFC 7468), SubjectPublicKeyInfo, with a newline at the end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.pem.to_string()
    }

    /// What identifies this key; computed once.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.0.fingerprint
    }

    /// What a client sends to mean this key: 10 digits of its fingerprint.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        self.0.fingerprint.key_hash()
    }
}

impl Numbers {
    fn n_decimal(&self) -> &str {
        self.n.get_or_init(|| {
            BoxedUint::from_be_slice_vartime(&self.modulus)
                .to_string_radix_vartime(10)
                .into()
        })
    }

    fn fingerprint_of_numbers(&self) -> KeyFingerprint {
        KeyFingerprint::of_digits(self.n_decimal(), &self.e.to_string())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.e == other.0.e && self.0.modulus == other.0.modulus
    }
}

impl Eq for PublicKey {}

impl hash::Hash for PublicKey {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.fingerprint.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.0.fingerprint)
    }
}

/// Which rule a public key breaks. The text is for the author of the client that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPublicKey {
    /// The modulus is not written in plain decimal digits.
    #[error(
        "The public key's N has to be a decimal number: only the digits 0 to 9, without sign, spaces or leading zero."
    )]
    ModulusNotDecimal,
    /// The exponent is not written in plain decimal digits.
    #[error(
        "The public key's e has to be a decimal number: only the digits 0 to 9, without sign, spaces or leading zero."
    )]
    ExponentNotDecimal,
    /// The modulus is below 2^4095.
    #[error("The public key's N is too small. Please make an RSA key of at least 4096 bits.")]
    ModulusTooSmall,
    /// The modulus is 2^8192 or more.
    #[error("The public key's N is too large. Please make an RSA key of at most 8192 bits.")]
    ModulusTooLarge,
    /// The modulus is even, so not a product of two primes.
    #[error("The public key's N is even, which the modulus of an RSA key never is.")]
    ModulusEven,
    /// The exponent is even, below 3, or 2^33 or more.
    #[error(
        "The public key's e has to be odd, at least 3 and less than 2^33. Usually it is 65537."
    )]
    ExponentOutOfRange,
    /// The text is no PEM of a public key.
    #[error("The public key has to be PEM text that begins with -----BEGIN PUBLIC KEY-----.")]
    NotPem,
    /// The key is for another algorithm than RSA.
    #[error("The public key is none for RSA encryption. Please make an RSA key.")]
    NotRsa,
}

impl InvalidPublicKey {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ModulusNotDecimal => "modulus_not_decimal",
            Self::ExponentNotDecimal => "exponent_not_decimal",
            Self::ModulusTooSmall => "modulus_too_small",
            Self::ModulusTooLarge => "modulus_too_large",
            Self::ModulusEven => "modulus_even",
            Self::ExponentOutOfRange => "exponent_out_of_range",
            Self::NotPem => "public_key_not_pem",
            Self::NotRsa => "public_key_not_rsa",
        }
    }
}

/// Whether `text` is a number without any freedom in how to write it, so that hashes over the
/// digits are unique. Big-number parsers are more generous (`_`, `+`).
fn is_plain_decimal(text: &str) -> bool {
    matches!(text.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit))
}

/// How many bits a number of these big-endian bytes, without leading zeros, has.
fn bits(modulus: &[u8]) -> usize {
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    modulus.len() * 8 - usize::try_from(unused).unwrap_or(0)
}

fn spki_der(modulus: &[u8], e: u64) -> pkcs8::der::Result<Vec<u8>> {
    let numbers = RsaPublicKeyRef {
        modulus: UintRef::new(modulus)?,
        public_exponent: UintRef::new(&e.to_be_bytes())?,
    }
    .to_der()?;
    SubjectPublicKeyInfoRef {
        algorithm: pkcs1::ALGORITHM_ID,
        subject_public_key: BitStringRef::new(0, &numbers)?,
    }
    .to_der()
}
