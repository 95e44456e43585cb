//! Backups, and one user's data, by the commands of the real server.

#![cfg(all(feature = "server", feature = "postgres", unix))]
#![allow(clippy::unwrap_used, reason = "tests")]

mod running_server;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use pinyto_core::testing::keys;
use running_server::{RunningServer, command};
use serde_json::{Value, json};

/// Runs a command of the server to its end.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

/// The same, which has to succeed; what it printed.
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text
}

/// The same, which has to fail with a line.
fn fail(folder: &Path, arguments: &[&str]) -> String {
    failed(arguments, run(folder, arguments))
}

/// The same, with `input` on stdin.
fn fail_with(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut running = command(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    running.stdin.take().unwrap().write_all(input).unwrap();
    failed(arguments, running.wait_with_output().unwrap())
}

fn failed(arguments: &[&str], output: Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let sentence = text.strip_prefix("pinyto-server: ");
    let sentence = sentence.unwrap_or_else(|| unreachable!("{text}"));
    assert!(!sentence.trim_end().contains('\n'), "{sentence}");
    sentence.to_owned()
}

/// The request with its fields and a token.
fn with(token: &str, fields: Value) -> Value {
    let mut request = fields;
    request["token"] = token.into();
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_moves_to_postgresql_while_it_serves_and_back() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = RunningServer::start(folder);
    let mut client = server.client().await;
    let (device, server_key) = (keys::device(0), keys::server());
    client.register("ada", device.public_key()).await;
    let token = client.log_in("ada", &device, server_key.public_key()).await;
    let todo = json!({"author": "pinyto", "name": "Todo"});
    client.expect("/install_assembly", with(&token, todo)).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let store = json!({"type": "todo", "data": {"n": n}});
        let stored = client
            .expect("/pinyto/Todo/store", with(&token, store))
            .await;
        ids.push(stored["_id"].as_str().unwrap().to_owned());
    }
    let before = client.expect("/statistics", with(&token, json!({}))).await;

    // The server goes on meanwhile.
    let said = succeed(folder, &["backup", "ada.backup"]);
    assert!(said.contains("2 users, 1 keys, 1 sessions"), "{said}");
    assert!(said.contains("5 documents"), "{said}");
    assert!(said.contains("server-key.pem is not in it"), "{said}");
    let mode = fs::metadata(folder.join("ada.backup"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let left = fs::read_dir(folder).unwrap();
    let left = left.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".partial")
    });
    assert_eq!(left.count(), 0);
    let piped = run(folder, &["backup", "-"]);
    assert!(piped.status.success());
    let file = fs::read(folder.join("ada.backup")).unwrap();
    let lines = |file: &[u8]| file.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines(&piped.stdout), lines(&file));
    assert!(succeed(folder, &["check-backup", "ada.backup"]).contains("is complete"));
    // A newer one replaces it, but nothing else that is there.
    succeed(folder, &["backup", "ada.backup"]);
    for other in ["pinyto.db", "server-key.pem"] {
        let refused = fail(folder, &["backup", other]);
        assert!(refused.contains("it is there already"), "{refused}");
    }
    let file = fs::read(folder.join("ada.backup")).unwrap();
    let refused = fail(folder, &["restore", "ada.backup"]);
    assert!(refused.contains("The database is not empty"), "{refused}");
    assert!(server.stop().success());

    // From stdin into PostgreSQL.
    let mut restoring = command(folder)
        .args(["restore", "-", "--database", database.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    restoring.stdin.take().unwrap().write_all(&file).unwrap();
    let restored = restoring.wait_with_output().unwrap();
    assert!(restored.status.success(), "{restored:?}");

    let arguments = ["--database", database.url()];
    let server = RunningServer::start_with_fixed_key(folder, &arguments);
    let mut client = server.client().await;
    // Who was logged in still is, and can log in again with the same key.
    let after = client.expect("/statistics", with(&token, json!({}))).await;
    for figure in [
        "current_storage",
        "assembly_count",
        "installed_assemblies_count",
    ] {
        assert_eq!(after[figure], before[figure], "{figure}: {before} {after}");
    }
    let token = client.log_in("ada", &device, server_key.public_key()).await;
    let store = json!({"type": "todo", "data": {"n": 5}});
    let stored = client
        .expect("/pinyto/Todo/store", with(&token, store))
        .await;
    ids.push(stored["_id"].as_str().unwrap().to_owned());
    let back = ["backup", "back.backup", "--database", database.url()];
    succeed(folder, &back);
    // One user, too.
    let there = ["--database", database.url()];
    let user = ["export-user", "ada", "ada.jsonl"];
    succeed(folder, &[user.as_slice(), &there].concat());
    let user = ["import-user", "ada.jsonl", "--user", "eve"];
    let said = succeed(folder, &[user.as_slice(), &there].concat());
    assert!(said.contains("1 installed ones and 6 documents"), "{said}");
    assert!(server.stop().success());

    // And back, into a file that is not there yet.
    let new = [
        "restore",
        "back.backup",
        "--database",
        "sqlite:new.db?mode=rwc",
    ];
    let said = succeed(folder, &new);
    assert!(said.contains("6 documents"), "{said}");
    let exported = ["export-user", "ada", "--database", "sqlite:new.db"];
    let exported = succeed(folder, &exported);
    for id in ids {
        assert!(exported.contains(&id), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_moves_to_another_cloud() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = RunningServer::start(old.path());
    let mut client = server.client().await;
    let (device, server_key) = (keys::device(1), keys::server());
    client.register("ada", device.public_key()).await;
    let token = client.log_in("ada", &device, server_key.public_key()).await;
    let notes = json!({
        "name": "Notes", "description": "mine", "only_own_data": true, "jobs": [],
        "api_functions": [{"name": "count", "code": "return db.count({})"}],
    });
    let save = json!({"original_name": "", "data": notes});
    client.expect("/save_assembly", with(&token, save)).await;
    let own = json!({"author": "ada", "name": "Notes"});
    client.expect("/install_assembly", with(&token, own)).await;
    for n in 0..3 {
        let store = json!({"type": "note", "tags": ["a"], "data": n});
        client.expect("/ada/Notes/store", with(&token, store)).await;
    }
    // While both serve.
    let said = succeed(old.path(), &["export-user", "ada", "ada.jsonl"]);
    assert!(
        said.contains("1 keys, 1 assemblies, 1 installed ones and 3 documents"),
        "{said}"
    );
    let file = old.path().join("ada.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("PRIVATE"), "{text}");
    let server = RunningServer::start(new.path());
    let file = file.to_str().unwrap();
    let said = succeed(new.path(), &["import-user", file]);
    assert!(said.contains("The user ada was made"), "{said}");
    assert!(said.contains("3 documents"), "{said}");
    assert!(said.contains("Installed: ada/Notes."), "{said}");
    // Now that she is there, the file alone doesn't get into her account.
    let said = fail(new.path(), &["import-user", file]);
    assert!(said.contains("it names ada, who is here already"), "{said}");
    let said = succeed(new.path(), &["import-user", file, "--user", "ada"]);
    assert!(said.contains("The user ada was there"), "{said}");
    assert!(
        said.contains("and 0 documents. There already: 3 documents"),
        "{said}"
    );

    let mut client = server.client().await;
    let token = client.log_in("ada", &device, server_key.public_key()).await;
    let counted = client
        .expect("/ada/Notes/count", with(&token, json!({})))
        .await;
    assert_eq!(counted, json!(3));

    // What can't be taken is refused before anything is changed.
    let broken = text.replacen("\"type\":\"note\"", "\"type\":\"note", 1);
    fs::write(new.path().join("broken.jsonl"), broken).unwrap();
    let said = fail(
        new.path(),
        &["import-user", "broken.jsonl", "--user", "eve"],
    );
    assert!(said.starts_with("Line "), "{said}");
    // From stdin what went before is stored, and that is said, however it ends.
    for (end, reason) in [(&b""[..], "is not complete"), (b"\xff\n", "is not UTF-8")] {
        let lines = text.lines().filter(|line| !line.starts_with("{\"end\""));
        let mut lines: Vec<u8> = lines
            .flat_map(|line| format!("{line}\n").into_bytes())
            .collect();
        lines.extend(end);
        let said = fail_with(new.path(), &["import-user", "-", "--user", "eve"], &lines);
        assert!(said.contains(reason), "{said}");
        assert!(said.contains("At least "), "{said}");
        assert!(
            said.contains("can be imported again, with --user"),
            "{said}"
        );
    }
    interrupt_an_import(new.path(), &text);
    let said = fail(new.path(), &["export-user", "bob"]);
    assert_eq!(said, "There is no user bob.\n");
}

/// When its first document is stored, and more could come.
fn interrupt_an_import(folder: &Path, text: &str) {
    let mut running = command(folder)
        .args(["import-user", "-", "--user", "fay"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    for line in text.lines().filter(|line| !line.starts_with("{\"end\"")) {
        writeln!(input, "{line}").unwrap();
    }
    let is_stored = || {
        let exported = run(folder, &["export-user", "fay"]).stdout;
        String::from_utf8_lossy(&exported).contains("{\"document\"")
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_stored() {
        assert!(Instant::now() < deadline, "nothing is stored");
    }
    let id = running.id().to_string();
    let signalled = Command::new("kill").args(["-TERM", &id]).status();
    assert!(signalled.unwrap().success());
    let output = running.wait_with_output().unwrap();
    let said = failed(&["import-user"], output);
    assert!(said.starts_with("It was interrupted. At least "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_come_from_mongodb() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = RunningServer::start(folder);
    let mut client = server.client().await;
    let (device, server_key) = (keys::device(2), keys::server());
    client.register("ada", device.public_key()).await;
    let token = client.log_in("ada", &device, server_key.public_key()).await;
    // As `mongoexport --collection books` writes them.
    let books = r#"{"_id":{"$oid":"507f1f77bcf86cd799439011"},"type":"book","time":{"$date":"2013-05-20T12:34:56.789Z"},"tags":["novel"],"data":{"title":"Ulysses","pages":730,"lent":{"$date":{"$numberLong":"1369053296789"}}}}
{"_id":{"$oid":"507f1f77bcf86cd799439012"},"title":"Emma","copies":{"$numberLong":"9007199254740993"}}
"#;
    fs::write(folder.join("books.json"), books).unwrap();
    let import = |more: &[&'static str]| {
        let mut arguments = vec!["import-user", "books.json", "--user", "ada"];
        arguments.extend(more);
        arguments
    };
    let said = fail(folder, &import(&[]));
    assert!(
        said.starts_with("Line 1 can't be taken: it doesn't say of which assembly"),
        "{said}"
    );
    let said = fail(folder, &import(&["--assembly", "pinyto/DocumentsAdmin"]));
    assert_eq!(
        said,
        "Line 2 can't be taken: it has no type, so one has to be named.\n"
    );
    let all = ["--assembly", "pinyto/DocumentsAdmin", "--type", "book"];
    let said = succeed(folder, &import(&all));
    assert!(
        said.contains("2 documents. There already: 0 documents"),
        "{said}"
    );
    let said = succeed(folder, &import(&all));
    assert!(
        said.contains("0 documents. There already: 2 documents"),
        "{said}"
    );

    let search = json!({"query": {"type": "book"}});
    let path = "/pinyto/DocumentsAdmin/search";
    let found = client.expect(path, with(&token, search)).await;
    let text = found.to_string();
    for there in [
        "2013-05-20T12:34:56.789Z",
        "2012-10-17T21:13:27.000Z",
        "9007199254740993",
        "Ulysses",
    ] {
        assert!(text.contains(there), "{there}: {text}");
    }
}

#[test]
fn what_is_asked_wrongly_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (arguments, sentence) in [
        (vec!["backup", "a"], "There is nothing to back up"),
        (vec!["export-user", "ada", "a"], "There is no database"),
        (vec!["import-user", "a"], "There is no database"),
        (vec!["restore", "a"], "a can't be read"),
        (vec!["check-backup", "."], ". is a folder."),
        (
            vec!["restore", "a", "--max-line-mib", "0"],
            "--max-line-mib must be",
        ),
        (
            vec!["export-user", "a b"],
            "The user to be exported is none",
        ),
        (
            vec!["import-user", "a", "--assembly", "x"],
            "--assembly must be",
        ),
        (
            vec!["backup", "no/such/folder/a"],
            "no/such/folder/a can't be written",
        ),
    ] {
        let said = fail(folder, &arguments);
        assert!(said.starts_with(sentence), "{arguments:?}: {said}");
    }
    // Nothing was made.
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    fs::write(folder.join("a"), "{\"pinyto_backup\":{\"version\":9}}\n").unwrap();
    let said = fail(folder, &["check-backup", "a"]);
    assert_eq!(
        said,
        "The backup has version 9 of the format, this program knows 1.\n"
    );
    let said = fail(folder, &["restore", "a"]);
    assert_eq!(
        said,
        "The backup has version 9 of the format, this program knows 1.\n"
    );
}
