//! Bodies, numbers, nesting and tokens that nobody sends by accident.

use std::sync::Arc;

use pinyto_core::{
    Cloud, challenge::ServerKey, crypto::default_backend, memory::MemoryStore, testing::keys,
};
use pinyto_http::routes;
use serde_json::{Value, json};

use crate::support::{Server, quick_settings};

/// Every path that takes a body.
fn paths() -> Vec<String> {
    let posts = routes::served()
        .into_iter()
        .filter(|(_, methods)| methods.contains(&"post"));
    posts
        .map(|(path, _)| {
            path.replace("{author}", "alice")
                .replace("{assembly}", "Notes")
                .replace("{function}", "find")
        })
        .collect()
}

fn is_open(path: &str) -> bool {
    [
        "/register",
        "/authenticate",
        "/keyserver/register",
        "/keyserver/authenticate",
    ]
    .contains(&path)
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_everywhere() {
    let server = Server::new();
    let deep = |open: &str, close: &str| {
        format!(
            "{{\"token\": {}{}}}",
            open.repeat(10_000),
            close.repeat(10_000)
        )
    };
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("white space", b" \n".to_vec()),
        ("text", b"token=x".to_vec()),
        ("cut off", b"{\"token\": \"x".to_vec()),
        ("more than one", b"{} {}".to_vec()),
        ("list", b"[]".to_vec()),
        ("list of fields", b"[\"x\", \"y\", \"z\"]".to_vec()),
        ("string", b"\"x\"".to_vec()),
        ("number", b"5".to_vec()),
        ("null", b"null".to_vec()),
        ("single quotes", b"{'token': 'x'}".to_vec()),
        ("comment", b"{/* */}".to_vec()),
        ("trailing comma", b"{\"a\": 1,}".to_vec()),
        ("byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", b"\xff\xfe{\x00}\x00".to_vec()),
        (
            "invalid UTF-8 in a field",
            b"{\"token\": \"\xff\"}".to_vec(),
        ),
        (
            "invalid UTF-8 in another",
            b"{\"other\": \"\xc3\x28\"}".to_vec(),
        ),
        ("overlong UTF-8", b"{\"other\": \"\xc0\xaf\"}".to_vec()),
        (
            "surrogate in UTF-8",
            b"{\"other\": \"\xed\xa0\x80\"}".to_vec(),
        ),
        ("control character", b"{\"token\": \"\x01\"}".to_vec()),
        ("NUL", b"{}\0".to_vec()),
        ("NaN", b"{\"token\": NaN}".to_vec()),
        ("deep lists", deep("[", "]").into_bytes()),
        ("deep lists, not closed", vec![b'['; 100_000]),
        (
            "deep objects",
            deep("{\"a\":", "}").replace(":}", ":1}").into_bytes(),
        ),
        (
            "deep in another field",
            format!(
                "{{\"other\": {}1{}}}",
                "[".repeat(10_000),
                "]".repeat(10_000)
            )
            .into_bytes(),
        ),
        (
            "deep objects not closed",
            "{\"a\":".repeat(20_000).into_bytes(),
        ),
    ];
    for path in paths() {
        for (what, body) in &bodies {
            let answer = server.post_bytes(&path, body).await;
            assert_eq!(answer.error(), (400, "malformed_json"), "{path}: {what}");
        }
    }
}

#[tokio::test]
async fn numbers_without_measure_are_refused_or_ignored() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let long = format!("1{}", "0".repeat(400));
    for number in [
        "1e999",
        "-1e999",
        "1e-999",
        &long,
        "123456789012345678901234567890",
    ] {
        for path in paths() {
            for field in [
                "token",
                "username",
                "key_hash",
                "public_key",
                "data",
                "skip",
                "other",
                "type",
            ] {
                let body = format!("{{\"{field}\": {number}, \"a\": 1}}");
                let answer = server.post_bytes(&path, body).await;
                assert!(
                    (400..500).contains(&answer.error().0),
                    "{path} {field} {number}"
                );
            }
        }
        let body = format!("{{\"token\": \"{token}\", \"skip\": {number}}}");
        let answer = server.post_bytes("/list_all_assemblies", body).await;
        assert_eq!(answer.error().0, 400);
        let n = keys::device(1).public_key().n_decimal().to_owned();
        let body = format!(
            "{{\"username\": \"bob\", \"public_key\": {{\"N\": \"{n}\", \"e\": {number}}}}}"
        );
        let answer = server.post_bytes("/register", body).await;
        assert_eq!(answer.error().0, 400);
    }
}

#[tokio::test]
async fn a_number_out_of_range_is_told_by_its_field() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let long = "7".repeat(1234);
    for number in ["1e400", "-1e400", &long] {
        for (path, body, field) in [
            (
                "/register",
                format!(r#"{{"username": "b", "public_key": {{"N": {number}, "e": 3}}}}"#),
                "public_key.N",
            ),
            (
                "/alice/Notes/store",
                format!(r#"{{"token": "{token}", "type": "t", "data": {{"secret": {number}}}}}"#),
                "data",
            ),
            ("/list_keys", format!(r#"{{"token": {number}}}"#), "token"),
        ] {
            let answer = server.post_bytes(path, body).await;
            assert_eq!(answer.error(), (400, "invalid_field"), "{path}");
            let wanted = format!("The field {field} has a number that is out of range. ");
            assert!(answer.sentence().starts_with(&wanted), "{answer:?}");
        }
    }
    let answer = server.post_bytes("/logout", "{\"token\": x}").await;
    let wanted = "The body is no valid JSON: expected value at line 1 column 11.";
    assert_eq!(answer.sentence(), wanted);
}

#[tokio::test]
async fn nothing_but_the_token_is_decoded_before_the_session_is_known() {
    let server = Server::new();
    let body = r#"{"type": {"x": 1e400}, "data": 1e400, "tags": "\ud800"}"#;
    let answer = server.post_bytes("/alice/Notes/store", body).await;
    assert_eq!(answer.error(), (401, "unknown_token"));
}

#[tokio::test]
async fn nesting_up_to_the_limit_is_read() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for (levels, status) in [(126, 200), (127, 400)] {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let body = format!("{{\"token\": \"{token}\", \"other\": {open}{close}}}");
        let answer = server.post_bytes("/list_keys", body).await;
        assert_eq!(answer.status, status, "{levels}");
        if status == 400 {
            assert!(answer.sentence().contains("deeper than 127 levels"));
        }
    }
    // Brackets in a text are no nesting.
    let body = json!({"token": token, "other": "[{\"\\".repeat(1000)});
    server.post("/list_keys", body).await.ok();
    let flat = vec![json!([]); 1000];
    server
        .post("/list_keys", json!({"token": token, "other": flat}))
        .await
        .ok();
}

/// The key that `serde_json` means something by: JSON in a text, which would begin a new count of
/// levels each time.
#[tokio::test]
async fn nothing_is_nested_in_texts() {
    const MAGIC: &str = "$serde_json::private::RawValue";
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let notes = json!({"name": "Notes", "description": ""});
    server.with_assembly(&token, "alice", &notes).await;
    let mut text = "[]".to_owned();
    for _ in 0..14 {
        let inner = format!("{}{text}{}", "[".repeat(80), "]".repeat(80));
        text = json!({MAGIC: inner}).to_string();
    }
    for data in [&text, r#"{"$serde_json::private::RawValue": "no JSON"}"#] {
        let body = format!("{{\"token\": \"{token}\", \"type\": \"t\", \"data\": {data}}}");
        let answer = server.post_bytes("/alice/Notes/store", &body).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_refused() {
    let server = Server::new();
    for (path, body, field) in [
        ("/list_keys", r#"{"token": "a", "token": "b"}"#, "token"),
        (
            "/keyserver/authenticate",
            r#"{"name": "a", "username": "b", "password": "c"}"#,
            "username",
        ),
    ] {
        let answer = server.post_bytes(path, body).await;
        assert_eq!(answer.error(), (400, "invalid_field"));
        assert!(
            answer
                .sentence()
                .contains(&format!("field {field} is there twice")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn whoever_has_no_session_learns_that_first() {
    let server = Server::new();
    for path in paths().iter().filter(|path| !is_open(path)) {
        for body in [
            json!({}),
            json!({"token": null}),
            json!({"token": ""}),
            json!({"token": "nonsense"}),
            json!({"token": "nonsense", "key_hash": 5, "data": []}),
        ] {
            let answer = server.post(path, body).await;
            assert_eq!(answer.error(), (401, "unknown_token"), "{path}");
            assert_eq!(answer.sentence(), "Unknown token. Please authenticate.");
        }
        for wrong in [json!(5), json!(true), json!([]), json!({}), json!(["x"])] {
            let answer = server.post(path, json!({"token": wrong})).await;
            assert_eq!(answer.error(), (400, "invalid_field"), "{path}");
            assert!(answer.sentence().contains("field token "));
        }
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_unknown() {
    let vectors = include_str!("../../../pinyto-core/tests/vectors/challenge.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    // The server that the tokens were made for.
    let pem = vectors["server"]["private_pem_pkcs8"].as_str().unwrap();
    let server_key = ServerKey::from_pem(default_backend(), pem).unwrap();
    let cloud = Cloud::builder(Arc::new(MemoryStore::new()), server_key);
    let server = Server::over(cloud.settings(quick_settings()).build().unwrap());
    let token = server.user("alice", 0).await;
    let of = |list: &str, field: &str| -> Vec<String> {
        let list = vectors[list].as_array().unwrap().iter();
        list.map(|one| one[field].as_str().unwrap().to_owned())
            .collect()
    };
    let mut bad = of("bad_request_tokens", "token");
    assert!(bad.len() > 5);
    bad.extend(of("sessions", "request_token"));
    bad.extend([
        token[..token.len() - 4].to_owned(),
        format!("{token}AAAA"),
        token.to_lowercase(),
        format!("{token}\u{a0}"),
        token.replace('=', ""),
        "A".repeat(684),
        "x".repeat(1_000_000),
        "\u{202e}\0".to_owned(),
    ]);
    for bad in bad {
        let answer = server.post("/list_keys", json!({"token": bad})).await;
        assert_eq!(answer.error(), (401, "unknown_token"), "{bad}");
        assert_eq!(answer.sentence(), "Unknown token. Please authenticate.");
    }
    // Encoders of old break lines, which does no harm.
    let token = format!(" {}\r\n{}\n", &token[..76], &token[76..]);
    server
        .post("/list_keys", json!({"token": token}))
        .await
        .ok();
}
