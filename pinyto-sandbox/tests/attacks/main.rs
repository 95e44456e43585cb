//! What hostile code can do, asserted from outside: outcome, time, memory and what the kernel says.

mod forged;
mod given;
mod kernel;
mod python;
mod workers;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;

/// Code that isn't Python but what somebody would do who has taken over the interpreter.
fn taken_over(code: &str) -> Option<String> {
    match code.split_once(' ')? {
        ("kernel:", _) => Some(kernel::report()),
        ("forge:", what) => Some(forged::forge(what)),
        _ => None,
    }
}

fn main() -> ExitCode {
    pinyto_sandbox::testing::run_worker_with(taken_over);
    if std::env::args().nth(1).as_deref() == Some("--serve") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(workers::serve());
        return ExitCode::SUCCESS;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let tests = [
        forged::tests(),
        kernel::tests(),
        python::tests(),
        workers::tests(),
    ];
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit_code()
}
