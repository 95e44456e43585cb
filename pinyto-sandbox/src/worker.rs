//! The worker process: reads orders from its socket, runs code, reports.

use std::{
    env,
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    process::exit,
};

use monty_alloc::set_hard_limit;
use monty_types::{OOM_EXIT_CODE, memory_limit_with_headroom};
use pinyto_core::runtime::{CodeError, CodeLimits, Service};
use rustix::{
    io::{Errno, read, write},
    net::{Shutdown, shutdown},
};

use crate::{
    engine::{Engine, Finished, Outside, Refusal},
    frame::{self, HEADER, Lockdown, Order, Report, WireError},
    lockdown::{self, LockdownError},
};

/// What a worker is called in the process list, and how it knows that it is one.
pub(crate) const NAME: &str = "pinyto-code-worker";

/// The exit code of a worker whose memory was used up.
pub(crate) const OUT_OF_MEMORY: i32 = OOM_EXIT_CODE;

/// The exit code of a worker that couldn't go on; its report says why if there was one.
const FAILED: i32 = 70;

/// Bytes of an order that the worker takes; the server doesn't send longer ones.
const LONGEST_ORDER: usize = 256 * 1024 * 1024;

/// Bytes of printed text that are gathered into one frame.
const GATHERED: usize = 1024;

/// So many pieces of printed text go out at once, before gathering begins: what was printed just
/// before an endless loop is what an author looks for.
pub(crate) const AT_ONCE: usize = 64;

/// Code of a test that is run instead of the interpreter.
pub(crate) type Hook = fn(code: &str) -> Option<String>;

/// Becomes a worker if this process was started as one, and then never returns. In an ordinary
/// start it does nothing.
///
/// A program that runs code has to call this first thing in `main`, before it starts a thread or
/// opens anything: workers are the program's own executable started again.
///
/// ```no_run
/// #[global_allocator]
/// static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;
///
/// fn main() {
///     pinyto_sandbox::run_worker_if_asked();
///     // The program itself.
/// }
/// ```
pub fn run_worker_if_asked() {
    run_if_asked(None);
}

/// Whether this process was started to become a worker.
fn is_asked() -> bool {
    env::args_os().next().is_some_and(|name| name == NAME) && lockdown::has_socket()
}

/// Hangs up if this process was started to become a worker and didn't, so that the server needn't
/// wait for it; says whether that is so.
pub(crate) fn decline_if_asked() -> bool {
    let asked = is_asked();
    if asked {
        // It fails only if the server is gone.
        let _ = shutdown(lockdown::socket(), Shutdown::Both);
    }
    asked
}

pub(crate) fn run_if_asked(hook: Option<Hook>) {
    if !is_asked() {
        return;
    }
    let arguments: Vec<OsString> = env::args_os().take(5).collect();
    // Nothing of the program that embeds the library may run after code has.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Start::parse(&arguments).map(|start| work(&start, hook))
    }));
    exit(if matches!(outcome, Ok(Some(()))) {
        0
    } else {
        FAILED
    });
}

/// What the server tells a worker on its command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Bytes of memory that the process may have.
    pub(crate) memory: u64,
    /// Seconds of CPU time after which the kernel ends it.
    pub(crate) cpu: u64,
    /// Whether it works without a filter of system calls too.
    pub(crate) allow_unconfined: bool,
}

impl Start {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let [_, memory, cpu, mode] = arguments else {
            return None;
        };
        Some(Self {
            memory: memory.to_str()?.parse().ok()?,
            cpu: cpu.to_str()?.parse().ok()?,
            allow_unconfined: match mode.to_str()? {
                "confined" => false,
                "unconfined" => true,
                _ => return None,
            },
        })
    }

    /// The arguments behind the name.
    pub(crate) fn arguments(&self) -> [String; 3] {
        let mode = if self.allow_unconfined {
            "unconfined"
        } else {
            "confined"
        };
        [
            self.memory.to_string(),
            self.cpu.to_string(),
            mode.to_owned(),
        ]
    }
}

fn work(start: &Start, hook: Option<Hook>) {
    let mut line = Line::default();
    let mut engine = match lock_down(start) {
        Ok((engine, lockdown)) => {
            line.send(&Report::Ready(lockdown));
            engine
        }
        Err(error) => {
            line.send(&Report::Failed(&error.to_string()));
            exit(FAILED);
        }
    };
    let mut order = Vec::new();
    loop {
        receive(&mut order);
        match frame::read(&order) {
            Ok(Order::Run {
                code,
                body,
                user,
                limits,
            }) => {
                let limits = CodeLimits::from(limits);
                bound_memory(&limits);
                let finished = match hook.and_then(|hook| hook(code)) {
                    Some(answer) => Finished {
                        outcome: Ok(answer),
                        truncated: false,
                    },
                    None => engine.run(code, body, user, &limits, &mut line),
                };
                line.finish(&finished.outcome, finished.truncated);
            }
            Ok(Order::Check { code, limits }) => {
                bound_memory(&limits.into());
                let outcome = engine.check(code).map(|()| String::new());
                line.finish(&outcome, false);
            }
            // Answers are awaited elsewhere.
            Ok(Order::Answer(_) | Order::Raise { .. }) | Err(_) => exit(FAILED),
        }
        line.rest();
        order = Vec::new();
    }
}

fn lock_down(start: &Start) -> Result<(Engine, Lockdown), LockdownError> {
    lockdown::prepare(start.memory, start.cpu)?;
    let engine = Engine::new();
    let allocator = set_hard_limit(None).is_ok();
    let (landlock, seccomp) = lockdown::seal(!start.allow_unconfined)?;
    let lockdown = Lockdown {
        seccomp,
        landlock,
        allocator,
    };
    Ok((engine, lockdown))
}

/// Sets the limit at which the process ends itself, a little above the one of the interpreter.
fn bound_memory(limits: &CodeLimits) {
    // Without the allocator only the process as a whole is bounded; the server has been told.
    let _ = set_hard_limit(memory_limit_with_headroom(Some(limits.memory), false));
}

/// The worker's end of the socket.
#[derive(Default)]
struct Line {
    out: Vec<u8>,
    printed: String,
    prints: usize,
}

impl Line {
    fn send(&mut self, report: &Report<'_>) {
        if frame::write(report, &mut self.out).is_err() {
            exit(FAILED);
        }
        let mut rest = &self.out[..];
        while !rest.is_empty() {
            match write(lockdown::socket(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                // The server is gone.
                Err(_) => exit(0),
            }
        }
        self.out.clear();
    }

    /// Puts what was printed in front of what is sent next.
    fn put_printed(&mut self) {
        let printed = std::mem::take(&mut self.printed);
        if !printed.is_empty() && frame::write(&Report::Printed(&printed), &mut self.out).is_err() {
            exit(FAILED);
        }
    }

    fn finish(&mut self, outcome: &Result<String, CodeError>, truncated: bool) {
        self.put_printed();
        self.send(&Report::Finished {
            outcome: outcome.as_deref().map_err(WireError::new),
            truncated,
        });
    }

    /// Forgets what the last call needed.
    fn rest(&mut self) {
        *self = Self::default();
    }
}

impl Outside for Line {
    fn call(&mut self, service: Service, arguments: String) -> Result<String, Refusal> {
        self.put_printed();
        self.send(&Report::Call {
            service: frame::number(service),
            arguments: &arguments,
        });
        drop(arguments);
        let mut order = Vec::new();
        receive(&mut order);
        match frame::read(&order) {
            Ok(Order::Answer(answer)) => Ok(answer.to_owned()),
            Ok(Order::Raise { exception, message }) => Err(Refusal::Raise {
                exception: exception.to_owned(),
                message: message.to_owned(),
            }),
            Ok(_) | Err(_) => exit(FAILED),
        }
    }

    fn print(&mut self, text: &str) {
        self.printed.push_str(text);
        if self.prints < AT_ONCE || self.printed.len() >= GATHERED {
            self.prints += 1;
            let printed = std::mem::take(&mut self.printed);
            if !printed.is_empty() {
                self.send(&Report::Printed(&printed));
            }
        }
    }
}

/// Waits for an order and puts its content into `order`.
fn receive(order: &mut Vec<u8>) {
    let mut header = [0; HEADER];
    fill(&mut header);
    let Ok(length) = frame::length(header, LONGEST_ORDER) else {
        exit(FAILED)
    };
    order.clear();
    order.resize(length, 0);
    fill(order);
}

fn fill(mut buffer: &mut [u8]) {
    while !buffer.is_empty() {
        match read(lockdown::socket(), &mut *buffer) {
            // The server has hung up: the ordinary end of a worker.
            Ok(0) => exit(0),
            Ok(read) => buffer = &mut buffer[read..],
            Err(Errno::INTR) => {}
            Err(_) => exit(FAILED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_the_command_line_is_what_the_worker_reads() {
        for allow_unconfined in [false, true] {
            let start = Start {
                memory: 5,
                cpu: 6,
                allow_unconfined,
            };
            let mut arguments = vec![OsString::from(NAME)];
            arguments.extend(start.arguments().map(OsString::from));
            assert_eq!(Start::parse(&arguments), Some(start));
        }
    }

    #[test]
    fn an_ordinary_start_is_no_worker() {
        run_worker_if_asked();
    }
}
