//! How fast the store alone is. Prints figures instead of judging them, so it runs only on
//! demand: `cargo test --release -p pinyto-store --test sqlite_speed -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{key::PublicKey, store::Store as _, testing::given};
use pinyto_store::sqlite::{SqliteOptions, SqliteStore, Synchronous};

/// Of the disk this is built on; a temporary directory may be in memory.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn url(directory: &tempfile::TempDir) -> String {
    format!(
        "sqlite:{}?mode=rwc",
        directory.path().join("pinyto.db").display()
    )
}

/// CPU time of this process, exact to 10 ms.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Runs `call` in `tasks` tasks, `count` times altogether.
async fn measure<F>(
    what: &str,
    tasks: u32,
    count: u32,
    call: impl Fn(u32) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let (started, before) = (Instant::now(), cpu());
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let call = call.clone();
            tokio::spawn(async move {
                for round in 0..count / tasks {
                    call(task * (count / tasks) + round).await;
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    let (elapsed, used) = (started.elapsed(), cpu() - before);
    println!(
        "{what:<44} {tasks:>3} tasks {:>8.0} /s {:>7.1} us CPU each",
        f64::from(count) / elapsed.as_secs_f64(),
        used.as_secs_f64() * 1e6 / f64::from(count),
    );
}

const USERS: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn reads() {
    let directory = directory();
    let store = Arc::new(SqliteStore::open(url(&directory)).await.unwrap());
    let mut sessions = Vec::new();
    for n in 0..USERS {
        let user = given::user(store.as_ref(), &format!("user{n}"), n).await;
        given::key(store.as_ref(), &user, USERS + n).await;
        let key = given::first_key(store.as_ref(), &user).await;
        let hash = given::hash_of(n);
        sessions.push((given::session(store.as_ref(), &user, key, n).await, hash));
    }
    let sessions: &'static [_] = sessions.leak();
    // Scattered, so that the tasks want different things at any time.
    let of = |n: u32| &sessions[(n.wrapping_mul(2_654_435_761) >> 16) as usize % sessions.len()];
    for tasks in [1, 4, 16, 64] {
        let count = 4_000 * tasks.min(16);
        let s = Arc::clone(&store);
        measure("sessions.find (gathered)", tasks, count, move |n| {
            let (s, (session, _)) = (Arc::clone(&s), of(n));
            async move { assert!(s.sessions().find(session.id).await.unwrap().is_some()) }
        })
        .await;
        let s = Arc::clone(&store);
        measure(
            "sessions.find_by_token (a query each)",
            tasks,
            count,
            move |n| {
                let (s, (session, _)) = (Arc::clone(&s), of(n));
                async move {
                    let found = s.sessions().find_by_token(&session.token_hash).await;
                    assert!(found.unwrap().is_some());
                }
            },
        )
        .await;
        let s = Arc::clone(&store);
        measure("keys.list of 2 (gathered)", tasks, count, move |n| {
            let (s, (session, _)) = (Arc::clone(&s), of(n));
            async move { assert_eq!(s.keys().list(session.user.id).await.unwrap().len(), 2) }
        })
        .await;
        let s = Arc::clone(&store);
        measure(
            "keys.matching of 1 (a query each, checked)",
            tasks,
            count,
            move |n| {
                let (s, (session, hash)) = (Arc::clone(&s), of(n));
                async move {
                    let found = s.keys().matching(&session.user.name, hash).await;
                    assert_eq!(found.unwrap().len(), 1);
                }
            },
        )
        .await;
    }
    let key = given::new_key(1).material;
    let key = key.as_rsa().unwrap();
    let started = Instant::now();
    for _ in 0..1000 {
        PublicKey::from_parts(key.modulus_be(), key.e()).unwrap();
    }
    println!("PublicKey::from_parts  {:?}", started.elapsed() / 1000);
    let started = Instant::now();
    for _ in 0..1000 {
        PublicKey::from_stored(key.modulus_be(), key.e(), key.fingerprint()).unwrap();
    }
    println!("PublicKey::from_stored {:?}", started.elapsed() / 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn writes() {
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let directory = directory();
        let options = SqliteOptions::new(url(&directory)).synchronous(synchronous);
        let store = Arc::new(SqliteStore::open(options).await.unwrap());
        let ann = given::user(store.as_ref(), "ann", 0).await;
        let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
        given::installed(store.as_ref(), &ann, &notes).await;
        let data = serde_json::json!({"title": "A note", "text": "x".repeat(150), "done": false});
        let size = given::document(0, &notes, data.clone()).size();
        let mut first = 0;
        for (tasks, count) in [(1, 5_000), (16, 20_000), (64, 40_000), (256, 40_000)] {
            let what = format!("documents.insert, {size} bytes, {synchronous:?}");
            let (s, notes, data) = (Arc::clone(&store), notes.clone(), data.clone());
            measure(&what, tasks, count, move |n| {
                let (s, user) = (Arc::clone(&s), ann.id);
                let document = given::document(u64::from(first + n), &notes, data.clone());
                async move {
                    s.documents()
                        .insert(user, &given::entry(&document))
                        .await
                        .unwrap();
                }
            })
            .await;
            first += count;
        }
        store.close().await;
    }
}
