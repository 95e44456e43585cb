//! The runtime that integrators hold: start, calls, shutdown.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    id::UserId,
    runtime::{Checked, CodeCall, CodeError, CodeLimits, CodeRuntime, Execution, Services},
};
use tokio::{
    select,
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    call::{Ended, RETRY_AFTER, conduct},
    error::SandboxError,
    frame::Order,
    metrics::{Counters, End, Metrics},
    pool::{Pool, Purpose, Sizes},
    process::Starter,
    settings::{PythonRuntimeBuilder, Settings},
    turns::{Bounds, Refused, Turn, Turns},
    worker::{self, Start},
};

/// Bytes that a worker process needs for itself.
const WORKER: u64 = 64 * 1024 * 1024;

/// How long a call may wait for its turn and a worker. Its client doesn't wait much longer either, and what
/// runs then would surprise her.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How often the workers that have waited for too long are ended.
const TIDYING: Duration = Duration::from_secs(5);

/// CPU time after which the kernel ends a worker if the server doesn't.
const CPU_BACKSTOP: Duration = Duration::from_secs(600);

/// CPU time after which a worker is replaced.
const CPU_WORN: Duration = Duration::from_secs(150);

/// The longest that a single call can have, so that the kernel never ends it.
const MAX_CPU: Duration = CPU_BACKSTOP.saturating_sub(CPU_WORN);

/// The longest that a call can take: added to a moment, more might be none any more.
const MAX_WALL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Runs Python code in locked-down processes.
///
/// Cheap to clone; all clones are one runtime. Starting it starts a thread, which starts the workers
/// and waits for them, and a task that replaces old ones; both, and the workers, end when the last
/// clone is dropped. [`close`](Self::close) ends the workers before.
#[derive(Clone)]
pub struct PythonRuntime(Arc<Shared>);

impl fmt::Debug for PythonRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PythonRuntime").finish_non_exhaustive()
    }
}

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

/// The bounds that follow from how many calls compute at once.
fn bounds(settings: &Settings) -> Bounds {
    let short = settings.at_once.max(2);
    let long = (short / 2).max(2);
    Bounds {
        short,
        long,
        long_per_user: (long / 4).max(1),
        per_user: short / 2,
        paused: short.saturating_mul(2),
        away: short.saturating_mul(4),
        waiting: settings.waiting,
        waiting_per_user: (settings.waiting / 8).max(1),
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

    /// Starts with one worker, to see that it can be done.
    pub(crate) async fn start(settings: Settings) -> Result<Self, SandboxError> {
        // A program without the hook would start itself, and that itself, without end.
        if worker::decline_if_asked() {
            return Err(SandboxError::NoWorker);
        }
        let start = Start {
            memory: (settings.memory_ceiling as u64).saturating_add(WORKER),
            cpu: CPU_BACKSTOP.as_secs(),
            allow_unconfined: settings.allow_unconfined,
        };
        let counters = Arc::new(Counters::default());
        let sizes = Sizes {
            fresh: settings.fresh.max(1),
            idle: settings.idle,
            idle_time: settings.idle_time,
            calls: settings.calls_per_worker.max(1),
            cpu: CPU_WORN,
        };
        let pool = Pool::new(Starter::new(&start)?, sizes, counters.clone());
        let (first, lockdown) = pool.start().await?;
        if !lockdown.seccomp {
            tracing::warn!("code runs without a filter of system calls");
        }
        if !lockdown.allocator {
            tracing::warn!(
                "the memory of code isn't counted: pinyto_sandbox::Allocator isn't the allocator"
            );
        }
        tracing::info!(?lockdown, "code workers can be started");
        pool.deliver(Ok(first));
        pool.refill();
        tokio::spawn(tidy(Arc::downgrade(&pool)));
        Ok(Self(Arc::new(Shared {
            turns: Turns::new(bounds(&settings)),
            pool,
            counters,
            abort: Notify::new(),
            memory: settings.memory_ceiling,
            counted: lockdown.allocator,
        })))
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
        purpose: Purpose,
        order: &Order<'_>,
        limits: &CodeLimits,
        services: Option<&dyn Services>,
    ) -> Ended {
        let shared = &*self.0;
        // Before the turn, so that no turn is overlooked by a shutdown.
        let aborted = shared.abort.notified();
        let deadline = Instant::now() + MAX_WAIT;
        let turn = match timeout_at(deadline, shared.turns.wait(purpose.user)).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(refused)) => return shared.not_begun(refused),
            Err(_) => return shared.not_begun(Refused::Full),
        };
        select! {
            biased;
            ended = shared.begun((turn, deadline), purpose, order, limits, services) => ended,
            // Dropping the call ends its worker.
            () = aborted => shared.not_begun(Refused::Closed),
        }
    }

    /// The limits as far as they can be given.
    fn limits(&self, wanted: &CodeLimits) -> CodeLimits {
        let mut limits = wanted.clone();
        limits.memory = limits.memory.min(self.0.memory);
        limits.cpu_time = limits.cpu_time.min(MAX_CPU);
        limits.wall_time = limits.wall_time.min(MAX_WALL);
        limits
    }
}

impl Shared {
    async fn begun(
        &self,
        (mut turn, deadline): (Turn, Instant),
        purpose: Purpose,
        order: &Order<'_>,
        limits: &CodeLimits,
        services: Option<&dyn Services>,
    ) -> Ended {
        if let Some(services) = services
            && let Err(refused) = services.begin().await
        {
            self.counters.ended(End::Refused);
            return not_run(refused, End::Refused);
        }
        let Ok(Ok(mut process)) = timeout_at(deadline, self.pool.take(purpose)).await else {
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
            self.pool.give_back(purpose, process);
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
    async fn check(&self, author: UserId, code: &str) -> Checked {
        let limits = self.limits(&CodeLimits::default());
        let order = Order::Check {
            code,
            limits: (&limits).into(),
        };
        let purpose = Purpose {
            user: author,
            assembly: None,
        };
        let ended = self.perform(purpose, &order, &limits, None).await;
        let outcome = match ended.outcome {
            Ok(_) => Ok(()),
            Err(CodeError::LimitReached { limit }) => Err(CodeError::syntax(format!(
                "The code can't be read: {limit}."
            ))),
            Err(CodeError::Crashed) => {
                Err(CodeError::syntax("The code makes the interpreter crash."))
            }
            Err(error) => Err(error),
        };
        Checked::new(outcome, ended.cpu_time)
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        let limits = self.limits(&call.limits);
        let order = Order::Run {
            code: &call.code,
            body: &call.body,
            user: call.user_name.as_str(),
            limits: (&limits).into(),
        };
        let purpose = Purpose {
            user: call.user,
            assembly: Some(call.assembly),
        };
        let ended = self.perform(purpose, &order, &limits, Some(services)).await;
        Execution::new(ended.outcome, ended.cpu_time).with_output(ended.output)
    }
}
