//! What the server itself takes when many users' code asks for much at once.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod running_server;

use pinyto_core::testing::keys;
use running_server::{Client, RunningServer};
use serde_json::{Value, json};

const USERS: usize = 16;

/// All users have the same device, which spares them keys.
async fn account(server: &RunningServer, name: &str) -> (Client, String) {
    let mut client = server.client().await;
    let device = keys::device(0);
    client.register(name, device.public_key()).await;
    let server_key = keys::server();
    let token = client.log_in(name, &device, server_key.public_key()).await;
    (client, token)
}

/// Sends each user's request at once and gives the answers that came, each once.
async fn all_at_once(
    server: &RunningServer,
    path: &str,
    requests: impl Iterator<Item = String>,
    expected: &[u16],
) -> Vec<String> {
    let mut calls = Vec::new();
    for request in requests {
        // The server closes connections that are quiet for long.
        let mut client = server.client().await;
        let path = path.to_owned();
        calls.push(tokio::spawn(async move {
            client.post_text(&path, request).await
        }));
    }
    let mut answers = Vec::new();
    for call in calls {
        let (status, answer) = call.await.unwrap();
        assert!(expected.contains(&status), "{path}: {status} {answer}");
        answers.push(format!("{status} {}", answer["code"]));
    }
    answers.sort_unstable();
    answers.dedup();
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_users_who_send_and_ask_for_megabytes_at_once_cost_little_memory() {
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
        let request = json!({"token": token, "type": "numbers", "data": numbers});
        client.expect("/user0/Much/store", request).await;
        users.push(token);
    }
    // As little text as can be for as much memory as can be.
    let maps = format!("[{}0]", r#"{"":0},"#.repeat(290_000));
    let (path, mut peaks) = ("/user0/Much/store", Vec::new());
    server.forget_peak_memory();
    let stores = users
        .iter()
        .map(|token| format!(r#"{{"token":"{token}","type":"maps","data":{maps}}}"#));
    let answers = all_at_once(&server, path, stores, &[413]).await;
    peaks.push((path.to_owned(), server.peak_memory_mib(), answers));
    let lists = format!("[{}0]", "[],".repeat(150_000));
    server.forget_peak_memory();
    let stores = users
        .iter()
        .map(|token| format!(r#"{{"token":"{token}","type":"lists","data":{lists}}}"#));
    let answers = all_at_once(&server, path, stores, &[200]).await;
    peaks.push((path.to_owned(), server.peak_memory_mib(), answers));
    for function in ["find", "match", "distinct"] {
        server.forget_peak_memory();
        let path = format!("/user0/Much/{function}");
        let calls = users
            .iter()
            .map(|token| json!({"token": token}).to_string());
        let answers = all_at_once(&server, &path, calls, &[200, 400, 429]).await;
        peaks.push((path, server.peak_memory_mib(), answers));
    }
    for (path, peak, answers) in &peaks {
        println!("{path}: {peak} MiB, {answers:?}");
    }
    assert!(peaks.iter().all(|(_, peak, _)| *peak < 300), "{peaks:?}");
    assert!(server.stop().success());
}
