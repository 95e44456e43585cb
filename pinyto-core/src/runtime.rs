//! What runs the code of assemblies, and what that code may ask for.
//!
//! The core knows no interpreter. It hands a [`CodeCall`] to a [`CodeRuntime`] together with the
//! [`Services`] of the one user the code runs for, and gets an [`Execution`] back, whatever the
//! code did. The crate `pinyto-sandbox` runs Python in locked-down processes; an integrator may
//! plug in something else:
//!
//! 1. [`CodeRuntime::run`] calls [`Services::begin`] when the code's turn has come, executes it,
//!    calls [`Services::call`] for each thing it asks for, and enforces the [`CodeLimits`].
//! 2. What the code can't be trusted with (whose documents these are, how many may be read) is
//!    decided behind [`Services`]; a runtime only carries arguments in and answers out.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    assembly::AssemblyRef,
    clock::Timestamp,
    id::{AssemblyId, UserId},
    quota::Quota,
    run::{RunError, RunPart},
    user::{User, UserName},
};

/// Runs the code of assemblies.
#[async_trait]
pub trait CodeRuntime: Send + Sync {
    /// Looks at code without running it, so that its author learns when she saves it what would
    /// fail whenever it is called.
    async fn check(&self, author: UserId, code: &str) -> Checked;

    /// Runs the code once, unless [`Services::begin`] refuses that. Never takes much longer than [`CodeLimits::wall_time`] after it has
    /// begun.
    ///
    /// Dropping the future ends the execution; then nobody learns what it has used.
    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution;
}

/// What a look at code has told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// [`CodeError::Syntax`] if it can't be run, [`CodeError::Unavailable`] or
    /// [`CodeError::Busy`] if that can't be told now.
    pub outcome: Result<(), CodeError>,
    /// The CPU time used.
    pub cpu_time: Duration,
}

impl Checked {
    /// What the look has told, and the CPU time it took.
    #[must_use]
    pub const fn new(outcome: Result<(), CodeError>, cpu_time: Duration) -> Self {
        Self { outcome, cpu_time }
    }
}

/// What is to be run.
#[derive(Clone)]
#[non_exhaustive]
pub struct CodeCall {
    /// The body of a Python function with the parameters `request`, `db` and `factory`.
    pub code: Arc<str>,
    /// For whom. What runs for one user shares no process with what has run for another.
    pub user: UserId,
    /// Whose code it is. What runs of one assembly shares no process with what has run of another.
    pub assembly: AssemblyId,
    /// What that is called now. Its author may rename it; nobody else's has the name meanwhile.
    pub assembly_name: AssemblyRef,
    /// Which of its functions or jobs it is.
    pub part: RunPart,
    /// Her name: `request.user`.
    pub user_name: UserName,
    /// The request without its token, the text of a JSON object: `request.body`.
    pub body: Arc<str>,
    /// What it may use.
    pub limits: CodeLimits,
}

/// Tells neither the code nor the request, only how long they are.
impl fmt::Debug for CodeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeCall")
            .field("code", &format_args!("{} bytes", self.code.len()))
            .field("user", &self.user)
            .field("assembly", &self.assembly)
            .field("assembly_name", &self.assembly_name)
            .field("part", &self.part)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("limits", &self.limits)
            .finish()
    }
}

impl CodeCall {
    /// The code of a part of an assembly that is to run for a user, with an empty request and the
    /// default limits.
    #[must_use]
    pub fn new(
        code: impl Into<Arc<str>>,
        user: User,
        assembly: (AssemblyId, AssemblyRef),
        part: RunPart,
    ) -> Self {
        let (assembly, assembly_name) = assembly;
        Self {
            code: code.into(),
            user: user.id,
            assembly,
            assembly_name,
            part,
            user_name: user.name,
            body: "{}".into(),
            limits: CodeLimits::default(),
        }
    }
}

/// What one call may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeLimits {
    /// CPU time. Default: 1 s.
    pub cpu_time: Duration,
    /// Time from the beginning to the end, waiting for services included. Default: 30 s.
    pub wall_time: Duration,
    /// Bytes of memory. Default: 64 MiB.
    pub memory: usize,
    /// Calls within calls. Default: 200.
    pub recursion: usize,
    /// Bytes of the answer. Default: 4 MiB.
    pub answer: usize,
    /// Bytes of printed output that are kept; more is dropped, with a mark. Default: 16 KiB.
    pub output: usize,
    /// How many services may be called. Default: 1000.
    pub service_calls: usize,
    /// Bytes of the arguments of one service call, and of its answer. Default: 4 MiB.
    pub service_bytes: usize,
}

impl Default for CodeLimits {
    fn default() -> Self {
        Self {
            cpu_time: Duration::from_secs(1),
            wall_time: Duration::from_secs(30),
            memory: 64 * 1024 * 1024,
            recursion: 200,
            answer: 4 * 1024 * 1024,
            output: 16 * 1024,
            service_calls: 1000,
            service_bytes: 4 * 1024 * 1024,
        }
    }
}

/// What became of a call.
#[derive(Clone)]
#[non_exhaustive]
pub struct Execution {
    /// What the code returned, as the text of a JSON value: a text that it returned as it is
    /// (which may be no JSON at all), any other value as its JSON.
    pub outcome: Result<String, CodeError>,
    /// The CPU time used, measured from outside of the code.
    pub cpu_time: Duration,
    /// What the code printed.
    pub output: Output,
}

/// Tells sizes only: it may have a user's data.
impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome.as_ref();
        let outcome = outcome.map(|text| format!("{} bytes", text.len()));
        f.debug_struct("Execution")
            .field("outcome", &outcome)
            .field("cpu_time", &self.cpu_time)
            .field("output", &self.output)
            .finish()
    }
}

impl Execution {
    /// What the code returned, and the CPU time it used. It has printed nothing.
    #[must_use]
    pub fn new(outcome: Result<String, CodeError>, cpu_time: Duration) -> Self {
        Self {
            outcome,
            cpu_time,
            output: Output::default(),
        }
    }

    /// The same of code that has printed this.
    #[must_use]
    pub fn with_output(self, output: Output) -> Self {
        Self { output, ..self }
    }
}

/// What code has printed.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// The beginning of it.
    pub text: String,
    /// Whether there was more.
    pub truncated: bool,
}

/// Tells sizes only: it may have a user's data.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("truncated", &self.truncated)
            .finish()
    }
}

impl Output {
    /// All that the code has printed.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            truncated: false,
        }
    }

    /// The same text as the beginning of more.
    #[must_use]
    pub fn truncated(self) -> Self {
        Self {
            truncated: true,
            ..self
        }
    }
}

/// Why code gave no answer.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// It raised an exception and didn't catch it.
    #[error("{kind}: {message}{}", at(*.line))]
    #[non_exhaustive]
    Exception {
        /// The type of the exception.
        kind: String,
        /// What it says.
        message: String,
        /// The line in the author's text, counted from 1.
        line: Option<u32>,
    },
    /// It can't be run: a mistake in the syntax, or something the interpreter doesn't know.
    #[error("{message}{}", at(*.line))]
    #[non_exhaustive]
    Syntax {
        /// What is wrong.
        message: String,
        /// The line in the author's text, counted from 1.
        line: Option<u32>,
    },
    /// It used up what it was given.
    #[error("The code was stopped: {limit}.")]
    LimitReached {
        /// What there was too much of.
        limit: CodeLimit,
    },
    /// Its process ended although no limit was reached.
    #[error("The code made its interpreter crash.")]
    Crashed,
    /// Too many calls wait already.
    #[error("Too much code waits to be run. Try again later.")]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Nothing can be run at present; the reason is in the server's log.
    #[error("The code can't be run now. Try again later.")]
    Unavailable,
    /// The user has used up what she may use within a time, while the code waited for its turn.
    #[error("You have used up your {limit}. There is more at {reset}.")]
    QuotaExceeded {
        /// What she may use.
        limit: Quota,
        /// When there is more.
        reset: Timestamp,
        /// How long that takes.
        retry_after: Duration,
    },
}

impl CodeError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exception { .. } => "code_exception",
            Self::Syntax { .. } => "code_invalid",
            Self::LimitReached { .. } => "code_limit_reached",
            Self::Crashed => "code_crashed",
            Self::Busy { .. } => "busy",
            Self::Unavailable => "code_runtime_unavailable",
            Self::QuotaExceeded { .. } => "quota_exceeded",
        }
    }
}

/// Without the message, which may have a user's data.
impl fmt::Debug for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The rule for what an author is told holds here as well: no names that were made up.
            Self::Exception { line, .. } | Self::Syntax { line, .. } => f
                .debug_struct(self.code())
                .field("kind", &RunError::from(self).kind())
                .field("line", line)
                .finish_non_exhaustive(),
            Self::LimitReached { limit } => f.debug_tuple("LimitReached").field(limit).finish(),
            Self::Crashed => f.write_str("Crashed"),
            Self::Busy { retry_after } => f.debug_tuple("Busy").field(retry_after).finish(),
            Self::Unavailable => f.write_str("Unavailable"),
            Self::QuotaExceeded { limit, reset, .. } => f
                .debug_struct("QuotaExceeded")
                .field("limit", limit)
                .field("reset", reset)
                .finish_non_exhaustive(),
        }
    }
}

impl CodeError {
    /// An exception of a type, with what it says.
    pub fn exception(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Exception {
            kind: kind.into(),
            message: message.into(),
            line: None,
        }
    }

    /// Code that can't be run, with what is wrong.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::Syntax {
            message: message.into(),
            line: None,
        }
    }

    /// The same error at a line of the author's text, counted from 1, if it is one that has a line:
    /// [`CodeError::Exception`] or [`CodeError::Syntax`].
    #[must_use]
    pub fn at_line(mut self, at: impl Into<Option<u32>>) -> Self {
        if let Self::Exception { line, .. } | Self::Syntax { line, .. } = &mut self {
            *line = at.into();
        }
        self
    }
}

fn at(line: Option<u32>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

/// A limit that was reached, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeLimit {
    /// [`CodeLimits::cpu_time`].
    #[error("it used more than {} s of CPU time", .0.as_secs_f64())]
    CpuTime(Duration),
    /// [`CodeLimits::wall_time`].
    #[error("it took longer than {} s", .0.as_secs_f64())]
    WallTime(Duration),
    /// [`CodeLimits::memory`].
    #[error("it used more than {0} bytes of memory")]
    Memory(usize),
    /// [`CodeLimits::answer`].
    #[error("its answer has more than {0} bytes")]
    Answer(usize),
    /// [`CodeLimits::service_calls`].
    #[error("it called db and Http more than {0} times")]
    ServiceCalls(usize),
    /// Values (texts, numbers, lists, ...) in the arguments of one call of a service, which take
    /// much more memory than their text.
    #[error("it handed more than {0} values to db or Http in one call")]
    ServiceValues(usize),
    /// [`QueryLimits::all_together`](crate::document::QueryLimits::all_together).
    #[error("the database worked for it for more than {} s", .0.as_secs_f64())]
    Database(Duration),
    /// [`CodeLimits::service_bytes`].
    #[error("it handed more than {0} bytes to db or Http in one call, or asked for as much")]
    ServiceBytes(usize),
}

impl CodeLimit {
    /// The stable name of the limit for programs: [`CodeLimit::name`].
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.name()
    }

    /// The stable name of the limit, as in logs: `cpu_time`, `memory`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuTime(_) => "cpu_time",
            Self::WallTime(_) => "wall_time",
            Self::Memory(_) => "memory",
            Self::Answer(_) => "answer",
            Self::ServiceCalls(_) => "service_calls",
            Self::ServiceBytes(_) => "service_bytes",
            Self::ServiceValues(_) => "service_values",
            Self::Database(_) => "database",
        }
    }
}

/// What code may ask for. Answers concern the one user the code runs for.
#[async_trait]
pub trait Services: Send + Sync {
    /// Asks whether the code may still run, now that it would begin: whatever waited for its turn
    /// meanwhile may have used up what the user has. By default it may.
    ///
    /// # Errors
    ///
    /// Why it may not. Then it is not run, and the error is its outcome.
    async fn begin(&self) -> Result<(), CodeError> {
        Ok(())
    }

    /// Answers a call with the text of a JSON value. `arguments`, the text of a JSON object, come
    /// from the code: their names and types are checked here.
    ///
    /// # Errors
    ///
    /// [`ServiceError`], to be raised in the code.
    async fn call(&self, service: Service, arguments: &str) -> Result<String, ServiceError>;
}

/// The services there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// `db.find` and `db.find_documents`.
    Find,
    /// `db.find_document_for_id`.
    FindDocumentForId,
    /// `db.find_distinct`.
    FindDistinct,
    /// `db.count`.
    Count,
    /// `db.insert`.
    Insert,
    /// `db.save`.
    Save,
    /// `db.remove`.
    Remove,
    /// `factory.create("Http").get`.
    HttpGet,
    /// `factory.create("Http").post`.
    HttpPost,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Find,
        Self::FindDocumentForId,
        Self::FindDistinct,
        Self::Count,
        Self::Insert,
        Self::Save,
        Self::Remove,
        Self::HttpGet,
        Self::HttpPost,
    ];

    /// The names of the arguments in the order of their positions, the required ones first, and
    /// how many of them are required.
    #[must_use]
    pub const fn parameters(self) -> (&'static [&'static str], usize) {
        match self {
            Self::Find => (&["query", "skip", "limit", "sorting", "sort_direction"], 1),
            Self::FindDocumentForId => (&["id"], 1),
            Self::FindDistinct => (&["query", "attribute"], 2),
            Self::Count => (&["query"], 1),
            Self::Insert | Self::Save | Self::Remove => (&["document"], 1),
            Self::HttpGet => (&["url"], 1),
            Self::HttpPost => (&["url", "data"], 2),
        }
    }
}

/// Why a service gave no answer.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Something the code may catch.
    #[error("{}: {message}", .exception.name())]
    Raised {
        /// The type of the exception.
        exception: ServiceException,
        /// What it says.
        message: String,
    },
    /// Something that ends the code without its being asked.
    #[error("{0}")]
    Ended(CodeError),
}

impl ServiceError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Raised { .. } => "service_raised",
            Self::Ended(error) => error.code(),
        }
    }
}

/// Without the message, which may have a user's data.
impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised { exception, .. } => f
                .debug_struct("Raised")
                .field("exception", exception)
                .finish_non_exhaustive(),
            Self::Ended(error) => f.debug_tuple("Ended").field(error).finish(),
        }
    }
}

impl ServiceError {
    /// A [`ServiceError::Raised`].
    pub fn raised(exception: ServiceException, message: impl Into<String>) -> Self {
        Self::Raised {
            exception,
            message: message.into(),
        }
    }
}

/// For native code, which has its services with `?`: what they raise and it doesn't catch is an
/// exception of that type and message, what ends it is why it ended.
impl From<ServiceError> for CodeError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Raised { exception, message } => {
                Self::exception(exception.name(), message)
            }
            ServiceError::Ended(error) => error,
        }
    }
}

/// The types of the exceptions that services raise, named as in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceException {
    /// `TypeError`: an argument is missing, unknown or of the wrong type.
    Type,
    /// `ValueError`: an argument's value makes no sense.
    Value,
    /// `KeyError`: a document without `_id`.
    Key,
    /// `LookupError`: no such document.
    Lookup,
    /// `PermissionError`: not allowed.
    Permission,
    /// `RuntimeError`: everything else.
    Runtime,
}

impl ServiceException {
    /// The name of the type in Python.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Type => "TypeError",
            Self::Value => "ValueError",
            Self::Key => "KeyError",
            Self::Lookup => "LookupError",
            Self::Permission => "PermissionError",
            Self::Runtime => "RuntimeError",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_raises_is_what_native_code_raises() {
        let raised = ServiceError::raised(ServiceException::Lookup, "No such document.");
        let expected = CodeError::exception("LookupError", "No such document.");
        assert_eq!(CodeError::from(raised), expected);
        let ended = ServiceError::Ended(CodeError::Unavailable);
        assert_eq!(CodeError::from(ended), CodeError::Unavailable);
    }
}
