//! The assemblies that come with the server.

use serde_json::{Value, json};

use crate::support::{install, logged_in};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_todo_app_and_the_back_office_work_on_the_same_documents() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client, token) = logged_in(folder.path(), &[]).await;
    for name in ["Todo", "DocumentsAdmin"] {
        install(&mut client, &token, "pinyto", name).await;
    }
    let mut ids = Vec::new();
    for (title, priority) in [("wash", 3), ("read", 1), ("write", 2)] {
        let document = json!({"data": {"title": title, "priority": priority}});
        let request = json!({"token": token, "document": document});
        let saved = client.expect("/pinyto/Todo/save", request).await;
        assert_eq!(saved["success"], true, "{saved}");
        ids.push(saved["_id"].as_str().unwrap().to_owned());
    }
    let titles = |list: &Value| -> Vec<String> {
        let list = list["result"].as_array().unwrap().iter();
        list.map(|entry| entry["data"]["title"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = client
        .expect("/pinyto/Todo/get_list", json!({"token": token}))
        .await;
    assert_eq!(titles(&list), ["read", "write", "wash"]);
    assert_eq!(list["result"][0]["assembly"], "pinyto/Todo");

    // The back office sees, changes and deletes them, whoever stored them.
    let query = json!({"data.title": {"$regex": "^W", "$options": "i"}});
    let request = json!({"token": token, "query": query, "skip": 0, "count": 42});
    let found = client
        .expect("/pinyto/DocumentsAdmin/search", request)
        .await;
    assert_eq!(titles(&found), ["wash", "write"]);
    let mut changed = found["result"][0].clone();
    changed["data"]["title"] = "wash up".into();
    let request = json!({"token": token, "document": changed});
    let saved = client.expect("/pinyto/DocumentsAdmin/save", request).await;
    assert_eq!(saved, json!({"success": true, "_id": ids[0]}));
    let request = json!({"token": token, "document": {"_id": ids[1]}});
    client
        .expect("/pinyto/DocumentsAdmin/delete", request)
        .await;
    let list = client
        .expect("/pinyto/Todo/get_list", json!({"token": token}))
        .await;
    assert_eq!(titles(&list), ["write", "wash up"]);
    assert_eq!(list["result"][1]["assembly"], "pinyto/Todo", "kept");

    // A document of somebody else's type is none of the app's business.
    let request = json!({"token": token, "type": "note", "data": {"title": "n"}});
    let note = client.expect("/pinyto/DocumentsAdmin/store", request).await;
    let request = json!({"token": token, "document": {"_id": note["_id"]}});
    client.expect("/pinyto/Todo/delete", request).await;
    let request = json!({"token": token, "query": {"type": "note"}});
    let found = client
        .expect("/pinyto/DocumentsAdmin/search", request)
        .await;
    assert_eq!(found["result"].as_array().unwrap().len(), 1);

    // Wrong queries are told, and all of it is in the log and in the books.
    let request = json!({"token": token, "query": {"$where": "1"}});
    let (status, answer) = client.post("/pinyto/DocumentsAdmin/search", &request).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["exception"]["type"], "ValueError");
    assert!(
        answer["error"].as_str().unwrap().contains("$where"),
        "{answer}"
    );
    let runs = client.expect("/list_runs", json!({"token": token})).await;
    assert_eq!(runs[0]["outcome"], "failed");
    assert_eq!(runs[0]["name"], "search");
    let statistics = client.expect("/statistics", json!({"token": token})).await;
    assert!(
        statistics["time_budget"].as_f64().unwrap() > 0.0,
        "{statistics}"
    );
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn todo_changes_and_deletes_its_own_entries_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client, token) = logged_in(folder.path(), &[]).await;
    install(&mut client, &token, "pinyto", "Todo").await;
    let mut call = async |function: &str, document: Value| {
        let request = json!({"token": token, "document": document});
        client
            .post(&format!("/pinyto/Todo/{function}"), &request)
            .await
    };
    let (_, saved) = call("save", json!({"data": {"title": "wash"}})).await;
    let id = &saved["_id"];
    let (_, other) = call("save", json!({"data": {"title": "read"}})).await;
    // Whatever type is sent, it stays an entry.
    let changed = json!({"_id": id, "type": "note", "data": {"title": "wash up"}, "tags": ["now"]});
    let (status, saved) = call("save", changed).await;
    assert_eq!(
        (status, &saved),
        (200, &json!({"success": true, "_id": id}))
    );
    let (_, list) = call("get_list", Value::Null).await;
    let entries = list["result"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let entry = entries.iter().find(|entry| entry["_id"] == *id).unwrap();
    assert_eq!(entry["data"], json!({"title": "wash up"}));
    assert_eq!(
        (&entry["type"], &entry["tags"]),
        (&json!("todo"), &json!(["now"]))
    );

    let (status, deleted) = call("delete", json!({"_id": id})).await;
    assert_eq!((status, deleted), (200, json!({"success": true})));
    let (_, list) = call("get_list", Value::Null).await;
    assert_eq!(list["result"].as_array().unwrap().len(), 1);
    assert_eq!(list["result"][0]["_id"], other["_id"]);
    // It is gone: deleting again is fine, changing isn't.
    let (status, _) = call("delete", json!({"_id": id})).await;
    assert_eq!(status, 200);
    let (status, refused) = call("save", json!({"_id": id, "data": 1})).await;
    let sentence = json!({"error": "There is no entry with this _id."});
    assert_eq!((status, refused), (400, sentence));
    for (function, document) in [("save", json!("wash")), ("delete", json!({"data": 1}))] {
        let (status, refused) = call(function, document).await;
        assert_eq!(status, 400, "{refused}");
        assert!(
            refused["error"]
                .as_str()
                .unwrap()
                .starts_with("Send the entry")
        );
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_back_office_pages_saves_new_documents_and_refuses_unknown_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client, token) = logged_in(folder.path(), &[]).await;
    install(&mut client, &token, "pinyto", "DocumentsAdmin").await;
    let mut call = async |function: &str, mut request: Value| {
        request["token"] = token.as_str().into();
        client
            .post(&format!("/pinyto/DocumentsAdmin/{function}"), &request)
            .await
    };
    let mut ids = Vec::new();
    for number in 0..45 {
        let document = json!({"type": "note", "data": number});
        let (status, saved) = call("save", json!({"document": document})).await;
        assert_eq!(status, 200, "{saved}");
        ids.push(saved["_id"].clone());
    }
    let found = |answer: &Value| -> Vec<Value> {
        let list = answer["result"].as_array().unwrap().iter();
        list.map(|document| document["_id"].clone()).collect()
    };
    let (_, answer) = call("search", json!({})).await;
    assert_eq!(found(&answer), ids[..42], "42 if nothing is said");
    let (_, answer) = call("search", json!({"query": {"type": "note"}, "skip": 40})).await;
    assert_eq!(found(&answer), ids[40..]);
    let (_, answer) = call("search", json!({"skip": 1, "count": 2})).await;
    assert_eq!(found(&answer), ids[1..3]);
    let (status, answer) = call("search", json!({"skip": -1})).await;
    assert_eq!(status, 400, "{answer}");

    let unknown = json!({"document": {"_id": "0123456789abcdef01234567", "type": "note"}});
    let (status, answer) = call("save", unknown.clone()).await;
    let sentence = json!({"error": "There is no document with this _id."});
    assert_eq!((status, answer), (400, sentence));
    let (status, answer) = call("delete", unknown).await;
    assert_eq!((status, answer), (200, json!({"success": true})));
    let (_, answer) = call("search", json!({"count": 100})).await;
    assert_eq!(found(&answer), ids);
    assert!(server.stop().success());
}
