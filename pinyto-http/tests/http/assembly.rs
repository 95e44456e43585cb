//! Assemblies: saved, listed, read, installed.

use pinyto_core::assembly::Schedule;
use serde_json::{Value, json};

use crate::support::Server;

fn todo() -> Value {
    json!({
        "name": "Todo",
        "description": "Things to do\u{202e}",
        "api_functions": [{"name": "get_list", "code": "return '[]'"}],
        "jobs": [{"name": "clean", "code": "pass", "schedule": 90}],
        "only_own_data": false,
    })
}

async fn save(server: &Server, token: &str, original: &str, data: Value) -> crate::support::Answer {
    let body = json!({"token": token, "original_name": original, "data": data});
    server.post("/save_assembly", body).await
}

#[tokio::test]
async fn indexes_come_back_only_where_there_are_any() {
    let server = Server::new();
    let alice = server.user("alice", 0).await;
    let named = json!({"token": alice, "author": "alice", "name": "Todo"});
    let mut data = todo();
    data["indexes"] = json!([]);
    save(&server, &alice, "", data.clone()).await.success();
    let source = server
        .post("/get_assembly_source", named.clone())
        .await
        .ok();
    assert_eq!(source.get("indexes"), None);
    data["indexes"] = json!(["data.isbn", "tags"]);
    save(&server, &alice, "Todo", data.clone()).await.success();
    let source = server.post("/get_assembly_source", named).await.ok();
    assert_eq!(source["indexes"], data["indexes"]);
    let own = server.post("/list_own_assemblies", json!({"token": alice}));
    assert_eq!(own.await.ok(), json!([data]));
    for (bad, code) in [
        (json!(["a..b"]), "invalid_assembly"),
        (json!(["$a"]), "invalid_assembly"),
        (json!(["a", "a"]), "invalid_assembly"),
        (json!(vec!["a"; 17]), "invalid_assembly"),
        (json!([1]), "invalid_field"),
        (json!("a"), "invalid_field"),
    ] {
        data["indexes"] = bad;
        let refused = save(&server, &alice, "Todo", data.clone()).await;
        assert_eq!(refused.error(), (400, code));
    }
}

#[tokio::test]
async fn what_is_saved_is_listed_read_installed_and_deleted() {
    let server = Server::new();
    let alice = server.user("alice", 0).await;
    let bob = server.user("bob", 1).await;
    save(&server, &alice, "", todo()).await.success();

    let own = server
        .post("/list_own_assemblies", json!({"token": alice}))
        .await;
    assert_eq!(own.ok(), json!([todo()]));
    let summary =
        json!([{"name": "Todo", "author": "alice", "description": "Things to do\u{202e}"}]);
    let all = server
        .post("/list_all_assemblies", json!({"token": bob}))
        .await;
    assert_eq!(all.ok(), summary);
    let named = json!({"token": bob, "author": "alice", "name": "Todo"});
    let source = server
        .post("/get_assembly_source", named.clone())
        .await
        .ok();
    assert_eq!(source["api_functions"], todo()["api_functions"]);
    assert_eq!(source["jobs"], todo()["jobs"]);

    server
        .post("/install_assembly", named.clone())
        .await
        .success();
    server
        .post("/install_assembly", named.clone())
        .await
        .success();
    let installed = server
        .post("/list_installed_assemblies", json!({"token": bob}))
        .await;
    assert_eq!(installed.ok(), summary);
    server
        .post("/uninstall_assembly", named.clone())
        .await
        .success();
    let refused = server.post("/uninstall_assembly", named.clone()).await;
    assert_eq!(refused.error(), (404, "assembly_not_installed"));

    let delete = json!({"token": alice, "name": "Todo"});
    server
        .post("/delete_assembly", delete.clone())
        .await
        .success();
    let refused = server.post("/delete_assembly", delete).await;
    assert_eq!(refused.error(), (404, "unknown_assembly"));
    for path in ["/get_assembly_source", "/install_assembly"] {
        let refused = server.post(path, named.clone()).await;
        assert_eq!(refused.error(), (404, "unknown_assembly"));
    }
}

#[tokio::test]
async fn what_is_left_out_has_its_default() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let data = json!({"name": "A", "description": "", "jobs": [{"name": "j", "code": ""}]});
    save(&server, &token, "A", data).await.success();
    let own = server
        .post("/list_own_assemblies", json!({"token": token}))
        .await;
    let expected = json!([{
        "name": "A", "description": "", "api_functions": [], "only_own_data": true,
        "jobs": [{"name": "j", "code": "", "schedule": 0}],
    }]);
    assert_eq!(own.ok(), expected);
}

#[tokio::test]
async fn saving_over_the_original_renames_it_and_a_name_is_taken_once() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    save(&server, &token, "Todo", todo()).await.success();
    let mut renamed = todo();
    renamed["name"] = json!("ToDo");
    save(&server, &token, "Todo", renamed).await.success();
    save(&server, &token, "a name/that can't be", todo())
        .await
        .success();
    let refused = save(&server, &token, "ToDo", todo()).await;
    assert_eq!(refused.error(), (409, "assembly_name_taken"));
    let own = server
        .post("/list_own_assemblies", json!({"token": token}))
        .await
        .ok();
    assert_eq!(own.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_whole() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    save(&server, &token, "", todo()).await.success();
    let part = json!({"name": "f", "code": ""});
    for (field, value, error) in [
        ("name", json!(""), "invalid_assembly_name"),
        ("name", json!("a/b"), "invalid_assembly_name"),
        ("name", json!("x".repeat(43)), "invalid_assembly_name"),
        ("api_functions", json!([part, part]), "invalid_assembly"),
        (
            "api_functions",
            json!([{"name": "a-b", "code": ""}]),
            "invalid_assembly_name",
        ),
        (
            "api_functions",
            json!([{"name": "a", "code": "\0"}]),
            "invalid_assembly",
        ),
        (
            "api_functions",
            json!([{"name": "a", "code": "x".repeat(262_145)}]),
            "invalid_assembly",
        ),
        ("description", json!("x".repeat(16_385)), "invalid_assembly"),
        ("jobs", json!(vec![part.clone(); 257]), "invalid_assembly"),
        (
            "jobs",
            json!([{"name": "j", "code": "", "schedule": -1}]),
            "invalid_field",
        ),
        (
            "jobs",
            json!([{"name": "j", "code": "", "schedule": 1.5}]),
            "invalid_field",
        ),
        (
            "jobs",
            json!([{"name": "j", "code": "", "schedule": Schedule::MAX_MINUTES + 1}]),
            "invalid_field",
        ),
        ("only_own_data", json!("false"), "invalid_field"),
        ("only_own_data", json!(0), "invalid_field"),
        ("only_own_data", Value::Null, "invalid_field"),
    ] {
        let mut data = todo();
        data[field] = value;
        let refused = save(&server, &token, "Todo", data).await;
        assert_eq!(refused.error(), (400, error), "{field}");
    }
    let own = server
        .post("/list_own_assemblies", json!({"token": token}))
        .await;
    assert_eq!(own.ok(), json!([todo()]));
}

#[tokio::test]
async fn a_part_of_the_list_of_all_can_be_asked_for() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for name in ["A", "B", "C"] {
        let data = json!({"name": name, "description": ""});
        save(&server, &token, "", data).await.success();
    }
    let list = async |mut body: Value| {
        body["token"] = json!(token);
        let listed = server.post("/list_all_assemblies", body).await.ok();
        let names = listed.as_array().unwrap().iter();
        names
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<String>()
    };
    assert_eq!(list(json!({})).await, "ABC");
    assert_eq!(list(json!({"skip": 1})).await, "BC");
    assert_eq!(list(json!({"skip": 1, "count": 1})).await, "B");
    assert_eq!(list(json!({"count": 0})).await, "");
    assert_eq!(list(json!({"skip": u64::MAX, "count": u64::MAX})).await, "");
    assert_eq!(list(json!({"skip": null, "count": null})).await, "ABC");
}

#[tokio::test]
async fn names_that_can_not_be_name_nothing() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for bad in ["", "a/b", "a%2fb", "\0", "\u{202e}", "\u{200f}x"] {
        let author = json!({"token": token, "author": bad, "name": "Todo"});
        let name = json!({"token": token, "author": "alice", "name": bad});
        for body in [author, name.clone()] {
            for path in ["/get_assembly_source", "/install_assembly"] {
                let refused = server.post(path, body.clone()).await;
                assert_eq!(refused.error(), (404, "unknown_assembly"));
            }
            let refused = server.post("/uninstall_assembly", body).await;
            assert_eq!(refused.error(), (404, "assembly_not_installed"));
        }
        let refused = server.post("/delete_assembly", name).await;
        assert_eq!(refused.error(), (404, "unknown_assembly"));
    }
}

#[tokio::test]
async fn indexes_are_kept_and_shown_where_there_are_some() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let mut data = todo();
    data["indexes"] = json!(["data.priority", "type"]);
    save(&server, &token, "", data.clone()).await.success();
    let own = async || {
        let body = json!({"token": token});
        server.post("/list_own_assemblies", body).await.ok()
    };
    assert_eq!(own().await, json!([data]));
    for (indexes, part) in [
        (json!(["data..a"]), "An index is a path."),
        (json!(["$where"]), "An index is a path."),
        (json!(["a", "b", "a"]), "The index a is listed twice."),
        (
            json!((0..17).map(|n| format!("a{n}")).collect::<Vec<_>>()),
            "at most 16 indexes",
        ),
    ] {
        let mut other = data.clone();
        other["indexes"] = indexes;
        let refused = save(&server, &token, "Todo", other).await;
        assert_eq!(refused.error(), (400, "invalid_assembly"));
        assert!(refused.sentence().contains(part), "{refused:?}");
    }
    assert_eq!(own().await, json!([data]));
    save(&server, &token, "Todo", todo()).await.success();
    assert_eq!(own().await, json!([todo()]));
}

#[tokio::test]
async fn the_hosts_that_code_may_fetch_from_are_kept_and_shown_where_they_are_named() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let own = async || {
        let body = json!({"token": token});
        server.post("/list_own_assemblies", body).await.ok()
    };
    for hosts in [
        json!(["example.org", "*.example.org", "192.0.2.1"]),
        json!([]),
    ] {
        let mut data = todo();
        data["http_hosts"] = hosts;
        save(&server, &token, "Todo", data.clone()).await.success();
        assert_eq!(own().await, json!([data]), "none at all is something, too");
    }
    let many: Vec<String> = (0..65).map(|n| format!("a{n}.org")).collect();
    for (hosts, part) in [
        (
            json!(["https://example.org"]),
            "http_hosts has something else",
        ),
        (json!(["*"]), "http_hosts has something else"),
        (json!([""]), "http_hosts has something else"),
        (json!(many), "at most 64 hosts"),
    ] {
        let mut data = todo();
        data["http_hosts"] = hosts;
        let refused = save(&server, &token, "Todo", data).await;
        assert_eq!(refused.error(), (400, "invalid_assembly"));
        assert!(refused.sentence().contains(part), "{refused:?}");
    }
    save(&server, &token, "Todo", todo()).await.success();
    assert_eq!(own().await, json!([todo()]));
}
