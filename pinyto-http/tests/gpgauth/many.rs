//! Logins that are begun and never finished.

#![cfg(target_os = "linux")]

use std::fs;

use tokio::task::JoinSet;

use crate::{Browser, Gpg, RunningServer, Shape, account_with_key, begin, complete, start};

const FLOOD: usize = 2_000;
const AT_ONCE: usize = 16;

fn resident_mib(server: &RunningServer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() / 1024
}

async fn flood(server: &RunningServer, keyid: &str, logins: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (mut browser, keyid) = (Browser::new(server), keyid.to_owned());
        tasks.spawn(async move {
            for _ in 0..logins / AT_ONCE {
                begin(&mut browser, &keyid, Shape::Json).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_begun_logins_keeps_nothing_and_displaces_nobody() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let mut browser = Browser::new(&server);
    let nonce = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    // What the allocator keeps anyway.
    flood(&server, &keyid, 200).await;
    let database = || fs::metadata(folder.path().join("pinyto.db")).unwrap().len();
    let (before, size) = (resident_mib(&server), database());
    server.forget_peak_memory();
    flood(&server, &keyid, FLOOD).await;
    let (after, peak) = (resident_mib(&server), server.peak_memory_mib());
    eprintln!("{before} MiB before, {after} MiB after {FLOOD} begun logins, at most {peak} MiB");
    assert!(after <= before + 16, "{before} MiB, then {after} MiB");
    assert!(peak <= before + 32, "{before} MiB, at most {peak} MiB");
    assert_eq!(database(), size, "something was kept");
    complete(&mut browser, &keyid, &nonce, Shape::Json)
        .await
        .expect_complete();
    assert!(server.stop().success());
}
