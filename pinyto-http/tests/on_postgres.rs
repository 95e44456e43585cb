//! Servers whose data is in PostgreSQL.

#![cfg(all(feature = "server", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod running_server;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use pinyto_core::testing::keys;
use pinyto_postgres_cluster::Instance;
use running_server::{RunningServer, command};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_database_are_one_cloud() {
    let database = pinyto_postgres_cluster::database().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--database", database.url()];
    let first = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let second = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let (mut one, mut other) = (first.client().await, second.client().await);

    let device = keys::device(0);
    one.register("owner", device.public_key()).await;
    let server_key = keys::server();
    let token = other
        .log_in("owner", &device, server_key.public_key())
        .await;
    let install = json!({"token": token, "author": "pinyto", "name": "Todo"});
    one.expect("/install_assembly", install).await;
    let store = json!({"token": token, "type": "t", "data": {"a": [1.0, -0.0, "\u{0}ö"]}});
    let stored = other.expect("/pinyto/Todo/store", store).await;
    let statistics = one.expect("/statistics", json!({"token": token})).await;
    assert!(
        statistics["current_storage"].as_u64() > Some(100),
        "{statistics}"
    );

    // What was acknowledged outlives whoever said so.
    guess_until_refused(&second).await;
    second.kill();
    let third = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut third_client = third.client().await;
    let list = json!({"token": token});
    third_client.expect("/list_keys", list.clone()).await;
    assert!(stored["_id"].is_string(), "{stored}");

    // A session that one server ends is unknown to all with the next request.
    one.expect("/logout", list.clone()).await;
    let (status, _) = third_client.post("/list_keys", &list).await;
    assert_eq!(status, 401);
    assert!(third.stop().success());
    assert!(first.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_while_its_database_can_be_reached() {
    let database = pinyto_postgres_cluster::database().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--database", database.url()];
    let server = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut watcher = server.client().await;
    assert_eq!(watcher.get("/readyz").await.0, 200);

    database.set_reachable(false).await;
    let begin = Instant::now();
    let (status, answer): (u16, Value) = watcher.get("/readyz").await;
    assert_eq!(status, 503, "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(8));
    assert_eq!(watcher.get("/healthz").await.0, 200);

    database.set_reachable(true).await;
    assert_eq!(watcher.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn tables_are_made_by_a_command_of_their_own() {
    let database = pinyto_postgres_cluster::database().await;
    database
        .execute("DROP SCHEMA IF EXISTS pinyto CASCADE")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let run = |task: &str| {
        let output = command(folder.path())
            .args([task, "--listen", "127.0.0.1:0", "--database"])
            .arg(database.url())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text} {output:?}");
        text
    };
    assert!(run("check").contains("its tables would be made"));
    assert!(run("migrate").contains("are up to date"));
    assert!(run("check").contains("it is up to date"));
    assert!(run("migrate").contains("are up to date"));
}

/// How a login ends, and how many seconds to wait.
async fn guess(server: &RunningServer, user: &str, password: &str) -> (u16, Option<u64>) {
    let body = json!({"username": user, "password": password});
    let mut client = server.client().await;
    let (status, pause, _) = client
        .post_for_pause("/keyserver/authenticate", &body)
        .await;
    (status, pause)
}

/// Guesses at `hugo` until that is refused for some time yet; says how many guesses were not.
async fn guess_until_refused(server: &RunningServer) -> u32 {
    let mut guesses = 0;
    loop {
        match guess(server, "hugo", "wrong horses").await {
            (403, None) => guesses += 1,
            (429, Some(20..=30)) => return guesses,
            // On a slow machine one may soon guess again.
            (429, Some(pause @ 0..20)) => tokio::time::sleep(Duration::from_secs(pause)).await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_at_one_server_is_refused_by_all() {
    let database = pinyto_postgres_cluster::database().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--database", database.url()];
    let first = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let second = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    for user in ["hugo", "erna"] {
        let body = json!({"username": user, "password": "correct horse"});
        first
            .client()
            .await
            .expect("/keyserver/register", body)
            .await;
    }
    assert!(guess_until_refused(&first).await >= 10);
    for password in ["wrong horses", "correct horse"] {
        for server in [&second, &first] {
            let (status, pause) = guess(server, "hugo", password).await;
            assert_eq!(status, 429);
            assert!(pause.is_some_and(|seconds| (1..=30).contains(&seconds)));
        }
    }
    assert_eq!(guess(&second, "erna", "correct horse").await.0, 200);
    // A restart forgets nothing.
    assert!(first.stop().success());
    guess_until_refused(&second).await;
    second.kill();
    let third = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let (status, pause) = guess(&third, "hugo", "correct horse").await;
    assert_eq!(status, 429);
    assert!(pause.is_some_and(|seconds| (1..=30).contains(&seconds)));
    assert!(third.stop().success());
}

/// Stores at least once, until the time is over; gives what was acknowledged and how often that failed.
async fn store_until(server: &RunningServer, token: &str, until: Instant) -> (Vec<String>, u64) {
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    let mut client = server.client().await;
    loop {
        let body = json!({"token": token, "type": "t", "data": [1, 2, 3]});
        let (status, pause, answer) = client.post_for_pause("/pinyto/Todo/store", &body).await;
        match status {
            200 => acknowledged.push(answer["_id"].as_str().unwrap().to_owned()),
            503 => {
                assert!(matches!(pause, Some(1..=30)), "{pause:?} {answer}");
                assert_eq!(answer["code"], "database_unavailable");
                failed += 1;
            }
            _ => panic!("{status} {answer}"),
        }
        if Instant::now() > until {
            return (acknowledged, failed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_stopped_requests_get_503_and_afterwards_all_is_there() {
    let Some(database) = Instance::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = database.url("postgres");
    let server = RunningServer::start_with_fixed_key(folder.path(), &["--database", &url]);
    let mut client = server.client().await;
    let (device, server_key) = (keys::device(0), keys::server());
    client.register("owner", device.public_key()).await;
    let token = client
        .log_in("owner", &device, server_key.public_key())
        .await;
    let install = json!({"token": token, "author": "pinyto", "name": "Todo"});
    client.expect("/install_assembly", install).await;

    // Restarts, which are bridged; then one that takes longer than anybody waits.
    let until = Instant::now() + Duration::from_secs(4);
    let restarts = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            database.restart_immediately().await;
        }
    };
    let ((acknowledged, _), ()) = tokio::join!(store_until(&server, &token, until), restarts);
    database.stop_immediately();
    let begun = Instant::now();
    let list = json!({"token": token});
    // The former connection was idle for as long as the restarts have taken.
    let (mut client, mut asking) = (server.client().await, server.client().await);
    let (refused, ready) = tokio::join!(
        client.post_for_pause("/list_keys", &list),
        asking.get("/readyz"),
    );
    let (status, pause, answer) = refused;
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("database_unavailable"))
    );
    assert_eq!(pause, Some(5), "{answer}");
    let expected = "The database is not available: it can't be reached.";
    assert_eq!((ready.0, &ready.1["error"]), (503, &json!(expected)));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let (none, failed) = store_until(&server, &token, Instant::now()).await;
    assert_eq!((none.len(), failed), (0, 1));

    database.start_again().await;
    // So was this one.
    let mut client = server.client().await;
    assert_eq!(client.get("/readyz").await.0, 200);
    client.expect("/list_keys", list.clone()).await;
    let statistics = client.expect("/statistics", list).await;
    let stored = "SELECT encode(id, 'hex') FROM pinyto.documents";
    let stored: HashSet<String> = database.texts(stored).await.into_iter().collect();
    assert!(acknowledged.len() > 20, "{acknowledged:?}");
    for id in &acknowledged {
        assert!(stored.contains(id), "{id}");
    }
    let sum = database
        .texts("SELECT sum(size)::text FROM pinyto.documents")
        .await;
    assert_eq!(sum, [statistics["current_storage"].to_string()]);
    assert!(server.stop().success());
}
