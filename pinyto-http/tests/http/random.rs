//! Whatever a client sends, the server does not fail.

use std::{collections::BTreeSet, sync::OnceLock};

use pinyto_core::testing::keys;
use pinyto_http::routes;
use proptest::{collection, prelude::*, sample::select, test_runner::Config};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::support::{Server, numbers};

/// A server with Alice, who has `alice/Notes` installed, and her token.
fn given() -> &'static (Runtime, Server, String) {
    static GIVEN: OnceLock<(Runtime, Server, String)> = OnceLock::new();
    GIVEN.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let (server, token) = runtime.block_on(async {
            let server = Server::new();
            let token = server.user("alice", 0).await;
            let data = json!({"name": "Notes", "description": "", "api_functions": [{"name": "find", "code": ""}]});
            let body = json!({"token": token, "original_name": "", "data": data});
            server.post("/save_assembly", body).await.success();
            let body = json!({"token": token, "author": "alice", "name": "Notes"});
            server.post("/install_assembly", body).await.success();
            (server, token)
        });
        (runtime, server, token)
    })
}

/// Calls that can't be repeated a thousand times: they end the session, or cost seconds.
const LEFT_OUT: &[&str] = &["/logout", "/keyserver/logout", "/keyserver/register"];

fn path() -> impl Strategy<Value = String> {
    let served: BTreeSet<String> = routes::served()
        .into_iter()
        .filter(|(_, methods)| methods.contains(&"post"))
        .map(|(path, _)| {
            path.replace("{author}/{assembly}", "alice/Notes")
                .replace("{function}", "find")
        })
        .filter(|path| !LEFT_OUT.contains(&path.as_str()))
        .collect();
    let served: Vec<String> = served.into_iter().collect();
    prop_oneof![
        9 => select(served),
        1 => "/[a-z%0-9]{1,5}/[\\PC]{0,5}/(store|find|%2f|%00)".prop_map(|path| {
            path.chars().map(|c| if c.is_ascii_graphic() && !"#?\\\"<>`{}|^".contains(c) { c } else { '_' }).collect()
        }),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(vec!["alice", "Notes", "find", "0123456789", "65537", "correct horse", ""]).prop_map(str::to_owned),
        1 => Just(keys::device(1).public_key().n_decimal().to_owned()),
        1 => "\\PC{0,20}",
        1 => any::<String>(),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let names = [
        "username",
        "name",
        "password",
        "public_key",
        "key_data",
        "N",
        "e",
        "key_hash",
        "active_state",
        "label",
        "original_name",
        "data",
        "description",
        "api_functions",
        "jobs",
        "code",
        "schedule",
        "only_own_data",
        "indexes",
        "http_hosts",
        "author",
        "job",
        "id",
        "skip",
        "count",
        "type",
        "tags",
        "token",
    ];
    prop_oneof![9 => select(names.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => text().prop_map(Value::from),
        2 => Just(numbers(&keys::device(1))),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map(name(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn body() -> impl Strategy<Value = (Map<String, Value>, bool)> {
    let members = collection::btree_map(name(), value(), 0..8);
    (
        members.prop_map(|members| members.into_iter().collect()),
        any::<bool>(),
    )
}

fn check(path: &str, body: &[u8]) {
    let (runtime, server, _) = given();
    let answer = runtime.block_on(server.post_bytes(path, body));
    assert!(answer.status.as_u16() < 500, "{path}: {answer:?}");
    if !answer.status.is_success() {
        answer.error();
    }
}

proptest! {
    #![proptest_config(Config { cases: 1500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_json_makes_the_server_fail(path in path(), (mut body, with_token) in body()) {
        if with_token {
            body.insert("token".to_owned(), given().2.clone().into());
        }
        check(&path, Value::Object(body).to_string().as_bytes());
    }

    #[test]
    fn no_bytes_make_the_server_fail(path in path(), body in collection::vec(any::<u8>(), 0..200)) {
        check(&path, &body);
    }

    #[test]
    fn nothing_that_resembles_json_makes_the_server_fail(path in path(), body in "[{}\\[\\]:,\"\\\\a-e0-9. tfn-]{0,60}") {
        check(&path, format!("{{{body}").as_bytes());
    }
}
