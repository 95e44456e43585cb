//! Runs code as an assembly's author writes it.

mod bundled;
mod conversions;
mod corpus;
mod hostile;
mod language;
mod objects;
mod wrapping;

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;

/// Surroundings that answer what they were told to, one call after the other, and keep what they
/// were asked. Without an answer left they give `null`.
#[derive(Default)]
struct Script {
    answers: VecDeque<Result<String, Refusal>>,
    calls: Vec<(Service, Value)>,
    printed: String,
}

impl Script {
    fn answering(answers: impl IntoIterator<Item = Value>) -> Self {
        Self {
            answers: answers
                .into_iter()
                .map(|answer| Ok(answer.to_string()))
                .collect(),
            ..Self::default()
        }
    }
}

impl Outside for Script {
    fn call(&mut self, service: Service, arguments: String) -> Result<String, Refusal> {
        let arguments = serde_json::from_str(&arguments).unwrap();
        self.calls.push((service, arguments));
        let answer = self.answers.pop_front();
        answer.unwrap_or_else(|| Ok("null".to_owned()))
    }

    fn print(&mut self, text: &str) {
        self.printed.push_str(text);
    }
}

/// The limits as they are by default, but for what `change` does.
fn limits(change: impl FnOnce(&mut CodeLimits)) -> CodeLimits {
    let mut limits = CodeLimits::default();
    change(&mut limits);
    limits
}

fn run_with(code: &str, body: &str, script: &mut Script) -> Finished {
    Engine::new().run(code, body, "jana", &CodeLimits::default(), script)
}

fn outcome(code: &str) -> Result<String, CodeError> {
    run_with(code, "{}", &mut Script::default()).outcome
}

/// What code returns, read as JSON.
fn returned(code: &str) -> Value {
    let text = outcome(code).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The type, text and line of the exception that code ends with.
fn raised(code: &str) -> (String, String, Option<u32>) {
    match outcome(code) {
        Err(CodeError::Exception {
            kind,
            message,
            line,
            ..
        }) => (kind, message, line),
        other => panic!("{code}\nraised nothing: {other:?}"),
    }
}

/// The text and line of what is refused about code.
fn refused(code: &str) -> (String, Option<u32>) {
    match Engine::new().check(code) {
        Err(CodeError::Syntax { message, line, .. }) => (message, line),
        other => panic!("{code}\nwas not refused: {other:?}"),
    }
}
