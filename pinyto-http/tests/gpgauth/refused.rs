//! What nobody should send.

use serde_json::Value;

use crate::{
    Browser, Gpg, NO_USER, Shape, account_with_key, begin, complete, import_server_key, start,
};
use hyper::Request;

const NONCE: &str = "gpgauthv1.3.0|36|de305d54-75b4-431b-adb2-eb6b9e546014|gpgauthv1.3.0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_fingerprint_belongs_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let mut browser = Browser::new(&server);
    let long = "A".repeat(41);
    for keyid in [
        "",
        "1234567890",
        "0123456789ABCDEF",
        &long,
        &long.replace('A', "Z")[..40],
        "0x23456789012345678901234567890123456789",
        "A\r\nSet-Cookie: passbolt_session=x",
        "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
        "Ada <ada@example.org>",
        "\0",
    ] {
        for shape in Shape::ALL {
            for more in [
                None,
                Some(("user_token_result", NONCE)),
                Some(("server_verify_token", "")),
            ] {
                let fields: Vec<_> = [("keyid", keyid)].into_iter().chain(more).collect();
                let answer = browser.post("/auth/login.json", shape, &fields).await;
                let expected = (400, "false", Some("stage0"), Some("true"));
                assert_eq!(answer.outcome(), expected, "{keyid:?} {shape:?} {answer:?}");
                assert!(answer.message.contains(NO_USER), "{answer:?}");
                assert_eq!(answer.body, Value::Null);
                assert!(browser.cookies.is_empty());
            }
        }
    }
    for (content_type, body) in [
        ("application/json", ""),
        ("application/json", "[]"),
        ("application/json", "{\"gpg_auth\": {\"keyid\": 7}}"),
        ("application/json", "{\"gpg_auth\": {\"keyid\": [\"A\"]}}"),
        ("multipart/form-data", "data[gpg_auth][keyid]=A"),
        ("multipart/form-data; boundary=x", "--x\r\n\r\n\r\n--x"),
        (
            "application/x-www-form-urlencoded",
            "data[gpg_auth][keyid]=%FF",
        ),
        ("text/plain", "\u{0}"),
    ] {
        let request = Request::post("/auth/login.json").header("content-type", content_type);
        let answer = browser.send(request, body.to_owned()).await;
        assert_eq!(
            (answer.status, answer.gpgauth("error")),
            (400, Some("true")),
            "{body}"
        );
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_decrypts_nonces_only() {
    let Some(gpg) = Gpg::with(&["ed25519", "other"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let mut browser = Browser::new(&server);
    let server_key = import_server_key(&mut browser, &gpg).await;
    let keyid = gpg.fingerprint("ed25519");
    let good = gpg.encrypt(&server_key, NONCE);
    let bomb = gpg.encrypt(&server_key, &"0".repeat(3_000_000));
    assert!(bomb.len() < 12_000, "{}", bomb.len());
    let half = good.len() / 2;
    let lines: Vec<_> = good.lines().take(4).collect();
    let cut = format!("{}\n-----END PGP MESSAGE-----\n", lines.join("\n"));
    for (message, status, progress) in [
        ("", 400, None),
        ("no message", 400, None),
        (NONCE, 400, None),
        (&*gpg.export("ed25519"), 400, None),
        (&good[..half], 400, None),
        (&good.repeat(60), 400, None),
        (&cut, 200, Some("stage0")),
        (
            &gpg.encrypt(&gpg.fingerprint("other"), NONCE),
            200,
            Some("stage0"),
        ),
        (
            &gpg.encrypt(&server_key, "a secret that somebody else sent"),
            200,
            Some("stage0"),
        ),
        (&gpg.encrypt(&server_key, ""), 200, Some("stage0")),
        (
            &gpg.encrypt(&server_key, &format!("{NONCE}\n")),
            200,
            Some("stage0"),
        ),
        (
            &gpg.encrypt(&server_key, &format!("{NONCE}\r\nX-Injected: yes")),
            200,
            Some("stage0"),
        ),
        (
            &gpg.encrypt(&server_key, &NONCE.replace("1.3.0", "1.2.1")),
            200,
            Some("stage0"),
        ),
        (&bomb, 200, Some("stage0")),
    ] {
        let fields = [("keyid", &*keyid), ("server_verify_token", message)];
        let answer = browser
            .post("/auth/verify.json", Shape::Json, &fields)
            .await;
        let expected = (status, "false", progress, Some("true"));
        assert_eq!(answer.outcome(), expected, "{message:.200} {answer:?}");
        assert_eq!(answer.gpgauth("verify-response"), None);
        assert_eq!(answer.header("x-injected"), None);
        assert!(!answer.message.contains("secret"), "{answer:?}");
    }
    let fields = [("keyid", &*keyid), ("server_verify_token", &good)];
    let answer = browser
        .post("/auth/verify.json", Shape::Json, &fields)
        .await;
    answer.expect_stage0(NONCE);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_too_often_has_to_wait_and_is_told_how_long() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let mut browser = Browser::new(&server);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let nonce = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    let mut refused = None;
    for _ in 0..300 {
        let answer = complete(&mut browser, &keyid, NONCE, Shape::Json).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.expect_bad_token();
    }
    let refused = refused.expect("nobody guesses so often");
    assert_eq!(
        refused.outcome(),
        (429, "false", Some("stage2"), Some("true"))
    );
    let pause: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&pause), "{pause}");
    let exposed = refused.header("access-control-expose-headers").unwrap();
    for name in [
        "retry-after",
        "x-gpgauth-error",
        "x-gpgauth-user-auth-token",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
    // A good token is as good afterwards.
    tokio::time::sleep(std::time::Duration::from_secs(pause + 1)).await;
    complete(&mut browser, &keyid, &nonce, Shape::Json)
        .await
        .expect_complete();
}
