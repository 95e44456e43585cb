//! The assemblies that come with the server.

use pinyto_core::assembly::bundled_assemblies;

use super::*;

fn run_function(assembly: &str, function: &str, body: &Value, script: &mut Script) -> Value {
    let assemblies = bundled_assemblies().unwrap();
    let source = assemblies
        .iter()
        .find(|source| source.name().as_str() == assembly)
        .unwrap();
    let code = source
        .api_functions()
        .iter()
        .find(|candidate| candidate.name.as_str() == function)
        .unwrap();
    let finished = run_with(&code.code, &body.to_string(), script);
    serde_json::from_str(&finished.outcome.unwrap()).unwrap()
}

#[test]
fn all_of_them_can_be_saved() {
    for source in bundled_assemblies().unwrap() {
        for function in source.api_functions() {
            assert_eq!(
                Engine::new().check(&function.code),
                Ok(()),
                "{}",
                function.name
            );
        }
    }
}

#[test]
fn the_admin_searches_saves_and_deletes() {
    let mut script = Script::answering([json!([{"_id": "1"}])]);
    let body = json!({"query": {"type": "book"}, "count": 5});
    let answer = run_function("DocumentsAdmin", "search", &body, &mut script);
    assert_eq!(answer, json!({"result": [{"_id": "1"}]}));
    let expected = json!({"query": {"type": "book"}, "skip": 0, "limit": 5});
    assert_eq!(script.calls, [(Service::Find, expected)]);

    let mut script = Script::default();
    for body in [
        json!({"skip": -1}),
        json!({"count": true}),
        json!({"query": 5}),
    ] {
        let answer = run_function("DocumentsAdmin", "search", &body, &mut script);
        assert!(answer["error"].is_string(), "{body}");
    }
    assert_eq!(script.calls, []);

    let mut script = Script::answering([json!("new")]);
    let answer = run_function(
        "DocumentsAdmin",
        "save",
        &json!({"document": {"a": 1}}),
        &mut script,
    );
    assert_eq!(answer, json!({"success": true, "_id": "new"}));

    let mut script = Script {
        answers: [Err(Refusal::Raise {
            exception: "LookupError".to_owned(),
            message: "none".to_owned(),
        })]
        .into(),
        ..Script::default()
    };
    let body = json!({"document": {"_id": "gone"}});
    let answer = run_function("DocumentsAdmin", "save", &body, &mut script);
    assert_eq!(
        answer,
        json!({"error": "There is no document with this _id."})
    );

    let mut script = Script::default();
    let answer = run_function("DocumentsAdmin", "delete", &body, &mut script);
    assert_eq!(answer, json!({"success": true}));
    assert_eq!(script.calls, [(Service::Remove, body)]);
}

#[test]
fn the_todo_list_touches_nothing_but_its_entries() {
    let mut script = Script::answering([json!([])]);
    let answer = run_function("Todo", "get_list", &json!({}), &mut script);
    assert_eq!(answer, json!({"result": []}));

    let mut script =
        Script::answering([json!({"type": "book"}), json!({"type": "todo", "_id": "1"})]);
    let body = json!({"document": {"_id": "1"}});
    for _ in 0..2 {
        run_function("Todo", "delete", &body, &mut script);
    }
    let last = script.calls.last().unwrap();
    assert_eq!(
        *last,
        (
            Service::Remove,
            json!({"document": {"type": "todo", "_id": "1"}})
        )
    );
    assert_eq!(script.calls.len(), 3);

    let mut script = Script::answering([json!("new"), json!(null)]);
    let answer = run_function(
        "Todo",
        "save",
        &json!({"document": {"data": {}}}),
        &mut script,
    );
    assert_eq!(answer, json!({"success": true, "_id": "new"}));
    assert_eq!(
        script.calls[0].1,
        json!({"document": {"data": {}, "type": "todo"}})
    );
    let answer = run_function("Todo", "save", &body, &mut script);
    assert!(answer["error"].is_string());
}
