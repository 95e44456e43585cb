//! The routes as clients see them, one file per subject.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod assembly;
mod body;
mod cors;
mod document;
#[cfg(feature = "openapi")]
mod documentation;
mod error;
mod function;
#[cfg(feature = "gpgauth")]
mod gpgauth;
mod hostile;
mod hostile_field;
mod job;
mod key;
mod keyserver;
mod prefix;
mod random;
mod run;
mod server;
mod service;
mod session;
mod support;
mod ticket;
mod user;
