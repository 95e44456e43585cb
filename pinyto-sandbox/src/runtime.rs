//! The runtime that integrators hold: settings, start, shutdown.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak},
    thread::available_parallelism,
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::runtime::{CodeCall, CodeError, CodeLimits, CodeRuntime, Execution, Services};
use tokio::{select, sync::Notify, time::timeout};

use crate::{
    call::{Ended, RETRY_AFTER, conduct},
    error::SandboxError,
    frame::Order,
    metrics::{Counters, End, Metrics},
    pool::{Pool, Sizes},
    process::Starter,
    turns::{Bounds, Refused, Turn, Turns, Who},
    worker::Start,
};

/// Bytes that a worker process needs for itself.
const WORKER: u64 = 64 * 1024 * 1024;

/// How often the workers that have waited for too long are ended.
const TIDYING: Duration = Duration::from_secs(5);

/// CPU time after which the kernel ends a worker if the server doesn't.
const CPU_BACKSTOP: Duration = Duration::from_secs(600);

/// Runs Python code in locked-down processes.
///
/// Cheap to clone; all clones are one runtime. When the last one is dropped the workers end.
#[derive(Clone)]
pub struct PythonRuntime(Arc<Shared>);

struct Shared {
    turns: Arc<Turns>,
    pool: Arc<Pool>,
    counters: Arc<Counters>,
    /// Ends what runs, at a shutdown.
    abort: Notify,
    memory: usize,
    /// Whether workers count their memory.
    counted: bool,
}

/// The settings of a [`PythonRuntime`].
#[derive(Clone, Debug)]
pub struct PythonRuntimeBuilder {
    at_once: usize,
    fresh: usize,
    idle: usize,
    idle_time: Duration,
    waiting: usize,
    memory_ceiling: usize,
    calls_per_worker: u32,
    allow_unconfined: bool,
}

impl Default for PythonRuntimeBuilder {
    fn default() -> Self {
        let cores = available_parallelism().map_or(2, NonZeroUsize::get);
        Self {
            at_once: (4 * cores).clamp(8, 64),
            fresh: 2,
            idle: 8,
            idle_time: Duration::from_secs(60),
            waiting: 1024,
            memory_ceiling: 256 * 1024 * 1024,
            calls_per_worker: 10_000,
            allow_unconfined: false,
        }
    }
}

impl PythonRuntimeBuilder {
    /// How many calls compute at once. Default: four for each core, at least 8. One user gets at
    /// most half of them. Calls that turn out to need much CPU time, and calls that wait for a
    /// service for long, don't count: they are moved elsewhere, within bounds of the same size.
    #[must_use]
    pub const fn at_once(mut self, calls: usize) -> Self {
        self.at_once = calls;
        self
    }

    /// How many workers that have run nothing yet are kept ready. Default: 2.
    #[must_use]
    pub const fn ready_workers(mut self, workers: usize) -> Self {
        self.fresh = workers;
        self
    }

    /// How many workers wait for the next call of the user they have worked for, and for how
    /// long. Default: 8 for 60 s.
    #[must_use]
    pub const fn idle_workers(mut self, workers: usize, time: Duration) -> Self {
        self.idle = workers;
        self.idle_time = time;
        self
    }

    /// How many calls may wait for their turn; an eighth of them may be one user's. Default: 1024.
    #[must_use]
    pub const fn waiting(mut self, calls: usize) -> Self {
        self.waiting = calls;
        self
    }

    /// Bytes of memory that no call gets more of, whatever its limits say. Default: 256 MiB.
    ///
    /// The kernel holds each worker to it, also in a program without [`Allocator`](crate::Allocator).
    #[must_use]
    pub const fn memory_ceiling(mut self, bytes: usize) -> Self {
        self.memory_ceiling = bytes;
        self
    }

    /// How many calls a worker answers before it is replaced. Default: 10,000.
    #[must_use]
    pub const fn calls_per_worker(mut self, calls: u32) -> Self {
        self.calls_per_worker = calls;
        self
    }

    /// Whether code runs on a kernel that can't filter system calls too. Default: `false`.
    ///
    /// Then only the interpreter is between a stranger's code and the server's files. For
    /// development, never for code of people you don't know.
    #[must_use]
    pub const fn allow_unconfined(mut self, allow: bool) -> Self {
        self.allow_unconfined = allow;
        self
    }

    /// Starts the runtime, with one worker to see that it can be done.
    ///
    /// Has to be called within a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if no worker can be started or locked down.
    pub async fn start(self) -> Result<PythonRuntime, SandboxError> {
        let start = Start {
            memory: (self.memory_ceiling as u64).saturating_add(WORKER),
            cpu: CPU_BACKSTOP.as_secs(),
            allow_unconfined: self.allow_unconfined,
        };
        let counters = Arc::new(Counters::default());
        let sizes = Sizes {
            fresh: self.fresh.max(1),
            idle: self.idle,
            idle_time: self.idle_time,
            calls: self.calls_per_worker.max(1),
            cpu: CPU_BACKSTOP / 4,
        };
        let pool = Pool::new(Starter::new(&start)?, sizes, counters.clone());
        let (first, lockdown) = pool.start().await?;
        if !lockdown.seccomp {
            tracing::warn!("code runs without a filter of system calls");
        }
        if !lockdown.allocator {
            tracing::warn!(
                "code runs without its memory being counted: the program's global allocator isn't pinyto_sandbox::Allocator"
            );
        }
        tracing::info!(?lockdown, "code workers can be started");
        pool.deliver(Ok(first));
        pool.refill();
        tokio::spawn(tidy(Arc::downgrade(&pool)));
        Ok(PythonRuntime(Arc::new(Shared {
            turns: Turns::new(self.bounds()),
            pool,
            counters,
            abort: Notify::new(),
            memory: self.memory_ceiling,
            counted: lockdown.allocator,
        })))
    }

    fn bounds(&self) -> Bounds {
        let short = self.at_once.max(2);
        let long = (short / 2).max(2);
        Bounds {
            short,
            long,
            long_per_user: (long / 4).max(1),
            per_user: short / 2,
            paused: short * 2,
            away: short * 4,
            waiting: self.waiting,
            waiting_per_user: (self.waiting / 8).max(1),
        }
    }
}

async fn tidy(pool: Weak<Pool>) {
    let mut ticks = tokio::time::interval(TIDYING);
    loop {
        ticks.tick().await;
        match pool.upgrade() {
            Some(pool) => pool.tidy(),
            None => return,
        }
    }
}

impl PythonRuntime {
    /// The settings, with their defaults.
    #[must_use]
    pub fn builder() -> PythonRuntimeBuilder {
        PythonRuntimeBuilder::default()
    }

    /// What it does and has done.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let counts = self.0.turns.counts();
        let mut metrics = self.0.counters.read();
        metrics.running = counts.begun;
        metrics.paused = counts.paused;
        metrics.waiting = counts.waiting;
        metrics.idle_workers = self.0.pool.waiting();
        metrics
    }

    /// Shuts down: nothing new is run, what runs is waited for until `patience` is over and then
    /// ended. After that there are no workers any more.
    pub async fn close(&self, patience: Duration) {
        self.0.turns.close();
        if timeout(patience, self.0.turns.empty()).await.is_err() {
            self.0.abort.notify_waiters();
            self.0.turns.empty().await;
        }
        self.0.pool.close();
    }

    /// Runs an order, whatever it is.
    async fn perform(
        &self,
        who: Who,
        order: &Order<'_>,
        limits: &CodeLimits,
        services: Option<&dyn Services>,
    ) -> Ended {
        let shared = &*self.0;
        // Before the turn, so that no turn is overlooked by a shutdown.
        let aborted = shared.abort.notified();
        let turn = match shared.turns.wait(who).await {
            Ok(turn) => turn,
            Err(refused) => return shared.not_begun(refused),
        };
        select! {
            biased;
            ended = shared.begun(turn, who, order, limits, services) => ended,
            // Dropping the call ends its worker.
            () = aborted => shared.not_begun(Refused::Closed),
        }
    }

    /// The limits as far as they can be given.
    fn limits(&self, wanted: &CodeLimits) -> CodeLimits {
        let mut limits = wanted.clone();
        limits.memory = limits.memory.min(self.0.memory);
        limits
    }
}

impl Shared {
    async fn begun(
        &self,
        mut turn: Turn,
        who: Who,
        order: &Order<'_>,
        limits: &CodeLimits,
        services: Option<&dyn Services>,
    ) -> Ended {
        let Ok(mut process) = self.pool.take(who).await else {
            self.counters.ended(End::Refused);
            return not_run(CodeError::Unavailable, End::Refused);
        };
        let conduct = conduct(
            &mut process,
            &mut turn,
            order,
            limits,
            services,
            self.counted,
        );
        let ended = conduct.await;
        self.counters.ended(ended.end);
        if ended.reusable {
            self.pool.give_back(who, process);
        }
        ended
    }

    fn not_begun(&self, refused: Refused) -> Ended {
        let retry_after = RETRY_AFTER;
        let error = match refused {
            Refused::Full => CodeError::Busy { retry_after },
            Refused::Closed => CodeError::Unavailable,
        };
        self.counters.ended(End::Refused);
        not_run(error, End::Refused)
    }
}

fn not_run(error: CodeError, end: End) -> Ended {
    Ended {
        outcome: Err(error),
        cpu_time: Duration::ZERO,
        output: pinyto_core::runtime::Output::default(),
        end,
        reusable: false,
    }
}

#[async_trait]
impl CodeRuntime for PythonRuntime {
    async fn check(&self, code: &str) -> Result<(), CodeError> {
        let limits = self.limits(&CodeLimits::default());
        let order = Order::Check {
            code,
            limits: (&limits).into(),
        };
        // A worker of its own for each: its author is nobody that the runtime knows.
        match self.perform(None, &order, &limits, None).await.outcome {
            Ok(_) => Ok(()),
            Err(CodeError::LimitReached { limit }) => Err(CodeError::Syntax {
                message: format!("The code can't be read: {limit}."),
                line: None,
            }),
            Err(CodeError::Crashed) => Err(CodeError::Syntax {
                message: "The code makes the interpreter crash.".to_owned(),
                line: None,
            }),
            Err(error) => Err(error),
        }
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        let limits = self.limits(&call.limits);
        let order = Order::Run {
            code: &call.code,
            body: &call.body,
            user: call.user_name.as_str(),
            limits: (&limits).into(),
        };
        let ended = self
            .perform(Some(call.user), &order, &limits, Some(services))
            .await;
        Execution {
            outcome: ended.outcome,
            cpu_time: ended.cpu_time,
            output: ended.output,
        }
    }
}
