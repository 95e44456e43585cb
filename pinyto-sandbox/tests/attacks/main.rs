//! What hostile code can do, asserted from outside: outcome, time, memory and what the kernel says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, though clippy can't tell"
)]

mod forged;
mod given;
mod host;
mod kernel;
mod python;
mod workers;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;

/// Code that isn't Python but what somebody would do who has taken over the interpreter.
fn taken_over(code: &str) -> Option<String> {
    match code.split_once(' ')? {
        ("kernel:", "sweep") => Some(kernel::sweep()),
        ("kernel:", _) => Some(kernel::report()),
        ("forge:", what) => Some(forged::forge(what)),
        _ => None,
    }
}

fn main() -> ExitCode {
    pinyto_sandbox::testing::run_worker_with(taken_over);
    match std::env::args().nth(1).as_deref() {
        Some("--serve") => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(workers::serve());
            return ExitCode::SUCCESS;
        }
        Some("--verdicts") => {
            println!("{}", kernel::report());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Some tests look at the processes of this program, so each has it for itself.
    arguments.test_threads = Some(1);
    let tests = [
        forged::tests(),
        host::tests(),
        kernel::tests(),
        python::tests(),
        workers::tests(),
    ];
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit_code()
}
