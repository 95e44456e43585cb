//! What a worker may say during one call, and how much of it.
//!
//! The worker's frames may come from code that has taken over its interpreter. Whatever they
//! are, they can only say what the code of this one user could have said anyway; everything else
//! ends the worker. No I/O here, so that all of it can be tested and fuzzed.

use pinyto_core::{
    json,
    runtime::{CodeError, CodeLimit, CodeLimits, Output, Service},
};
use serde_json::{Map, Value};

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
    Call(Service, Map<String, Value>),
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
        Output {
            truncated,
            text: self.output,
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
        if arguments.len() > service_bytes || nodes(arguments) > NODES {
            return Err(Breach::Limit(CodeLimit::ServiceBytes(service_bytes)));
        }
        // serde_json refuses what is nested more than 128 deep.
        let arguments = json::object(arguments).map_err(|_| Breach::Arguments)?;
        self.state = State::Asked;
        Ok(Step::Call(*service, arguments))
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
            }) => CodeError::Exception {
                kind: kind.to_owned(),
                message: message.to_owned(),
                line,
            },
            Err(WireError::Syntax { message, line }) => CodeError::Syntax {
                message: message.to_owned(),
                line,
            },
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(report: &Report<'_>) -> Vec<u8> {
        let mut stream = Vec::new();
        frame::write(report, &mut stream).unwrap();
        stream.split_off(frame::HEADER)
    }

    fn call(arguments: &str) -> Vec<u8> {
        content(&Report::Call {
            service: 3,
            arguments,
        })
    }

    fn finished(answer: &str) -> Vec<u8> {
        content(&Report::Finished {
            outcome: Ok(answer),
            truncated: false,
        })
    }

    fn limits() -> CodeLimits {
        let mut limits = CodeLimits::default();
        limits.answer = 100;
        limits.output = 10;
        limits.service_calls = 3;
        limits.service_bytes = 1_000_000;
        limits
    }

    #[test]
    fn a_call_waits_for_its_answer() {
        let limits = limits();
        let mut conversation = Conversation::new(&limits);
        let Step::Call(service, arguments) = conversation.take(&call(r#"{"a":1}"#)).unwrap() else {
            panic!("a call")
        };
        assert_eq!(service, Service::ALL[3]);
        assert_eq!(arguments["a"], 1);
        let pending = [call("{}"), finished("x"), content(&Report::Printed("x"))];
        for early in &pending {
            assert_eq!(conversation.take(early), Err(Breach::OutOfTurn));
        }
        conversation.answered();
        assert!(matches!(
            conversation.take(&finished("x")),
            Ok(Step::Finished { outcome: Ok(answer), .. }) if answer == "x"
        ));
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let limits = limits();
        let mut conversation = Conversation::new(&limits);
        conversation.take(&finished("x")).unwrap();
        assert_eq!(conversation.take(&finished("x")), Err(Breach::OutOfTurn));
    }

    #[test]
    fn what_belongs_to_the_start_of_a_worker_is_out_of_turn() {
        let limits = limits();
        let failed = content(&Report::Failed("x"));
        assert_eq!(
            Conversation::new(&limits).take(&failed),
            Err(Breach::OutOfTurn)
        );
    }

    #[test]
    fn the_limits_hold_whatever_the_worker_says() {
        let limits = limits();
        let mut conversation = Conversation::new(&limits);
        for _ in 0..3 {
            conversation.take(&call("{}")).unwrap();
            conversation.answered();
        }
        let too_many = Breach::Limit(CodeLimit::ServiceCalls(3));
        assert_eq!(conversation.take(&call("{}")), Err(too_many));

        let long = "x".repeat(101);
        let too_long = Breach::Limit(CodeLimit::Answer(100));
        assert_eq!(
            Conversation::new(&limits).take(&finished(&long)),
            Err(too_long)
        );

        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000));
        let many = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(NODES));
        for arguments in [large, many] {
            let too_large = Breach::Limit(CodeLimit::ServiceBytes(1_000_000));
            assert_eq!(
                Conversation::new(&limits).take(&call(&arguments)),
                Err(too_large)
            );
        }
    }

    #[test]
    fn output_ends_at_its_limit() {
        let limits = limits();
        let mut conversation = Conversation::new(&limits);
        let five = content(&Report::Printed("12345"));
        conversation.take(&five).unwrap();
        conversation.take(&five).unwrap();
        let more = content(&Report::Printed("1"));
        assert_eq!(conversation.take(&more), Err(Breach::Output));
        assert_eq!(conversation.into_output(true).text, "1234512345");
    }

    #[test]
    fn printing_nothing_is_no_way_to_keep_the_server_busy() {
        let limits = limits();
        let nothing = content(&Report::Printed(""));
        assert_eq!(
            Conversation::new(&limits).take(&nothing),
            Err(Breach::Output)
        );
    }

    #[test]
    fn arguments_are_an_object_of_bounded_depth() {
        let limits = limits();
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for arguments in ["[]", "1", "", "{", r#"{"a":1}x"#, &deep] {
            assert_eq!(
                Conversation::new(&limits).take(&call(arguments)),
                Err(Breach::Arguments),
                "{arguments}"
            );
        }
    }

    #[test]
    fn an_unknown_service_is_a_breach() {
        let limits = limits();
        for service in [9, 10, 255] {
            let unknown = content(&Report::Call {
                service,
                arguments: "{}",
            });
            assert_eq!(
                Conversation::new(&limits).take(&unknown),
                Err(Breach::Service)
            );
        }
    }

    #[test]
    fn an_exception_longer_than_the_worker_would_cut_it_is_a_breach() {
        let limits = limits();
        let long = "x".repeat(MESSAGE + 1);
        let exception = content(&Report::Finished {
            outcome: Err(WireError::Exception {
                kind: "ValueError",
                message: &long,
                line: None,
            }),
            truncated: false,
        });
        assert_eq!(
            Conversation::new(&limits).take(&exception),
            Err(Breach::Exception)
        );
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(frames in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..60), 0..8,
        )) {
            let limits = limits();
            let mut conversation = Conversation::new(&limits);
            for frame in &frames {
                if let Ok(Step::Call(..)) = conversation.take(frame) {
                    conversation.answered();
                }
            }
            prop_assert!(conversation.into_output(false).text.len() <= 10);
        }

        #[test]
        fn no_json_has_more_values_than_are_counted(
            texts in prop::collection::vec(r#"[a,\[\]{}"\\]{0,6}"#, 0..10),
        ) {
            let value = Value::from(vec![Value::from(texts.clone()), Value::Null]);
            let text = value.to_string();
            prop_assert!(nodes(&text) > texts.len());
            prop_assert!(nodes(&text) <= texts.len() + 5);
        }
    }
}
