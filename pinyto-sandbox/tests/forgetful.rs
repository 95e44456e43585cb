//! A program that doesn't call `run_worker_if_asked`.
#![allow(clippy::unwrap_used, reason = "tests, though clippy can't tell")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use pinyto_sandbox::{PythonRuntime, SandboxError};

fn main() -> ExitCode {
    let test = Trial::test(
        "a_program_that_starts_itself_again_is_stopped_at_once",
        || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let (began, started) = (Instant::now(), PythonRuntime::builder().start());
            let started = runtime.block_on(started);
            assert!(matches!(started, Err(SandboxError::NoWorker)));
            // Each of a row of programs would wait for the next until it gives up, after 20 s.
            assert!(began.elapsed() < Duration::from_secs(15));
            Ok(())
        },
    );
    // The arguments of the program that was started again are those of a worker.
    let is_first =
        std::env::args().len() != 4 || std::env::args().nth(3).as_deref() != Some("confined");
    let arguments = if is_first {
        Arguments::from_args()
    } else {
        Arguments::default()
    };
    libtest_mimic::run(&arguments, vec![test]).exit_code()
}
