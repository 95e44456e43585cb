//! The code of assemblies as its users see it: the real server, its workers, a real database file.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod attacks;
mod bundled;
mod isolation;
mod jobs;
mod language_page;
mod library;
mod quotas;
mod run_assembly;
#[path = "../running_server/mod.rs"]
mod running_server;
mod runs;
mod support;
mod unconfined;
