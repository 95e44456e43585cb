//! Backups while others write.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use pinyto_core::{document::Scope, testing::given};
use serde_json::{Value, json};

use super::places::Place;

/// Of each user what her account says and what her documents say.
fn accounts(file: &[u8]) -> HashMap<i64, (i64, i64)> {
    let mut accounts: HashMap<i64, (i64, i64)> = HashMap::new();
    for line in std::str::from_utf8(file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(user) = line.get("users") {
            let bytes = user["bytes"].as_i64().unwrap();
            accounts.entry(user["id"].as_i64().unwrap()).or_default().0 = bytes;
        }
        if let Some(document) = line.get("documents") {
            let size = document["size"].as_i64().unwrap();
            accounts
                .entry(document["user_id"].as_i64().unwrap())
                .or_default()
                .1 += size;
        }
    }
    accounts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_shows_one_moment_while_others_write() {
    for place in Place::all().await {
        let open = place.open().await;
        let store = open.store();
        let mut users = Vec::new();
        for n in 0..4 {
            let user = given::user(&*store, &format!("user{n}"), n + 1).await;
            let notes = given::assembly(&*store, &user, "Notes").await;
            given::installed(&*store, &user, &notes).await;
            for n in 0..50 {
                let document = given::document(n, &notes, json!("x".repeat(500)));
                given::stored(&*store, &user, &document).await;
            }
            users.push((user, notes));
        }
        let (stop, written) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let writing: Vec<_> = users
            .into_iter()
            .map(|(user, notes)| {
                let (store, stop, written) = (store.clone(), stop.clone(), written.clone());
                tokio::spawn(async move {
                    for n in 100.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let data = json!("y".repeat(n as usize % 300));
                        let document = given::document(n, &notes, data);
                        given::stored(&*store, &user, &document).await;
                        if n % 3 == 0 {
                            let (scope, id) = (Scope::all_of(user.id), document.id);
                            let removed = store.documents().remove(scope, id, given::at(1)).await;
                            assert!(removed.unwrap());
                        }
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut seen = Vec::new();
        for _ in 0..8 {
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) < before + 20 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let (file, summary) = place.backup().await.unwrap();
            for (user, (account, documents)) in accounts(&file) {
                assert_eq!(account, documents, "user {user}");
            }
            seen.push(summary.count("documents"));
            // It can be restored, too.
            let other = Place::sqlite();
            other.restore(&file).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for task in writing {
            task.await.unwrap();
        }
        assert!(seen.windows(2).all(|two| two[0] < two[1]), "{seen:?}");
        open.close().await;
    }
}
