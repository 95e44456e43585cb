//! The client against real servers, and against ones that follow a script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod calls;
mod key_file;
mod life;
mod pin;
mod repeats;
mod session;
mod support;
#[cfg(feature = "listener")]
mod tls;
