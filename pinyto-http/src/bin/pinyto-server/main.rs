//! The reference server: reads its settings, then serves or checks.

mod check;
mod cloud;
mod routes;
mod run;
mod signals;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use pinyto_http::server::config::{self, Invocation};

/// What is wrong can be mended by whoever started the server.
const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    match config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(Invocation::Print(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Check(settings, shown)) => {
            finish(logged(&settings, check::check(&settings, &shown)))
        }
        Ok(Invocation::Serve(settings)) => finish(logged(&settings, run::run(&settings))),
        Err(error) => finish(Err(error.to_string())),
    }
}

fn logged(
    settings: &config::Settings,
    work: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    pinyto_http::server::logging::init(&settings.log, settings.log_format)
        .map_err(|error| format!("The log can't be set up: {error}."))?;
    with_runtime(work)
}

fn with_runtime(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("The threads can't be started: {error}."))?;
    let result = runtime.block_on(work);
    // A hash or key being computed has no one waiting for it any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            let _ = writeln!(std::io::stderr(), "pinyto-server: {sentence}");
            ExitCode::from(WRONG_CONFIGURATION)
        }
    }
}

/// Prints a line to stdout; a closed pipe is no reason to fail.
fn say(text: &str) {
    say_more(&format!("{}\n", text.trim_end()));
}

/// Prints part of a line.
fn say_more(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
