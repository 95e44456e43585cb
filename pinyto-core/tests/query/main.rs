//! The query language: what each operator means, what is refused, how values are ordered.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may panic, their helpers too"
)]

mod bounds;
mod errors;
mod laws;
mod operators;
mod order;
mod paths;
mod support;
