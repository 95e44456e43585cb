//! Backups: what goes into a file comes out of it, whichever database it came from and goes to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

mod filled;
mod hostile;
mod online;
mod places;
mod round_trip;
