//! Randomness as the library sees it: handed in, so that tests can repeat themselves.
//!
//! Tokens, identifiers, salts, nonces and whatever else this crate makes up is drawn from the
//! cloud's [`Randomness`]. Some things are not, because their libraries draw on the operating
//! system themselves and know best how: RSA backends (key generation, padding, blinding), and
//! OpenPGP messages and keys (feature `gpgauth`). Nor is what belongs to no cloud: keys that a
//! client or a server's command makes and keeps in a file, TLS, and the hash maps of the standard
//! library.

use rand::{TryRng, rngs::SysRng};

/// Where tokens, identifiers, salts and nonces get their randomness from.
///
/// RSA backends are the exception: they draw on the operating system themselves (for key
/// generation, padding and blinding), because their libraries know best how.
pub trait Randomness: Send + Sync {
    /// Fills `buffer` with bytes that nobody can predict.
    ///
    /// # Errors
    ///
    /// [`RandomnessUnavailable`] if the source gives nothing; nothing may then be made from `buffer`.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessUnavailable>;
}

/// The source of randomness gave nothing.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the source of randomness gave nothing")]
pub struct RandomnessUnavailable;

impl RandomnessUnavailable {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "randomness_unavailable"
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandomness;

impl Randomness for OsRandomness {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessUnavailable> {
        SysRng
            .try_fill_bytes(buffer)
            .map_err(|_| RandomnessUnavailable)
    }
}
