//! The reference server: reads its settings, then serves or checks.

mod check;
mod cloud;
mod code;
mod config;
mod database;
mod key_file;
mod logging;
mod memory;
mod metrics;
mod moving;
#[cfg(feature = "gpgauth")]
mod openpgp;
// The library's, where the client is the only one that has it.
#[path = "../../private_file.rs"]
mod private_file;
mod routes;
mod run;
mod run_assembly;
mod signals;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use config::Invocation;

/// Counts memory, so that the workers that run code can be held to theirs.
#[global_allocator]
static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;

/// What is wrong can be mended by whoever started the server.
const WRONG_CONFIGURATION: u8 = 2;

/// The code that was tried out failed.
const CODE_FAILED: u8 = 1;

fn main() -> ExitCode {
    // The workers that run code are this program, started again.
    pinyto_sandbox::run_worker_if_asked();
    memory::give_back_what_is_large();
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let mut arguments = arguments.peekable();
    if arguments
        .peek()
        .is_some_and(|first| first == run_assembly::NAME)
    {
        return try_out(arguments);
    }
    let arguments = std::iter::once(program).chain(arguments);
    match config::load(arguments, std::env::vars_os()) {
        Ok(Invocation::Print(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Check(settings, shown)) => {
            finish(logged(&settings, check::check(&settings, &shown)))
        }
        Ok(Invocation::Migrate(settings)) => finish(logged(&settings, migrate(&settings))),
        Ok(Invocation::Move(settings, moving)) => {
            finish(logged(&settings, moving::run(&settings, &moving)))
        }
        Ok(Invocation::Serve(settings)) => finish(logged(&settings, run::run(&settings))),
        Err(error) => finish(Err(error.to_string())),
    }
}

async fn migrate(settings: &config::Settings) -> Result<(), String> {
    database::Database::migrate(settings).await?;
    say(&format!(
        "The tables of the database {} are up to date.",
        settings.database
    ));
    Ok(())
}

fn try_out(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let done = run_assembly::parse(arguments).and_then(|trial| {
        let Some(trial) = trial else {
            return Ok(true);
        };
        let nothing: [std::ffi::OsString; 1] = ["pinyto-server".into()];
        let settings = match config::load(nothing, std::env::vars_os()) {
            Ok(Invocation::Serve(settings)) => settings,
            Ok(_) => return Err("The settings can't be read.".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let mut fine = false;
        with_runtime(async {
            fine = trial.run(&settings).await?;
            Ok(())
        })?;
        Ok(fine)
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CODE_FAILED),
        Err(sentence) => finish(Err(sentence)),
    }
}

fn logged(
    settings: &config::Settings,
    work: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    logging::init(&settings.log, settings.log_format)
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

/// Prints a line to stderr; a closed one is no reason to fail.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints part of a line.
fn say_more(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
