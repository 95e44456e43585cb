//! Jobs: how it stands with them, and running them now.

use pinyto_core::{
    Settings,
    runtime::CodeError,
    testing::{ScriptedRuntime, executed},
};
use serde_json::{Value, json};

use crate::support::{Server, quick_settings, running};

fn assembly() -> Value {
    json!({
        "name": "Clean", "description": "",
        "jobs": [
            {"name": "tidy", "code": "fine", "schedule": 90},
            {"name": "once", "code": "fails"},
        ],
    })
}

/// Alice has `alice/Clean` installed. Its job `tidy` succeeds, `once` fails.
async fn world() -> (Server, String) {
    world_with(quick_settings()).await
}

async fn world_with(settings: Settings) -> (Server, String) {
    let runtime = ScriptedRuntime::default()
        .on("fine", |_| executed(Ok("null".into())))
        .on("fails", |_| {
            executed(Err(CodeError::exception("KeyError", "'isbn'").at_line(2)))
        });
    let server = Server::over(running(runtime, settings));
    let token = server.user("alice", 0).await;
    server.with_assembly(&token, "alice", &assembly()).await;
    (server, token)
}

async fn list(server: &Server, token: &str) -> Value {
    let body = json!({"token": token});
    server.post("/list_jobs", body).await.ok()
}

/// A job that has not run yet.
fn fresh(name: &str, schedule: u32, trigger: &str) -> Value {
    json!({
        "assembly": "alice/Clean", "name": name, "trigger": trigger, "document": null,
        "schedule": schedule, "next_run": "2027-01-15T08:00:00.000Z", "running_since": null,
        "attempts": 0, "parked": false, "last_failure": null,
    })
}

#[tokio::test]
async fn jobs_are_listed_with_what_is_planned_and_what_went_wrong() {
    let (server, token) = world().await;
    let planned = json!([fresh("once", 0, "schedule"), fresh("tidy", 90, "schedule")]);
    assert_eq!(list(&server, &token).await, planned);

    let count = server.cloud.scheduler().run_due().await.unwrap();
    assert_eq!(count, 2);
    let listed = list(&server, &token).await;
    let mut expected = planned;
    expected[0]["attempts"] = json!(1);
    // Between half a minute and one and a half, by chance.
    let retry = listed[0]["next_run"].as_str().unwrap();
    assert!(
        ("2027-01-15T08:00:30".."2027-01-15T08:01:31").contains(&retry),
        "{retry}"
    );
    expected[0]["next_run"] = listed[0]["next_run"].clone();
    expected[0]["last_failure"] = json!({
        "type": "KeyError", "message": "'isbn'", "line": 2, "at": "2027-01-15T08:00:00.000Z",
    });
    expected[1]["next_run"] = json!("2027-01-15T09:30:00.000Z");
    assert_eq!(listed, expected);

    let body = json!({"token": token, "skip": 1, "count": 1});
    let part = server.post("/list_jobs", body).await.ok();
    assert_eq!(part, json!([expected[1]]));
}

#[tokio::test]
async fn a_job_runs_now_and_what_became_of_it_is_among_the_runs() {
    let (server, token) = world().await;
    server.cloud.scheduler().run_due().await.unwrap();
    let run = json!({"token": token, "author": "alice", "name": "Clean", "job": "tidy"});
    server.post("/run_job", run.clone()).await.success();
    server.post("/run_job", run).await.success();
    let jobs = list(&server, &token).await;
    assert_eq!(jobs[2], fresh("tidy", 0, "run_now"));
    assert_eq!(jobs.as_array().unwrap().len(), 3);

    assert_eq!(server.cloud.scheduler().run_due().await.unwrap(), 1);
    assert_eq!(list(&server, &token).await.as_array().unwrap().len(), 2);
    let body = json!({"token": token, "count": 1});
    let runs = server.post("/list_runs", body).await.ok();
    assert_eq!(runs[0]["kind"], "job");
    assert_eq!(runs[0]["name"], "tidy");
    assert_eq!(runs[0]["outcome"], "succeeded");
}

#[tokio::test]
async fn a_document_queues_a_job_and_is_named_by_it() {
    let (server, token) = world().await;
    server.cloud.scheduler().run_due().await.unwrap();
    let job = |name: &str| {
        let data = json!({"assembly_user": "alice", "assembly_name": "Clean", "job_name": name});
        json!({"token": token, "type": "job", "data": data})
    };
    let stored = server.post("/alice/Clean/store", job("tidy")).await.ok();
    let jobs = list(&server, &token).await;
    assert_eq!(jobs[2]["trigger"], "document");
    assert_eq!(jobs[2]["document"], stored["_id"]);
    for unknown in ["other", "a/b"] {
        let refused = server.post("/alice/Clean/store", job(unknown)).await;
        assert_eq!(refused.error(), (404, "unknown_job"));
    }
}

#[tokio::test]
async fn only_jobs_of_installed_assemblies_run() {
    let (server, token) = world().await;
    let run = async |author: &str, name: &str, job: &str| {
        let body = json!({"token": token, "author": author, "name": name, "job": job});
        server.post("/run_job", body).await
    };
    for (author, name) in [
        ("bob", "Clean"),
        ("alice", "Other"),
        ("a/b", "Clean"),
        ("alice", ""),
    ] {
        let refused = run(author, name, "tidy").await;
        assert_eq!(refused.error(), (404, "assembly_not_installed"));
    }
    for job in ["other", "", "\u{202e}"] {
        let refused = run("alice", "Clean", job).await;
        assert_eq!(refused.error(), (404, "unknown_job"));
    }
}

#[tokio::test]
async fn runs_that_wait_are_limited_and_a_server_without_code_runs_none() {
    let mut settings = quick_settings();
    settings.max_queued_jobs = 0;
    let (server, token) = world_with(settings).await;
    let run = json!({"author": "alice", "name": "Clean", "job": "tidy"});
    let mut body = run.clone();
    body["token"] = json!(token);
    let refused = server.post("/run_job", body).await;
    assert_eq!(refused.error(), (409, "limit_reached"));

    let server = Server::new();
    let token = server.user("alice", 0).await;
    server.with_assembly(&token, "alice", &assembly()).await;
    let mut body = run;
    body["token"] = json!(token);
    let refused = server.post("/run_job", body).await;
    assert_eq!(refused.error(), (403, "code_execution_disabled"));
}
