//! Every field of every call with a wrong type, and without it.

#[cfg(feature = "openapi")]
use std::collections::BTreeSet;

use pinyto_core::testing::keys;
use serde_json::{Value, json};

use crate::support::{Server, numbers};

/// A call with a body that has every field.
struct Call {
    path: &'static str,
    body: Value,
    /// Fields that may be missing or null.
    optional: &'static [&'static str],
}

fn call(path: &'static str, body: Value, optional: &'static [&'static str]) -> Call {
    Call {
        path,
        body,
        optional,
    }
}

/// Every call that takes more than a token; calls with a session get theirs added.
fn calls(token: &str) -> Vec<Call> {
    let key = numbers(&keys::device(2));
    let digits = "0123456789";
    let data = json!({
        "name": "N", "description": "", "only_own_data": true,
        "api_functions": [{"name": "f", "code": ""}],
        "jobs": [{"name": "j", "code": "", "schedule": 1}],
        "indexes": ["data.isbn"], "http_hosts": ["example.org"],
    });
    let named = json!({"token": token, "author": "alice", "name": "None"});
    let any = |path| call(path, named.clone(), &[]);
    vec![
        call(
            "/register",
            json!({"username": "x", "public_key": key}),
            &[],
        ),
        call(
            "/authenticate",
            json!({"username": "x", "key_hash": digits}),
            &[],
        ),
        call("/ticket", json!({"token": token, "audience": "x"}), &[]),
        call(
            "/register_new_key",
            json!({"token": token, "public_key": key, "openpgp_key": "x", "label": "x"}),
            // One of the two is needed.
            &["label", "public_key", "openpgp_key"],
        ),
        call(
            "/set_key_active",
            json!({"token": token, "key_hash": digits, "active_state": true}),
            &[],
        ),
        call(
            "/delete_key",
            json!({"token": token, "key_hash": digits}),
            &[],
        ),
        call(
            "/keyserver/register",
            json!({"username": "y", "password": "correct horse"}),
            &[],
        ),
        call(
            "/keyserver/authenticate",
            json!({"username": "x", "password": "correct horse"}),
            &[],
        ),
        call(
            "/keyserver/change_password",
            json!({"token": token, "password": "correct horse"}),
            &[],
        ),
        call(
            "/keyserver/set_password_login",
            json!({"token": token, "allowed": true}),
            &[],
        ),
        call(
            "/save_assembly",
            json!({"token": token, "original_name": "N", "data": data}),
            &[
                "data.api_functions",
                "data.jobs",
                "data.jobs[].schedule",
                "data.only_own_data",
                "data.indexes",
                "data.http_hosts",
            ],
        ),
        call(
            "/delete_assembly",
            json!({"token": token, "name": "None"}),
            &[],
        ),
        call(
            "/list_all_assemblies",
            json!({"token": token, "skip": 0, "count": 1}),
            &["skip", "count"],
        ),
        any("/get_assembly_source"),
        any("/install_assembly"),
        any("/uninstall_assembly"),
        call(
            "/list_runs",
            json!({"token": token, "author": "alice", "name": "None", "skip": 0, "count": 1}),
            &["author", "name", "skip", "count"],
        ),
        call(
            "/get_run",
            json!({"token": token, "id": "0123456789abcdef01234567"}),
            &[],
        ),
        call(
            "/list_assembly_runs",
            json!({"token": token, "name": "None", "skip": 0, "count": 1}),
            &["skip", "count"],
        ),
        call(
            "/list_jobs",
            json!({"token": token, "skip": 0, "count": 1}),
            &["skip", "count"],
        ),
        call(
            "/run_job",
            json!({"token": token, "author": "alice", "name": "None", "job": "tidy"}),
            &[],
        ),
        call(
            "/alice/None/store",
            json!({"token": token, "type": "t", "data": 1, "tags": []}),
            &["tags"],
        ),
    ]
}

/// The paths of all fields but the token, with the JSON pointers to them.
fn fields(value: &Value, path: &str, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "token") {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                let pointer = format!("{pointer}/{name}");
                found.push((path.clone(), pointer.clone()));
                fields(value, &path, &pointer, found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let (path, pointer) = (format!("{path}[]"), format!("{pointer}/{index}"));
                found.push((path.clone(), pointer.clone()));
                fields(value, &path, &pointer, found);
            }
        }
        _ => {}
    }
}

/// One value of each JSON type, and some at the edges.
fn values() -> Vec<Value> {
    let texts = json!([
        null, true, 5, -1, 0.5, 1e300, 18_446_744_073_709_551_615_u64,
        "", "x", "\u{0}", "\u{202e}", [], ["a", "b"], [[[]]], {}, {"a": 1},
    ]);
    texts.as_array().unwrap().clone()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_refused_by_name() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for call in calls(&token) {
        let mut found = Vec::new();
        fields(&call.body, "", "", &mut found);
        for (path, pointer) in found {
            // These take anything; the core's tests tell what becomes of it.
            if call.path.ends_with("/store") {
                continue;
            }
            let good = kind(call.body.pointer(&pointer).unwrap());
            for value in values() {
                let mut body = call.body.clone();
                *body.pointer_mut(&pointer).unwrap() = value.clone();
                let answer = server.post(call.path, body).await;
                let context = format!("{} {path} {value}: {answer:?}", call.path);
                assert!(!answer.status.is_server_error(), "{context}");
                let exponent = path.ends_with(".e") && value.is_u64();
                // Within `data` what is left out has a default that null has not, but for this one.
                let null = value.is_null()
                    && !path.ends_with("_key")
                    && (!path.contains('.') || path == "data.http_hosts")
                    && call.optional.contains(&path.as_str());
                if kind(&value) != good && !exponent && !null {
                    assert_eq!(answer.error(), (400, "invalid_field"), "{context}");
                    let named = path.replace("[]", "[0]");
                    assert!(
                        answer.sentence().contains(&format!("field {named} ")),
                        "{context}"
                    );
                    assert!(!answer.sentence().contains('\u{202e}'));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_missing_field_is_missed_by_name() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for call in calls(&token) {
        let mut found = Vec::new();
        fields(&call.body, "", "", &mut found);
        for (path, pointer) in found.iter().filter(|(path, _)| !path.ends_with(']')) {
            let mut body = call.body.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = body.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(name);
            let answer = server.post(call.path, body).await;
            let context = format!("{} {path}: {answer:?}", call.path);
            assert!(!answer.status.is_server_error(), "{context}");
            if !call.optional.contains(&path.as_str()) {
                assert_eq!(answer.error(), (400, "missing_field"), "{context}");
                let named = path.replace("[]", "[0]");
                assert!(
                    answer.sentence().contains(&format!("field {named} ")),
                    "{context}"
                );
            }
        }
    }
}

/// The paths of the fields that a schema has, without the token.
#[cfg(feature = "openapi")]
fn described(document: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        described(document, document.pointer(pointer).unwrap(), path, found);
    }
    for either in schema["oneOf"].as_array().into_iter().flatten() {
        described(document, either, path, found);
    }
    if schema["items"].is_object() {
        let path = format!("{path}[]");
        found.insert(path.clone());
        described(document, &schema["items"], &path, found);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if name != "token" {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}");
            found.insert(path.clone());
            described(document, schema, &path, found);
        }
    }
}

/// That each of these has a sentence of its own is a test beside the sentences.
#[cfg(feature = "openapi")]
#[test]
fn the_tests_above_know_every_field_that_is_described() {
    let document = pinyto_http::openapi::document(&pinyto_http::HttpSettings::default());
    for call in calls("") {
        let mut found = Vec::new();
        fields(&call.body, "", "", &mut found);
        let found: BTreeSet<String> = found.into_iter().map(|(path, _)| path).collect();
        let path = call.path.replace("/alice/None/", "/{author}/{assembly}/");
        let body = &document["paths"][path]["post"]["requestBody"]["content"];
        let mut all = BTreeSet::new();
        described(&document, &body["application/json"]["schema"], "", &mut all);
        let all: BTreeSet<String> = all
            .iter()
            .map(|path| path.replace("key_data", "public_key"))
            .map(|path| {
                if path == "name" && call.path.starts_with("/keyserver") {
                    "username".into()
                } else {
                    path
                }
            })
            .collect();
        assert_eq!(found, all, "{}", call.path);
    }
}
