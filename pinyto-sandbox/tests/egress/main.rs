//! Fetching over HTTP for code that is not trusted, against servers that aren't either.
// clippy knows tests by their attribute, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod answers;
mod hosts;
mod redirects;
mod support;
mod tls;
mod urls;
