//! The catalogue of books in the examples, as a library would use it.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{install, logged_in, wait_for};

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
    // The catalogue that the job may ask.
    let mut data = library();
    data["http_hosts"] = json!(["127.0.0.1"]);
    let request = json!({"token": token, "original_name": "", "data": data});
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
        json!({"isbn": "3-15-000001", "title": "Faust (I)", "author": "Goethe", "publisher": "Reclam", "place": "hall", "year": 1808}),
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
        ("reclam", json!(["Faust (I)"])),
        ("3-15", json!(["Faust (I)"])),
        ("faust (", json!(["Faust (I)"])),
        (".*", json!([])),
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
    let (_, found) = call("search", json!({"text": "Copy of"})).await;
    let found = &found["result"][0];
    assert_eq!(
        (&found["_id"], &found["type"]),
        (&copy["_id"], &json!("book"))
    );
    let copied = json!({
        "isbn": "3-15-000001", "title": "Copy of Faust (I)", "author": "Goethe", "copies": 1,
        "publisher": "Reclam", "place": "hall", "year": 1808,
    });
    assert_eq!(found["data"], copied);
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
    // Only books are changed, whatever is asked for.
    let query = json!({"type": "settings", "data.isbn": null});
    let request = json!({"token": token, "query": query, "changes": {"catalogue": ""}});
    let updated = client.expect("/ada/Library/update_all", request).await;
    assert_eq!(updated["changed"], 0);
    let job = json!({"token": token, "author": "ada", "name": "Library", "job": "complete"});
    client.expect("/run_job", job.clone()).await;
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
    let book = &found["result"][0]["data"];
    assert_eq!(book["title"], "Die Leiden des jungen Werthers");
    assert_eq!(
        (&book["author"], &book["year"]),
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

    // A host that the assembly doesn't declare is out of its reach.
    data = library();
    data["http_hosts"] = json!(["*.example.org"]);
    let request = json!({"token": token, "original_name": "Library", "data": data});
    client.expect("/save_assembly", request).await;
    client.expect("/run_job", job).await;
    let runs = wait_for(
        &mut client,
        "/list_runs",
        || json!({"token": token, "count": 100}),
        |runs| job_runs(runs)[0]["error"]["type"] == "PermissionError",
    )
    .await;
    assert_eq!(job_runs(&runs)[0]["outcome"], "failed");
    assert!(server.stop().success());
}
