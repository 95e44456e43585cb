//! The routes as clients see them, one file per subject.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod assembly;
mod body;
mod document;
#[cfg(feature = "openapi")]
mod documentation;
mod error;
mod hostile;
mod hostile_field;
mod key;
mod keyserver;
mod random;
mod server;
mod support;
mod user;
