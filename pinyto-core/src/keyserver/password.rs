use std::fmt;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use super::sealed_key::SealingKey;
use crate::randomness::Randomness;

/// A password: Unicode text in NFKC, so that it is the same from every keyboard.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a text can't become a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPassword {
    /// Too few characters.
    #[error("The password is too short. It needs at least {min} characters.", min = Password::MIN_LENGTH)]
    TooShort,
    /// Too many characters.
    #[error("The password is too long. It may have at most {max} characters.", max = Password::MAX_LENGTH)]
    TooLong,
}

impl InvalidPassword {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooShort | Self::TooLong => "invalid_password",
        }
    }
}

/// No text longer than this can have [`Password::MAX_LENGTH`] characters after NFKC, which at
/// most composes four characters of four bytes to one.
const MAX_BYTES: usize = 16 * Password::MAX_LENGTH;

impl Password {
    /// The fewest characters of a password, after NFKC.
    pub const MIN_LENGTH: usize = 8;
    /// The most characters of a password, after NFKC.
    pub const MAX_LENGTH: usize = 1024;

    /// A password that somebody chooses.
    ///
    /// # Errors
    ///
    /// [`InvalidPassword`] if it is too short or too long.
    pub fn choose(text: &str) -> Result<Self, InvalidPassword> {
        if text.len() > MAX_BYTES {
            return Err(InvalidPassword::TooLong);
        }
        let password = Self::attempt(text);
        match password
            .0
            .expose_secret()
            .chars()
            .take(Self::MAX_LENGTH + 1)
            .count()
        {
            0..Self::MIN_LENGTH => Err(InvalidPassword::TooShort),
            Self::MIN_LENGTH..=Self::MAX_LENGTH => Ok(password),
            _ => Err(InvalidPassword::TooLong),
        }
    }

    /// A password that somebody tries. What no password could be simply won't match.
    #[must_use]
    pub fn attempt(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(MAX_BYTES)];
        // Enough for every expansion by NFKC (at most 18 for one character), so that no
        // reallocation leaves a copy behind.
        let mut normal = String::with_capacity(text.len().min(MAX_BYTES) * 18);
        normal.extend(text.nfkc());
        let password = Self(SecretString::from(normal.as_str()));
        normal.zeroize();
        password
    }

    /// Hashes the password with a fresh salt; gives what to keep and the key that seals.
    pub(crate) fn hash(
        &self,
        cost: HashCost,
        randomness: &dyn Randomness,
    ) -> Result<(PasswordHash, SealingKey), HashError> {
        let mut salt = [0; SALT_LENGTH];
        randomness
            .fill(&mut salt)
            .map_err(|_| HashError::Resources)?;
        let params = cost.params()?;
        let (verifier, sealing_key) = self.derive(&salt, params.clone())?;
        Ok((
            PasswordHash::assemble(&params, &salt, verifier.as_slice())?,
            sealing_key,
        ))
    }

    /// The key that seals, if `hash` is the hash of this password.
    pub(crate) fn verify(&self, hash: &PasswordHash) -> Result<Option<SealingKey>, HashError> {
        let parsed = hash.parse()?;
        let (verifier, sealing_key) = self.derive(&parsed.salt, parsed.params)?;
        let equal: bool = verifier.as_slice().ct_eq(parsed.verifier.as_bytes()).into();
        Ok(equal.then_some(sealing_key))
    }

    /// One Argon2id computation, split by HKDF-SHA-256 (RFC 5869) into what is kept to recognise
    /// the password and what opens the private key, neither of which tells the other.
    fn derive(
        &self,
        salt: &[u8],
        params: Params,
    ) -> Result<(Zeroizing<[u8; 32]>, SealingKey), HashError> {
        let mut root = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.0.expose_secret().as_bytes(), salt, root.as_mut_slice())
            .map_err(|_| HashError::Resources)?;
        let expand = Hkdf::<Sha256>::new(None, root.as_slice());
        let (mut verifier, mut sealing) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        for (label, output) in [
            ("pinyto keyserver password verifier v1", &mut verifier),
            ("pinyto keyserver sealing key v1", &mut sealing),
        ] {
            expand
                .expand(label.as_bytes(), output.as_mut_slice())
                .map_err(|_| HashError::Resources)?;
        }
        Ok((verifier, SealingKey::new(sealing)))
    }
}

const SALT_LENGTH: usize = 16;

/// Why a password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashError {
    /// What the store gave is no hash of ours.
    Corrupt,
    /// No memory or no randomness.
    Resources,
}

/// What hashing a password costs (RFC 9106), always with one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashCost {
    /// Memory in KiB, at least 8.
    pub memory_kib: u32,
    /// Passes over the memory, at least 1.
    pub passes: u32,
}

/// 19 MiB and two passes: one of the equivalent recommendations of the OWASP Password Storage
/// Cheat Sheet.
impl Default for HashCost {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
        }
    }
}

impl HashCost {
    /// So much memory and so many passes over it. What is out of range is refused when the cloud
    /// is built.
    #[must_use]
    pub const fn new(memory_kib: u32, passes: u32) -> Self {
        Self { memory_kib, passes }
    }

    pub(crate) fn is_possible(self) -> bool {
        self.params().is_ok()
    }

    fn params(self) -> Result<Params, HashError> {
        Params::new(self.memory_kib, self.passes, 1, None).map_err(|_| HashError::Resources)
    }
}

/// What is kept of a password: a PHC string of Argon2id,
/// `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<verifier>`.
///
/// The last field is not Argon2id's output but 32 bytes expanded from it (HKDF-SHA-256), because
/// the key that seals the private key is expanded from it as well.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what a store has kept.
    #[must_use]
    pub const fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was made at another cost.
    pub(crate) fn costs_other_than(&self, cost: HashCost) -> bool {
        self.parse().is_ok_and(|parsed| {
            parsed.params.m_cost() != cost.memory_kib || parsed.params.t_cost() != cost.passes
        })
    }

    /// A hash that no password has, as costly to check as any other.
    pub(crate) fn decoy(cost: HashCost, randomness: &dyn Randomness) -> Result<Self, HashError> {
        let mut noise = [0; SALT_LENGTH + 32];
        randomness
            .fill(&mut noise)
            .map_err(|_| HashError::Resources)?;
        let (salt, verifier) = noise.split_at(SALT_LENGTH);
        Self::assemble(&cost.params()?, salt, verifier)
    }

    fn assemble(params: &Params, salt: &[u8], verifier: &[u8]) -> Result<Self, HashError> {
        let resources = |_| HashError::Resources;
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(params).map_err(|_| HashError::Resources)?,
            salt: Some(Salt::new(salt).map_err(resources)?),
            hash: Some(Output::new(verifier).map_err(resources)?),
        };
        Ok(Self(hash.to_string()))
    }

    fn parse(&self) -> Result<ParsedHash, HashError> {
        let parsed = phc::PasswordHash::new(&self.0).map_err(|_| HashError::Corrupt)?;
        let ours = parsed.algorithm == Algorithm::Argon2id.ident()
            && parsed.version == Some(Version::V0x13.into());
        match (ours, parsed.salt, parsed.hash) {
            (true, Some(salt), Some(verifier)) => Ok(ParsedHash {
                params: Params::try_from(&parsed.params).map_err(|_| HashError::Corrupt)?,
                salt: salt.to_vec(),
                verifier,
            }),
            _ => Err(HashError::Corrupt),
        }
    }
}

/// Tells nothing: who has the hash can guess the password.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

struct ParsedHash {
    params: Params,
    salt: Vec<u8>,
    verifier: Output,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::OsRandomness;

    const CHEAP: HashCost = HashCost {
        memory_kib: 8,
        passes: 1,
    };

    #[test]
    fn a_password_is_counted_and_compared_after_nfkc() {
        assert_eq!(
            Password::choose("1234567").unwrap_err(),
            InvalidPassword::TooShort
        );
        assert_eq!(
            Password::choose("e\u{301}234567").unwrap_err(),
            InvalidPassword::TooShort
        );
        assert!(
            Password::choose("\u{fb03}23456").is_ok(),
            "the ligature ffi counts three"
        );
        assert!(Password::choose(&"é".repeat(1024)).is_ok());
        assert_eq!(
            Password::choose(&"x".repeat(1025)).unwrap_err(),
            InvalidPassword::TooLong
        );
        assert_eq!(
            Password::choose(&"x".repeat(1 << 20)).unwrap_err(),
            InvalidPassword::TooLong
        );

        let (hash, _) = Password::attempt("caf\u{e9} \u{2460}")
            .hash(CHEAP, &OsRandomness)
            .unwrap();
        assert!(
            Password::attempt("cafe\u{301} 1")
                .verify(&hash)
                .unwrap()
                .is_some()
        );
        assert!(Password::attempt("cafe 1").verify(&hash).unwrap().is_none());
    }

    #[test]
    fn the_hash_is_a_phc_string_that_tells_its_cost() {
        let (hash, _) = Password::attempt("secret word")
            .hash(CHEAP, &OsRandomness)
            .unwrap();
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"),
            "{}",
            hash.as_str()
        );
        assert!(!hash.costs_other_than(CHEAP));
        assert!(hash.costs_other_than(HashCost {
            memory_kib: 16,
            ..CHEAP
        }));
        assert!(hash.costs_other_than(HashCost { passes: 2, ..CHEAP }));
        assert!(!format!("{hash:?}").contains("argon2id"));
    }

    #[test]
    fn nothing_matches_a_decoy_and_what_is_no_hash_is_corrupt() {
        let decoy = PasswordHash::decoy(CHEAP, &OsRandomness).unwrap();
        assert!(
            Password::attempt("secret word")
                .verify(&decoy)
                .unwrap()
                .is_none()
        );
        for bad in [
            "",
            "$argon2id$v=19$m=8,t=1,p=1$",
            "$scrypt$ln=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        ] {
            let hash = PasswordHash::from_phc(bad.to_owned());
            let result = Password::attempt("x").verify(&hash);
            assert!(matches!(result, Err(HashError::Corrupt)), "{bad}");
        }
    }
}
