//! What a call's answer is to its caller.

use pinyto_core::{
    runtime::{CodeCall, CodeError},
    testing::{ScriptedRuntime, executed},
};
use pinyto_http::client::{AssemblyData, Error, Session};
use serde_json::{Value, json};

use crate::support::{Scripted, Server, answer, assembly, quick};

async fn with_functions(server: &Server) -> Session {
    let session = server.user("ada", 0).await;
    let assembly_data = AssemblyData::new("A", "")
        .function("own", "own")
        .function("raise", "raise")
        .function("list", "list");
    session.save_assembly(&assembly_data).await.unwrap();
    session.install_assembly(&assembly("ada/A")).await.unwrap();
    session
}

#[tokio::test]
async fn what_a_function_answers_has_the_callers_type_or_is_its_error() {
    let raise = |_: &CodeCall| {
        let error = CodeError::exception("ValueError", "no such book");
        executed(Err(error.at_line(3)))
    };
    let runtime = ScriptedRuntime::default()
        .on("own", |_| executed(Ok(r#"{"error": "secret"}"#.to_owned())))
        .on("list", |_| executed(Ok("[1, 2]".to_owned())))
        .on("raise", raise);
    let server = Server::running(runtime).await;
    let session = with_functions(&server).await;
    let this = assembly("ada/A");

    let list: Vec<u8> = session.call_function(&this, "list", &()).await.unwrap();
    assert_eq!(list, [1, 2]);
    let text: Result<String, Error> = session.call_function(&this, "list", &()).await;
    assert_eq!(text.unwrap_err().code(), "unexpected_answer");
    let wrong: Result<Vec<bool>, Error> = session.call_function(&this, "list", &()).await;
    let said = wrong.unwrap_err().to_string();
    assert!(
        said.contains("column 2") && !said.contains("integer"),
        "{said}"
    );

    let own: Result<Value, Error> = session.call_function(&this, "own", &()).await;
    let error = own.unwrap_err();
    let Error::Function(own) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(own.answer(), &json!({"error": "secret"}));
    assert_eq!((own.code(), error.code()), ("function_error", own.code()));
    assert!(!format!("{error:?} {error}").contains("secret"));

    let raised: Result<Value, Error> = session.call_function(&this, "raise", &()).await;
    let error = raised.unwrap_err();
    assert_eq!(error.server_code(), Some("code_exception"));
    let Error::Refused(refusal) = &error else {
        panic!("{error:?}")
    };
    let exception = refusal.exception().unwrap();
    assert_eq!((&*exception.kind, exception.line), ("ValueError", Some(3)));
    assert_eq!(exception.message, "no such book");
    assert!(!format!("{error:?}").contains("no such book"));

    for bad in ["", "a/b", "../x", "store", "a?b", "a%2fb"] {
        let called: Result<Value, Error> = session.call_function(&this, bad, &()).await;
        assert_eq!(called.unwrap_err().code(), "invalid_request", "{bad}");
    }
    let token = json!({"token": "x"});
    let called: Result<Value, Error> = session.call_function(&this, "list", &token).await;
    assert_eq!(called.unwrap_err().code(), "invalid_request");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let large = format!(r#"{{"status": "ok", "x": "{}"}}"#, "x".repeat(5000));
    let server = Scripted::start(vec![answer(200, &large)]).await;
    let pin = pinyto_core::testing::keys::server().public_key().clone();
    let client = quick(&server.url, pin.clone())
        .max_answer_bytes(5000)
        .build();
    let error = client.unwrap().healthy().await.unwrap_err();
    assert!(
        matches!(error, Error::AnswerTooLarge { limit: 5000 }),
        "{error:?}"
    );
    assert_eq!(server.requests().len(), 1);
    let client = quick(&server.url, pin)
        .max_answer_bytes(large.len())
        .build();
    client.unwrap().healthy().await.unwrap();
}

#[tokio::test]
async fn an_answer_without_announced_length_is_limited_too() {
    let server = Scripted::chunked(&vec!["x".repeat(1000); 10]).await;
    let pin = pinyto_core::testing::keys::server().public_key().clone();
    let client = quick(&server.url, pin).max_answer_bytes(5000).build();
    let error = client.unwrap().healthy().await.unwrap_err();
    assert!(
        matches!(error, Error::AnswerTooLarge { limit: 5000 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_no_answer_of_the_protocol_is_an_error() {
    for (status, body, code) in [
        (200, "<html>", "unexpected_answer"),
        (200, r#"{"status": "ill"}"#, "unexpected_answer"),
        (302, "", "refused"),
        (500, "<html>", "refused"),
        (400, "[]", "refused"),
    ] {
        let server = Scripted::start(vec![answer(status, body)]).await;
        let error = server.client().healthy().await.unwrap_err();
        assert_eq!(error.code(), code, "{status} {body}");
        assert_eq!(error.server_code(), None);
    }
}
