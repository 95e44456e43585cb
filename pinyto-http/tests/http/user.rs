//! Registration, authentication, sessions.

use std::num::NonZeroU32;

use pinyto_core::{memory::MemoryStore, testing::keys, user::UserName};
use pinyto_http::client_address::ClientAddress;
use serde_json::json;

use crate::support::{Server, cloud_with, numbers, quick_settings};

#[tokio::test]
async fn a_device_registers_authenticates_asks_and_logs_out() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let listed = server.post("/list_keys", json!({"token": token})).await;
    let listed = listed.ok();
    assert_eq!(listed[0]["key_hash"], keys::device(0).key_hash().as_str());
    assert_eq!(listed[0]["active"], true);

    let logout = server.post("/logout", json!({"token": token})).await;
    logout.success();
    let replayed = server.post("/list_keys", json!({"token": token})).await;
    assert_eq!(replayed.error(), (401, "unknown_token"));
    assert_eq!(replayed.sentence(), "Unknown token. Please authenticate.");
}

#[tokio::test]
async fn the_key_may_be_called_key_data_and_its_exponent_may_be_a_number() {
    let server = Server::new();
    let mut key = numbers(&keys::device(0));
    key["e"] = json!(65537);
    let body = json!({"username": "alice", "key_data": key, "extra": [1, 2]});
    server.post("/register", body).await.success();
    server.login("alice", &keys::device(0)).await;
}

#[tokio::test]
async fn a_name_is_registered_once_and_only_if_it_is_one() {
    let server = Server::new();
    let register = async |name: &str| {
        let body = json!({"username": name, "public_key": numbers(&keys::device(0))});
        server.post("/register", body).await
    };
    register("alice").await.success();
    assert_eq!(register("alice").await.error(), (409, "user_name_taken"));
    register("Alice").await.success();
    for reserved in ["keyserver", "authenticate", "webapps", "pinyto", "Docs"] {
        let refused = register(reserved).await;
        assert_eq!(refused.error(), (400, "reserved_user_name"));
    }
    let long = "x".repeat(31);
    for bad in ["", "a b", "a/b", "a%2fb", "a\0", "\u{202e}ab", "ä", &long] {
        let refused = register(bad).await;
        assert_eq!(refused.error(), (400, "invalid_user_name"), "{bad:?}");
    }
}

#[test]
fn nobody_is_called_what_a_route_begins_with() {
    for (path, _) in pinyto_http::routes::served() {
        let first = path.split('/').nth(1).unwrap();
        // What is no name can't be registered anyhow.
        if let Ok(name) = UserName::parse(first) {
            assert!(name.is_reserved(), "{path}");
        }
    }
}

#[tokio::test]
async fn a_key_that_breaks_a_rule_is_refused_with_the_rule() {
    let server = Server::new();
    let good = keys::device(0).public_key().n_decimal().to_owned();
    let (spaced, signed, zero) = (format!("{good} "), format!("+{good}"), format!("0{good}"));
    for (n, e, rule) in [
        ("12345", "65537", "at least 4096 bits"),
        (&good[1..], "65537", ""),
        (&good, "65536", "odd"),
        (&good, "1", "at least 3"),
        (&good, "-3", "decimal"),
        (&spaced, "65537", "decimal"),
        (&signed, "65537", "decimal"),
        (&zero, "65537", "decimal"),
        ("٣", "65537", "decimal"),
        (&"9".repeat(3000), "65537", "at most 8192 bits"),
    ] {
        let body = json!({"username": "alice", "public_key": {"N": n, "e": e}});
        let refused = server.post("/register", body).await;
        assert_eq!(refused.error(), (400, "invalid_public_key"), "{n} {e}");
        assert!(refused.sentence().contains(rule), "{}", refused.sentence());
    }
}

#[tokio::test]
async fn nobody_learns_which_names_and_keys_there_are() {
    let server = Server::new();
    let alice = keys::device(0);
    let token = server.user("alice", 0).await;
    let second = keys::device(1);
    let body = json!({"token": token, "public_key": numbers(&second)});
    server.post("/register_new_key", body).await.success();
    let off =
        json!({"token": token, "key_hash": second.key_hash().as_str(), "active_state": false});
    server.post("/set_key_active", off).await.success();

    let unknown_user = ("bob", alice.key_hash().to_string());
    let unknown_key = ("alice", "0123456789".to_owned());
    let inactive_key = ("alice", second.key_hash().to_string());
    let no_name = ("a/b \u{202e}\0", alice.key_hash().to_string());
    for (name, key_hash) in [unknown_user, unknown_key, inactive_key, no_name] {
        let body = json!({"username": name, "key_hash": key_hash});
        let refused = server.post("/authenticate", body).await;
        assert_eq!(refused.error(), (401, "authentication_failed"), "{name}");
        assert!(refused.sentence().starts_with("There is no user"));
    }
    for bad in ["", "123456789", "xyzxyzxyzx", &"0".repeat(65), "01234 6789"] {
        for name in ["alice", "a/b"] {
            let body = json!({"username": name, "key_hash": bad});
            let refused = server.post("/authenticate", body).await;
            assert_eq!(refused.error(), (400, "invalid_key_hash"), "{bad}");
        }
    }
}

#[tokio::test]
async fn a_key_has_one_session_and_other_keys_have_theirs() {
    let server = Server::new();
    let first = server.user("alice", 0).await;
    let other = keys::device(1);
    let body = json!({"token": first, "public_key": numbers(&other)});
    server.post("/register_new_key", body).await.success();
    let of_other = server.login("alice", &other).await;
    let second = server.login("alice", &keys::device(0)).await;

    let list = async |token: &str| server.post("/list_keys", json!({"token": token})).await;
    assert_eq!(list(&first).await.error(), (401, "unknown_token"));
    list(&second).await.ok();
    list(&of_other).await.ok();
}

#[tokio::test]
async fn a_longer_key_hash_is_as_good() {
    let server = Server::new();
    let device = keys::device(0);
    server.register("alice", &device).await;
    let all = device.public_key().fingerprint().to_hex();
    for digits in [&all[..11], &all, &all.to_uppercase()] {
        let body = json!({"username": "alice", "key_hash": digits});
        server.post("/authenticate", body).await.ok();
    }
}

#[tokio::test]
async fn the_token_may_be_in_the_header_but_the_body_wins() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let ask = async |header: &str, body: serde_json::Value| {
        let request = warp::test::request()
            .method("POST")
            .path("/list_keys")
            .header("authorization", header)
            .body(body.to_string());
        server.request(request).await
    };
    let good = format!("Bearer {token}");
    ask(&good, json!({})).await.ok();
    ask(&format!("bearer  {token} "), json!({})).await.ok();
    ask("Bearer nonsense", json!({"token": token})).await.ok();
    for (header, body) in [
        (good.as_str(), json!({"token": "nonsense"})),
        ("Bearer nonsense", json!({})),
        ("Bearer", json!({})),
        ("", json!({})),
        ("Basic YTpi", json!({})),
        (&token, json!({})),
    ] {
        let refused = ask(header, body).await;
        assert_eq!(refused.error(), (401, "unknown_token"), "{header}");
    }
    let refused = ask(&good, json!({"token": 5})).await;
    assert_eq!(refused.error(), (400, "invalid_field"));
    let refused = ask("Bearer \u{e4}", json!({})).await;
    assert_eq!(refused.error(), (401, "unknown_token"));
    ask("Bearer \u{e4}", json!({"token": token})).await.ok();
}

#[tokio::test]
async fn who_fails_too_often_from_one_address_is_told_how_long_to_wait() {
    let mut settings = quick_settings();
    settings.throttle.enabled = true;
    settings.throttle.address.burst = NonZeroU32::new(3).unwrap();
    let store = std::sync::Arc::new(MemoryStore::new());
    let server = Server::over(cloud_with(store, settings));
    server.register("alice", &keys::device(0)).await;

    let try_from = async |address: [u8; 4], name: &str| {
        let body = json!({"username": name, "key_hash": keys::device(0).key_hash().as_str()});
        let request = warp::test::request()
            .method("POST")
            .path("/authenticate")
            .extension(ClientAddress(address.into()))
            .body(body.to_string());
        server.request(request).await
    };
    for _ in 0..3 {
        let refused = try_from([192, 0, 2, 1], "bob").await;
        assert_eq!(refused.error(), (401, "authentication_failed"));
    }
    let mut throttled = try_from([192, 0, 2, 1], "bob").await;
    if throttled.status == 401 {
        throttled = try_from([192, 0, 2, 1], "bob").await;
    }
    assert_eq!(throttled.error(), (429, "throttled"));
    let wait: u64 = throttled.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait >= 1);
    assert_eq!(
        throttled.headers["access-control-expose-headers"],
        "retry-after, x-request-id"
    );
    try_from([192, 0, 2, 2], "alice").await.ok();
}
