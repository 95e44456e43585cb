//! From settings to what runs the code of assemblies.

use std::sync::Arc;

use pinyto_core::egress::Egress;
use pinyto_sandbox::{EgressSettings, HttpEgress, PythonRuntime, SandboxError};

use crate::{config::Settings, metrics::CodeFigures};

/// The runtime that the settings ask for, started.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) async fn runtime(settings: &Settings) -> Result<Option<PythonRuntime>, String> {
    if !settings.code {
        return Ok(None);
    }
    let mut builder = PythonRuntime::builder()
        .ready_workers(settings.code_workers)
        .memory_ceiling(settings.code_memory)
        .allow_unconfined(settings.code_unconfined);
    if let Some(calls) = settings.code_at_once {
        builder = builder.at_once(calls);
    }
    let started: Result<_, SandboxError> = builder.start().await;
    started.map(Some).map_err(|error| {
        format!(
            "The code of assemblies can't be run: {error}. Start with --code off to serve without it."
        )
    })
}

/// What code may fetch from other servers, if anything.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) fn egress(settings: &Settings) -> Result<Option<Arc<dyn Egress>>, String> {
    if !settings.code || !settings.http_egress {
        return Ok(None);
    }
    let egress = HttpEgress::builder().settings(egress_rules(settings));
    let egress = egress.build().map_err(|error| error.to_string())?;
    Ok(Some(Arc::new(egress)))
}

fn egress_rules(settings: &Settings) -> EgressSettings {
    let mut rules = EgressSettings::default();
    rules.allowed_hosts = settings.egress_allow.clone();
    rules.denied_hosts = settings.egress_deny.clone();
    rules.allowed_networks = settings.egress_allow_private.clone();
    rules
}

/// What the runtime does and has done.
pub(crate) fn figures(runtime: &PythonRuntime) -> CodeFigures {
    let metrics = runtime.metrics();
    CodeFigures {
        running: metrics.running,
        paused: metrics.paused,
        waiting: metrics.waiting,
        idle_workers: metrics.idle_workers,
        started_workers: metrics.started,
        ended: metrics.ends().to_vec(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use pinyto_core::egress::HostPattern;

    use super::*;
    use crate::config::{Invocation, load};

    #[test]
    fn each_option_of_fetching_sets_the_rule_that_it_is_about() {
        let arguments = [
            "pinyto-server",
            "--egress-allow",
            "allowed.example",
            "--egress-deny",
            "denied.example",
            "--egress-allow-private",
            "10.1.0.0/16",
        ];
        let Invocation::Serve(settings) = load(arguments.map(Into::into), []).unwrap() else {
            panic!("not settings");
        };
        let rules = egress_rules(&settings);
        let host = |name| vec![HostPattern::parse(name).unwrap()];
        assert_eq!(rules.allowed_hosts, Some(host("allowed.example")));
        assert_eq!(rules.denied_hosts, host("denied.example"));
        assert_eq!(rules.allowed_networks, ["10.1.0.0/16".parse().unwrap()]);
    }
}
