//! What there is on operating systems other than Linux: the same names, and an error at the start.

use std::{convert::Infallible, time::Duration};

use async_trait::async_trait;
use pinyto_core::{
    id::UserId,
    runtime::{Checked, CodeCall, CodeRuntime, Execution, Services},
};

use crate::{
    error::SandboxError,
    metrics::Metrics,
    settings::{PythonRuntimeBuilder, Settings},
};

/// Does nothing: on this operating system no worker is ever started.
pub fn run_worker_if_asked() {}

/// Runs Python code in locked-down processes; on this operating system there never is one.
#[derive(Clone, Debug)]
pub struct PythonRuntime(Infallible);

impl PythonRuntime {
    /// The settings, with their defaults.
    #[must_use]
    pub fn builder() -> PythonRuntimeBuilder {
        PythonRuntimeBuilder::default()
    }

    pub(crate) async fn start(_: Settings) -> Result<Self, SandboxError> {
        Err(SandboxError::Unsupported)
    }

    /// What it does and has done.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        match self.0 {}
    }

    /// Shuts down.
    pub async fn close(&self, _patience: Duration) {
        match self.0 {}
    }
}

#[async_trait]
impl CodeRuntime for PythonRuntime {
    async fn check(&self, _author: UserId, _code: &str) -> Checked {
        match self.0 {}
    }

    async fn run(&self, _call: &CodeCall, _services: &dyn Services) -> Execution {
        match self.0 {}
    }
}
