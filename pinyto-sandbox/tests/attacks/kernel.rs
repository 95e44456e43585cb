//! The kernel's verdict on what a worker tries.

use std::collections::BTreeMap;

use crate::given::*;

crate::tests! {
    every_forbidden_system_call_is_refused_by_the_kernel,
    no_other_number_is_let_through,
    the_same_calls_are_mostly_allowed_outside,
    a_worker_has_nothing_but_its_socket,
}

/// Runs in the worker.
pub(crate) fn report() -> String {
    let verdicts: BTreeMap<_, _> = pinyto_sandbox_probe::verdicts().into_iter().collect();
    serde_json::to_string(&verdicts).unwrap()
}

async fn every_forbidden_system_call_is_refused_by_the_kernel() {
    let runtime = runtime().await;
    let execution = run(&runtime, "kernel: verdicts").await;
    let verdicts: BTreeMap<String, i32> =
        serde_json::from_str(&execution.outcome.unwrap()).unwrap();
    assert!(verdicts.len() > 100);
    for (call, verdict) in verdicts {
        assert_eq!(verdict, pinyto_sandbox_probe::REFUSED, "{call}");
    }
}

/// Runs in the worker.
pub(crate) fn sweep() -> String {
    serde_json::to_string(&pinyto_sandbox_probe::not_refused()).unwrap()
}

async fn no_other_number_is_let_through() {
    let runtime = runtime().await;
    let execution = run(&runtime, "kernel: sweep").await;
    assert_eq!(execution.outcome.unwrap(), "[]");
}

/// Otherwise the tests above could pass without a filter.
async fn the_same_calls_are_mostly_allowed_outside() {
    let output = std::process::Command::new("/proc/self/exe")
        .arg("--verdicts")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let verdicts: BTreeMap<String, i32> = serde_json::from_slice(&output.stdout).unwrap();
    for call in [
        "openat",
        "newfstatat",
        "socket inet",
        "socketpair",
        "memfd_create",
        "dup",
        "pipe2",
        "eventfd2",
        "pidfd_open",
        "mmap executable",
        "mmap shared",
        "mprotect executable",
        "prctl",
        "setpriority",
        "nanosleep",
    ] {
        assert_eq!(verdicts.get(call), Some(&0), "{call}");
    }
}

async fn a_worker_has_nothing_but_its_socket() {
    let runtime = runtime().await;
    let before = workers_of_this_process();
    let worker = *before.last().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2");
    assert_eq!(field("Threads"), "1");
    let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
    let stat: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let (group, session) = (stat[2], stat[3]);
    assert_eq!(group, worker.to_string());
    let autogroups = std::fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled");
    if autogroups.is_ok_and(|enabled| enabled.trim() == "0") {
        assert_eq!(session, worker.to_string());
    }
    let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    for name in [
        "Max data size",
        "Max address space",
        "Max cpu time",
        "Max stack size",
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap().split_whitespace().next().unwrap();
        assert!(value.parse::<u64>().is_ok(), "{name}: {value}");
    }
    for (name, value) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max processes", "0"),
        ("Max open files", "1"),
    ] {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        assert_eq!(line.split_whitespace().next(), Some(value), "{name}");
    }
    // Only root may look into a process that can't be dumped.
    if let Ok(open) = std::fs::read_dir(format!("/proc/{worker}/fd")) {
        let open: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(open, ["0"]);
        assert_eq!(
            std::fs::read(format!("/proc/{worker}/environ")).unwrap(),
            b""
        );
    }
    drop(runtime);
}
