//! Runs: what became of each function call and each run of a job.
//!
//! A run is seen by two: the user it ran for sees all of it ([`Run`]); the author of the assembly
//! sees what she needs to mend her code, without the user's data ([`AuthorRun`]).
//!
//! Runs are not written one by one but gathered, together with the CPU time that is booked to the
//! users, and written many at a time: see [`Cloud::flush_runs`](crate::Cloud::flush_runs).

mod id;
mod log;
mod repository;
mod service;

use std::{fmt, time::Duration};

pub use id::{InvalidRunId, RunId, WriterId};
pub(crate) use log::RunLog;
pub use repository::{
    BatchId, CpuBooking, HourUsage, Recorded, RunBatch, RunRepository, RunRetention, WRITER_MEMORY,
};
pub use service::MAX_LISTED;

use crate::{
    assembly::{AssemblyRef, FunctionName, InvalidAssemblyName, JobName},
    clock::Timestamp,
    id::{AssemblyId, UserId},
    runtime::{CodeError, Output},
};

/// One call of a function, or one run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// Unique, time-ordered.
    pub id: RunId,
    /// For whom it ran.
    pub user: UserId,
    /// The assembly, whatever it is called now (or it is gone).
    pub assembly: AssemblyId,
    /// What the assembly was called then.
    pub assembly_name: AssemblyRef,
    /// What of the assembly ran.
    pub part: RunPart,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, waiting for services included.
    pub duration: Duration,
    /// The CPU time it used.
    pub cpu_time: Duration,
    /// What became of it.
    pub outcome: RunOutcome,
    /// What it printed. Without NUL characters, which not every database takes.
    pub output: Output,
    /// Which try it was, counted from 1. A call of a function has one only.
    pub attempt: u32,
}

impl Run {
    /// A first try that began then, succeeded, took no time and printed nothing.
    #[must_use]
    pub fn new(
        id: RunId,
        user: UserId,
        assembly: (AssemblyId, AssemblyRef),
        part: RunPart,
        started_at: Timestamp,
    ) -> Self {
        let (assembly, assembly_name) = assembly;
        Self {
            id,
            user,
            assembly,
            assembly_name,
            part,
            started_at,
            duration: Duration::ZERO,
            cpu_time: Duration::ZERO,
            outcome: RunOutcome::Succeeded,
            output: Output::default(),
            attempt: 1,
        }
    }
}

/// What of an assembly ran.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunPart {
    /// A function: answers a request.
    Function(FunctionName),
    /// A job: runs on its own.
    Job(JobName),
}

impl RunPart {
    /// The part of that kind and name.
    ///
    /// # Errors
    ///
    /// [`InvalidAssemblyName`] if it can't have that name.
    pub fn parse(kind: PartKind, name: &str) -> Result<Self, InvalidAssemblyName> {
        match kind {
            PartKind::Function => FunctionName::parse(name).map(Self::Function),
            PartKind::Job => JobName::parse(name).map(Self::Job),
        }
    }

    /// A function or a job.
    #[must_use]
    pub const fn kind(&self) -> PartKind {
        match self {
            Self::Function(_) => PartKind::Function,
            Self::Job(_) => PartKind::Job,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Function(name) => name.as_str(),
            Self::Job(name) => name.as_str(),
        }
    }
}

/// A function or a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A function: answers a request.
    Function,
    /// A job: runs on its own.
    Job,
}

impl PartKind {
    /// `function` or `job`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Job => "job",
        }
    }

    /// The kind of that [name](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Function, Self::Job]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunOutcome {
    /// The code returned.
    Succeeded,
    /// It didn't.
    Failed(RunError),
}

impl RunOutcome {
    /// Why it failed, if it did.
    #[must_use]
    pub const fn error(&self) -> Option<&RunError> {
        match self {
            Self::Succeeded => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// The exceptions that Python has, and those of its modules that code can raise.
const EXCEPTIONS: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
    "BaseExceptionGroup",
    "BlockingIOError",
    "BrokenPipeError",
    "BufferError",
    "ChildProcessError",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "DecimalException",
    "DivisionByZero",
    "EOFError",
    "Error",
    "Exception",
    "ExceptionGroup",
    "FileExistsError",
    "FileNotFoundError",
    "FloatingPointError",
    "FrozenInstanceError",
    "GeneratorExit",
    "IOError",
    "ImportError",
    "IndentationError",
    "IndexError",
    "InterruptedError",
    "InvalidOperation",
    "IsADirectoryError",
    "JSONDecodeError",
    "KeyError",
    "KeyboardInterrupt",
    "LookupError",
    "MemoryError",
    "ModuleNotFoundError",
    "NameError",
    "NotADirectoryError",
    "NotImplementedError",
    "OSError",
    "Overflow",
    "OverflowError",
    "PatternError",
    "PermissionError",
    "ProcessLookupError",
    "RecursionError",
    "ReferenceError",
    "RuntimeError",
    "StopAsyncIteration",
    "StopIteration",
    "SyntaxError",
    "SystemError",
    "SystemExit",
    "TOMLDecodeError",
    "TabError",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "UnicodeTranslateError",
    "ValueError",
    "ZeroDivisionError",
    "binascii.Error",
    "json.JSONDecodeError",
    "re.error",
];

/// What the server says itself.
const REASONS: &[&str] = &[
    "answer",
    "busy",
    "code_answer_invalid",
    "code_runtime_unavailable",
    "cpu_time",
    "crashed",
    "database",
    "lost",
    "memory",
    "quota_exceeded",
    "service_bytes",
    "service_calls",
    "service_values",
    "unavailable",
    "wall_time",
];

/// Why a run failed. Bounded, and free of NUL characters.
#[derive(Clone, PartialEq, Eq)]
pub struct RunError {
    kind: String,
    message: String,
    line: Option<u32>,
}

/// Without the message, which may have a user's data.
impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunError")
            .field("kind", &self.kind)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl RunError {
    /// The longest message that is kept, in bytes; a longer one is cut, with a mark.
    pub const MAX_MESSAGE: usize = 2048;

    /// Cuts what is too long. A `kind` that is none becomes `Exception`: code must not be able to
    /// make one up that tells its author the user's data.
    #[must_use]
    pub fn new(kind: &str, message: &str, line: Option<u32>) -> Self {
        let is_kind = EXCEPTIONS.contains(&kind) || REASONS.contains(&kind);
        let kind = if is_kind { kind } else { "Exception" };
        let end = message.floor_char_boundary(Self::MAX_MESSAGE);
        let mark = if end < message.len() { "..." } else { "" };
        let message = without_nul(format!("{}{mark}", &message[..end]));
        Self {
            kind: kind.to_owned(),
            message,
            line,
        }
    }

    /// Of a run whose server died.
    #[must_use]
    pub fn lost() -> Self {
        Self::new("lost", "The server that ran the job went away.", None)
    }

    /// The type of the exception, or the name of the limit that was reached.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it says. May contain the user's data.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line in the author's text, counted from 1.
    #[must_use]
    pub const fn line(&self) -> Option<u32> {
        self.line
    }
}

impl From<&CodeError> for RunError {
    fn from(error: &CodeError) -> Self {
        let (kind, line) = match error {
            CodeError::Exception {
                kind,
                message,
                line,
            } => return Self::new(kind, message, *line),
            CodeError::Syntax { message, line } => {
                return Self::new("SyntaxError", message, *line);
            }
            CodeError::LimitReached { limit } => (limit.name(), None),
            CodeError::Crashed => ("crashed", None),
            CodeError::Busy { .. } => ("busy", None),
            CodeError::Unavailable => ("unavailable", None),
            CodeError::QuotaExceeded { .. } => ("quota_exceeded", None),
        };
        Self::new(kind, &error.to_string(), line)
    }
}

/// The text with blanks for NUL characters: not every database takes those.
pub(crate) fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', " ")
    } else {
        text
    }
}

/// What the author of an assembly sees of a run: when, how long, what became of it and at which
/// line; neither for whom nor anything that may contain the user's data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorRun {
    /// Unique, time-ordered.
    pub id: RunId,
    /// What of the assembly ran.
    pub part: RunPart,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, waiting for services included.
    pub duration: Duration,
    /// The CPU time it used.
    pub cpu_time: Duration,
    /// What became of it.
    pub outcome: AuthorOutcome,
    /// Which try it was, counted from 1.
    pub attempt: u32,
    /// What it printed, if it ran for the author herself.
    pub output: Option<Output>,
}

/// What the author sees of an outcome.
#[derive(Clone, PartialEq, Eq)]
pub enum AuthorOutcome {
    /// The code returned.
    Succeeded,
    /// It didn't.
    Failed {
        /// The type of the exception, or the name of the limit that was reached.
        kind: String,
        /// The line in the author's text, counted from 1.
        line: Option<u32>,
        /// What the exception says, if it ran for the author herself.
        message: Option<String>,
    },
}

/// Without the message, which may have a user's data.
impl fmt::Debug for AuthorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("Succeeded"),
            Self::Failed { kind, line, .. } => f
                .debug_struct("Failed")
                .field("kind", kind)
                .field("line", line)
                .finish_non_exhaustive(),
        }
    }
}

impl AuthorRun {
    /// What `author` may see of `run`. The one place where that is decided.
    #[must_use]
    pub fn of(run: Run, author: UserId) -> Self {
        let is_own = run.user == author;
        Self {
            id: run.id,
            part: run.part,
            started_at: run.started_at,
            duration: run.duration,
            cpu_time: run.cpu_time,
            outcome: match run.outcome {
                RunOutcome::Succeeded => AuthorOutcome::Succeeded,
                RunOutcome::Failed(error) => AuthorOutcome::Failed {
                    kind: error.kind,
                    line: error.line,
                    message: is_own.then_some(error.message),
                },
            },
            attempt: run.attempt,
            output: is_own.then_some(run.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_cut_with_a_mark_and_has_a_kind_that_tells_nothing() {
        let long = format!("{}{}", "x".repeat(RunError::MAX_MESSAGE - 1), "ö and more");
        let error = RunError::new("ValueError", &long, Some(3));
        assert_eq!(error.kind(), "ValueError");
        assert_eq!(error.line(), Some(3));
        assert_eq!(
            error.message(),
            format!("{}...", "x".repeat(RunError::MAX_MESSAGE - 1))
        );
        let short = RunError::new("KeyError", "a\0b", None);
        assert_eq!(short.message(), "a b");
        for smuggled in ["", "her secret", "ö", "hersecret", "Her.Secret"] {
            assert_eq!(RunError::new(smuggled, "", None).kind(), "Exception");
        }
    }
}
