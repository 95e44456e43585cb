//! For tests and fuzz targets: what only somebody can do who has taken over a worker.

use bytes::BytesMut;
use pinyto_core::runtime::CodeLimits;

use crate::{
    conversation::{Conversation, Step},
    frame,
};

/// As [`run_worker_if_asked`](crate::run_worker_if_asked), but the worker shows code to `hook`
/// first: if it gives an answer, that is the answer of the call.
pub fn run_worker_with(hook: fn(code: &str) -> Option<String>) {
    crate::worker::run_if_asked(Some(hook));
}

/// Takes bytes as if they came from a worker during a call, until they end it.
///
/// Gives how many services were called.
#[must_use]
pub fn hear(bytes: &[u8]) -> usize {
    let limits = CodeLimits::default();
    let mut conversation = Conversation::new(&limits);
    let (mut received, mut calls) = (BytesMut::from(bytes), 0);
    while let Ok(Some(content)) = frame::split(&mut received, conversation.longest()) {
        match conversation.take(&content) {
            Ok(Step::Call(..)) => {
                calls += 1;
                conversation.answered();
            }
            Ok(Step::Nothing) => {}
            Ok(Step::Finished { .. }) | Err(_) => break,
        }
    }
    calls
}
