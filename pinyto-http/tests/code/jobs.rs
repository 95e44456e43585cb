//! Jobs of a server that dies.

use serde_json::json;

use crate::{
    running_server::RunningServer,
    support::{install, logged_in, wait_for},
};

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
    // The first run never ends, all others do at once.
    let code = "first = db.count({'type': 'begun'}) == 0
db.insert({'type': 'begun'})
while first: pass
return {}";
    let job = json!({"name": "work", "code": code, "schedule": 0});
    let count = json!({"name": "count", "code": "return db.count({'type': 'begun'})"});
    let data = json!({"name": "A", "description": "", "api_functions": [count], "jobs": [job]});
    let request = json!({"token": token, "original_name": "", "data": data});
    client.expect("/save_assembly", request).await;
    install(&mut client, &token, "ada", "A").await;
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
            .any(|run| run["kind"] == "job")
    })
    .await;
    let runs = ran
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["kind"] == "job");
    let runs: Vec<_> = runs.collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (&runs[0]["outcome"], &runs[0]["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert!(server.stop().success());
}
