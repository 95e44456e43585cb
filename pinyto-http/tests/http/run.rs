//! Runs: what the user sees of them, and what the author does.

use std::time::Duration;

use pinyto_core::{
    runtime::{CodeError, Execution, Output},
    testing::{ScriptedRuntime, executed},
};
use serde_json::{Value, json};

use crate::support::{Server, quick_settings, running};

/// Alice has written `alice/Code`, Bob and she have installed it. `good` prints the request,
/// `bad` raises it.
async fn world() -> (Server, String, String) {
    let runtime = ScriptedRuntime::default()
        .on("good", |call| {
            let printed = Output::new(call.body.to_string()).truncated();
            Execution::new(Ok("1".into()), Duration::from_micros(12_500)).with_output(printed)
        })
        .on("bad", |call| {
            let raised = CodeError::exception("ValueError", call.body.to_string());
            executed(Err(raised.at_line(4)))
        });
    let server = Server::over(running(runtime, quick_settings()));
    let (alice, bob) = (server.user("alice", 0).await, server.user("bob", 1).await);
    let data = json!({
        "name": "Code", "description": "",
        "api_functions": [{"name": "good", "code": "good"}, {"name": "bad", "code": "bad"}],
    });
    server.with_assembly(&alice, "alice", &data).await;
    let named = json!({"token": bob, "author": "alice", "name": "Code"});
    server.post("/install_assembly", named).await.success();
    (server, alice, bob)
}

async fn call(server: &Server, token: &str, function: &str, secret: &str) {
    let body = json!({"token": token, "secret": secret});
    server.post(&format!("/alice/Code/{function}"), body).await;
}

async fn list(server: &Server, path: &str, token: &str, mut body: Value) -> Vec<Value> {
    body["token"] = json!(token);
    let listed = server.post(path, body).await.ok();
    listed.as_array().unwrap().clone()
}

fn names(runs: &[Value]) -> Vec<&str> {
    runs.iter()
        .map(|run| run["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_user_sees_all_of_her_runs_newest_first() {
    let (server, _, bob) = world().await;
    call(&server, &bob, "good", "x").await;
    call(&server, &bob, "bad", "y").await;
    let mut runs = list(&server, "/list_runs", &bob, json!({})).await;
    for run in &mut runs {
        let run = run.as_object_mut().unwrap();
        let id = run.remove("id").unwrap();
        assert_eq!(id.as_str().unwrap().len(), 24);
        assert!(run.remove("duration").unwrap().as_f64().unwrap() >= 0.0);
    }
    let expected = json!([
        {
            "assembly": "alice/Code", "kind": "function", "name": "bad", "attempt": 1,
            "started": "2027-01-15T08:00:00.000Z", "cpu": 0.007, "outcome": "failed",
            "error": {"type": "ValueError", "message": "{\"secret\":\"y\"}", "line": 4},
            "output": "", "output_truncated": false,
        },
        {
            "assembly": "alice/Code", "kind": "function", "name": "good", "attempt": 1,
            "started": "2027-01-15T08:00:00.000Z", "cpu": 0.0125, "outcome": "succeeded",
            "error": null, "output": "{\"secret\":\"x\"}", "output_truncated": true,
        },
    ]);
    assert_eq!(Value::Array(runs), expected);
}

#[tokio::test]
async fn a_run_is_shown_to_whom_it_was_for_and_to_nobody_else() {
    let (server, alice, bob) = world().await;
    call(&server, &bob, "good", "x").await;
    let [run] = list(&server, "/list_runs", &bob, json!({}))
        .await
        .try_into()
        .unwrap();
    let get = async |token: &str, id: &Value| {
        let body = json!({"token": token, "id": id});
        server.post("/get_run", body).await
    };
    assert_eq!(get(&bob, &run["id"]).await.ok(), run);
    assert_eq!(get(&alice, &run["id"]).await.error(), (404, "unknown_run"));
    assert_eq!(
        list(&server, "/list_runs", &alice, json!({})).await,
        [] as [Value; 0]
    );
    let other = json!("f".repeat(24));
    let odd = json!("\u{202e}");
    for id in [other, odd, json!(""), json!("0")] {
        assert_eq!(get(&bob, &id).await.error(), (404, "unknown_run"));
    }
}

#[tokio::test]
async fn the_author_sees_how_it_went_but_nothing_of_others_data() {
    let (server, alice, bob) = world().await;
    call(&server, &bob, "good", "bobs").await;
    call(&server, &bob, "bad", "bobs").await;
    call(&server, &alice, "bad", "own").await;
    call(&server, &alice, "good", "own").await;
    let named = json!({"name": "Code"});
    let runs = list(&server, "/list_assembly_runs", &alice, named.clone()).await;
    assert_eq!(names(&runs), ["good", "bad", "bad", "good"]);
    for run in &runs {
        let run = run.as_object().unwrap();
        assert!(!run.contains_key("user") && !run.contains_key("assembly"));
        let text = serde_json::to_string(run).unwrap();
        assert!(!text.contains("bob"), "{text}");
    }
    let own = json!({"type": "ValueError", "message": "{\"secret\":\"own\"}", "line": 4});
    assert_eq!(runs[0]["output"], "{\"secret\":\"own\"}");
    assert_eq!(runs[0]["output_truncated"], true);
    assert_eq!(runs[1]["error"], own);
    let foreign = json!({"type": "ValueError", "message": null, "line": 4});
    assert_eq!(runs[2]["error"], foreign);
    assert_eq!(runs[3]["output"], Value::Null);
    assert_eq!(runs[3]["output_truncated"], false);
    assert_eq!(
        (&runs[3]["outcome"], &runs[3]["cpu"]),
        (&json!("succeeded"), &json!(0.0125))
    );

    // Who has installed it is not who has written it.
    for name in ["Code", "Other", "", "a/b"] {
        let body = json!({"token": bob, "name": name});
        let refused = server.post("/list_assembly_runs", body).await;
        assert_eq!(refused.error(), (404, "unknown_assembly"));
    }
}

#[tokio::test]
async fn a_part_of_the_runs_can_be_asked_for() {
    let (server, alice, _) = world().await;
    for function in ["good", "bad", "bad"] {
        call(&server, &alice, function, "").await;
    }
    for path in ["/list_runs", "/list_assembly_runs"] {
        for (page, expected) in [
            (json!({}), &["bad", "bad", "good"][..]),
            (json!({"skip": 1}), &["bad", "good"]),
            (json!({"skip": 2, "count": 1}), &["good"]),
            (json!({"count": 0}), &[]),
            (json!({"skip": u64::MAX, "count": u64::MAX}), &[]),
            (
                json!({"skip": null, "count": null}),
                &["bad", "bad", "good"],
            ),
        ] {
            let mut body = page.clone();
            if path == "/list_assembly_runs" {
                body["name"] = json!("Code");
            }
            let runs = list(&server, path, &alice, body).await;
            assert_eq!(names(&runs), expected, "{path} {page}");
        }
    }
    for (author, name, count) in [
        ("alice", "Code", 3),
        ("alice", "Other", 0),
        ("bob", "Code", 0),
        ("a/b", "Code", 0),
        ("alice", "", 0),
    ] {
        let body = json!({"author": author, "name": name});
        let runs = list(&server, "/list_runs", &alice, body).await;
        assert_eq!(runs.len(), count, "{author}/{name}");
    }
}

#[tokio::test]
async fn an_author_without_an_assembly_is_refused_and_the_other_way_round() {
    let (server, alice, _) = world().await;
    for (there, missing) in [("author", "name"), ("name", "author")] {
        let mut body = json!({"token": alice, "name": null});
        body[there] = json!("x");
        let refused = server.post("/list_runs", body).await;
        assert_eq!(refused.error(), (400, "missing_field"));
        let sentence =
            format!("The field {missing} is missing. It has to be sent together with {there}.");
        assert_eq!(refused.sentence(), sentence);
    }
}
