//! A [`CodeRuntime`] that runs functions in Rust, and leaves the rest to another one.
//!
//! # Which code is native
//!
//! What is called as a function of the application's assembly: [`CodeCall`] names the assembly and the
//! function. Its author is a user without any key, as `Cloud::publish_assembly` demands, so nobody logs in
//! as her and nobody but this program saves or renames her assemblies. Nothing that an author writes
//! makes her code native: whoever copies the text that stands for a native function has text, which
//! Python runs.
//!
//! # What it may use
//!
//! It is the application's own code, so it isn't locked down, and its memory isn't limited. But calls
//! wait for a turn, and the user is booked what they use: the CPU time of the thread while the function
//! is polled (`CLOCK_THREAD_CPUTIME_ID`; where there is none, the time that passes meanwhile), without
//! what services use, which they book themselves. The limits hold whenever it waits for something; what
//! computes for long has to say `tokio::task::yield_now().await` now and then. A panic is an error of
//! that call (unless the program is built to abort).

use std::{
    collections::HashMap,
    error::Error,
    future::poll_fn,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    thread::available_parallelism,
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    assembly::{AssemblyRef, AssemblySource, DataAccess, Function, FunctionName},
    id::UserId,
    run::RunPart,
    runtime::{
        Checked, CodeCall, CodeError, CodeLimit, CodeLimits, CodeRuntime, Execution, Service,
        ServiceError, Services,
    },
    user::UserName,
};
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};

/// What a native function answers: a JSON value, or what it raises.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, CodeError>> + Send + 'a>>;

/// A function in Rust.
pub(crate) type Native = for<'a> fn(&'a NativeCall<'a>) -> Answer<'a>;

/// What a native function is asked, and what it may ask for.
pub(crate) struct NativeCall<'a> {
    /// The request without its token: an object.
    pub(crate) body: Value,
    /// The name of the user it runs for.
    pub(crate) user: &'a UserName,
    services: &'a dyn Services,
    limits: &'a CodeLimits,
    meter: Mutex<Meter>,
}

#[derive(Default)]
struct Meter {
    /// Of the function and of the services that it asked.
    used: Duration,
    by_services: Duration,
    service_calls: usize,
    /// What the function isn't asked about.
    ended: Option<CodeError>,
}

impl NativeCall<'_> {
    /// Asks for something of the user's: the arguments are an object of those that
    /// [`Service::parameters`] names.
    pub(crate) async fn ask(
        &self,
        service: Service,
        arguments: &Value,
    ) -> Result<Value, CodeError> {
        let arguments = arguments.to_string();
        self.count_service_call(arguments.len())?;
        let mut asked = self.services.call(service, &arguments);
        let answered = poll_fn(|context| {
            let begun = clock::now();
            let polled = asked.as_mut().poll(context);
            self.meter().by_services += clock::now().saturating_sub(begun);
            polled
        });
        let answered = answered.await.map_err(|error| match error {
            ServiceError::Ended(error) => self.end(error),
            raised => raised.into(),
        })?;
        if answered.len() > self.limits.service_bytes {
            let limit = CodeLimit::ServiceBytes(self.limits.service_bytes);
            return Err(self.end(CodeError::LimitReached { limit }));
        }
        serde_json::from_str(&answered).map_err(|_| self.end(CodeError::Unavailable))
    }

    fn count_service_call(&self, bytes: usize) -> Result<(), CodeError> {
        let mut meter = self.meter();
        meter.service_calls += 1;
        let too_many = meter.service_calls > self.limits.service_calls;
        drop(meter);
        let limit = if too_many {
            CodeLimit::ServiceCalls(self.limits.service_calls)
        } else if bytes > self.limits.service_bytes {
            CodeLimit::ServiceBytes(self.limits.service_bytes)
        } else {
            return Ok(());
        };
        Err(self.end(CodeError::LimitReached { limit }))
    }

    /// Ends the function when it waits next, whatever it makes of the error.
    fn end(&self, error: CodeError) -> CodeError {
        self.meter().ended.get_or_insert(error).clone()
    }

    /// The CPU time of the function itself.
    fn cpu_time(&self) -> Duration {
        let meter = self.meter();
        meter.used.saturating_sub(meter.by_services)
    }

    /// Polls the function to its end, or to that of what it was given.
    async fn run(&self, function: Native) -> Result<String, CodeError> {
        let mut running = pin!(async { function(self).await });
        let answer = poll_fn(|context| {
            let begun = clock::now();
            let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)));
            self.meter().used += clock::now().saturating_sub(begun);
            // The panic itself is on stderr, with its place, by Rust's own hook.
            let polled = polled.unwrap_or_else(|_| {
                let panicked = CodeError::exception("RuntimeError", "The function panicked.");
                Poll::Ready(Err(panicked))
            });
            if self.cpu_time() > self.limits.cpu_time {
                let limit = CodeLimit::CpuTime(self.limits.cpu_time);
                self.end(CodeError::LimitReached { limit });
            }
            match self.meter().ended.clone() {
                Some(ended) => Poll::Ready(Err(ended)),
                None => polled,
            }
        });
        let answer = answer.await?.to_string();
        if answer.len() > self.limits.answer {
            let limit = CodeLimit::Answer(self.limits.answer);
            return Err(CodeError::LimitReached { limit });
        }
        Ok(answer)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the functions that the application offers, and everything else in another runtime.
pub(crate) struct NativeFunctions {
    functions: HashMap<AssemblyRef, HashMap<FunctionName, Native>>,
    others: Arc<dyn CodeRuntime>,
    turns: Semaphore,
}

impl NativeFunctions {
    /// No functions yet.
    pub(crate) fn beside(others: Arc<dyn CodeRuntime>) -> Self {
        let cores = available_parallelism().map_or(2, NonZeroUsize::get);
        Self {
            functions: HashMap::new(),
            others,
            turns: Semaphore::new(4 * cores),
        }
    }

    /// Has the functions called as those of the assembly. What it gives is to be published before
    /// anybody is served, for users to install.
    pub(crate) fn offer(
        &mut self,
        assembly: &AssemblyRef,
        description: &str,
        functions: &[(&str, Native)],
    ) -> Result<AssemblySource, Box<dyn Error>> {
        let (mut parts, mut natives) = (Vec::new(), HashMap::new());
        for (name, native) in functions {
            let function = FunctionName::parse(name)?;
            parts.push(Function::new(function.clone(), stand_in(assembly, name)));
            natives.insert(function, *native);
        }
        self.functions.insert(assembly.clone(), natives);
        let source = AssemblySource::builder(assembly.name.clone())
            .description(description)
            .functions(parts)
            .access(DataAccess::All);
        Ok(source.build()?)
    }

    async fn run_native(
        &self,
        function: Native,
        call: &CodeCall,
        services: &dyn Services,
    ) -> Execution {
        let Ok(body) = serde_json::from_str(&call.body) else {
            return executed(Err(CodeError::Unavailable), Duration::ZERO);
        };
        let Ok(Ok(_turn)) = timeout(call.limits.wall_time, self.turns.acquire()).await else {
            let retry_after = Duration::from_secs(1);
            return executed(Err(CodeError::Busy { retry_after }), Duration::ZERO);
        };
        if let Err(refused) = services.begin().await {
            return executed(Err(refused), Duration::ZERO);
        }
        let native = NativeCall {
            body,
            user: &call.user_name,
            services,
            limits: &call.limits,
            meter: Mutex::default(),
        };
        let wall_time = call.limits.wall_time;
        let ended = timeout(wall_time, native.run(function)).await;
        let outcome = ended.unwrap_or_else(|_| {
            let limit = CodeLimit::WallTime(wall_time);
            Err(CodeError::LimitReached { limit })
        });
        executed(outcome, native.cpu_time())
    }
}

#[async_trait]
impl CodeRuntime for NativeFunctions {
    /// What authors save is never native.
    async fn check(&self, author: UserId, code: &str) -> Checked {
        self.others.check(author, code).await
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        let ours = self.functions.get(&call.assembly_name);
        let native = match &call.part {
            RunPart::Function(name) => ours.and_then(|functions| functions.get(name)),
            _ => None,
        };
        match native {
            Some(function) => self.run_native(*function, call, services).await,
            None => self.others.run(call, services).await,
        }
    }
}

/// What the store has instead of a native function's code: where nobody has that function, it says so.
fn stand_in(assembly: &AssemblyRef, function: &str) -> String {
    format!(
        "raise RuntimeError(\"{assembly}/{function} is a native function of another program.\")"
    )
}

fn executed(outcome: Result<String, CodeError>, cpu_time: Duration) -> Execution {
    Execution::new(outcome, cpu_time)
}

/// The CPU time of this thread.
#[cfg(target_os = "linux")]
pub(crate) mod clock {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(crate) fn now() -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(now).unwrap_or_default()
    }
}

/// The time that passes, which is never less.
#[cfg(not(target_os = "linux"))]
pub(crate) mod clock {
    use std::{
        sync::LazyLock,
        time::{Duration, Instant},
    };

    pub(crate) fn now() -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}
