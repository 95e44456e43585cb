//! Runs the Python code of assemblies in locked-down processes.

mod engine;
mod services;

pub use services::egress::{
    EgressSettings, EgressUnavailable, HttpEgress, HttpEgressBuilder, Resolver,
};
