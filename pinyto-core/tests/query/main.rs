//! The query language: what each operator means, what is refused, how values are ordered.

mod errors;
mod laws;
mod operators;
mod order;
mod paths;
mod support;
