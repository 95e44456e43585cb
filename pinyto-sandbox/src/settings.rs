//! What can be set before a runtime starts.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use crate::{PythonRuntime, error::SandboxError};

/// The settings of a [`PythonRuntime`].
#[derive(Clone, Debug, Default)]
pub struct PythonRuntimeBuilder(Settings);

/// What the builder has been told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) at_once: usize,
    pub(crate) fresh: usize,
    pub(crate) idle: usize,
    pub(crate) idle_time: Duration,
    pub(crate) waiting: usize,
    pub(crate) memory_ceiling: usize,
    pub(crate) calls_per_worker: u32,
    pub(crate) allow_unconfined: bool,
}

impl Default for Settings {
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
        self.0.at_once = calls;
        self
    }

    /// How many workers that have run nothing yet are kept ready. Default: 2.
    #[must_use]
    pub const fn ready_workers(mut self, workers: usize) -> Self {
        self.0.fresh = workers;
        self
    }

    /// How many workers wait for the next call of the assembly that they have worked for, by the
    /// same user, and for how long. Default: 8 for 60 s. If there are more, the user with most of
    /// them loses one.
    #[must_use]
    pub const fn idle_workers(mut self, workers: usize, time: Duration) -> Self {
        self.0.idle = workers;
        self.0.idle_time = time;
        self
    }

    /// How many calls may wait for their turn; an eighth of them may be one user's. Default: 1024.
    #[must_use]
    pub const fn waiting(mut self, calls: usize) -> Self {
        self.0.waiting = calls;
        self
    }

    /// Bytes of memory that no call gets more of, whatever its limits say. Default: 256 MiB.
    ///
    /// The kernel holds each worker to it, also in a program without [`Allocator`](crate::Allocator).
    #[must_use]
    pub const fn memory_ceiling(mut self, bytes: usize) -> Self {
        self.0.memory_ceiling = bytes;
        self
    }

    /// How many calls a worker answers before it is replaced. Default: 10,000.
    #[must_use]
    pub const fn calls_per_worker(mut self, calls: u32) -> Self {
        self.0.calls_per_worker = calls;
        self
    }

    /// Whether code runs on a kernel that can't filter system calls too. Default: `false`.
    ///
    /// Then only the interpreter is between a stranger's code and the server's files. For
    /// development, never for code of people you don't know.
    #[must_use]
    pub const fn allow_unconfined(mut self, allow: bool) -> Self {
        self.0.allow_unconfined = allow;
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
        PythonRuntime::start(self.0).await
    }
}
