//! What the interpreter says about a failure, as the author is told it.

use monty_types::{ExcType, MontyException, StringRepr};
use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits};

use super::compile::{Compiled, Place};

/// Why code that ran has ended without an answer.
pub(super) fn of_run(
    exception: &MontyException,
    compiled: &Compiled,
    limits: &CodeLimits,
) -> CodeError {
    let message = exception.message().unwrap_or_default();
    // Both say so when the interpreter's own limits end the code. Code that raises the same
    // itself only gives its own failure another name.
    match exception.exc_type() {
        ExcType::MemoryError if message.starts_with("memory limit exceeded") => {
            return limit(CodeLimit::Memory(limits.memory));
        }
        ExcType::TimeoutError if message.starts_with("feed time limit exceeded") => {
            return limit(CodeLimit::WallTime(limits.wall_time));
        }
        _ => {}
    }
    let (kind, message) = if message.ends_with("cannot suspend in this synchronous context") {
        ("NotImplementedError".to_owned(), NOT_FROM_WITHIN.to_owned())
    } else if let Some(message) = message.strip_prefix("Internal error in monty: ") {
        // It knows its gaps by these.
        ("TypeError".to_owned(), message.to_owned())
    } else {
        (kind(exception.exc_type()), said(exception))
    };
    let message = compiled.prefix.hidden(&message);
    CodeError::exception(kind, message).at_line(line(exception, &compiled.place))
}

const NOT_FROM_WITHIN: &str = "db and Http can't be called from within list.sort, itertools, \
    defaultdict or a method like __eq__: call them in a loop before";

/// Why code can't be run.
pub(super) fn of_compilation(exception: &MontyException, place: &Place) -> CodeError {
    let message = exception.message().unwrap_or_default();
    let message = message
        .strip_prefix("The monty syntax parser does not yet support ")
        .map_or_else(
            || message.to_owned(),
            |what| format!("{what} can't be used here"),
        );
    CodeError::syntax(message).at_line(line(exception, place))
}

pub(super) fn limit(limit: CodeLimit) -> CodeError {
    CodeError::LimitReached { limit }
}

/// The exception to raise in the code.
pub(super) fn exception(kind: &str, message: impl Into<String>) -> MontyException {
    let kind = kind.parse().unwrap_or(ExcType::RuntimeError);
    MontyException::new(kind, Some(message.into()))
}

/// The name of the type without its module.
fn kind(kind: ExcType) -> String {
    let name: &'static str = kind.into();
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// What `str` makes of the exception.
fn said(exception: &MontyException) -> String {
    let message = exception.message().unwrap_or_default();
    if exception.exc_type() == ExcType::KeyError && exception.message().is_some() {
        StringRepr(message).to_string()
    } else {
        message.to_owned()
    }
}

/// The line in the author's text that the failure came from.
fn line(exception: &MontyException, place: &Place) -> Option<u32> {
    exception
        .traceback()
        .iter()
        .rev()
        .find_map(|frame| place.line(frame.start.line))
}
