//! Documents, functions, statistics.

use serde_json::{Value, json};

use crate::support::Server;

/// Alice has written and installed `alice/Notes`, which has the function `find`.
async fn with_notes() -> (Server, String) {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let data = json!({
        "name": "Notes", "description": "",
        "api_functions": [{"name": "find", "code": "return 1"}],
    });
    let body = json!({"token": token, "original_name": "", "data": data});
    server.post("/save_assembly", body).await.success();
    let body = json!({"token": token, "author": "alice", "name": "Notes"});
    server.post("/install_assembly", body).await.success();
    (server, token)
}

#[tokio::test]
async fn a_document_is_stored_under_an_identifier() {
    let (server, token) = with_notes().await;
    let mut identifiers = Vec::new();
    for (kind, tags, data) in [
        (json!("note"), json!(["a", 1, null]), json!({"text": "x"})),
        (json!(5), json!("one"), json!([1.5, {"deep": null}])),
        (json!(-1.5), json!({"no": "tags"}), Value::Null),
    ] {
        let body = json!({"token": token, "type": kind, "tags": tags, "data": data});
        let answer = server.post("/alice/Notes/store", body).await.ok();
        assert_eq!(answer["success"], true);
        assert_eq!(answer["_id"].as_str().unwrap().len(), 24);
        identifiers.push(answer["_id"].clone());
    }
    let body = json!({"token": token, "type": "t", "data": 1});
    server.post("/alice/N%6ftes/store", body).await.ok();
    identifiers.dedup();
    assert_eq!(identifiers.len(), 3);
}

#[tokio::test]
async fn a_document_needs_a_type_that_is_one() {
    let (server, token) = with_notes().await;
    for kind in [json!(""), json!(null), json!(true), json!([]), json!({})] {
        let body = json!({"token": token, "type": kind, "data": 1});
        let refused = server.post("/alice/Notes/store", body).await;
        assert_eq!(refused.error(), (400, "invalid_document_type"));
    }
    for (missing, body) in [
        ("type", json!({"token": token, "data": 1})),
        ("data", json!({"token": token, "type": "t"})),
    ] {
        let refused = server.post("/alice/Notes/store", body).await;
        assert_eq!(refused.error(), (400, "missing_field"));
        assert!(refused.sentence().contains(&format!("field {missing} ")));
    }
}

#[tokio::test]
async fn only_what_is_installed_takes_documents_and_calls() {
    let (server, token) = with_notes().await;
    let body = json!({"token": token, "type": "t", "data": 1});
    for path in [
        "/alice/Other/store",
        "/bob/Notes/store",
        "/alice/Notes%2f/store",
        "/alice%2fNotes/x/store",
        "/al%00ice/Notes/store",
        "/%e2%80%aealice/Notes/store",
        "/%ff/Notes/store",
        "/alice/Other/find",
    ] {
        let refused = server.post(path, body.clone()).await;
        assert_eq!(refused.error(), (404, "assembly_not_installed"), "{path}");
    }
}

#[tokio::test]
async fn a_function_that_exists_is_not_run_by_this_server() {
    let (server, token) = with_notes().await;
    let body = json!({"token": token, "anything": {"the": ["function", "wants"]}});
    let refused = server.post("/alice/Notes/find", body.clone()).await;
    assert_eq!(refused.error(), (403, "code_execution_disabled"));
    for unknown in ["other", "fin%2fd", "%00", "%e2%80%8f", "find%20"] {
        let refused = server
            .post(&format!("/alice/Notes/{unknown}"), body.clone())
            .await;
        assert_eq!(refused.error(), (404, "unknown_function"), "{unknown}");
    }
}

#[tokio::test]
async fn statistics_tell_what_was_used() {
    let (server, token) = with_notes().await;
    let body = json!({"token": token, "type": "t", "data": "x".repeat(1000)});
    server.post("/alice/Notes/store", body).await.ok();
    let answer = server
        .post("/statistics", json!({"token": token}))
        .await
        .ok();
    let fields: Vec<&str> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "all_assemblies_count",
            "assembly_count",
            "current_storage",
            "installed_assemblies_count",
            "last_calculation",
            "storage_budget",
            "time_budget",
        ]
    );
    assert!(answer["time_budget"].is_f64());
    assert!(answer["storage_budget"].is_f64());
    assert!(answer["current_storage"].as_u64().unwrap() > 1000);
    assert!(answer["last_calculation"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(answer["assembly_count"], 1);
    assert_eq!(answer["installed_assemblies_count"], 1);
    assert_eq!(answer["all_assemblies_count"], 1);
}
