//! What the server itself takes when many users' code asks for much at once.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod running_server;

use running_server::{Client, RunningServer};
use serde_json::{Value, json};

const USERS: usize = 16;

async fn account(server: &RunningServer, name: &str) -> (Client, String) {
    let mut client = server.client().await;
    let account = json!({"username": name, "password": "correct horse"});
    client.expect("/keyserver/register", account.clone()).await;
    let answer = client.expect("/keyserver/authenticate", account).await;
    (client, answer["token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_users_who_ask_for_megabytes_at_once_cost_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = RunningServer::start_with_fixed_key(folder.path(), &[]);
    let code = |name: &str, code: &str| json!({"name": name, "code": code});
    let functions = [
        code("find", "return len(db.find({'type': 'numbers'}))"),
        code(
            "match",
            "return len(db.find({'type': 'numbers', 'data': {'$ne': 5}}))",
        ),
        code(
            "distinct",
            "return len(db.find_distinct({'type': 'numbers'}, 'data'))",
        ),
    ];
    let data = json!({"name": "Much", "description": "", "api_functions": functions, "jobs": []});
    let mut users = Vec::new();
    for n in 0..USERS {
        let (mut client, token) = account(&server, &format!("user{n}")).await;
        if n == 0 {
            let request = json!({"token": token, "original_name": "", "data": data});
            client.expect("/save_assembly", request).await;
        }
        let request = json!({"token": token, "author": "user0", "name": "Much"});
        client.expect("/install_assembly", request).await;
        let numbers: Value = vec![0; 950_000].into();
        for _ in 0..2 {
            let request = json!({"token": token, "type": "numbers", "data": numbers});
            client.expect("/user0/Much/store", request).await;
        }
        users.push(token);
    }
    for function in ["find", "match", "distinct"] {
        server.forget_peak_memory();
        let before = server.peak_memory_mib();
        let mut calls = Vec::new();
        for token in &users {
            // The server closes connections that are quiet for long.
            let mut client = server.client().await;
            let (path, token) = (format!("/user0/Much/{function}"), token.clone());
            calls.push(tokio::spawn(async move {
                client.post(&path, &json!({"token": token})).await
            }));
        }
        let mut answers = Vec::new();
        for call in calls {
            let (status, answer) = call.await.unwrap();
            assert!([200, 400, 429].contains(&status), "{answer}");
            answers.push(format!("{status} {answer}"));
        }
        let peak = server.peak_memory_mib();
        answers.sort_unstable();
        answers.dedup();
        println!("{function}: {peak} MiB (before: {before}), {answers:?}");
        // The rest is what storing the documents has left: caches, and what the allocator keeps.
        assert!(
            peak < before + 150,
            "{function}: {peak} MiB, before {before} MiB"
        );
    }
    assert!(server.stop().success());
}
