//! Runtimes, calls and services for the tests.

use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Trial;
use pinyto_core::{
    assembly::{AssemblyRef, FunctionName},
    id::{AssemblyId, UserId},
    run::RunPart,
    runtime::{
        CodeCall, CodeError, CodeLimits, CodeRuntime, Execution, Service, ServiceError,
        ServiceException, Services,
    },
    user::{User, UserName},
};
use pinyto_sandbox::{PythonRuntime, PythonRuntimeBuilder};
use serde_json::{Value, json};

/// A test: its name and what it does with a tokio runtime of its own.
pub(crate) fn test<F>(name: &str, body: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(body());
        Ok(())
    })
}

/// The tests of a module, named like their functions.
#[macro_export]
macro_rules! tests {
    ($($name:ident,)*) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            vec![$($crate::given::test(
                concat!(module_path!(), "::", stringify!($name)), $name)),*]
        }
    };
}

pub(crate) fn small() -> PythonRuntimeBuilder {
    PythonRuntime::builder().at_once(8).ready_workers(1)
}

pub(crate) async fn runtime() -> PythonRuntime {
    small().start().await.unwrap()
}

pub(crate) fn call(user: i64, code: &str) -> CodeCall {
    let alice = User::new(UserId::new(user), UserName::parse("alice").unwrap());
    let assembly = (
        AssemblyId::new(1),
        AssemblyRef::parse("alice/Notes").unwrap(),
    );
    let part = RunPart::Function(FunctionName::parse("get").unwrap());
    let mut call = CodeCall::new(code, alice, assembly, part);
    call.limits = limits();
    call
}

/// With so little CPU time that what computes for ever ends quickly.
pub(crate) fn limits() -> CodeLimits {
    let mut limits = CodeLimits::default();
    limits.cpu_time = Duration::from_millis(300);
    limits.wall_time = Duration::from_secs(40);
    limits
}

/// Counting gives 42, after a while if that is asked for, inserting gives a document's size, and a
/// document is as large as its id says; everything else raises an exception.
pub(crate) struct Scripted;

#[async_trait]
impl Services for Scripted {
    async fn call(&self, service: Service, arguments: &str) -> Result<String, ServiceError> {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        if service == Service::Insert {
            let size = arguments["document"].to_string().len();
            return Ok(size.to_string());
        }
        if service == Service::FindDocumentForId {
            let id = arguments["id"].as_str().unwrap_or_default();
            let (kind, size) = id.split_once(' ').unwrap_or(("text", "1"));
            let size = size.parse().unwrap();
            return Ok(match kind {
                "lists" => json!(vec![json!([]); size]),
                "deep" => (0..size).fold(json!(1), |inner, _| json!([inner])),
                _ => json!({"_id": id, "data": "x".repeat(size)}),
            }
            .to_string());
        }
        if service != Service::Count {
            return Err(ServiceError::raised(ServiceException::Runtime, "no"));
        }
        let wait = arguments["query"]["wait"].as_u64().unwrap_or(0);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        Ok("42".to_owned())
    }
}

pub(crate) async fn run(runtime: &PythonRuntime, code: &str) -> Execution {
    runtime.run(&call(1, code), &Scripted).await
}

/// The name of the limit that was reached.
pub(crate) fn limit(execution: &Execution) -> &'static str {
    match &execution.outcome {
        Err(CodeError::LimitReached { limit }) => limit.name(),
        other => panic!("no limit: {other:?}"),
    }
}

/// The most memory this process has had, in MiB.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    peak.split_whitespace()
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// The workers that this process has started, in the order of their numbers.
pub(crate) fn workers_of_this_process() -> Vec<u32> {
    children_of(std::process::id())
}

/// The children of a process that haven't ended.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if parent_of(pid) == Some(parent) {
            children.push(pid);
        }
    }
    children.sort_unstable();
    children
}

/// Whether a worker of this name has that number and hasn't ended.
pub(crate) fn is_worker(pid: u32) -> bool {
    let name = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    name.starts_with(b"pinyto-code-worker") && parent_of(pid).is_some()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses; state and parent follow.
    let mut rest = stat.rsplit(") ").next()?.split(' ');
    let (state, parent) = (rest.next()?, rest.next()?);
    (state != "Z").then(|| parent.parse().ok())?
}

/// Waits until something is true.
pub(crate) async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
