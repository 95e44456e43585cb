//! What a worker may say during one call, and how much of it.
//!
//! The worker's frames may come from code that has taken over its interpreter. Whatever they
//! are, they can only say what the code of this one user could have said anyway; everything else
//! ends the worker. No I/O here, so that all of it can be tested and fuzzed.

use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits, Output, Service};
use serde::de::IgnoredAny;

use crate::{
    frame::{self, ALLOWANCE, FrameError, KIND, MESSAGE, Report, WireError},
    worker::AT_ONCE,
};

/// JSON values in the arguments of one call. A byte of JSON can become 30 bytes in memory; this
/// bounds what the server spends on a call that has nothing but empty arrays in it.
const NODES: usize = 200_000;

/// Frames of printed text in one call.
const PRINTS: usize = 4096;

/// One call, seen from the server.
pub(crate) struct Conversation<'a> {
    limits: &'a CodeLimits,
    calls: usize,
    prints: usize,
    output: String,
    /// What is expected next.
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The code runs.
    Running,
    /// A service was called and has to answer.
    Asked,
    /// The code has ended.
    Over,
}

/// What the worker wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing; it printed.
    Nothing,
    /// A service.
    Call(Service, String),
    /// Nothing any more.
    Finished {
        outcome: Result<String, CodeError>,
        truncated: bool,
    },
}

/// Why the worker has to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    /// The code exceeds a limit, which the worker should have said itself.
    #[error("{0}")]
    Limit(CodeLimit),
    /// No worker says that.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// Not now.
    #[error("a frame that nobody waited for")]
    OutOfTurn,
    /// No such service.
    #[error("an unknown service")]
    Service,
    /// Arguments that are no object, or nested too deeply.
    #[error("arguments that can't be read")]
    Arguments,
    /// More was printed than is kept, or in too many pieces.
    #[error("more output than there may be")]
    Output,
    /// An exception longer than there are.
    #[error("an exception that is too long")]
    Exception,
}

impl<'a> Conversation<'a> {
    pub(crate) fn new(limits: &'a CodeLimits) -> Self {
        Self {
            limits,
            calls: 0,
            prints: 0,
            output: String::new(),
            state: State::Running,
        }
    }

    /// The bytes of the longest frame that may come.
    pub(crate) fn longest(&self) -> usize {
        let CodeLimits {
            answer,
            output,
            service_bytes,
            ..
        } = *self.limits;
        answer
            .max(output)
            .max(service_bytes)
            .saturating_add(ALLOWANCE)
    }

    /// Takes the content of a frame.
    pub(crate) fn take(&mut self, content: &[u8]) -> Result<Step, Breach> {
        if self.state != State::Running {
            return Err(Breach::OutOfTurn);
        }
        match frame::read(content)? {
            Report::Printed(text) => self.printed(text),
            Report::Call { service, arguments } => self.call(service, arguments),
            Report::Finished { outcome, truncated } => {
                self.state = State::Over;
                Ok(Step::Finished {
                    outcome: self.outcome(outcome)?,
                    truncated,
                })
            }
            Report::Ready(_) | Report::Failed(_) => Err(Breach::OutOfTurn),
        }
    }

    /// The service that was called has answered: the code goes on.
    pub(crate) fn answered(&mut self) {
        self.state = State::Running;
    }

    /// Whether the code runs, so that it may print.
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether all that the code has printed has arrived, if the worker has ended in the middle. One
    /// that has printed often gathers what it prints then.
    pub(crate) fn has_heard_all(&self) -> bool {
        self.prints < AT_ONCE && self.has_room()
    }

    /// Whether more could be printed. If not, the worker may have dropped something.
    pub(crate) fn has_room(&self) -> bool {
        let room = self.limits.output.saturating_sub(self.output.len());
        // It cuts between characters, which have up to four bytes.
        room > 3
    }

    /// What was printed until now.
    pub(crate) fn into_output(self, truncated: bool) -> Output {
        let output = Output::new(self.output);
        if truncated {
            output.truncated()
        } else {
            output
        }
    }

    fn printed(&mut self, text: &str) -> Result<Step, Breach> {
        self.prints += 1;
        let room = self.limits.output.saturating_sub(self.output.len());
        if self.prints > PRINTS || text.is_empty() || text.len() > room {
            return Err(Breach::Output);
        }
        self.output.push_str(text);
        Ok(Step::Nothing)
    }

    fn call(&mut self, service: u8, arguments: &str) -> Result<Step, Breach> {
        let service = Service::ALL
            .get(usize::from(service))
            .ok_or(Breach::Service)?;
        let CodeLimits {
            service_calls,
            service_bytes,
            ..
        } = *self.limits;
        self.calls += 1;
        if self.calls > service_calls {
            return Err(Breach::Limit(CodeLimit::ServiceCalls(service_calls)));
        }
        if arguments.len() > service_bytes {
            return Err(Breach::Limit(CodeLimit::ServiceBytes(service_bytes)));
        }
        if nodes(arguments) > NODES {
            return Err(Breach::Limit(CodeLimit::ServiceValues(NODES)));
        }
        if !arguments.starts_with('{') || serde_json::from_str::<IgnoredAny>(arguments).is_err() {
            return Err(Breach::Arguments);
        }
        self.state = State::Asked;
        Ok(Step::Call(*service, arguments.to_owned()))
    }

    fn outcome(
        &self,
        outcome: Result<&str, WireError<'_>>,
    ) -> Result<Result<String, CodeError>, Breach> {
        Ok(Err(match outcome {
            Ok(answer) if answer.len() > self.limits.answer => {
                return Err(Breach::Limit(CodeLimit::Answer(self.limits.answer)));
            }
            Ok(answer) => return Ok(Ok(answer.to_owned())),
            Err(WireError::Exception { kind, message, .. })
                if kind.len() > KIND || message.len() > MESSAGE =>
            {
                return Err(Breach::Exception);
            }
            Err(WireError::Syntax { message, .. }) if message.len() > MESSAGE => {
                return Err(Breach::Exception);
            }
            Err(WireError::Exception {
                kind,
                message,
                line,
            }) => CodeError::exception(kind, message).at_line(line),
            Err(WireError::Syntax { message, line }) => CodeError::syntax(message).at_line(line),
            Err(WireError::Limit(limit)) => CodeError::LimitReached {
                limit: limit.of(self.limits),
            },
            Err(WireError::Crashed) => CodeError::Crashed,
        }))
    }
}

/// How many values a JSON text has at most, told without building them.
fn nodes(text: &str) -> usize {
    let (mut nodes, mut quoted, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = byte == b'\\';
            quoted = byte != b'"';
        } else {
            quoted = byte == b'"';
            nodes += usize::from(matches!(byte, b',' | b'[' | b'{'));
        }
    }
    nodes
}

#[cfg(test)]
mod tests;
