//! Runs code as an assembly's author writes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus;
mod probe;

use super::*;
