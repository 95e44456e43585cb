//! What was acknowledged survives `kill -9` at any moment.
//!
//! The test starts its own executable again, with a variable that turns one of the tests into a
//! process that writes and says what was acknowledged.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use pinyto_core::{document::Scope, key::AddKeyOutcome, store::Store, testing::given};
use pinyto_store::sqlite::SqliteStore;
use sqlx::{Connection as _, SqliteConnection};

use super::Place;

const DATABASE: &str = "PINYTO_TEST_WRITE_UNTIL_KILLED";
const ROUND: &str = "PINYTO_TEST_ROUND";
const ROUNDS: u64 = 12;
/// More than one round writes.
const STEP: u64 = 1_000_000;

fn acknowledged(what: &str, n: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {what} {n}").unwrap();
    out.flush().unwrap();
}

/// Not a test, except when it is started by the one below.
#[test]
fn writes_until_it_is_killed() {
    let (Ok(url), Ok(round)) = (env::var(DATABASE), env::var(ROUND)) else {
        return;
    };
    let first = round.parse::<u64>().unwrap() * STEP;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(url).await.unwrap());
        let found = store.users().find(&given::name("ann")).await.unwrap();
        let ann = match found {
            Some(ann) => ann,
            None => {
                let ann = given::user(store.as_ref(), "ann", 0).await;
                let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
                given::installed(store.as_ref(), &ann, &notes).await;
                ann
            }
        };
        let notes = given::assembly_ref("ann/Notes");
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (store, ann, notes) = (Arc::clone(&store), ann.clone(), notes.clone());
                tokio::spawn(async move {
                    for n in (first + writer..).step_by(8) {
                        let document = given::document(n, &notes, "x".repeat(200).into());
                        given::stored(store.as_ref(), &ann, &document).await;
                        acknowledged("document", n);
                        if writer == 0 {
                            given::user(store.as_ref(), &format!("user{n}"), n).await;
                            acknowledged("user", n);
                            let key = given::new_key(n + 1);
                            let keys = store.keys();
                            let added = keys
                                .add(ann.id.into(), &key, usize::MAX, given::at(0))
                                .await;
                            assert!(matches!(added.unwrap(), AddKeyOutcome::Added(_)));
                            acknowledged("key", n + 1);
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

/// Kills, also when the test panics.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process acknowledged before it was killed after `lines` acknowledgements.
fn write_until_killed(place: &Place, round: u64, lines: usize) -> Vec<(String, u64)> {
    let child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "durability::writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(DATABASE, place.url())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        // The test harness writes its own lines, and without a newline at the end.
        if let Some(at) = line.find("ack ")
            && line.ends_with('\n')
        {
            let mut words = line[at..].split_whitespace().skip(1);
            let (what, n) = (words.next().unwrap(), words.next().unwrap());
            acknowledged.push((what.to_owned(), n.parse().unwrap()));
        }
        if acknowledged.len() == lines {
            // SIGKILL on Unix. What is in the pipe already was acknowledged, too.
            child.0.kill().unwrap();
        }
        line.clear();
    }
    assert!(acknowledged.len() >= lines, "it ended by itself");
    acknowledged
}

#[test]
fn whatever_was_acknowledged_is_there_after_kill_9() {
    let place = Place::new();
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        // Somewhere in the middle of writes, and sometimes right after the start.
        let lines = 1 + usize::try_from(round * 97 % 400).unwrap();
        all.extend(write_until_killed(&place, round, lines));
    }
    assert!(all.len() > 1_000, "only {}", all.len());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = place.store().await;
        let ann = store
            .users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .unwrap();
        let keys = store.keys().list(ann.id).await.unwrap();
        for (what, n) in &all {
            let is_there = match what.as_str() {
                "document" => {
                    let id = given::document_id(*n);
                    let found = store.documents().find(Scope::all_of(ann.id), id).await;
                    found.unwrap().is_some()
                }
                "user" => {
                    let name = given::name(&format!("user{n}"));
                    let matching = store.keys().matching(&name, &given::hash_of(*n)).await;
                    matching.unwrap().len() == 1
                }
                _ => keys
                    .iter()
                    .any(|key| given::hash_of(*n).matches(&key.material.fingerprint())),
            };
            assert!(is_there, "{what} {n} was acknowledged");
        }
        let usage = store.users().usage(ann.id).await.unwrap().unwrap();
        store.close().await;

        let mut database = SqliteConnection::connect(&place.url()).await.unwrap();
        let (check,): (String,) = sqlx::query_as("PRAGMA integrity_check")
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(check, "ok");
        let sizes = "SELECT count(*), sum(size) FROM pinyto_documents";
        let (count, bytes): (i64, i64) = sqlx::query_as(sizes)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(
            usage.bytes,
            u64::try_from(bytes).unwrap(),
            "of {count} documents"
        );
        let half = "SELECT count(*) FROM pinyto_users u
                    WHERE NOT EXISTS (SELECT 1 FROM pinyto_keys k WHERE k.user_id = u.id)";
        let (without_key,): (i64,) = sqlx::query_as(half).fetch_one(&mut database).await.unwrap();
        assert_eq!(without_key, 0, "no registration is there by half");
    });
}

#[tokio::test]
async fn a_store_that_is_just_dropped_finishes_its_writes() {
    let place = Place::new();
    let store = place.store().await;
    given::user(&store, "ann", 1).await;
    drop(store);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let store = place.store().await;
    assert!(
        store
            .users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .is_some()
    );
}
