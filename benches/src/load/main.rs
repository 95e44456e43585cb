//! The load bench: starts the real server, speaks HTTP to it, and compares with a baseline that
//! it measures in the same run. See `docs/performance.md`.
//!
//!     cargo build --release && cargo run --release -p pinyto-benches -- [SECONDS [SCENARIO]]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends when anything fails"
)]

mod baseline;
mod client;
mod code;
mod process;
mod scenarios;

use std::{env, time::Duration};

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match env::args().nth(1).as_deref() {
        Some("echo") => runtime.block_on(baseline::serve_echo()),
        seconds => {
            let seconds = seconds.map_or(5, |text| text.parse().expect("seconds per scenario"));
            let only = env::args().nth(2);
            runtime.block_on(scenarios::run(
                Duration::from_secs(seconds),
                only.as_deref(),
            ));
        }
    }
}
