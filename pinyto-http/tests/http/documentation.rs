//! The description and the page about the protocol say what is served, and nothing else.

use std::collections::BTreeSet;

use pinyto_http::{ERRORS, HttpSettings, openapi, routes};
use serde_json::{Value, json};

use crate::support::Server;

fn documented() -> BTreeSet<(String, String)> {
    let document = openapi::document(&HttpSettings::default());
    let mut calls = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            calls.insert((path.clone(), method.clone()));
        }
    }
    calls
}

#[test]
fn what_is_served_is_documented_and_the_other_way_round() {
    let mut served = BTreeSet::new();
    for (path, methods) in routes::served() {
        for method in methods {
            served.insert((path.clone(), (*method).to_owned()));
        }
    }
    assert_eq!(served, documented());
}

/// The first cells of the rows of a page's tables that fit `row`, and what stands beside them.
fn rows(page: &str, row: impl Fn(&str) -> bool) -> BTreeSet<(&str, &str)> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(first, _)| row(first))
        .map(|(first, rest)| (first, rest.split(" |").next().unwrap_or(rest)))
        .collect()
}

#[test]
fn the_page_about_the_protocol_has_every_call_and_every_error_and_no_others() {
    let page = include_str!("../../../docs/protocol.md");
    let is_call = |cell: &str| cell.starts_with("POST /") || cell.starts_with("GET /");
    let told: BTreeSet<(String, String)> = rows(page, is_call)
        .into_iter()
        .map(|(call, _)| {
            let (method, path) = call.split_once(' ').unwrap();
            (path.to_owned(), method.to_lowercase())
        })
        .collect();
    assert_eq!(told, documented());

    let errors = page.split("## Errors").nth(1).unwrap();
    let errors = errors.split("## Limits").next().unwrap();
    let told: BTreeSet<(String, String)> = rows(errors, |_| true)
        .into_iter()
        .map(|(code, status)| (code.to_owned(), status.to_owned()))
        .collect();
    let kinds = ERRORS
        .iter()
        .map(|kind| (kind.code.to_owned(), kind.status.to_string()));
    assert_eq!(told, kinds.collect());
}

#[test]
fn the_page_about_the_protocol_names_every_field_of_requests() {
    let page = include_str!("../../../docs/protocol.md");
    let document = openapi::document(&HttpSettings::default());
    let mut missing = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let content = &item["post"]["requestBody"]["content"]["application/json"];
        let Some(reference) = content["schema"]["$ref"].as_str() else {
            continue;
        };
        let schema = document.pointer(&reference[1..]).unwrap();
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `POST {path}`")))
            .unwrap();
        for field in schema["properties"].as_object().unwrap().keys() {
            if !row.contains(&format!("`{field}")) {
                missing.push(format!("{path}: {field}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[tokio::test]
async fn what_is_documented_is_served() {
    let server = Server::new();
    for (path, method) in documented() {
        let path = path
            .replace("{author}", "alice")
            .replace("{assembly}", "Todo")
            .replace("{function}", "get_list");
        let request = warp::test::request()
            .path(&path)
            .method(&method.to_uppercase())
            .body("{}");
        let answer = server.request(request).await;
        assert!(
            ![404, 405].contains(&answer.status.as_u16()),
            "{method} {path}: {answer:?}"
        );
    }
}

#[test]
fn every_code_is_documented_with_its_status_at_the_calls_that_give_it() {
    let document = openapi::document(&HttpSettings::default());
    let codes = &document["components"]["schemas"]["Failure"]["properties"]["code"]["enum"];
    let listed: Vec<&str> = ERRORS.iter().map(|kind| kind.code).collect();
    assert_eq!(codes, &json!(listed));
    assert_eq!(document["x-errors"].as_array().unwrap().len(), listed.len());

    let mut at_calls = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                for line in answer["description"].as_str().unwrap().lines() {
                    if let Some(rest) = line.strip_prefix('`') {
                        let code = rest.split('`').next().unwrap().to_owned();
                        let kind = ERRORS.iter().find(|kind| kind.code == code).unwrap();
                        assert_eq!(kind.status.to_string(), *status, "{code}");
                        at_calls.insert(code);
                    }
                }
            }
        }
    }
    // About paths that are no calls, about what only other programs' routes do, and about gpgAuth's
    // own, which speak another protocol.
    let elsewhere = [
        "unknown_route",
        "method_not_allowed",
        "author_has_keys",
        "query_given_up",
        "unknown_document",
    ];
    let is_elsewhere = |code: &str| elsewhere.contains(&code) || code.starts_with("gpgauth_");
    let missing: Vec<_> = listed
        .into_iter()
        .filter(|code| !at_calls.contains(*code) && !is_elsewhere(code))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_reference_leads_somewhere_and_every_field_has_a_meaning() {
    fn visit(document: &Value, value: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        match value {
            Value::Object(members) => members.values().for_each(|value| visit(document, value)),
            Value::Array(items) => items.iter().for_each(|value| visit(document, value)),
            _ => {}
        }
    }
    let document = openapi::document(&HttpSettings::default());
    visit(&document, &document);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, described) in schema["properties"].as_object().unwrap() {
            assert!(!described["description"].is_null(), "{name}.{field}");
        }
    }
}

#[test]
fn both_names_of_a_field_and_both_forms_of_e_fit_the_schemas() {
    let document = openapi::document(&HttpSettings::default());
    let schemas = &document["components"]["schemas"];
    for (schema, field, alias) in [
        ("Register", "public_key", "key_data"),
        ("RegisterNewKey", "public_key", "key_data"),
        ("KeyserverRegister", "username", "name"),
        ("KeyserverAuthenticate", "username", "name"),
    ] {
        let schema = &schemas[schema];
        let required = schema["required"].as_array();
        assert!(required.is_none_or(|all| all.iter().all(|name| name != field && name != alias)));
        assert!(schema["properties"][alias].is_object(), "{schema}");
        let either = [json!({"required": [field]}), json!({"required": [alias]})];
        let listed = schema["anyOf"].as_array().unwrap();
        assert!(listed.starts_with(&either), "{listed:?}");
    }
    let e = &schemas["PublicKeyNumbers"]["properties"]["e"];
    assert_eq!(e["type"], json!(["string", "integer"]));
}

#[test]
fn an_answer_has_all_its_fields_and_tells_its_headers() {
    let document = openapi::document(&HttpSettings::default());
    let schemas = &document["components"]["schemas"];
    for answer in [
        "JobAnswer",
        "StatisticsAnswer",
        "RunAnswer",
        "RunErrorAnswer",
        "AuthorRunAnswer",
        "JobStateAnswer",
        "Exception",
    ] {
        let fields = schemas[answer]["properties"].as_object().unwrap();
        let fields: Vec<_> = fields.keys().map(String::as_str).collect();
        assert_eq!(schemas[answer]["required"], json!(fields), "{answer}");
    }
    for (answer, field, always) in [
        ("AssemblyAnswer", "indexes", 5),
        ("AssemblyAnswer", "http_hosts", 5),
        ("Failure", "exception", 2),
        ("KeyEntry", "user_ids", 8),
        ("KeyEntry", "expires", 8),
    ] {
        let required = schemas[answer]["required"].as_array().unwrap();
        assert!(!required.contains(&json!(field)), "{required:?}");
        assert_eq!(required.len(), always, "{required:?}");
        assert!(schemas[answer]["properties"][field].is_object());
    }
    assert_ne!(
        schemas["JobData"]["required"],
        schemas["JobAnswer"]["required"]
    );
    let answers = &document["paths"]["/list_keys"]["post"]["responses"];
    assert!(answers["200"]["headers"]["X-Request-Id"].is_object());
    assert!(answers["429"]["headers"]["Retry-After"].is_object());
}

#[test]
fn the_limits_in_force_are_documented() {
    let mut settings = HttpSettings::default();
    settings.max_body_bytes = 12_345;
    let document = openapi::document(&settings);
    let introduction = document["info"]["description"].as_str().unwrap();
    assert!(introduction.contains("12345 bytes"));
    assert!(introduction.contains("60 seconds"));
    assert!(!introduction.contains('{') || introduction.contains("{\"error\""));
}

#[tokio::test]
async fn the_page_names_every_call_and_every_error_and_needs_nothing_from_elsewhere() {
    let server = Server::new();
    let answer = server.request(warp::test::request().path("/docs")).await;
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let page = answer.body.as_str().unwrap();
    for (path, _) in documented() {
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for kind in ERRORS {
        assert!(page.contains(&format!("id=\"error-{}\"", kind.code)));
    }
    for foreign in ["<script", "src=", "http://", "https://", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
