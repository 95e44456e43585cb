//! Runs the body of a Python function, once and synchronously.
//!
//! The engine does no input or output of its own. What code asks for goes through [`Outside`],
//! and nothing that the code does can keep it from being stopped. CPU time is bounded by whoever
//! runs the process that this is in.

mod compile;
mod depth;
mod failure;
mod host;
mod inspect;
mod json;
mod modules;
mod names;
mod supplement;
mod wrap;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, rc::Rc};

use monty::RunProgress;
use monty_types::{
    ExtFunctionResult, MontyException, MontyObject, NameLookupResult, OsFunctionCall, PrintWriter,
    PrintWriterCallback, ResourceLimits, ResourceTracker,
};
use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits, Service};
use quick_cache::{Weighter, unsync::Cache};

use self::{
    compile::Compiled,
    host::{Host, Reply},
    json::{Purpose, WriteError},
};

/// What the engine asks its surroundings for.
pub(crate) trait Outside {
    /// Answers a call of a service. `arguments` is the text of a JSON object, the answer the text
    /// of a JSON value.
    fn call(&mut self, service: Service, arguments: String) -> Result<String, Refusal>;

    /// Takes what the code prints, as it comes. There is at most [`CodeLimits::output`] of it.
    fn print(&mut self, text: &str);
}

/// Why a service gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An exception is raised in the code.
    Raise {
        /// The type's name; a `RuntimeError` is raised if Python has none of that name.
        exception: String,
        /// What it says.
        message: String,
    },
    /// The code is stopped without its being asked. The outcome is then
    /// [`CodeError::Unavailable`]; whoever answered so knows better.
    End,
}

/// How a run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// A text that the code returned as it is, any other value as its JSON.
    pub(crate) outcome: Result<String, CodeError>,
    /// Whether the code printed more than [`CodeLimits::output`].
    pub(crate) truncated: bool,
}

/// How many compiled functions are kept, and how many bytes of their texts.
const KEPT: usize = 64;
const KEPT_BYTES: u64 = 4 * 1024 * 1024;

/// Runs code. Keeps what it has compiled.
pub(crate) struct Engine {
    compiled: Cache<String, Rc<Compiled>, TextLength>,
}

/// Weighs an entry by its text; nothing is weightless.
#[derive(Clone)]
struct TextLength;

impl Weighter<String, Rc<Compiled>> for TextLength {
    fn weight(&self, code: &String, _: &Rc<Compiled>) -> u64 {
        (code.len() as u64).max(KEPT_BYTES / KEPT as u64)
    }
}

impl Engine {
    /// An engine that has run something already, so that what the interpreter reads once at the
    /// beginning has been read.
    pub(crate) fn new() -> Self {
        let mut engine = Self {
            compiled: Cache::with_weighter(KEPT, KEPT_BYTES, TextLength),
        };
        let warm_up = "import random\nrequest.json\nrandom.random()\n\
                       return json.dumps([re.match('a+', 'aa').group(), str(datetime.datetime.now())])";
        let limits = CodeLimits::default();
        engine.run(warm_up, "{}", "", &limits, &mut Nothing);
        engine
    }

    /// Looks at code without running it.
    ///
    /// # Errors
    ///
    /// [`CodeError::Syntax`] if it can't be run, or if it can't be run without raising an
    /// exception for something that isn't there.
    pub(crate) fn check(&mut self, code: &str) -> Result<(), CodeError> {
        match &self.compiled(code)?.objection {
            Some(objection) => Err(objection.clone()),
            None => Ok(()),
        }
    }

    /// Runs code. `body` is the request, `user` the caller's name.
    pub(crate) fn run(
        &mut self,
        code: &str,
        body: &str,
        user: &str,
        limits: &CodeLimits,
        outside: &mut dyn Outside,
    ) -> Finished {
        let mut output = Output {
            left: limits.output,
            truncated: false,
        };
        let outcome = self.compiled(code).and_then(|compiled| {
            let host = Host::new(body, user, limits, outside);
            run(&compiled, host, &mut output)
        });
        Finished {
            outcome,
            truncated: output.truncated,
        }
    }

    fn compiled(&mut self, code: &str) -> Result<Rc<Compiled>, CodeError> {
        if let Some(compiled) = self.compiled.get(code) {
            return Ok(Rc::clone(compiled));
        }
        let compiled = Rc::new(compile::compile(code)?);
        self.compiled.insert(code.to_owned(), Rc::clone(&compiled));
        Ok(compiled)
    }
}

/// Surroundings without anything.
struct Nothing;

impl Outside for Nothing {
    fn call(&mut self, _: Service, _: String) -> Result<String, Refusal> {
        Err(Refusal::End)
    }

    fn print(&mut self, _: &str) {}
}

/// What may still be printed.
struct Output {
    left: usize,
    truncated: bool,
}

/// Hands on what is printed until there was enough of it.
struct Printer<'p> {
    output: &'p mut Output,
    outside: &'p mut dyn Outside,
}

impl<'p> Printer<'p> {
    fn new(output: &'p mut Output, host: &'p mut Host<'_>) -> Self {
        Self {
            output,
            outside: &mut *host.outside,
        }
    }
}

impl PrintWriterCallback for Printer<'_> {
    fn stdout_write(&mut self, output: Cow<'_, str>) -> Result<(), MontyException> {
        if self.output.truncated || output.is_empty() {
            return Ok(());
        }
        let mut end = output.len();
        if end > self.output.left {
            self.output.truncated = true;
            end = self.output.left;
            while !output.is_char_boundary(end) {
                end -= 1;
            }
        }
        self.output.left -= end;
        if let Some(text) = output.get(..end).filter(|text| !text.is_empty()) {
            self.outside.print(text);
        }
        Ok(())
    }

    fn stdout_push(&mut self, end: char) -> Result<(), MontyException> {
        self.stdout_write(Cow::Borrowed(end.encode_utf8(&mut [0; 4])))
    }
}

fn run(compiled: &Compiled, mut host: Host<'_>, output: &mut Output) -> Result<String, CodeError> {
    let limits = host.limits;
    let tracker = ResourceTracker::new(
        ResourceLimits::default()
            .max_memory(limits.memory)
            .max_feed_duration(limits.wall_time)
            .max_recursion_depth(limits.recursion),
    );
    let inputs = host.inputs(compiled.reads_json)?;
    // Why the code was stopped from here.
    let mut ended = None;
    let mut progress = {
        let mut printer = Printer::new(output, &mut host);
        compiled
            .program
            .clone()
            .start(inputs, tracker, PrintWriter::Callback(&mut printer))
    };
    loop {
        let step = match progress {
            Ok(step) => step,
            Err(exception) => {
                return Err(ended.unwrap_or_else(|| failure::of_run(&exception, compiled, limits)));
            }
        };
        progress = match step {
            RunProgress::Complete(value) => return answer(&value, limits),
            RunProgress::FunctionCall(call) => {
                let reply = host.call(call.object_id, &call.function_name, &call.args);
                let mut printer = Printer::new(output, &mut host);
                let print = PrintWriter::Callback(&mut printer);
                match reply {
                    Reply::Value(value) => call.resume(value, print),
                    Reply::Raise(exception) => call.resume(exception, print),
                    Reply::Unknown => {
                        let result = unknown_function(&call.function_name);
                        call.resume(result, print)
                    }
                    Reply::End(error) => {
                        ended = Some(error);
                        call.abort(stopped(), print)
                    }
                }
            }
            RunProgress::NameLookup(lookup) => {
                let answer = match lookup.object_id() {
                    Some(id) => host.attribute(id, &lookup.name),
                    None => Ok(None),
                };
                let mut printer = Printer::new(output, &mut host);
                let print = PrintWriter::Callback(&mut printer);
                match answer {
                    Ok(Some(value)) => lookup.resume(value, print),
                    Ok(None) => {
                        let hidden = match lookup.object_id() {
                            Some(_) => None,
                            None => modules::missing_name(&lookup.name),
                        };
                        let result = hidden.map_or(NameLookupResult::Undefined, |message| {
                            NameLookupResult::Error(failure::exception("NameError", message))
                        });
                        lookup.resume(result, print)
                    }
                    Err(error) => {
                        ended = Some(error);
                        lookup.abort(stopped(), print)
                    }
                }
            }
            RunProgress::OsCall(call) => {
                let result = match &call.function_call {
                    OsFunctionCall::Import(name) => host::module(name),
                    _ => None,
                };
                let result = result.map_or_else(
                    || ExtFunctionResult::Error(out_of_reach(&call.function_call)),
                    ExtFunctionResult::Return,
                );
                let mut printer = Printer::new(output, &mut host);
                call.resume(result, PrintWriter::Callback(&mut printer))
            }
            RunProgress::ResolveFutures(futures) => futures.abort(stopped(), PrintWriter::Disabled),
        };
    }
}

/// What ends the code. Nobody sees it but as the reason that was kept.
fn stopped() -> MontyException {
    failure::exception("RuntimeError", "the code was stopped")
}

fn unknown_function(name: &str) -> ExtFunctionResult {
    match modules::missing_name(name) {
        Some(message) => ExtFunctionResult::Error(failure::exception("NameError", message)),
        None => ExtFunctionResult::NotFound(name.to_owned()),
    }
}

/// What code is told that asks for something of the machine it runs on.
fn out_of_reach(call: &OsFunctionCall) -> MontyException {
    match call {
        OsFunctionCall::Import(name) => failure::exception(
            "ModuleNotFoundError",
            modules::missing(name).unwrap_or_else(|| format!("No module named '{name}'")),
        ),
        OsFunctionCall::Sleep(_) | OsFunctionCall::SystemSleep(_) => {
            failure::exception("PermissionError", "time.sleep: an assembly can't wait")
        }
        other => failure::exception(
            "PermissionError",
            format!("{}: an assembly can't reach it", other.name()),
        ),
    }
}

/// The answer of code that returned `value`.
fn answer(value: &MontyObject, limits: &CodeLimits) -> Result<String, CodeError> {
    let too_long = || failure::limit(CodeLimit::Answer(limits.answer));
    if let Some(text) = value.as_ref().as_str() {
        if text.len() > limits.answer {
            return Err(too_long());
        }
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    match json::write(&mut text, value.as_ref(), Purpose::Answer, limits.answer) {
        Ok(()) => Ok(text),
        Err(WriteError::TooLong) => Err(too_long()),
        Err(WriteError::Raise(kind, message)) => {
            let message = format!("the returned value: {message}");
            Err(CodeError::exception(kind, message))
        }
    }
}
