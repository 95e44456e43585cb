//! What is sent again, and what is not.

use std::time::{Duration, Instant};

use pinyto_core::testing::keys;
use pinyto_http::client::{Error, Login, NewDocument, Retries, Session};
use serde_json::Value;

use crate::support::{Scripted, Step, answer, assembly, error, name, quick};

const OK: &str = r#"{"status": "ok"}"#;

#[tokio::test]
async fn reads_are_tried_again_until_they_succeed_or_it_is_enough() {
    for failing in [
        error(503, "database_unavailable", ""),
        error(429, "busy", ""),
        answer(502, "<html>"),
        Step::HangUp,
    ] {
        let steps = vec![failing.clone(), failing.clone(), answer(200, OK)];
        let server = Scripted::start(steps).await;
        server.client().healthy().await.unwrap();
        assert_eq!(server.requests().len(), 3, "{failing:?}");

        let server = Scripted::start(vec![failing.clone()]).await;
        server.client().healthy().await.unwrap_err();
        assert_eq!(server.requests().len(), 4, "{failing:?}");
    }
    let server = Scripted::start(vec![error(500, "internal", "")]).await;
    server.client().healthy().await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn retry_after_is_waited_unless_it_is_too_long() {
    let busy = error(429, "busy", "retry-after: 1\r\n");
    let server = Scripted::start(vec![busy, answer(200, OK)]).await;
    let begun = Instant::now();
    server.client().healthy().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests().len(), 2);

    let server = Scripted::start(vec![error(503, "shutting_down", "retry-after: 60\r\n")]).await;
    let error = server.client().healthy().await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
    let Error::Refused(refusal) = error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(60)));
}

/// A session with a server that follows a script once it is open.
async fn session(mut steps: Vec<Step>) -> (Scripted, Session) {
    let server = keys::server();
    let key = server.public_key();
    let key = format!(r#"{{"N": "{}", "e": "{}"}}"#, key.n_decimal(), key.e());
    steps.insert(0, answer(200, &key));
    steps.insert(1, answer(200, r#"{"token": "abc"}"#));
    let server = Scripted::start(steps).await;
    let login = Login::password(name("ada"), "correct horse".into());
    let session = server.client().log_in(login).await.unwrap();
    (server, session)
}

#[tokio::test]
async fn a_function_that_may_have_run_is_not_called_again() {
    for failing in [
        Step::HangUp,
        error(503, "database_unavailable", ""),
        error(503, "timeout", ""),
        error(429, "busy", ""),
        answer(504, "<html>"),
    ] {
        let (server, session) = session(vec![failing.clone(), answer(200, "1")]).await;
        let called: Result<Value, _> = session.call_function(&assembly("a/B"), "f", &()).await;
        called.unwrap_err();
        assert_eq!(server.requests().len(), 3, "{failing:?}");
    }
    let (_server, session) = session(vec![error(429, "throttled", ""), answer(200, "1")]).await;
    let called: Result<Value, _> = session.call_function(&assembly("a/B"), "f", &()).await;
    assert_eq!(called.unwrap(), 1);
}

#[tokio::test]
async fn a_document_is_stored_again_only_if_the_server_had_not_begun() {
    let document = NewDocument::new("note", &1).unwrap();
    let stored = answer(
        200,
        r#"{"success": true, "_id": "0123456789abcdef01234567"}"#,
    );
    for failing in [Step::HangUp, error(503, "database_unavailable", "")] {
        let (server, session) = session(vec![failing.clone(), stored.clone()]).await;
        session
            .store(&assembly("a/B"), &document)
            .await
            .unwrap_err();
        assert_eq!(server.requests().len(), 3, "{failing:?}");
    }
    let (server, session) = session(vec![error(429, "busy", ""), stored]).await;
    let id = session.store(&assembly("a/B"), &document).await.unwrap();
    assert_eq!(id.to_string(), "0123456789abcdef01234567");
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[2], requests[3]);
}

#[tokio::test]
async fn who_is_not_reached_is_tried_again_and_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let retries = Retries::at_most(2).first_pause(Duration::from_millis(50));
    let client = quick(&url, keys::server().public_key().clone()).retries(retries);
    let client = client.build().unwrap();
    let begun = Instant::now();
    let error = client
        .register(&name("ada"), keys::device(0).public_key())
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), "unreachable", "{error}");
    // Two pauses, the second one twice as long.
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn an_answer_that_doesnt_come_is_waited_for_no_longer_than_allowed() {
    let server = Scripted::start(vec![Step::Hang]).await;
    let client = quick(&server.url, keys::server().public_key().clone())
        .request_timeout(Duration::from_millis(500))
        .retries(Retries::at_most(1).first_pause(Duration::from_millis(1)));
    let error = client.build().unwrap().healthy().await.unwrap_err();
    assert_eq!(error.code(), "timed_out");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_largest_limits_that_can_be_written_serve_as_well() {
    let server = Scripted::start(vec![answer(200, OK)]).await;
    let client = quick(&server.url, keys::server().public_key().clone())
        .connect_timeout(Duration::MAX)
        .request_timeout(Duration::MAX)
        .max_answer_bytes(usize::MAX);
    client.build().unwrap().healthy().await.unwrap();
}
