//! The server around its routes, over real sockets.
#![cfg(feature = "listener")]
// clippy knows tests by their attribute, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod helper;
mod layers;
mod limits;
#[cfg(feature = "server")]
mod process;
mod shutdown;
mod tls;
