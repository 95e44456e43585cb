//! Function calls: what goes in, what comes out, and how they fail.

use std::time::Duration;

use pinyto_core::{
    Settings,
    runtime::{CodeError, CodeLimit},
    testing::{ScriptedRuntime, executed},
};
use serde_json::{Value, json};

use crate::support::{Answer, Server, quick_settings, running};

/// Alice, who has `alice/Code` installed: its functions are named as their codes.
async fn with_functions(
    runtime: ScriptedRuntime,
    names: &[&str],
    settings: Settings,
) -> (Server, String) {
    let server = Server::over(running(runtime, settings));
    let token = server.user("alice", 0).await;
    let functions: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "code": name}))
        .collect();
    let data = json!({"name": "Code", "description": "", "api_functions": functions});
    server.with_assembly(&token, "alice", &data).await;
    (server, token)
}

/// What becomes of a call of one function that ends like this.
async fn call(outcome: Result<&str, CodeError>) -> Answer {
    let outcome = outcome.map(str::to_owned);
    let runtime = ScriptedRuntime::default().on("f", move |_| executed(outcome.clone()));
    let (server, token) = with_functions(runtime, &["f"], quick_settings()).await;
    server.post("/alice/Code/f", json!({"token": token})).await
}

#[tokio::test]
async fn the_code_gets_the_body_without_the_token_and_its_text_goes_out_as_it_is() {
    let runtime = ScriptedRuntime::default().on("f", |call| {
        let text = format!(
            "{{ \"user\":\"{}\", \"body\":{} }}",
            call.user_name, call.body
        );
        executed(Ok(text))
    });
    let (server, token) = with_functions(runtime, &["f"], quick_settings()).await;
    let body = format!("{{\"a\": [1.50, \"\\u00e4\"], \"token\": \"{token}\"}}");
    let request = warp::test::request()
        .method("POST")
        .path("/alice/Code/f")
        .body(body);
    let answer = request.reply(&server.routes).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let expected = "{ \"user\":\"alice\", \"body\":{\"a\":[1.50, \"\\u00e4\"]} }";
    assert_eq!(answer.body(), expected);
}

#[tokio::test]
async fn any_json_is_an_answer_and_one_with_an_error_has_the_status_for_that() {
    for (text, status) in [
        ("null", 200),
        ("[1, 2]", 200),
        ("\"error\"", 200),
        ("{\"result\": {\"error\": 1}}", 200),
        ("{\"error\": \"Send an isbn.\"}", 400),
        ("{\"error\": null, \"more\": 1}", 400),
    ] {
        let answer = call(Ok(text)).await;
        assert_eq!(answer.status, status, "{text}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(answer.body, expected);
    }
    let refused = call(Ok("no json")).await;
    assert_eq!(refused.error(), (400, "code_answer_invalid"));
}

#[tokio::test]
async fn an_exception_is_told_with_its_type_message_and_line() {
    let exception =
        |line: Option<u32>| CodeError::exception("ValueError", "not \"that\" <one>").at_line(line);
    let answer = call(Err(exception(Some(3)))).await;
    assert_eq!(answer.error(), (400, "code_exception"));
    let sentence = "ValueError: not \"that\" <one> (line 3)";
    assert_eq!(answer.sentence(), sentence);
    let told = json!({"type": "ValueError", "message": "not \"that\" <one>", "line": 3});
    assert_eq!(answer.body["exception"], told);
    let answer = call(Err(exception(None))).await;
    assert_eq!(answer.body["exception"]["line"], Value::Null);
}

#[tokio::test]
async fn code_that_can_not_be_run_to_its_end_says_why() {
    let second = Duration::from_secs(1);
    for (error, code, part) in [
        (
            CodeError::syntax("there are no classes").at_line(2),
            "code_invalid",
            "there are no classes (line 2)",
        ),
        (
            CodeError::LimitReached {
                limit: CodeLimit::CpuTime(second),
            },
            "code_limit_reached",
            "more than 1 s of CPU time",
        ),
        (CodeError::Crashed, "code_crashed", "crash"),
    ] {
        let answer = call(Err(error)).await;
        assert_eq!(answer.error(), (400, code));
        assert!(answer.sentence().contains(part), "{answer:?}");
    }
}

#[tokio::test]
async fn who_comes_when_too_much_waits_is_told_when_to_come_back() {
    let busy = CodeError::Busy {
        retry_after: Duration::from_millis(1500),
    };
    let answer = call(Err(busy)).await;
    assert_eq!(answer.error(), (429, "busy"));
    assert_eq!(answer.headers["retry-after"], "2");
    let answer = call(Err(CodeError::Unavailable)).await;
    assert_eq!(answer.error(), (503, "code_runtime_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn who_has_used_up_a_quota_is_told_when_there_is_more() {
    let runtime = || ScriptedRuntime::default().on("f", |_| executed(Ok("1".into())));
    for (calls, cpu, allowed, limit, reset, retry_after) in [
        (Some(2), None, 2, "2 calls per minute", "08:01:00", "60"),
        (
            None,
            Some(Duration::from_millis(14)),
            2,
            "0.014 s of CPU time per hour",
            "09:00:00",
            "3600",
        ),
    ] {
        let mut settings = quick_settings();
        settings.quotas.calls_per_minute = calls;
        settings.quotas.cpu_per_hour = cpu;
        let (server, token) = with_functions(runtime(), &["f"], settings).await;
        let body = json!({"token": token});
        for _ in 0..allowed {
            server.post("/alice/Code/f", body.clone()).await.ok();
        }
        let refused = server.post("/alice/Code/f", body.clone()).await;
        assert_eq!(refused.error(), (429, "quota_exceeded"));
        assert_eq!(refused.headers["retry-after"], retry_after);
        let sentence =
            format!("You have used up your {limit}. There is more at 2027-01-15T{reset}.000Z.");
        assert_eq!(refused.sentence(), sentence);
    }
}

#[tokio::test]
async fn who_has_stored_as_much_as_she_may_is_told_how_much_that_is() {
    let mut settings = quick_settings();
    settings.quotas.bytes = Some(500);
    let (server, token) = with_functions(ScriptedRuntime::default(), &[], settings).await;
    let store = async |length: usize| {
        let body = json!({"token": token, "type": "t", "data": "x".repeat(length)});
        server.post("/alice/Code/store", body).await
    };
    store(10).await.ok();
    let refused = store(500).await;
    assert_eq!(refused.error(), (507, "storage_full"));
    assert!(
        refused.sentence().contains("at most 500 bytes"),
        "{refused:?}"
    );
    store(10).await.ok();
}

#[tokio::test]
async fn only_functions_of_installed_assemblies_can_be_called() {
    let runtime = ScriptedRuntime::default().on("f", |_| executed(Ok("1".into())));
    let (server, _) = with_functions(runtime, &["f"], quick_settings()).await;
    let bob = server.user("bob", 1).await;
    let body = json!({"token": bob});
    let refused = server.post("/alice/Code/f", body.clone()).await;
    assert_eq!(refused.error(), (404, "assembly_not_installed"));
    let named = json!({"token": bob, "author": "alice", "name": "Code"});
    server.post("/install_assembly", named).await.success();
    assert_eq!(
        server.post("/alice/Code/f", body.clone()).await.ok(),
        json!(1)
    );
    let refused = server.post("/alice/Code/g", body).await;
    assert_eq!(refused.error(), (404, "unknown_function"));
}

#[tokio::test]
async fn code_that_can_never_run_is_not_saved() {
    let server = Server::over(running(ScriptedRuntime::default(), quick_settings()));
    let token = server.user("alice", 0).await;
    let data = json!({
        "name": "Code", "description": "", "api_functions": [{"name": "f", "code": "class A: pass"}],
    });
    let body = json!({"token": token, "original_name": "", "data": data});
    let refused = server.post("/save_assembly", body).await;
    assert_eq!(refused.error(), (400, "invalid_assembly"));
    let sentence =
        "The code of the function f can't be run: there is no script for this code (line 1).";
    assert_eq!(refused.sentence(), sentence);
}
