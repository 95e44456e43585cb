//! Runs the Python code of assemblies in locked-down processes.

#[allow(dead_code, reason = "the worker calls it")]
mod engine;
