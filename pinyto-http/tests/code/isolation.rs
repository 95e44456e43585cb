//! What code can't do, to whom, and what its mistakes cost.

use serde_json::{Value, json};

use crate::support::{install, logged_in};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_code_does_wrong_costs_its_own_call_alone() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--code-cpu-seconds", "0.2"];
    let (server, mut client, token) = logged_in(folder.path(), &arguments).await;
    let code = |name: &str, code: &str| json!({"name": name, "code": code});
    let functions = [
        code("fine", "return {'fine': True}"),
        code(
            "spin",
            "print('here I am')\nwhile True:\n    try:\n        while True: pass\n    except: pass",
        ),
        code("eat", "l = ['x' * 1000]\nwhile True: l = l + l"),
        code("raise_it", "\n\nraise ValueError('no ' + request.user)"),
        code("no_json", "return 'hello'"),
        code("error", "return json.dumps({'error': 'I do not want to.'})"),
        code("text", "return '[1, 2.50]'"),
        code(
            "foreign",
            "return db.find({'type': 'secret'}) + [db.find_document_for_id(request.json['id'])]",
        ),
    ];
    let data = json!({"name": "Bad", "description": "", "api_functions": functions, "jobs": []});
    let request = json!({"token": token, "original_name": "", "data": data});
    client.expect("/save_assembly", request).await;
    install(&mut client, &token, "ada", "Bad").await;
    let secret = json!({"token": token, "type": "secret", "data": 1});
    install(&mut client, &token, "pinyto", "DocumentsAdmin").await;
    let secret = client.expect("/pinyto/DocumentsAdmin/store", secret).await;
    for (function, status, code) in [
        ("fine", 200, None),
        ("spin", 400, Some("code_limit_reached")),
        ("fine", 200, None),
        ("eat", 400, Some("code_limit_reached")),
        ("raise_it", 400, Some("code_exception")),
        ("no_json", 400, Some("code_answer_invalid")),
        ("error", 400, None),
        ("text", 200, None),
        ("foreign", 200, None),
        ("missing", 404, Some("unknown_function")),
        ("fine", 200, None),
    ] {
        let request = json!({"token": token, "id": secret["_id"]});
        let (got, answer) = client.post(&format!("/ada/Bad/{function}"), &request).await;
        assert_eq!(got, status, "{function}: {answer}");
        assert_eq!(answer["code"].as_str(), code, "{function}: {answer}");
        match function {
            "raise_it" => {
                let exception = json!({"type": "ValueError", "message": "no ada", "line": 3});
                assert_eq!(answer["exception"], exception);
            }
            "error" => assert_eq!(answer, json!({"error": "I do not want to."})),
            "text" => assert_eq!(answer, json!([1, 2.5])),
            "foreign" => assert_eq!(answer, json!([null]), "of another assembly"),
            _ => {}
        }
    }
    let runs = client.expect("/list_runs", json!({"token": token})).await;
    let spun = runs.as_array().unwrap().iter();
    let spun = spun.filter(|run| run["name"] == "spin").collect::<Vec<_>>();
    assert_eq!(spun[0]["output"], "here I am\n", "what it printed is kept");
    assert!(spun[0]["cpu"].as_f64().unwrap() >= 0.2, "{}", spun[0]);
    // A mistake in the syntax is told when the assembly is saved.
    let data =
        json!({"name": "Worse", "description": "", "api_functions": [code("a", "return 1\nif x")]});
    let request = json!({"token": token, "original_name": "", "data": data});
    let (status, answer) = client.post("/save_assembly", &request).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_assembly")));
    assert!(
        answer["error"].as_str().unwrap().contains("line 2"),
        "{answer}"
    );
    assert!(server.stop().success());
}

/// Every way that `db` has to a document whose `_id` is known, and to all that a query finds.
const REACH_OUT: &str = r#"
id = request.json["id"]
tried = {}
def attempt(name, call):
    try:
        tried[name] = call()
    except Exception as error:
        tried[name] = type(error).__name__
attempt("find", lambda: db.find({}))
attempt("find by id", lambda: db.find({"_id": id}))
attempt("find by assembly", lambda: db.find({"assembly": "pinyto/DocumentsAdmin"}))
attempt("find_documents", lambda: db.find_documents({"_id": {"$in": [id]}}))
attempt("find_document_for_id", lambda: db.find_document_for_id(id))
attempt("find_distinct", lambda: db.find_distinct({}, "data"))
attempt("count", lambda: db.count({"$or": [{"_id": id}, {"type": "secret"}]}))
attempt("save", lambda: db.save({"_id": id, "type": "secret", "data": "overwritten"}))
attempt("remove", lambda: db.remove({"_id": id}))
own = db.insert({"_id": id, "assembly": "pinyto/DocumentsAdmin", "type": "own", "data": 1})
kept = db.find_document_for_id(own)
attempt("save with another assembly", lambda: db.save({**kept, "assembly": "pinyto/DocumentsAdmin"}) == own)
kept = db.find_document_for_id(own)
db.remove(kept)
return {"tried": tried, "own": [own != id, kept["assembly"]]}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_db_reaches_documents_of_other_users_and_assemblies() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client, ada) = logged_in(folder.path(), &[]).await;
    let account = json!({"username": "bob", "password": "battery staple"});
    client.expect("/keyserver/register", account.clone()).await;
    let answer = client.expect("/keyserver/authenticate", account).await;
    let bob = answer["token"].as_str().unwrap().to_owned();
    let reach = json!({"name": "reach", "code": REACH_OUT});
    let narrow = json!({"name": "Narrow", "description": "", "api_functions": [reach]});
    let mut wide = narrow.clone();
    wide["name"] = "Wide".into();
    wide["only_own_data"] = false.into();
    for data in [narrow, wide] {
        let request = json!({"token": ada, "original_name": "", "data": data});
        client.expect("/save_assembly", request).await;
    }
    install(&mut client, &ada, "ada", "Narrow").await;
    install(&mut client, &ada, "ada", "Wide").await;
    let mut secrets = Vec::new();
    for token in [&ada, &bob] {
        install(&mut client, token, "pinyto", "DocumentsAdmin").await;
        let secret = json!({"token": token, "type": "secret", "data": "hers"});
        let stored = client.expect("/pinyto/DocumentsAdmin/store", secret).await;
        secrets.push(stored["_id"].clone());
    }
    // Hers by an assembly that sees only its own, and somebody else's by one that sees all of hers.
    for (assembly, id, of_hers) in [("Narrow", &secrets[0], 0), ("Wide", &secrets[1], 1)] {
        let request = json!({"token": ada, "id": id});
        let answer = client
            .expect(&format!("/ada/{assembly}/reach"), request)
            .await;
        let tried = &answer["tried"];
        for nothing in ["find by id", "find_documents"] {
            assert_eq!(tried[nothing], json!([]), "{assembly} {nothing}");
        }
        for list in ["find", "find by assembly", "find_distinct"] {
            let found = tried[list].as_array().unwrap().len();
            assert_eq!(found, of_hers, "{assembly} {list}");
        }
        assert_eq!(tried["count"], of_hers, "{assembly}");
        for null in ["find_document_for_id", "remove"] {
            assert_eq!(tried[null], Value::Null, "{assembly} {null}");
        }
        assert_eq!(tried["save"], "LookupError", "{assembly}");
        assert_eq!(tried["save with another assembly"], true, "{assembly}");
        assert_eq!(answer["own"], json!([true, format!("ada/{assembly}")]));
    }
    for (token, id) in [(&ada, &secrets[0]), (&bob, &secrets[1])] {
        let request = json!({"token": token, "query": {"_id": id}});
        let found = client
            .expect("/pinyto/DocumentsAdmin/search", request)
            .await;
        assert_eq!(found["result"][0]["data"], "hers");
    }
    assert!(server.stop().success());
}
