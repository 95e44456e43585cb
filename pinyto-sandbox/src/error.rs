//! Why no code can be run.

/// Why a runtime couldn't be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The operating system offers no processes that can be locked down.
    #[error("code can only be run on Linux")]
    Unsupported,
    /// A worker process couldn't be started.
    #[error("no worker process can be started: {0}")]
    Start(#[from] std::io::Error),
    /// The process that was started didn't become a worker: its `main` has to call
    /// [`run_worker_if_asked`](crate::run_worker_if_asked) before anything else.
    #[error("the program started again didn't become a worker; call run_worker_if_asked in main")]
    NoWorker,
    /// A worker couldn't be locked down; the text says at which step.
    #[error("a worker can't be locked down: {0}")]
    Lockdown(String),
}

impl SandboxError {
    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsupported => "sandbox_unsupported",
            Self::Start(_) => "sandbox_start",
            Self::NoWorker => "sandbox_no_worker",
            Self::Lockdown(_) => "sandbox_lockdown",
        }
    }
}
