//! Runs the Python code of assemblies in locked-down processes.

mod call;
mod conversation;
mod engine;
mod error;
mod frame;
mod lockdown;
mod metrics;
mod pool;
mod process;
mod runtime;
mod services;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod turns;
mod worker;

pub use monty_alloc::LimitedAllocator as Allocator;

pub use error::SandboxError;
pub use metrics::Metrics;
pub use runtime::{PythonRuntime, PythonRuntimeBuilder};
pub use services::egress::{
    EgressSettings, EgressUnavailable, HttpEgress, HttpEgressBuilder, Resolver,
};
pub use worker::run_worker_if_asked;
