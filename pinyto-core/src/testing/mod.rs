//! What tests need, here and in the crates of integrators. Panics where a test would.
//!
//! - [`store_contract!`](crate::store_contract): what every [`Store`](crate::store::Store) has to
//!   pass;
//! - [`ManualClock`]: time that a test owns;
//! - [`given`]: users, keys, sessions, assemblies and documents in a line;
//! - [`random`]: documents and queries by chance;
//! - [`keys`]: fixed key pairs, because making one costs seconds;
//! - [`rsa`]: backends that cost nothing or count;
//! - [`ScriptedRuntime`]: runs closures instead of Python.

#[allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, and the name of each is a sentence"
)]
mod contract;

mod clock;
#[allow(clippy::expect_used, clippy::panic, reason = "for tests only")]
pub mod given;
pub mod keys;
#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "for tests only"
)]
pub mod random;
pub mod rsa;
mod runtime;

pub use clock::ManualClock;
#[doc(hidden)]
pub use contract::cases;
pub use runtime::{ScriptedRuntime, executed};
