//! Keys that can't be registered, and what becomes of those that can't be used any more.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    Browser, Gpg, Shape, account, account_with_key, add_key, begin, complete, listed, log_in,
    prove_key, start,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_would_not_do_is_refused_with_the_reason() {
    let names = ["rsa1024", "dsa", "elgamal", "sha1", "sign-only", "ed25519"];
    let Some(gpg) = Gpg::with(&names) else {
        return;
    };
    gpg.make_for("expired", 60, &["--faked-system-time", "20250101T000000"]);
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let token = account(&server, "ada").await;
    let secret = gpg.text(&["--armor", "--export-secret-keys", "<ed25519@example.org>"]);
    let good = gpg.export("ed25519");
    for (key, reason) in [
        (gpg.export("rsa1024"), "too small"),
        (gpg.export("dsa"), "algorithm is not accepted"),
        (gpg.export("elgamal"), "algorithm is not accepted"),
        (gpg.export("sha1"), "SHA-256"),
        (gpg.export("sign-only"), "encrypt"),
        (gpg.export("expired"), "expired"),
        (secret, "secret key"),
        (good.repeat(2), "one ASCII-armored public key"),
        (
            good.replace("PUBLIC KEY", "MESSAGE"),
            "one ASCII-armored public key",
        ),
        (
            good[..good.len() / 2].to_owned(),
            "one ASCII-armored public key",
        ),
        ("A".repeat(70_000), "too long"),
        (String::new(), "one ASCII-armored public key"),
    ] {
        let (status, answer) = add_key(&server, &token, &key).await;
        assert_eq!(status, 400, "{reason}: {answer}");
        assert_eq!(answer["code"], "invalid_openpgp_key", "{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(reason),
            "{reason}: {answer}"
        );
    }
    assert_eq!(listed(&server, &token).await.len(), 1);
    let mut browser = Browser::new(&server);
    let own = browser.get("/auth/verify.json").await.body["keydata"].clone();
    let (status, answer) = add_key(&server, &token, own.as_str().unwrap()).await;
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer["error"].as_str().unwrap().contains("server's own"),
        "{answer}"
    );
    prove_key(&server, &token, &gpg, "ed25519").await;
    let (status, answer) = add_key(&server, &token, &good).await;
    assert_eq!(status, 200);
    assert!(answer["challenge"].is_string(), "she may prove it again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_expires_opens_nothing_any_more() {
    let Some(gpg) = Gpg::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let token = account(&server, "ada").await;
    let made = Instant::now();
    gpg.make_for("soon", 45, &[]);
    let keyid = prove_key(&server, &token, &gpg, "soon").await;
    assert!(listed(&server, &token).await[1]["expires"].is_string());
    log_in(&server, &gpg, &keyid).await;
    let mut browser = Browser::new(&server);
    let nonce = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);

    tokio::time::sleep(Duration::from_secs(48).saturating_sub(made.elapsed())).await;
    let fields = [("keyid", &*keyid)];
    let answer = browser.post("/auth/login.json", Shape::Json, &fields).await;
    assert_eq!(
        answer.outcome(),
        (200, "false", Some("stage1"), Some("true"))
    );
    assert!(answer.message.contains("expired"), "{answer:?}");
    assert_eq!(answer.gpgauth("user-auth-token"), None);
    let answer = complete(&mut browser, &keyid, &nonce, Shape::Json).await;
    assert_eq!(
        answer.outcome(),
        (400, "false", Some("stage2"), Some("true"))
    );
    assert!(answer.message.contains("expired"), "{answer:?}");
    assert!(browser.cookies.is_empty());
    // Her other key goes on, and with it she renews this one.
    let former = gpg.export("soon");
    gpg.run(&["--quick-set-expire", &keyid, "1y"], b"");
    let (status, answer) = add_key(&server, &token, &gpg.export("soon")).await;
    assert_eq!((status, answer), (200, json!({"success": true})));
    log_in(&server, &gpg, &keyid).await;
    let (status, answer) = add_key(&server, &token, &former).await;
    assert_eq!(status, 400, "it has expired: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_key_opens_nothing_until_it_is_active_again_and_a_deleted_one_never() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let token = account(&server, "ada").await;
    let keyid = prove_key(&server, &token, &gpg, "ed25519").await;
    let session = log_in(&server, &gpg, &keyid).await;
    let mut browser = Browser::new(&server);
    let nonce = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    let mut client = server.client().await;

    let set =
        |active| json!({"token": token, "key_hash": keyid.to_lowercase(), "active_state": active});
    client.expect("/set_key_active", set(false)).await;
    let body = json!({"token": session});
    assert_eq!(
        client.post("/list_keys", &body).await.0,
        401,
        "its session ended"
    );
    complete(&mut browser, &keyid, &nonce, Shape::Json)
        .await
        .expect_bad_token();
    // It looks as if nobody had the key.
    let message = begin(&mut browser, &keyid, Shape::Json).await;
    assert_eq!(gpg.try_decrypt(&message), None);

    client.expect("/set_key_active", set(true)).await;
    log_in(&server, &gpg, &keyid).await;
    let delete = json!({"token": token, "key_hash": keyid[..10].to_lowercase()});
    client.expect("/delete_key", delete).await;
    let message = begin(&mut browser, &keyid, Shape::Json).await;
    assert_eq!(gpg.try_decrypt(&message), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_registers_another_ones_key_gets_nothing_by_it() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let mallory = account(&server, "mallory").await;
    let (status, answer) = add_key(&server, &mallory, &gpg.export("ed25519")).await;
    assert_eq!(status, 200, "{answer}");
    let keyid = gpg.fingerprint("ed25519");
    let mut browser = Browser::new(&server);
    // It is nobody's yet.
    let message = begin(&mut browser, &keyid, Shape::Json).await;
    assert_eq!(gpg.try_decrypt(&message), None);
    let mut client = server.client().await;
    let key_hash = keyid.to_lowercase();
    let set = json!({"token": mallory, "key_hash": key_hash, "active_state": true});
    let (status, answer) = client.post("/set_key_active", &set).await;
    assert_eq!((status, &answer["code"]), (409, &json!("unproven_key")));
    let guess = json!({"token": mallory, "key_hash": key_hash, "answer": "please"});
    let (status, answer) = client.post("/prove_openpgp_key", &guess).await;
    assert_eq!(
        (status, &answer["code"]),
        (400, &json!("gpgauth_invalid_token"))
    );
    let entry = &listed(&server, &mallory).await[1];
    assert_eq!(
        (&entry["active"], &entry["proven"]),
        (&json!(false), &json!(false))
    );

    account_with_key(&server, "ada", &gpg, "ed25519").await;
    let nonce = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    let answer = complete(&mut browser, &keyid, &nonce, Shape::Json).await;
    answer.expect_complete();
    assert_eq!(answer.body["username"], "ada");
}
