//! A real client, the real server, a real database file.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod running_server;

use std::sync::Arc;

use pinyto_core::{
    challenge::DeviceKey, crypto::default_backend, key::PublicKey, store::Store, testing::given,
    user::UserName,
};
use pinyto_store::sqlite::SqliteStore;
use running_server::{Client, RunningServer, command, write_key};
use serde_json::json;

const DOCUMENTS: u64 = 1000;
const TASKS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_stored_by_a_fresh_device_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // No key file: the first start makes one.
    let server = RunningServer::start_with(folder.path(), &[]);
    assert!(
        server
            .greeting
            .iter()
            .any(|line| line.contains("server-key.pem")),
        "{:?}",
        server.greeting
    );
    let pem = std::fs::read_to_string(folder.path().join("server-key.pem")).unwrap();
    let server_key = pinyto_core::challenge::ServerKey::from_pem(default_backend(), &pem).unwrap();

    let device = DeviceKey::generate(default_backend()).unwrap();
    let mut client = server.client().await;
    client.register("hugo", device.public_key()).await;
    let token = client
        .log_in("hugo", &device, server_key.public_key())
        .await;
    let install = json!({"token": token, "author": "pinyto", "name": "Todo"});
    client.expect("/install_assembly", install).await;

    let server = Arc::new(server);
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (server, token) = (server.clone(), token.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = server.client().await;
            for number in (task..DOCUMENTS).step_by(usize::try_from(TASKS).unwrap()) {
                let body = json!({"token": token, "type": "todo", "data": {"number": number}});
                let stored = client.expect("/pinyto/Todo/store", body).await;
                assert_eq!(stored["_id"].as_str().map(str::len), Some(24), "{stored}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let before = client.expect("/statistics", json!({"token": token})).await;
    drop(client);
    let server = Arc::into_inner(server).unwrap();
    assert!(server.stop().success());

    let server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    let after = client.expect("/statistics", json!({"token": token})).await;
    assert_eq!(after["current_storage"], before["current_storage"]);
    assert!(
        after["current_storage"].as_u64().unwrap() > DOCUMENTS * 50,
        "{after}"
    );
    assert_eq!(after["installed_assemblies_count"], 1);
    drop(client);
    assert!(server.stop().success());

    let url = format!("sqlite:{}", folder.path().join("pinyto.db").display());
    let store = SqliteStore::open(&url).await.unwrap();
    let hugo = store
        .users()
        .find(&UserName::parse("hugo").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(given::document_count(&store, &hugo).await, DOCUMENTS);
    store.close().await;
}

#[tokio::test]
async fn the_served_key_is_the_one_in_the_key_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    let (status, shown) = client.get("/public_key").await;
    assert_eq!(status, 200);
    let key = PublicKey::from_pem(shown["pem"].as_str().unwrap()).unwrap();
    assert_eq!(&key, pinyto_core::testing::keys::server().public_key());
}

#[tokio::test]
async fn the_admin_address_serves_health_and_metrics_and_the_public_one_no_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap();
    drop(free);
    std::fs::write(
        folder.path().join("server-key.pem"),
        pinyto_core::testing::keys::server_pem(),
    )
    .unwrap();
    let arguments = ["--admin-listen", &admin.to_string()];
    let server = RunningServer::start_with(folder.path(), &arguments);
    let mut public = server.client().await;
    assert_eq!(public.post("/list_keys", &json!({})).await.0, 401);
    assert_eq!(public.get("/metrics").await.0, 404);

    let mut admin = Client::connect(admin).await.unwrap();
    let (status, metrics) = admin.text("GET", "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "pinyto_http_requests_total{status=\"401\"} 1",
        "pinyto_http_requests_total{status=\"404\"} 1",
        "pinyto_http_request_seconds_count 2",
        "pinyto_key_stock_ready 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
    assert_eq!(admin.text("HEAD", "/metrics").await, (200, String::new()));
    assert_eq!(admin.get("/readyz").await.0, 200);
    let (status, unknown) = admin.get("/list_keys").await;
    assert_eq!((status, &unknown["code"]), (404, &json!("unknown_route")));
}

#[test]
fn check_says_what_a_start_would_do_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .args(["check", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("would make a new server key"), "{text}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it made something"
    );
}

#[test]
fn wrong_settings_are_one_sentence_and_exit_code_2_and_start_nothing() {
    for arguments in [
        &["--listen", "nowhere"][..],
        &["--database", "mysql://localhost"],
        &["--database", "sqlite:missing/folder/pinyto.db?mode=rwc"],
        &["--server-key", "."],
        &["--server-key", "missing/folder/key.pem"],
        &["check", "--server-key", "missing/folder/key.pem"],
        &["check", "--listen", "192.0.2.1:1"],
        &["--tls-cert", "missing.pem", "--tls-key", "missing.pem"],
        &["--tls-cert", "alone.pem"],
        &["--config", "missing.toml"],
        &["--no-such-setting"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut output = command(folder.path());
        if !arguments.contains(&"--listen") {
            output.args(["--listen", "127.0.0.1:0"]);
        }
        let output = output.args(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "{arguments:?} left something behind"
        );
    }
}

#[tokio::test]
async fn a_key_file_that_is_no_key_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    write_key(folder.path(), "not a key");
    let mut command = command(folder.path());
    let output = command.args(["--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "pinyto-server: The server key server-key.pem is no private RSA key of at least 4096 bits \
         in unencrypted PEM.\n"
    );
    let kept = std::fs::read_to_string(folder.path().join("server-key.pem")).unwrap();
    assert_eq!(kept, "not a key");
    assert!(!folder.path().join("pinyto.db").exists());
}
