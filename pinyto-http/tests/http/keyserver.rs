//! The keyserver: logging in with a password.

use std::{num::NonZeroU32, sync::Arc};

use pinyto_core::{memory::MemoryStore, testing::keys};
use serde_json::{Value, json};

use crate::support::{Server, cloud_with, numbers, quick_settings};

#[tokio::test]
async fn who_registers_with_a_password_logs_in_changes_it_and_logs_out() {
    let server = Server::new();
    let login = async |password: &str| {
        let body = json!({"username": "carol", "password": password});
        server.post("/keyserver/authenticate", body).await
    };
    let body = json!({"name": "carol", "password": "correct horse"});
    server.post("/keyserver/register", body).await.success();
    let first = login("correct horse").await.ok();
    let listed = server.post("/list_keys", first.clone()).await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let old_key = listed[0]["key_hash"].clone();

    let mut change = first.clone();
    change["password"] = json!("battery staple");
    server
        .post("/keyserver/change_password", change)
        .await
        .success();
    let listed = server.post("/list_keys", first.clone()).await.ok();
    assert_ne!(listed[0]["key_hash"], old_key);
    assert_eq!(listed[0]["current"], true);
    assert_eq!(
        login("correct horse").await.error(),
        (403, "wrong_password")
    );
    let second = login("battery staple").await.ok();
    server
        .post("/keyserver/logout", second.clone())
        .await
        .success();
    let replayed = server.post("/list_keys", second).await;
    assert_eq!(replayed.error(), (401, "unknown_token"));
}

#[tokio::test]
async fn unknown_accounts_and_wrong_passwords_have_one_answer() {
    let server = Server::new();
    let body = json!({"username": "carol", "password": "correct horse"});
    server.post("/keyserver/register", body).await.success();
    server.register("alice", &keys::device(0)).await;
    for (field, name) in [
        ("username", "carol"),
        ("name", "carol"),
        ("username", "nobody"),
        ("username", "alice"),
        ("username", "no/name\u{200f}"),
        ("name", ""),
    ] {
        for password in ["wrong horse", "", "x"] {
            let body = json!({field: name, "password": password});
            let refused = server.post("/keyserver/authenticate", body).await;
            assert_eq!(refused.error(), (403, "wrong_password"), "{name}");
            assert_eq!(refused.sentence(), "User name or password is wrong.");
        }
    }
}

#[tokio::test]
async fn names_and_passwords_are_checked_at_registration() {
    let server = Server::new();
    server.register("alice", &keys::device(0)).await;
    let register = async |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        server.post("/keyserver/register", body).await
    };
    for (name, password, error) in [
        ("alice", "correct horse", (409, "user_name_taken")),
        ("keyserver", "correct horse", (400, "reserved_user_name")),
        ("a b", "correct horse", (400, "invalid_user_name")),
        ("carol", "1234567", (400, "invalid_password")),
        ("carol", &"x".repeat(1025), (400, "invalid_password")),
    ] {
        assert_eq!(register(name, password).await.error(), error);
    }
    let short = register("carol", "1234567").await;
    assert!(short.sentence().contains("at least 8 characters"));
    register("carol", "\u{1f40e}\u{1f40e}\u{1f40e}\u{1f40e}\0\u{202e}ab")
        .await
        .success();
}

#[tokio::test]
async fn who_has_no_password_can_not_change_it() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let body = json!({"token": token, "password": "correct horse"});
    let refused = server.post("/keyserver/change_password", body).await;
    assert_eq!(refused.error(), (404, "no_keyserver_account"));
    let body = json!({"token": token, "password": "short"});
    let refused = server.post("/keyserver/change_password", body).await;
    assert_eq!(refused.error(), (400, "invalid_password"));
}

#[tokio::test]
async fn changing_the_password_leaves_device_keys_alone() {
    let server = Server::new();
    let body = json!({"username": "carol", "password": "correct horse"});
    server
        .post("/keyserver/register", body.clone())
        .await
        .success();
    let token = server.post("/keyserver/authenticate", body).await.ok();
    let token = token["token"].as_str().unwrap().to_owned();
    let body = json!({"token": token, "public_key": numbers(&keys::device(0))});
    server.post("/register_new_key", body).await.success();
    let of_device = server.login("carol", &keys::device(0)).await;
    let body = json!({"token": of_device, "password": "battery staple"});
    server
        .post("/keyserver/change_password", body)
        .await
        .success();
    server
        .post("/list_keys", json!({"token": of_device}))
        .await
        .ok();
    // The session of the old key is not the one in use.
    let replayed = server.post("/list_keys", json!({"token": token})).await;
    assert_eq!(replayed.error(), (401, "unknown_token"));
}

#[tokio::test]
async fn a_password_can_be_forbidden_and_allowed_again() {
    let server = Server::new();
    let account = json!({"username": "carol", "password": "correct horse"});
    let made = server.post("/keyserver/register", account.clone()).await;
    made.success();
    let authenticate = async || {
        server
            .post("/keyserver/authenticate", account.clone())
            .await
    };
    let set = async |token: &Value, allowed: Value| {
        let body = json!({"token": token, "allowed": allowed});
        server.post("/keyserver/set_password_login", body).await
    };
    let by_password = authenticate().await.ok()["token"].clone();
    let refused = set(&by_password, json!(false)).await;
    assert_eq!(refused.error(), (409, "last_active_key"));
    let body = json!({"token": by_password, "public_key": numbers(&keys::device(0))});
    server.post("/register_new_key", body).await.success();
    for wrong in [json!("false"), json!(0), Value::Null] {
        let refused = set(&by_password, wrong).await;
        assert_eq!(refused.error(), (400, "invalid_field"));
    }
    let missing = json!({"token": by_password});
    let refused = server.post("/keyserver/set_password_login", missing).await;
    assert_eq!(refused.error(), (400, "missing_field"));
    let refused = set(&by_password, json!(false)).await;
    assert_eq!(refused.error(), (409, "password_session"));
    let by_device = json!(server.login("carol", &keys::device(0)).await);
    set(&by_device, json!(false)).await.success();

    let refused = authenticate().await;
    assert_eq!(refused.error(), (403, "wrong_password"));
    let wrong = json!({"username": "carol", "password": "wrong horse"});
    let wrong = server.post("/keyserver/authenticate", wrong).await;
    assert_eq!(refused.sentence(), wrong.sentence());
    let ended = set(&by_password, json!(true)).await;
    assert_eq!(ended.error(), (401, "unknown_token"));

    let listed = server.post("/list_keys", json!({"token": by_device})).await;
    assert_eq!(listed.ok()[0]["active"], false);
    set(&by_device, json!(true)).await.success();
    authenticate().await.ok();

    let of_alice = json!(server.user("alice", 1).await);
    for allowed in [true, false] {
        let refused = set(&of_alice, json!(allowed)).await;
        assert_eq!(refused.error(), (404, "no_keyserver_account"));
    }
}

#[tokio::test]
async fn guessing_a_password_is_throttled_by_account() {
    let mut settings = quick_settings();
    settings.throttle.enabled = true;
    settings.throttle.account.burst = NonZeroU32::new(3).unwrap();
    let server = Server::over(cloud_with(Arc::new(MemoryStore::new()), settings));
    let body = json!({"username": "nobody", "password": "wrong"});
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let refused = server.post("/keyserver/authenticate", body.clone()).await;
        if refused.status == 429 {
            assert!(refused.headers.contains_key("retry-after"));
        }
        statuses.push(refused.error().0);
    }
    assert_eq!(statuses[0], 403);
    assert_eq!(statuses[5], 429, "{statuses:?}");
}
