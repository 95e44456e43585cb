//! A program that doesn't declare the allocator: its workers' memory is bounded all the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, though clippy can't tell"
)]

use std::process::ExitCode;

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use pinyto_core::{
    assembly::{AssemblyRef, FunctionName},
    id::{AssemblyId, UserId},
    run::RunPart,
    runtime::{
        CodeCall, CodeError, CodeRuntime, Service, ServiceError, ServiceException, Services,
    },
    user::{User, UserName},
};
use pinyto_sandbox::PythonRuntime;

struct Nothing;

#[async_trait]
impl Services for Nothing {
    async fn call(&self, _: Service, _: &str) -> Result<String, ServiceError> {
        Err(ServiceError::raised(ServiceException::Runtime, "no"))
    }
}

fn main() -> ExitCode {
    pinyto_sandbox::run_worker_if_asked();
    let test = Trial::test(
        "without_the_allocator_the_kernel_bounds_memory_and_that_is_told",
        || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(without_the_allocator());
            Ok(())
        },
    );
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

async fn without_the_allocator() {
    let builder = PythonRuntime::builder().memory_ceiling(16 * 1024 * 1024);
    let runtime = builder.start().await.unwrap();
    for (code, fits) in [
        ("return len('x' * 1000000)", true),
        ("a = []\nwhile True: a.append('x' * 100000)", false),
        ("s = 'x'\nwhile True: s += s", false),
    ] {
        let alice = User::new(UserId::new(1), UserName::parse("alice").unwrap());
        let assembly = (
            AssemblyId::new(1),
            AssemblyRef::parse("alice/Notes").unwrap(),
        );
        let part = RunPart::Function(FunctionName::parse("get").unwrap());
        let call = CodeCall::new(code, alice, assembly, part);
        let outcome = runtime.run(&call, &Nothing).await.outcome;
        match outcome {
            Ok(answer) => assert!(fits, "{code}: {answer}"),
            Err(CodeError::LimitReached { limit }) => {
                assert!(!fits, "{code}");
                assert_eq!(limit.name(), "memory", "{code}");
            }
            Err(other) => panic!("{code}: {other:?}"),
        }
    }
}
