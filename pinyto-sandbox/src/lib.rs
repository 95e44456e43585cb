//! Runs the Python code of assemblies in locked-down processes.
//!
//! [`PythonRuntime`] implements the core's [`CodeRuntime`](pinyto_core::runtime::CodeRuntime): it
//! keeps a few *workers* ready, gives each call to one of them, answers what the code asks for
//! and ends a worker that exceeds a limit. A worker is the program's own executable started
//! again, so a program that embeds this crate says so first thing in `main`:
//!
//! ```no_run
//! use pinyto_sandbox::PythonRuntime;
//!
//! #[global_allocator]
//! static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // In a worker this never returns; otherwise it does nothing.
//!     pinyto_sandbox::run_worker_if_asked();
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         let runtime = PythonRuntime::builder().ready_workers(4).start().await?;
//!         // Hand it to `pinyto_core::Cloud` ...
//!         runtime.close(std::time::Duration::from_secs(5)).await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Map
//!
//! | item | what it is |
//! |---|---|
//! | [`PythonRuntime`] | runs code; cheap clones of one handle, closed by [`PythonRuntime::close`] |
//! | [`PythonRuntimeBuilder`], [`SandboxError`] | how many workers and within which limits, and why they don't start |
//! | [`run_worker_if_asked`] | the first line of `main`: the program as a worker of itself |
//! | [`Allocator`] | what keeps a call to its limit on memory |
//! | [`Metrics`] | what a runtime does and has done, in numbers |
//! | [`HttpEgress`], [`HttpEgressBuilder`], [`EgressSettings`], [`EgressUnavailable`] | what fetches for code from the public internet only: for `CloudBuilder::egress` |
//! | [`Resolver`] | how that finds the addresses of hosts, if not as the system does |
//!
//! All futures are `Send`, and all of these `Send + Sync`. The allocator is the process's, as any
//! is; beside it there is no global state, and several runtimes in one process are independent.
//!
//! # What holds code
//!
//! 1. The interpreter itself has no files, sockets or processes to offer.
//! 2. The process it runs in has given them up: no descriptor but one socket, no environment, a
//!    Landlock that denies every path and port, a seccomp filter that allows about twenty system
//!    calls, limits of the kernel on memory, files, processes and CPU time. A worker that can't
//!    be locked down doesn't run; [`PythonRuntimeBuilder::start`] says so.
//! 3. The server believes nothing a worker says: frames are bounded before they are read, and
//!    one that doesn't fit ends the worker. CPU time is read from the kernel, not asked for.
//! 4. A process that has run code of one assembly for one user never runs anything else: no other
//!    assembly's code, and nothing for another user.
//!
//! # Where it runs
//!
//! On Linux, x86-64 and AArch64. Elsewhere [`PythonRuntimeBuilder::start`] gives
//! [`SandboxError::Unsupported`].
//!
//! There are no features to choose from: `__testing` is for this crate's own tests and fuzz targets, and no part of its
//! interface.
//!
//! # Rust version
//!
//! 1.96 or newer, which the Python interpreter declares. To ask for a newer one takes a minor version, not a patch.
//!
//! # Inside
//!
//! `engine`: the interpreter, within the worker. `worker`, `lockdown`: the process around it.
//! `frame`, `conversation`: what worker and server say to each other. `process`, `pool`: workers
//! seen from the server. `turns`: whose code runs next. `call`: one call. `runtime`: all of it
//! together.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(target_os = "linux")]
mod call;
#[cfg(target_os = "linux")]
mod conversation;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod engine;
mod error;
#[cfg(target_os = "linux")]
mod frame;
#[cfg(target_os = "linux")]
mod lockdown;
mod metrics;
#[cfg(target_os = "linux")]
mod pool;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod runtime;
mod services;
mod settings;
#[cfg(all(target_os = "linux", any(test, feature = "__testing")))]
#[doc(hidden)]
pub mod testing;
#[cfg(target_os = "linux")]
mod turns;
#[cfg(target_os = "linux")]
mod worker;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{PythonRuntime, run_worker_if_asked};
#[cfg(target_os = "linux")]
pub use runtime::PythonRuntime;
#[cfg(target_os = "linux")]
pub use worker::run_worker_if_asked;

pub use error::SandboxError;
pub use metrics::Metrics;
pub use services::egress::{
    EgressSettings, EgressUnavailable, HttpEgress, HttpEgressBuilder, Resolver,
};
pub use settings::PythonRuntimeBuilder;

/// The system's allocator, which counts what it gives out.
///
/// A program that runs code declares it as its `#[global_allocator]`. In a worker it enforces the
/// memory limit of the call that runs: beyond it the process ends with an exit code that says
/// why. In the program itself there is no limit; memory that the system refuses ends the program
/// with exit code 65 instead of an abort. It costs two additions to a shared counter for each
/// allocation: 8 ns more on one thread, 70 ns when two do nothing but allocate.
///
/// Without it the limit of a call isn't kept, only [`PythonRuntimeBuilder::memory_ceiling`]: the
/// kernel refuses memory beyond that, the worker ends, and that is reported as the limit.
pub use monty_alloc::LimitedAllocator as Allocator;

/// What is shared goes between threads, and so do futures: this compiles only if they do.
#[cfg(test)]
mod thread_tests {
    use std::time::Duration;

    use super::*;

    const fn shared<T: Send + Sync + 'static>() {}

    const _: () = {
        shared::<PythonRuntime>();
        shared::<PythonRuntimeBuilder>();
        shared::<SandboxError>();
        shared::<Metrics>();
        shared::<HttpEgress>();
        shared::<HttpEgressBuilder>();
        shared::<EgressSettings>();
        shared::<EgressUnavailable>();
    };

    fn sent<T>(_: impl Future<Output = T> + Send) {}

    const _: fn(PythonRuntimeBuilder, &PythonRuntime) = |builder, runtime| {
        sent(builder.start());
        sent(runtime.close(Duration::ZERO));
    };
}
