//! The load bench: starts the real server, speaks HTTP to it, and compares with a baseline that
//! it measures in the same run. Ends with an error if a figure misses its target. See
//! `docs/performance.md`.
//!
//!     cargo build --release --ignore-rust-version
//!     cargo run --release --ignore-rust-version -p pinyto-benches -- [SECONDS [SCENARIO]]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends when anything fails"
)]

mod baseline;
mod client;
mod code;
mod databases;
mod gpgauth;
mod process;
mod scenarios;
mod targets;
mod wire;

use std::{env, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match env::args().nth(1).as_deref() {
        Some("echo") => {
            runtime.block_on(baseline::serve_echo());
            ExitCode::SUCCESS
        }
        seconds => {
            let seconds = seconds.map_or(5, |text| text.parse().expect("seconds per scenario"));
            let only = env::args().nth(2);
            let duration = Duration::from_secs(seconds);
            // Has servers and a database of its own.
            if only.as_deref() == Some("databases") {
                runtime.block_on(databases::run(duration));
                return ExitCode::SUCCESS;
            }
            let targets = runtime.block_on(scenarios::run(duration, only.as_deref()));
            targets.conclude()
        }
    }
}
