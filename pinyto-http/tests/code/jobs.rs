//! Jobs of a server that dies.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    running_server::{Client, RunningServer},
    support::{install, logged_in, wait_for},
};

/// Saves and installs `ada/A`, whose job `work` counts its runs, the first of which never ends.
async fn begin_endless_job(client: &mut Client, token: &str) {
    let code = "first = db.count({'type': 'begun'}) == 0
db.insert({'type': 'begun'})
while first: pass
return {}";
    let job = json!({"name": "work", "code": code, "schedule": 0});
    let count = json!({"name": "count", "code": "return db.count({'type': 'begun'})"});
    let data = json!({"name": "A", "description": "", "api_functions": [count], "jobs": [job]});
    let request = json!({"token": token, "original_name": "", "data": data});
    client.expect("/save_assembly", request).await;
    install(client, token, "ada", "A").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_server_is_taken_over_by_another_that_shares_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        &["--job-lease-seconds", "3"][..],
        &["--code-cpu-seconds", "60", "--code-wall-seconds", "100"],
    ]
    .concat();
    let (one, mut client, token) = logged_in(folder.path(), &arguments).await;
    begin_endless_job(&mut client, &token).await;
    let begun = || json!({"token": token});
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 1).await;
    drop(client);

    // Another one leaves the job alone as long as the first lives, longer than a lease lasts.
    let other = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut client = other.client().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(client.expect("/ada/A/count", begun()).await, 1);
    one.kill();
    let killed = Instant::now();
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 2).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");

    let jobs = wait_for(&mut client, "/list_jobs", begun, |jobs| {
        jobs[0]["running_since"].is_null()
    })
    .await;
    assert_eq!(jobs.as_array().unwrap().len(), 1);
    assert!(other.stop().success());
    let server = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut client = server.client().await;
    let ran = client.expect("/list_runs", begun()).await;
    let ran = ran.as_array().unwrap().iter();
    let ran: Vec<_> = ran.filter(|run| run["kind"] == "job").collect();
    assert_eq!(ran.len(), 2, "{ran:?}");
    assert_eq!(
        (&ran[0]["outcome"], &ran[0]["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert_eq!(
        (&ran[1]["outcome"], &ran[1]["attempt"]),
        (&json!("failed"), &json!(1))
    );
    assert!(ran[1].to_string().contains("lost"), "{}", ran[1]);
    assert_eq!(client.expect("/ada/A/count", begun()).await, 2);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_server_is_run_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let lease = ["--job-lease-seconds", "5"];
    let arguments = [
        &lease[..],
        &["--code-cpu-seconds", "60", "--code-wall-seconds", "100"],
    ]
    .concat();
    let (server, mut client, token) = logged_in(folder.path(), &arguments).await;
    begin_endless_job(&mut client, &token).await;
    let begun = || json!({"token": token});
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 1).await;
    drop(client);
    server.kill();

    // Its lease has to expire first.
    let server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 2).await;
    let ran = wait_for(&mut client, "/list_runs", begun, |runs| {
        runs.as_array()
            .unwrap()
            .iter()
            .any(|run| run["kind"] == "job" && run["outcome"] == "succeeded")
    })
    .await;
    let runs = ran
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["kind"] == "job");
    let runs: Vec<_> = runs.collect();
    assert_eq!(runs.len(), 2, "one was lost");
    assert_eq!(
        (&runs[0]["outcome"], &runs[0]["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert!(server.stop().success());
}
