//! Runs the Python code of assemblies in locked-down processes.

mod services;
