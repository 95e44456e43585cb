//! Assemblies as their users see them: the real server, its workers, a real database file.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod running_server;

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use running_server::{Client, RunningServer};
use serde_json::{Value, json};

/// A server and the token of a user who has logged in with a password.
async fn logged_in(folder: &Path, arguments: &[&str]) -> (RunningServer, Client, String) {
    let server = RunningServer::start_with_fixed_key(folder, arguments);
    let mut client = server.client().await;
    let account = json!({"username": "ada", "password": "correct horse"});
    client.expect("/keyserver/register", account.clone()).await;
    let answer = client.expect("/keyserver/authenticate", account).await;
    let token = answer["token"].as_str().unwrap().to_owned();
    (server, client, token)
}

async fn install(client: &mut Client, token: &str, author: &str, name: &str) {
    let request = json!({"token": token, "author": author, "name": name});
    client.expect("/install_assembly", request).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_todo_app_and_the_back_office_work_on_the_same_documents() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client, token) = logged_in(folder.path(), &[]).await;
    for name in ["Todo", "DocumentsAdmin"] {
        install(&mut client, &token, "pinyto", name).await;
    }
    let mut ids = Vec::new();
    for (title, priority) in [("wash", 3), ("read", 1), ("write", 2)] {
        let document = json!({"data": {"title": title, "priority": priority}});
        let request = json!({"token": token, "document": document});
        let saved = client.expect("/pinyto/Todo/save", request).await;
        assert_eq!(saved["success"], true, "{saved}");
        ids.push(saved["_id"].as_str().unwrap().to_owned());
    }
    let titles = |list: &Value| -> Vec<String> {
        let list = list["result"].as_array().unwrap().iter();
        list.map(|entry| entry["data"]["title"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = client
        .expect("/pinyto/Todo/get_list", json!({"token": token}))
        .await;
    assert_eq!(titles(&list), ["read", "write", "wash"]);
    assert_eq!(list["result"][0]["assembly"], "pinyto/Todo");

    // The back office sees, changes and deletes them, whoever stored them.
    let query = json!({"data.title": {"$regex": "^W", "$options": "i"}});
    let request = json!({"token": token, "query": query, "skip": 0, "count": 42});
    let found = client
        .expect("/pinyto/DocumentsAdmin/search", request)
        .await;
    assert_eq!(titles(&found), ["wash", "write"]);
    let mut changed = found["result"][0].clone();
    changed["data"]["title"] = "wash up".into();
    let request = json!({"token": token, "document": changed});
    let saved = client.expect("/pinyto/DocumentsAdmin/save", request).await;
    assert_eq!(saved, json!({"success": true, "_id": ids[0]}));
    let request = json!({"token": token, "document": {"_id": ids[1]}});
    client
        .expect("/pinyto/DocumentsAdmin/delete", request)
        .await;
    let list = client
        .expect("/pinyto/Todo/get_list", json!({"token": token}))
        .await;
    assert_eq!(titles(&list), ["write", "wash up"]);
    assert_eq!(list["result"][1]["assembly"], "pinyto/Todo", "kept");

    // A document of somebody else's type is none of the app's business.
    let request = json!({"token": token, "type": "note", "data": {"title": "n"}});
    let note = client.expect("/pinyto/DocumentsAdmin/store", request).await;
    let request = json!({"token": token, "document": {"_id": note["_id"]}});
    client.expect("/pinyto/Todo/delete", request).await;
    let request = json!({"token": token, "query": {"type": "note"}});
    let found = client
        .expect("/pinyto/DocumentsAdmin/search", request)
        .await;
    assert_eq!(found["result"].as_array().unwrap().len(), 1);

    // Wrong queries are told, and all of it is in the log and in the books.
    let request = json!({"token": token, "query": {"$where": "1"}});
    let (status, answer) = client.post("/pinyto/DocumentsAdmin/search", &request).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["exception"]["type"], "ValueError");
    assert!(
        answer["error"].as_str().unwrap().contains("$where"),
        "{answer}"
    );
    let runs = client.expect("/list_runs", json!({"token": token})).await;
    assert_eq!(runs[0]["outcome"], "failed");
    assert_eq!(runs[0]["name"], "search");
    let statistics = client.expect("/statistics", json!({"token": token})).await;
    assert!(
        statistics["time_budget"].as_f64().unwrap() > 0.0,
        "{statistics}"
    );
    assert!(server.stop().success());
}

/// The assembly of the examples, as its author packs it.
fn library() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/library/assembly.json");
    let packed = Command::new(env!("CARGO_BIN_EXE_pinyto-server"))
        .args(["run-assembly", "--pack"])
        .arg(file)
        .output()
        .unwrap();
    assert!(packed.status.success(), "{packed:?}");
    serde_json::from_slice(&packed.stdout).unwrap()
}

/// A library's web page: answers each request with a table, once for all.
fn catalogue() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let page = if request.contains("isbn=9783150000632") {
                "<html><body><h1>Found</h1><table class='hit book'>
                 <tr><td><strong>Titel</strong></td><td>Die  Leiden des
                   jungen Werthers</td></tr>
                 <tr><td>Person(en)</td><td>Goethe</td>
                 <tr><td>Zeitliche Einordnung<td>Stuttgart, 1774</table>"
            } else {
                "<p>No hits"
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            let length = page.len();
            let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{page}");
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_catalogue_works_with_all_its_functions_and_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--egress-allow-private", "127.0.0.0/8"];
    let (server, mut client, token) = logged_in(folder.path(), &arguments).await;
    let request = json!({"token": token, "original_name": "", "data": library()});
    client.expect("/save_assembly", request).await;
    install(&mut client, &token, "ada", "Library").await;
    let mut call = async |function: &str, mut request: Value| {
        request["token"] = token.as_str().into();
        client
            .post(&format!("/ada/Library/{function}"), &request)
            .await
    };
    let books = [
        json!({"isbn": "1", "title": "Emma", "author": "Austen", "publisher": "Dent", "place": "hall", "year": 1815}),
        json!({"isbn": "2", "title": "Persuasion", "author": "Austen", "publisher": "Dent", "place": "attic", "year": 1817, "tags": ["Bath", "sea"]}),
        json!({"isbn": "3", "title": "Faust (I)", "author": "Goethe", "publisher": "Reclam", "place": "hall", "year": 1808}),
        json!({"isbn": "1", "title": "Emma again"}),
        json!({"isbn": "9783150000632"}),
        json!({"isbn": "404"}),
    ];
    let mut ids = Vec::new();
    for book in books {
        let (status, added) = call("add", json!({"book": book})).await;
        assert_eq!(status, 200, "{added}");
        ids.push(added["_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[3], "the same book");
    let (status, refused) = call("add", json!({"book": "Emma"})).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &json!("Send a book with an isbn."))
    );

    let (_, index) = call("index", json!({})).await;
    assert_eq!(index["count"], 5);
    let titles = |list: &Value| -> Vec<Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|book| book["data"]["title"].clone()).collect()
    };
    let sorted = json!([null, null, "Emma", "Faust (I)", "Persuasion"]);
    assert_eq!(Value::from(titles(&index["index"])), sorted);
    let (_, page) = call("index", json!({"skip": 4})).await;
    assert_eq!(titles(&page["index"]), ["Persuasion"]);
    for (text, expected) in [
        ("AUSTEN", json!(["Emma", "Persuasion"])),
        ("(i)", json!(["Faust (I)"])),
        ("SEA", json!(["Persuasion"])),
        ("hall", json!(["Emma", "Faust (I)"])),
        ("nothing", json!([])),
    ] {
        let (_, found) = call("search", json!({"text": text})).await;
        assert_eq!(Value::from(titles(&found["result"])), expected, "{text}");
    }
    let change = json!({"_id": ids[1], "changes": {"lent_to": "Ann"}});
    let (_, updated) = call("update", change).await;
    assert_eq!(updated["book"]["data"]["lent_to"], "Ann");
    let change = json!({"query": {"data.author": "Austen"}, "changes": {"place": "study"}});
    let (_, updated) = call("update_all", change).await;
    assert_eq!(updated["changed"], 2);
    let (_, copy) = call("duplicate", json!({"_id": ids[2]})).await;
    assert_ne!(copy["_id"], ids[2].as_str());
    let (_, statistics) = call("statistics", json!({})).await;
    let expected =
        json!({"books": 6, "lent": 1, "places": {"hall": 2, "study": 2}, "oldest": 1808});
    assert_eq!(statistics, expected);
    call("remove", json!({"_id": copy["_id"]})).await;
    let (_, gone) = call("remove", json!({"_id": copy["_id"]})).await;
    assert_eq!(gone["success"], true);
    let (_, statistics) = call("statistics", json!({})).await;
    assert_eq!(statistics["books"], 5);

    // The job ran when the assembly was installed and had nothing to do. Now it has.
    let url = format!("http://{}/", catalogue());
    let request = json!({"token": token, "type": "settings", "data": {"catalogue": url}});
    client.expect("/ada/Library/store", request).await;
    let job = json!({"token": token, "author": "ada", "name": "Library", "job": "complete"});
    client.expect("/run_job", job).await;
    let found = wait_for(
        &mut client,
        "/ada/Library/search",
        || json!({"token": token, "text": "werther"}),
        |answer| {
            answer["result"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        },
    )
    .await;
    let data = &found["result"][0]["data"];
    assert_eq!(data["title"], "Die Leiden des jungen Werthers");
    assert_eq!(
        (&data["author"], &data["year"]),
        (&json!("Goethe"), &json!(1774))
    );
    let job_runs = |runs: &Value| -> Vec<Value> {
        let runs = runs.as_array().unwrap().iter();
        runs.filter(|run| run["kind"] == "job").cloned().collect()
    };
    let runs = wait_for(
        &mut client,
        "/list_runs",
        || json!({"token": token, "count": 100}),
        |runs| job_runs(runs).iter().any(|run| run["output"] != ""),
    )
    .await;
    let run = job_runs(&runs).remove(0);
    assert_eq!(run["outcome"], "succeeded", "{run}");
    assert_eq!(run["output"], "nothing known about 404\n");
    assert!(server.stop().success());
}

/// Asks until the answer is as wanted.
async fn wait_for(
    client: &mut Client,
    path: &str,
    request: impl Fn() -> Value,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = client.expect(path, request()).await;
        if is_wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

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

/// Saves and installs `ada/A`, whose job `work` counts its runs, the first of which never ends.
async fn begin_endless_job(client: &mut Client, token: &str) {
    let code = "first = db.count({'type': 'begun'}) == 0
db.insert({'type': 'begun'})
while first: pass
return {}";
    let job = json!({"name": "work", "code": code, "schedule": 0});
    let count = json!({"name": "count", "code": "return db.count({'type': 'begun'})"});
    let data = json!({"name": "A", "description": "", "api_functions": [count], "jobs": [job]});
    let request = json!({"token": token, "original_name": "", "data": data});
    client.expect("/save_assembly", request).await;
    install(client, token, "ada", "A").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_server_is_taken_over_by_another_that_shares_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        &["--job-lease-seconds", "3"][..],
        &["--code-cpu-seconds", "60", "--code-wall-seconds", "100"],
    ]
    .concat();
    let (one, mut client, token) = logged_in(folder.path(), &arguments).await;
    begin_endless_job(&mut client, &token).await;
    let begun = || json!({"token": token});
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 1).await;
    drop(client);

    // Another one leaves the job alone as long as the first lives, longer than a lease lasts.
    let other = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut client = other.client().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(client.expect("/ada/A/count", begun()).await, 1);
    one.kill();
    let killed = Instant::now();
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 2).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");

    let jobs = wait_for(&mut client, "/list_jobs", begun, |jobs| {
        jobs[0]["running_since"].is_null()
    })
    .await;
    assert_eq!(jobs.as_array().unwrap().len(), 1);
    assert!(other.stop().success());
    let server = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut client = server.client().await;
    let ran = client.expect("/list_runs", begun()).await;
    let ran = ran.as_array().unwrap().iter();
    let ran: Vec<_> = ran.filter(|run| run["kind"] == "job").collect();
    assert_eq!(
        ran.len(),
        1,
        "the run that was lost left no trace but its count"
    );
    assert_eq!(
        (&ran[0]["outcome"], &ran[0]["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert_eq!(client.expect("/ada/A/count", begun()).await, 2);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_server_is_run_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let lease = ["--job-lease-seconds", "5"];
    let arguments = [
        &lease[..],
        &["--code-cpu-seconds", "60", "--code-wall-seconds", "100"],
    ]
    .concat();
    let (server, mut client, token) = logged_in(folder.path(), &arguments).await;
    begin_endless_job(&mut client, &token).await;
    let begun = || json!({"token": token});
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 1).await;
    drop(client);
    server.kill();

    // Its lease has to expire first.
    let server = RunningServer::start(folder.path());
    let mut client = server.client().await;
    wait_for(&mut client, "/ada/A/count", begun, |count| *count == 2).await;
    let ran = wait_for(&mut client, "/list_runs", begun, |runs| {
        runs.as_array()
            .unwrap()
            .iter()
            .any(|run| run["kind"] == "job")
    })
    .await;
    let runs = ran
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["kind"] == "job");
    let runs: Vec<_> = runs.collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (&runs[0]["outcome"], &runs[0]["attempt"]),
        (&json!("succeeded"), &json!(2))
    );
    assert!(server.stop().success());
}
