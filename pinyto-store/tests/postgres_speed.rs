//! How fast the store on PostgreSQL is. Measures, asserts nothing:
//!
//! ```sh
//! cargo test --release -p pinyto-store --features postgres --test postgres_speed -- --ignored --nocapture
//! ```
//!
//! The cluster that tests start themselves makes nothing durable; `PINYTO_TEST_POSTGRES_URL` names one
//! that does.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pinyto_core::{
    FailureQuota,
    document::{DocumentRepository, Scope},
    key::KeyRepository,
    query::Direction,
    session::SessionRepository,
    testing::given,
    throttle::{Attempt, FailureRepository, Subject},
};
use pinyto_store::postgres::PostgresStore;
use serde_json::json;

const TIME: Duration = Duration::from_secs(3);

/// Calls a second of so many callers.
async fn rate<F: Future<Output = ()> + Send + 'static>(
    callers: u64,
    call: impl Fn(u64) -> F + Send + Sync + 'static,
) -> u64 {
    let (call, done) = (Arc::new(call), Arc::new(AtomicU64::new(0)));
    let until = Instant::now() + TIME;
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (call, done) = (Arc::clone(&call), Arc::clone(&done));
            tokio::spawn(async move {
                while Instant::now() < until {
                    call(done.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    done.load(Ordering::Relaxed) / TIME.as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute and asserts nothing"]
async fn how_many_calls_a_second() {
    let database = pinyto_postgres_cluster::database().await;
    let store = Arc::new(PostgresStore::open(database.url()).await.unwrap());
    let mut users = Vec::new();
    for n in 0..16 {
        users.push(given::user(store.as_ref(), &format!("user{n}"), n).await);
    }
    let ann = users[0].clone();
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    for user in &users {
        given::installed(store.as_ref(), user, &notes).await;
    }
    let key = given::first_key(store.as_ref(), &ann).await;
    let session = given::session(store.as_ref(), &ann, key, 1).await.id;
    for callers in [1, 16] {
        let calls = Arc::clone(&store);
        let finds = rate(callers, move |_| {
            let store = Arc::clone(&calls);
            async move {
                SessionRepository::find(store.as_ref(), session)
                    .await
                    .unwrap();
            }
        });
        println!("sessions.find, {callers:2} callers: {:6}/s", finds.await);
        let (calls, user) = (Arc::clone(&store), ann.id);
        let lists = rate(callers, move |_| {
            let store = Arc::clone(&calls);
            async move {
                store.list(user).await.unwrap();
            }
        });
        println!("keys.list, {callers:2} callers: {:6}/s", lists.await);
        for (name, count) in [("one user", 1), ("16 users", 16)] {
            let (calls, users, notes) = (Arc::clone(&store), users.clone(), notes.clone());
            let begin = callers * 100_000_000 + count * 10_000_000;
            let inserts = rate(callers, move |n| {
                let (store, notes) = (Arc::clone(&calls), notes.clone());
                let user = users[usize::try_from(n % count).unwrap()].clone();
                async move {
                    let data = json!({"n": n, "text": "x".repeat(100)});
                    let document = given::document(begin + n, &notes, data);
                    given::stored(store.as_ref(), &user, &document).await;
                }
            });
            println!(
                "documents.insert of {name}, {callers:2} callers: {:6}/s",
                inserts.await
            );
        }
        let (calls, scope) = (Arc::clone(&store), Scope::all_of(ann.id));
        let searches = rate(callers, move |_| {
            let store = Arc::clone(&calls);
            async move {
                let mut search = given::search(
                    &json!({"type": "test"}),
                    Some(("_id", Direction::Descending)),
                );
                search.limit = 10;
                let limits = given::NO_SCAN_LIMITS;
                DocumentRepository::search(store.as_ref(), scope, &search, limits)
                    .await
                    .unwrap();
            }
        });
        println!(
            "documents.search of the last 10, {callers:2} callers: {:6}/s",
            searches.await
        );
        for (name, failed, begin) in [
            ("failures", true, callers << 40),
            ("refusals", true, callers << 40),
            ("successes", false, callers << 50),
        ] {
            let calls = Arc::clone(&store);
            let settled = rate(callers, move |n| {
                let store = Arc::clone(&calls);
                async move {
                    store.settle(&attempt(begin + n, failed)).await.unwrap();
                }
            });
            println!("{name} settled, {callers:2} callers: {:6}/s", settled.await);
        }
    }
}

/// At an account and from an address that are others each time.
fn attempt(n: u64, failed: bool) -> Attempt {
    let quota = FailureQuota::new(NonZeroU32::MIN, Duration::from_secs(30));
    // Scattered as digests are.
    let subject = |n: u64| {
        let scattered = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (Subject::from_bytes(scattered.to_be_bytes()), quota)
    };
    Attempt {
        subjects: vec![subject(2 * n), subject(2 * n + 1)],
        failed,
        at: given::at(0),
    }
}
