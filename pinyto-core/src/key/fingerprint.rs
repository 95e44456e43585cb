//! What identifies a key, and the abbreviation of it that clients send.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Identifies a public key.
///
/// - Of an RSA key: SHA-256 over the ASCII digits of the modulus, immediately followed by those of
///   the exponent. Because nothing stands between the two numbers, two *different* keys can share a
///   fingerprint: `(123, 45)` and `(1234, 5)` do. Where that matters, compare
///   [`PublicKey`](super::PublicKey)s, which compare their numbers.
/// - Of an OpenPGP key: its fingerprint by RFC 9580, 5.5.4: 20 bytes of a version 4 key, 32 of a
///   version 6 one.
///
/// Shown, and parsed, as 40 or 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint {
    bytes: [u8; 32],
    length: u8,
}

impl KeyFingerprint {
    /// The fingerprint that is these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, length: 32 }
    }

    /// The fingerprint of an OpenPGP key of version 4 that is these bytes.
    #[must_use]
    pub const fn from_openpgp_v4(v4: [u8; 20]) -> Self {
        let mut bytes = [0; 32];
        bytes.split_at_mut(20).0.copy_from_slice(&v4);
        Self { bytes, length: 20 }
    }

    /// Reads 40 or 64 hexadecimal digits; upper case is accepted.
    ///
    /// # Errors
    ///
    /// [`InvalidKeyHash`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyHash> {
        let length = match text.len() {
            40 => 20,
            64 => 32,
            _ => return Err(InvalidKeyHash),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = match pair {
                [high, low] => hex_value(*high)? << 4 | hex_value(*low)?,
                _ => return Err(InvalidKeyHash),
            };
        }
        Ok(Self { bytes, length })
    }

    /// Its 20 or 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let length = usize::from(self.length);
        self.bytes.get(..length).unwrap_or(&self.bytes)
    }

    /// All 40 or 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.to_string()
    }

    /// The first 10 hexadecimal digits, as clients send and see it.
    ///
    /// These are 40 bits: keys with the same short hash can be made on purpose.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_hex();
        text.truncate(KeyHash::MIN_DIGITS);
        text
    }

    /// What a client sends to mean this key: its first 10 digits.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        KeyHash(self.short())
    }

    /// The fingerprint of a key whose numbers are written like this; nothing is checked.
    pub(super) fn of_digits(n: &str, e: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(n.as_bytes());
        hash.update(e.as_bytes());
        Self::from_bytes(hash.finalize().into())
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for KeyFingerprint {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What a client sends to select one of a user's keys: the first 10 to 64 hexadecimal digits of
/// its fingerprint, kept in lower case.
///
/// A short one is no proof of anything: it only selects among the keys of one user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHash(String);

impl KeyHash {
    /// The fewest digits a client may send, and the number that is shown to it.
    pub const MIN_DIGITS: usize = 10;

    /// All digits there are.
    pub const MAX_DIGITS: usize = 64;

    /// Reads 10 to 64 hexadecimal digits; upper case is accepted.
    ///
    /// # Errors
    ///
    /// [`InvalidKeyHash`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyHash> {
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if fits {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidKeyHash)
        }
    }

    /// The digits, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `fingerprint` begins with these digits.
    #[must_use]
    pub fn matches(&self, fingerprint: &KeyFingerprint) -> bool {
        fingerprint.to_hex().starts_with(&self.0)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<KeyFingerprint> for KeyHash {
    /// All digits, which select without doubt.
    fn from(fingerprint: KeyFingerprint) -> Self {
        Self(fingerprint.to_hex())
    }
}

/// A text is no key hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "A key_hash is the first 10 (up to all 64) hexadecimal digits of SHA-256 over the decimal digits of N followed by those of e."
)]
#[non_exhaustive]
pub struct InvalidKeyHash;

impl InvalidKeyHash {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_key_hash"
    }
}

fn hex_value(digit: u8) -> Result<u8, InvalidKeyHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(InvalidKeyHash),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_of_the_vector_with_tiny_numbers_comes_out() {
        // `key_hash_only` of `tests/vectors`, which isn't in the published package.
        let fingerprint = KeyFingerprint::of_digits("123213", "834576");
        assert_eq!(fingerprint.short(), "5df78531b8");
        assert_eq!(fingerprint.key_hash().as_str(), "5df78531b8");
    }

    #[test]
    fn a_key_hash_has_10_to_64_hexadecimal_digits_and_nothing_else() {
        assert!(KeyHash::parse(&"a".repeat(10)).is_ok());
        assert!(KeyHash::parse(&"F".repeat(64)).is_ok());
        for bad in [
            "",
            "123456789",
            &"a".repeat(65),
            "123456789g",
            " 1234567890",
            "1234567890\n",
            "+123456789",
            "0x12345678",
            "१२३४५६७८९०",
            "12345678\u{0}0",
        ] {
            assert_eq!(KeyHash::parse(bad), Err(InvalidKeyHash), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_fingerprint_is_read_back_from_its_digits(bytes: [u8; 32]) {
            let fingerprint = KeyFingerprint::from_bytes(bytes);
            let text = fingerprint.to_hex();
            prop_assert_eq!(text.len(), 64);
            prop_assert_eq!(KeyFingerprint::parse(&text), Ok(fingerprint));
            prop_assert_eq!(KeyFingerprint::parse(&text.to_uppercase()), Ok(fingerprint));
        }

        #[test]
        fn fingerprints_of_openpgp_are_read_back_too(bytes: [u8; 20]) {
            let fingerprint = KeyFingerprint::from_openpgp_v4(bytes);
            let text = fingerprint.to_hex();
            prop_assert_eq!(fingerprint.as_bytes(), &bytes[..]);
            prop_assert_eq!(text.len(), 40);
            prop_assert_eq!(KeyFingerprint::parse(&text.to_uppercase()), Ok(fingerprint));
            prop_assert!(KeyHash::parse(&text).unwrap().matches(&fingerprint));
        }

        #[test]
        fn every_beginning_of_a_fingerprint_selects_it_and_no_other_digit_does(
            bytes: [u8; 32],
            digits in 10_usize..=64,
            change in 0_usize..64,
        ) {
            let fingerprint = KeyFingerprint::from_bytes(bytes);
            let mut text = fingerprint.to_hex();
            text.truncate(digits);
            let hash = KeyHash::parse(&text.to_uppercase()).unwrap();
            prop_assert_eq!(hash.as_str(), text.as_str());
            prop_assert!(hash.matches(&fingerprint));

            let at = change % digits;
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            text.replace_range(at..=at, other);
            prop_assert!(!KeyHash::parse(&text).unwrap().matches(&fingerprint));
        }

        #[test]
        fn reading_never_panics(text: String) {
            let hash = KeyHash::parse(&text);
            prop_assert_eq!(hash.is_ok(), text.len() >= 10 && text.len() <= 64
                && text.chars().all(|c| c.is_ascii_hexdigit()));
            let _ = KeyFingerprint::parse(&text);
        }
    }
}
