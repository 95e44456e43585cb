//! Acknowledged means durable: the server is killed in the middle of writes, many times.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod running_server;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use pinyto_core::{document::Scope, store::Store, testing::keys, user::UserName};
use pinyto_store::sqlite::SqliteStore;
use running_server::{Client, Gone, RunningServer, numbers};
use serde_json::json;

const KILLS: u64 = 12;
const WRITERS: u64 = 8;

/// Everything the server said yes to.
#[derive(Default)]
struct Acknowledged {
    users: Vec<String>,
    key_hashes: Vec<String>,
    documents: Vec<String>,
}

/// Registers users and keys and stores documents until the server is gone. `unique` makes names
/// and keys that nobody else makes.
async fn write(
    address: std::net::SocketAddr,
    token: String,
    unique: u64,
    acknowledged: Arc<Mutex<Acknowledged>>,
) -> Result<(), Gone> {
    let mut client = Client::connect(address).await?;
    for count in 0.. {
        let number = unique * 10_000 + count;
        let key = keys::synthetic(number);
        let user = format!("user_{number}");
        let register = json!({"username": user, "public_key": numbers(&key)});
        if client.try_post("/register", &register).await?.0 == 200 {
            acknowledged.lock().unwrap().users.push(user);
        }
        if count < 2 {
            let body = json!({"token": token, "public_key": numbers(&key)});
            if client.try_post("/register_new_key", &body).await?.0 == 200 {
                let hash = key.key_hash().as_str().to_owned();
                acknowledged.lock().unwrap().key_hashes.push(hash);
            }
        }
        let body = json!({"token": token, "type": "t", "data": number});
        let (status, stored) = client.try_post("/pinyto/Todo/store", &body).await?;
        if status == 200 {
            let id = stored["_id"].as_str().unwrap().to_owned();
            acknowledged.lock().unwrap().documents.push(id);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_had_acknowledged_is_there_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let device = keys::device(0);
    let mut server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    client.register("owner", device.public_key()).await;
    let token = client
        .log_in("owner", &device, keys::server().public_key())
        .await;
    let install = json!({"token": token, "author": "pinyto", "name": "Todo"});
    client.expect("/install_assembly", install).await;
    drop(client);

    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    for kill in 0..KILLS {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let unique = 1 + kill * WRITERS + writer;
                let (token, acknowledged) = (token.clone(), acknowledged.clone());
                tokio::spawn(write(server.address, token, unique, acknowledged))
            })
            .collect();
        // Not waited for, but a part of the experiment: the kill comes at another moment each time.
        tokio::time::sleep(Duration::from_millis(20 + 37 * (kill % 7))).await;
        server.kill();
        for writer in writers {
            assert!(
                writer.await.unwrap().is_err(),
                "the kill interrupts every writer"
            );
        }
        server = RunningServer::start(folder.path());
    }
    let mut client = server.client().await;
    let listed = client.expect("/list_keys", json!({"token": token})).await;
    drop(client);
    assert!(server.stop().success());

    let acknowledged = Arc::into_inner(acknowledged).unwrap().into_inner().unwrap();
    assert!(
        acknowledged.users.len() > 50 && acknowledged.documents.len() > 50,
        "hardly a write"
    );
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["key_hash"])
        .collect();
    for hash in &acknowledged.key_hashes {
        assert!(
            listed.iter().any(|listed| *listed == hash),
            "the key {hash} is lost"
        );
    }
    let url = format!("sqlite:{}", folder.path().join("pinyto.db").display());
    let store = SqliteStore::open(&url).await.unwrap();
    for user in &acknowledged.users {
        let name = UserName::parse(user).unwrap();
        assert!(
            store.users().find(&name).await.unwrap().is_some(),
            "{user} is lost"
        );
    }
    let owner = store
        .users()
        .find(&UserName::parse("owner").unwrap())
        .await
        .unwrap()
        .unwrap();
    for id in &acknowledged.documents {
        let found = store
            .documents()
            .find(Scope::all_of(owner.id), id.parse().unwrap())
            .await
            .unwrap();
        assert!(found.is_some(), "the document {id} is lost");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_forgets_no_failed_tries() {
    let folder = tempfile::tempdir().unwrap();
    let server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    let login = |password| json!({"username": "hugo", "password": password});
    client
        .expect("/keyserver/register", login("correct horse"))
        .await;
    let path = "/keyserver/authenticate";
    for _ in 0..10 {
        let (status, _) = client.post(path, &login("wrong horses")).await;
        assert_eq!(status, 403);
    }
    server.kill();
    let server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    let (status, pause, _) = client.post_for_pause(path, &login("correct horse")).await;
    assert_eq!(status, 429);
    assert!(pause.is_some_and(|seconds| (1..=30).contains(&seconds)));
}
