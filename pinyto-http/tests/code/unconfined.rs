//! A kernel without seccomp: code isn't run there, unless the operator says so.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use pinyto_core::testing::keys;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use serde_json::json;

use crate::{
    running_server::{RunningServer, command, write_key},
    support::{install, with_device},
};

/// Answers as a kernel does that was built without it.
fn no_seccomp() -> BpfProgram {
    let argument = u64::try_from(libc::PR_SET_SECCOMP).unwrap();
    let (dword, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    let setting = SeccompCondition::new(0, dword, equal, argument).unwrap();
    let rules = BTreeMap::from([
        (libc::SYS_seccomp, vec![]),
        (
            libc::SYS_prctl,
            vec![SeccompRule::new(vec![setting]).unwrap()],
        ),
    ]);
    let missing = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, architecture);
    filter.unwrap().try_into().unwrap()
}

/// Does `work` in a thread whose processes have no seccomp.
fn without_seccomp<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            apply_filter(&no_seccomp()).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// A server's command with a key, at the folder's port.
fn with_key(folder: &Path, arguments: &[&str]) -> std::process::Command {
    write_key(folder, keys::server_pem());
    let mut command = command(folder);
    command.args(arguments);
    command
}

#[test]
fn the_server_refuses_to_start_where_code_can_not_be_confined() {
    for arguments in [
        &["--listen", "127.0.0.1:0"][..],
        &["check", "--listen", "127.0.0.1:0"],
        &["run-assembly", "fine.py"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("fine.py"), "return 1").unwrap();
        let mut command = with_key(folder.path(), arguments);
        let output = without_seccomp(|| command.output().unwrap());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert_eq!(
            errors,
            "pinyto-server: The code of assemblies can't be run: a worker can't be locked down: \
             seccomp: Error calling `seccomp`: Function not implemented (os error 38). \
             Start with --code off to serve without it.\n",
            "{arguments:?}"
        );
    }
    // It isn't the filter that keeps the server from starting.
    let folder = tempfile::tempdir().unwrap();
    let command = with_key(folder.path(), &["--code", "off"]);
    let server = without_seccomp(|| RunningServer::started_by(command));
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_it_runs_code_there_and_warns() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = with_key(folder.path(), &["--code-unconfined"]);
    command.stderr(Stdio::from(fs::File::create(&log).unwrap()));
    let server = without_seccomp(|| RunningServer::started_by(command));
    let mut client = server.client().await;
    let token = with_device(&mut client, "ada", 0).await;
    install(&mut client, &token, "pinyto", "Todo").await;
    let list = client.expect("/pinyto/Todo/get_list", json!({"token": token}));
    assert_eq!(list.await, json!({"result": []}));
    assert!(server.stop().success());
    let warned = |log: &Path| {
        let log = fs::read_to_string(log).unwrap();
        log.contains("WARN") && log.contains("code runs without a filter of system calls")
    };
    assert!(warned(&log));

    // With a filter there is nothing to warn of.
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = with_key(folder.path(), &["--code-unconfined"]);
    command.stderr(Stdio::from(fs::File::create(&log).unwrap()));
    let server = RunningServer::started_by(command);
    assert!(server.stop().success());
    assert!(!warned(&log));
}
