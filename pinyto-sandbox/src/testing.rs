//! For the tests of this crate: code that is no Python, run inside the locked-down worker.

/// As [`run_worker_if_asked`](crate::run_worker_if_asked), but the worker shows code to `hook`
/// first: if it gives an answer, that is the answer of the call.
pub fn run_worker_with(hook: fn(code: &str) -> Option<String>) {
    crate::worker::run_if_asked(Some(hook));
}
