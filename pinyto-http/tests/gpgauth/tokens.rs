//! Tokens are good once, for their key, on whichever server.

use tokio::task::JoinSet;

use crate::{
    Browser, Gpg, RunningServer, Shape, account_with_key, begin, complete, listed, log_in, start,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_once() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let mut browser = Browser::new(&server);
    let nonce = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    let answer = complete(&mut browser, &keyid, &nonce, Shape::Json).await;
    answer.expect_complete();
    let token = answer.body["token"].as_str().unwrap();
    for again in [
        nonce.clone(),
        nonce.to_uppercase().replace("GPGAUTHV", "gpgauthv"),
    ] {
        let mut other = Browser::new(&server);
        complete(&mut other, &keyid, &again, Shape::UrlEncoded)
            .await
            .expect_bad_token();
    }
    assert_eq!(
        listed(&server, token).await.len(),
        2,
        "the session lives on"
    );

    // A wrong try spoils nothing but what was tried.
    let nonce = gpg.decrypt(&begin(&mut Browser::new(&server), &keyid, Shape::Json).await);
    let mut wrong = nonce.clone().into_bytes();
    wrong[20] = if wrong[20] == b'0' { b'1' } else { b'0' };
    let wrong = String::from_utf8(wrong).unwrap();
    let mut other = Browser::new(&server);
    for wrong in [
        &*wrong,
        "",
        "gpgauthv1.3.0|36||gpgauthv1.3.0",
        &format!("{nonce}\n"),
        "\r\n",
    ] {
        complete(&mut other, &keyid, wrong, Shape::Json)
            .await
            .expect_bad_token();
    }
    complete(&mut other, &keyid, &nonce, Shape::Json)
        .await
        .expect_complete();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_shown_for_another_key_is_good_for_none() {
    let Some(gpg) = Gpg::with(&["ed25519", "nistp256", "other"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let ada = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let erna = account_with_key(&server, "erna", &gpg, "nistp256").await;
    // Nobody has that one.
    let nobody = gpg.fingerprint("other");
    let mut browser = Browser::new(&server);
    for other in [&erna, &nobody] {
        let nonce = gpg.decrypt(&begin(&mut browser, &ada, Shape::Json).await);
        for keyid in [other, &ada] {
            complete(&mut browser, keyid, &nonce, Shape::Json)
                .await
                .expect_bad_token();
        }
    }
    log_in(&server, &gpg, &ada).await;
    log_in(&server, &gpg, &erna).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_of_one_user_at_once_all_succeed_and_the_last_session_lives() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let mut nonces = Vec::new();
    // All are begun before any is finished.
    for _ in 0..8 {
        nonces.push(gpg.decrypt(&begin(&mut Browser::new(&server), &keyid, Shape::Json).await));
    }
    let mut logins = JoinSet::new();
    for nonce in nonces {
        let (mut browser, keyid) = (Browser::new(&server), keyid.clone());
        logins.spawn(async move { complete(&mut browser, &keyid, &nonce, Shape::Json).await });
    }
    let mut tokens = Vec::new();
    while let Some(answer) = logins.join_next().await {
        let answer = answer.unwrap();
        answer.expect_complete();
        tokens.push(answer.body["token"].as_str().unwrap().to_owned());
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 8);
    let mut alive = 0;
    for token in tokens {
        let body = serde_json::json!({"token": token});
        alive += usize::from(server.client().await.post("/list_keys", &body).await.0 == 200);
    }
    assert_eq!(alive, 1, "a key has one session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_who_show_a_token_at_once_gets_in() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let nonce = gpg.decrypt(&begin(&mut Browser::new(&server), &keyid, Shape::Json).await);
    let mut logins = JoinSet::new();
    for _ in 0..8 {
        let (mut browser, keyid, nonce) = (Browser::new(&server), keyid.clone(), nonce.clone());
        logins.spawn(async move { complete(&mut browser, &keyid, &nonce, Shape::Json).await });
    }
    let mut good = 0;
    while let Some(answer) = logins.join_next().await {
        let answer = answer.unwrap();
        if answer.status == 200 {
            answer.expect_complete();
            good += 1;
        } else {
            answer.expect_bad_token();
        }
    }
    assert_eq!(good, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_goes_on_after_a_restart_and_a_spent_token_stays_spent() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let keyid = account_with_key(&server, "ada", &gpg, "ed25519").await;
    let mut browser = Browser::new(&server);
    let before = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    let spent = gpg.decrypt(&begin(&mut browser, &keyid, Shape::Json).await);
    complete(&mut browser, &keyid, &spent, Shape::Json)
        .await
        .expect_complete();
    let shown = browser.get("/auth/verify.json").await.body;
    server.kill();

    let server = start(folder.path(), &[]);
    let mut browser = Browser::new(&server);
    assert_eq!(browser.get("/auth/verify.json").await.body, shown);
    complete(&mut browser, &keyid, &spent, Shape::Json)
        .await
        .expect_bad_token();
    complete(&mut browser, &keyid, &before, Shape::Json)
        .await
        .expect_complete();
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_finishes_what_another_began_and_both_together_do_it_once() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    let second = start(folder.path(), &[]);
    finish_elsewhere(&gpg, &first, &second).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_postgresql_do_the_same() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let database = pinyto_postgres_cluster::database().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--database", database.url()];
    let first = start(folder.path(), &arguments);
    let second = start(folder.path(), &arguments);
    finish_elsewhere(&gpg, &first, &second).await;
}

async fn finish_elsewhere(gpg: &Gpg, first: &RunningServer, second: &RunningServer) {
    let keyid = account_with_key(first, "ada", gpg, "ed25519").await;
    let (mut one, mut other) = (Browser::new(first), Browser::new(second));
    for _ in 0..5 {
        let nonce = gpg.decrypt(&begin(&mut one, &keyid, Shape::Json).await);
        let (mut here, mut there) = (Browser::new(first), Browser::new(second));
        let (here, there) = tokio::join!(
            complete(&mut here, &keyid, &nonce, Shape::Json),
            complete(&mut there, &keyid, &nonce, Shape::Json),
        );
        let (good, bad) = match here.status {
            200 => (here, there),
            _ => (there, here),
        };
        good.expect_complete();
        bad.expect_bad_token();
        let token = good.body["token"].as_str().unwrap();
        for server in [first, second] {
            assert_eq!(listed(server, token).await.len(), 2);
        }
    }
    let nonce = gpg.decrypt(&begin(&mut one, &keyid, Shape::Json).await);
    complete(&mut other, &keyid, &nonce, Shape::Json)
        .await
        .expect_complete();
    complete(&mut one, &keyid, &nonce, Shape::Json)
        .await
        .expect_bad_token();
}
