//! Whole logins, and what their sessions are good for.

use serde_json::{Value, json};

use crate::{
    Browser, Gpg, Shape, account, account_with_key, begin, complete, import_server_key, listed,
    prove_key, start,
};

const NONCE: &str = "gpgauthv1.3.0|36|de305d54-75b4-331b-adb2-eb6b9e546014|gpgauthv1.3.0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gnupg_logs_in_with_every_kind_of_key_in_every_shape() {
    let keys = [
        ("rsa3072", "rsa3072, rsa3072"),
        ("rsa4096", "rsa4096, rsa4096"),
        ("ed25519", "ed25519, cv25519"),
        ("nistp256", "nistp256, nistp256"),
    ];
    let Some(gpg) = Gpg::with(&keys.map(|(key, _)| key)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let mut browser = Browser::new(&server);
    let server_key = import_server_key(&mut browser, &gpg).await;
    for ((key, algorithm), shape) in keys.into_iter().zip(Shape::ALL) {
        let keyid = account_with_key(&server, key, &gpg, key).await;

        let token = gpg.encrypt(&server_key, NONCE);
        for path in ["/auth/verify.json", "/auth/login.json"] {
            let fields = [("keyid", &*keyid), ("server_verify_token", &token)];
            let answer = browser.post(path, shape, &fields).await;
            answer.expect_stage0(NONCE);
        }

        let message = begin(&mut browser, &keyid, shape).await;
        let nonce = gpg.decrypt_signed(&message, &server_key);
        assert_eq!(nonce.len(), NONCE.len(), "{nonce:?}");
        let answer = complete(&mut browser, &keyid.to_lowercase(), &nonce, shape).await;
        answer.expect_complete();
        assert_eq!(answer.body["username"], key);

        let token = answer.body["token"].as_str().unwrap();
        let entries = listed(&server, token).await;
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0]["kind"], "rsa");
        let entry = &entries[1];
        assert_eq!(entry["kind"], "openpgp", "{entry}");
        assert_eq!(entry["fingerprint"], keyid.to_lowercase());
        assert_eq!(entry["key_hash"], keyid[..10].to_lowercase());
        let id = format!("{key} <{key}@example.org>");
        assert_eq!(entry["user_ids"], json!([id]));
        assert_eq!(entry["algorithm"], algorithm);
        assert_eq!(entry["expires"], Value::Null);
        assert_eq!(entry["active"], true);
        assert_eq!(entry["current"], true);
        assert!(entry["last_used"].is_string(), "{entry}");
        browser.cookies.clear();
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_is_a_session_until_its_page_logs_out() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--gpgauth-cookie", "CAKEPHP"]);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let mut browser = Browser::new(&server);
    let pages = [
        "/auth/is-authenticated.json",
        "/auth/checkSession.json?api-version=v2",
        "/users/me.json",
    ];
    for page in pages {
        let answer = browser.get(page).await;
        assert_eq!(
            (answer.status, answer.gpgauth("authenticated")),
            (401, Some("false"))
        );
    }
    assert_eq!(browser.log_out(None).await.status, 200, "nothing to do");

    let message = begin(&mut browser, &keyid, Shape::Multipart).await;
    let answer = complete(
        &mut browser,
        &keyid,
        &gpg.decrypt(&message),
        Shape::Multipart,
    )
    .await;
    answer.expect_complete();
    let token = answer.body["token"].as_str().unwrap().to_owned();
    assert_eq!(browser.cookies["CAKEPHP"], token);
    let set = answer.headers.get_all("set-cookie").iter();
    let set: Vec<_> = set.map(|cookie| cookie.to_str().unwrap()).collect();
    let session = set.iter().find(|cookie| cookie.starts_with("CAKEPHP="));
    let session = session.unwrap();
    assert!(
        session.contains("HttpOnly") && session.contains("Path=/"),
        "{session}"
    );
    // There is no TLS here.
    assert!(!session.contains("Secure"), "{session}");

    for page in pages {
        let answer = browser.get(page).await;
        assert_eq!(
            (answer.status, answer.gpgauth("authenticated")),
            (200, Some("true"))
        );
    }
    let me = browser.get("/users/me.json").await;
    assert_eq!(me.body["username"], "ada");
    assert_eq!(me.body["id"].as_str().map(str::len), Some(36));
    let set = me.header("set-cookie").unwrap();
    assert!(
        set.starts_with("csrfToken=") && !set.contains("HttpOnly"),
        "{set}"
    );

    // Who is logged in doesn't log in.
    for fields in [
        &[("keyid", &*keyid)][..],
        &[("keyid", &keyid), ("user_token_result", "x")],
    ] {
        let answer = browser.post("/auth/login.json", Shape::Json, fields).await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert_eq!(answer.gpgauth("user-auth-token"), None);
    }
    // The cookie is for these routes only.
    let (status, answer) = server.client().await.post("/list_keys", &json!({})).await;
    assert_eq!(status, 401, "{answer}");

    let csrf_token = browser.cookies["csrfToken"].clone();
    for wrong in [None, Some(""), Some("another")] {
        let answer = browser.log_out(wrong).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(browser.get(pages[0]).await.status, 200);
    let answer = browser.log_out(Some(&csrf_token)).await;
    assert_eq!(
        (answer.status, answer.gpgauth("authenticated")),
        (200, Some("false"))
    );
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);

    browser.cookies.insert("CAKEPHP".to_owned(), token.clone());
    assert_eq!(browser.get(pages[0]).await.status, 401);
    let body = json!({"token": token});
    assert_eq!(server.client().await.post("/list_keys", &body).await.0, 401);
    // A dead cookie keeps nobody from logging in.
    begin(&mut browser, &keyid, Shape::Json).await;
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_of_several_subkeys_is_encrypted_for() {
    let Some(gpg) = Gpg::with(&["rsa2048"]) else {
        return;
    };
    let fingerprint = gpg.fingerprint("rsa2048");
    gpg.run(&["--quick-add-key", &fingerprint, "cv25519", "encr"], b"");
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let token = account(&server, "ada").await;
    prove_key(&server, &token, &gpg, "rsa2048").await;
    assert_eq!(
        listed(&server, &token).await[1]["algorithm"],
        "rsa2048, cv25519"
    );
    let mut browser = Browser::new(&server);
    let message = begin(&mut browser, &fingerprint, Shape::Json).await;
    assert!(gpg.packets(&message).contains("algo 18"));
    let nonce = gpg.decrypt(&message);
    complete(&mut browser, &fingerprint, &nonce, Shape::Json)
        .await
        .expect_complete();
}
