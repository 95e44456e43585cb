//! Sessions that die, and come to life again.

use std::time::Duration;

use pinyto_core::testing::{ScriptedRuntime, executed, keys};
use pinyto_http::client::{AssemblyData, Client, Login, Session};
use serde_json::Value;

use crate::support::{Scripted, Server, answer, assembly, error, name};

/// Ends the session on the server, as a login with the same key elsewhere does.
async fn end(server: &Server, device: usize) {
    let login = Login::key(name("ada"), keys::device(device));
    let elsewhere = server.client().log_in(login).await.unwrap();
    elsewhere.logout().await.unwrap();
}

#[tokio::test]
async fn a_dead_session_is_opened_again_and_the_call_sent_once_more() {
    let runtime = ScriptedRuntime::default().on("return 1", |_| executed(Ok("1".to_owned())));
    let server = Server::running(runtime).await;
    let session = server.user("ada", 0).await;
    let data = AssemblyData::new("A", "").function("one", "return 1");
    session.save_assembly(&data).await.unwrap();
    session.install_assembly(&assembly("ada/A")).await.unwrap();

    end(&server, 0).await;
    let before = server.asked("/authenticate");
    assert_eq!(session.list_keys().await.unwrap().len(), 1);
    assert_eq!(server.asked("/authenticate"), before + 1);
    session.list_keys().await.unwrap();
    assert_eq!(server.asked("/authenticate"), before + 1);

    // Also for what is never repeated otherwise: with an unknown token nothing was done.
    end(&server, 0).await;
    let this = assembly("ada/A");
    let one: Value = session.call_function(&this, "one", &()).await.unwrap();
    assert_eq!(one, 1);
    assert_eq!(server.asked("/ada/A/one"), 2);
    let runs = session.list_runs(None, Default::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_find_out_one_session_is_opened() {
    let server = Server::start().await;
    let session = server.user("ada", 0).await;
    end(&server, 0).await;
    let before = server.asked("/authenticate");
    let calls = (0..32).map(|_| {
        let session = session.clone();
        tokio::spawn(async move { session.list_keys().await.map(|keys| keys.len()) })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
    assert_eq!(server.asked("/authenticate"), before + 1);
}

#[tokio::test]
async fn all_who_wait_learn_why_no_session_was_opened() {
    let server = Server::start().await;
    let unknown = Login::key(name("ada"), keys::device(0));
    let session = server.client().session(unknown);
    let (one, two, three) = tokio::join!(
        session.list_keys(),
        session.statistics(),
        session.list_own_assemblies()
    );
    for error in [one.unwrap_err(), two.unwrap_err(), three.unwrap_err()] {
        assert_eq!(error.server_code(), Some("authentication_failed"));
    }
    assert_eq!(server.asked("/authenticate"), 1);
    // It is asked anew by who comes later.
    session.list_keys().await.unwrap_err();
    assert_eq!(server.asked("/authenticate"), 2);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = Server::start().await;
    let client = server.client();
    let password = |text: &str| text.to_owned().into();
    let (ada, right) = (name("ada"), password("correct horse"));
    client.register_with_password(&ada, &right).await.unwrap();
    let session = client.session(Login::password(ada, password("battery staple")));
    for _ in 0..3 {
        let error = session.list_keys().await.unwrap_err();
        assert_eq!(error.server_code(), Some("wrong_password"));
    }
    assert_eq!(server.asked("/keyserver/authenticate"), 1);
}

#[tokio::test]
async fn a_caller_who_leaves_doesnt_stop_the_others() {
    let server = Server::start().await;
    server.user("ada", 0).await;
    let login = Login::key(name("ada"), keys::device(0));
    let session = server.client().session(login.clone());
    let call = || {
        let session = session.clone();
        tokio::spawn(async move { session.list_keys().await.map(drop) })
    };
    let (leaving, staying) = (call(), call());
    tokio::task::yield_now().await;
    leaving.abort();
    staying.await.unwrap().unwrap();
    assert_eq!(server.asked("/authenticate"), 2);

    // All who wait leave: the next one begins anew.
    let session = server.client().session(login);
    let left = tokio::time::timeout(Duration::ZERO, session.list_keys()).await;
    left.unwrap_err();
    session.list_keys().await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_opened_while_it_is_logged_out_is_ended() {
    let server = Server::start().await;
    server.user("ada", 0).await;
    let login = Login::key(name("ada"), keys::device(0));
    let session = server.client().session(login);
    let (opened, closed) = tokio::join!(session.list_keys(), session.logout());
    assert_eq!(opened.unwrap_err().code(), "logged_out");
    closed.unwrap();
    assert_eq!(server.asked("/logout"), 1);
}

#[tokio::test]
async fn a_server_that_never_knows_the_token_is_asked_twice() {
    let key = answer(200, &public_key());
    let token = answer(200, r#"{"token": "abc"}"#);
    let unknown = error(401, "unknown_token", "");
    let steps = vec![
        key.clone(),
        token.clone(),
        unknown.clone(),
        key,
        token,
        unknown,
    ];
    let server = Scripted::start(steps).await;
    let login = Login::password(name("ada"), "correct horse".into());
    let session = server.client().session(login);
    let error = session.statistics().await.unwrap_err();
    assert_eq!(error.server_code(), Some("unknown_token"));
    assert_eq!(server.requests().len(), 6);
}

fn public_key() -> String {
    let server = keys::server();
    let key = server.public_key();
    format!(r#"{{"N": "{}", "e": "{}"}}"#, key.n_decimal(), key.e())
}

#[tokio::test]
async fn the_token_is_in_the_header_and_no_secret_in_debug() {
    let key = answer(200, &public_key());
    let token = answer(200, r#"{"token": "abcdef"}"#);
    let server = Scripted::start(vec![key, token, answer(200, "[]")]).await;
    let login = Login::password(name("ada"), "correct horse".into());
    let session = server.client().log_in(login.clone()).await.unwrap();
    session.list_keys().await.unwrap();
    let requests = server.requests();
    assert!(requests[1].contains(r#""password":"correct horse""#));
    assert!(requests[2].contains("authorization: Bearer abcdef\r\n"));
    assert!(requests[2].ends_with("\r\n\r\n{}"), "{}", requests[2]);
    let shown = format!("{session:?} {login:?} {:?}", session.client());
    for secret in ["abcdef", "correct"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn clients_and_sessions_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Client>();
    shared::<Session>();
    shared::<Login>();
    shared::<pinyto_http::client::Error>();
}
