//! Randomness as the library sees it: handed in, so that tests can repeat themselves.

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
