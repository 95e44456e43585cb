//! The challenge, from outside, with every backend that is compiled in.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

mod backends;
mod private_keys;
mod properties;
mod public_keys;
mod support;
mod vectors;
