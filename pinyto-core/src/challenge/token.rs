//! The two forms of a session's secret: the token itself, and what a client sends of it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::randomness::{Randomness, RandomnessUnavailable};

/// The secret of one session: up to 64 printable ASCII characters that mean nothing to a client.
///
/// Wiped when dropped; `Debug` shows nothing of it and there is no comparison: compare
/// [`SessionToken::hash`]es.
#[derive(Clone)]
pub struct SessionToken(SecretString);

impl SessionToken {
    /// The longest accepted token, in characters.
    pub const MAX_LENGTH: usize = 64;

    const RANDOM_BYTES: usize = 24;

    /// Makes a new token of 192 random bits, 32 characters.
    ///
    /// # Errors
    ///
    /// [`RandomnessUnavailable`] if `randomness` gives nothing.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, RandomnessUnavailable> {
        let mut bytes = Zeroizing::new([0; Self::RANDOM_BYTES]);
        randomness.fill(bytes.as_mut_slice())?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes.as_slice()).into()))
    }

    /// Takes a token that was made elsewhere.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionToken`] unless it is 1 to 64 printable ASCII characters.
    pub fn parse(text: &str) -> Result<Self, InvalidSessionToken> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSessionToken)
        }
    }

    /// Takes a token as it comes out of a decryption.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSessionToken> {
        Self::parse(str::from_utf8(bytes).map_err(|_| InvalidSessionToken)?)
    }

    /// What a server keeps instead of the token.
    #[must_use]
    pub fn hash(&self) -> SessionTokenHash {
        SessionTokenHash(Sha256::digest(self.expose()).into())
    }

    /// The token itself. Handle with care: whoever has it has the session.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

/// A text is no session token. It doesn't say which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session token is 1 to 64 printable ASCII characters")]
#[non_exhaustive]
pub struct InvalidSessionToken;

impl InvalidSessionToken {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_session_token"
    }
}

/// SHA-256 of a session token: finds the session, but doesn't open it.
///
/// Comparing it needs no constant time: who can choose tokens can't choose their hashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionTokenHash([u8; 32]);

impl SessionTokenHash {
    /// The hash that is these bytes (as read from a store).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        abbreviated(f, "SessionTokenHash", &self.0)
    }
}

/// What a client sends as `token` with every request: the session token, encrypted for the
/// server's public key, in base64.
///
/// As secret as the session token: who replays it has the session. Wiped when dropped, not shown
/// by `Debug`, not comparable: compare [`RequestToken::digest`]s.
#[derive(Clone)]
pub struct RequestToken(SecretString);

impl RequestToken {
    /// A longer text, in bytes, is no token.
    pub const MAX_LENGTH: usize = super::base64_text::MAX_LENGTH;

    /// Takes a text as a client sent it. Nothing is checked before
    /// [`ServerKey::open`](super::ServerKey::open).
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// Identifies the text but for ASCII white space, which means nothing in it; by this a server
    /// remembers what it has decrypted already.
    #[must_use]
    pub fn digest(&self) -> RequestTokenDigest {
        let mut hash = Sha256::new();
        for word in self.expose().split_ascii_whitespace() {
            hash.update(word);
        }
        RequestTokenDigest(hash.finalize().into())
    }

    /// The text itself. Handle with care: whoever has it has the session.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for RequestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestToken(..)")
    }
}

/// SHA-256 of a request token's text without its white space.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestTokenDigest([u8; 32]);

impl RequestTokenDigest {
    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RequestTokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        abbreviated(f, "RequestTokenDigest", &self.0)
    }
}

fn abbreviated(f: &mut fmt::Formatter<'_>, name: &str, hash: &[u8; 32]) -> fmt::Result {
    let [a, b, c, d, ..] = hash;
    write!(f, "{name}({a:02x}{b:02x}{c:02x}{d:02x}..)")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::randomness::OsRandomness;

    struct Counting;

    impl Randomness for Counting {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessUnavailable> {
            buffer.iter_mut().zip(0..).for_each(|(byte, i)| *byte = i);
            Ok(())
        }
    }

    struct Nothing;

    impl Randomness for Nothing {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomnessUnavailable> {
            Err(RandomnessUnavailable)
        }
    }

    #[test]
    fn a_new_token_is_all_the_randomness_in_32_url_safe_characters() {
        let token = SessionToken::generate(&Counting).unwrap();
        assert_eq!(token.expose(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        assert!(SessionToken::generate(&Nothing).is_err());

        let one = SessionToken::generate(&OsRandomness).unwrap();
        let other = SessionToken::generate(&OsRandomness).unwrap();
        assert_ne!(one.hash(), other.hash());
    }

    #[test]
    fn the_hash_is_sha_256_of_the_text() {
        // printf abc | sha256sum
        let expected = "SessionTokenHash(ba7816bf..)";
        let token = SessionToken::parse("abc").unwrap();
        assert_eq!(format!("{:?}", token.hash()), expected);
        assert_eq!(
            RequestToken::new("abc").digest().as_bytes(),
            token.hash().as_bytes()
        );
        assert_eq!(
            SessionTokenHash::from_bytes(*token.hash().as_bytes()),
            token.hash()
        );
    }

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let token = SessionToken::parse("geheim").unwrap();
        assert_eq!(format!("{token:?}"), "SessionToken(..)");
        assert_eq!(
            format!("{:?}", RequestToken::new("geheim")),
            "RequestToken(..)"
        );
    }

    #[test]
    fn a_token_is_1_to_64_printable_ascii_characters() {
        assert!(SessionToken::parse(&"a".repeat(64)).is_ok());
        for bad in ["", &"a".repeat(65), "ä", "a\n", "a\u{0}", "\u{7f}"] {
            assert_eq!(SessionToken::parse(bad).unwrap_err(), InvalidSessionToken);
        }
        assert!(SessionToken::from_bytes(b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_comes_back_unchanged(text in ".{0,70}") {
            if let Ok(token) = SessionToken::parse(&text) {
                prop_assert_eq!(token.expose(), text);
            }
        }
    }
}
