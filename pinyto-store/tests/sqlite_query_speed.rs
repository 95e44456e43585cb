//! How fast queries are in a large store. Fails where a figure misses its target, which takes a
//! quiet machine and some minutes, so it runs only on demand:
//! `cargo test --release -p pinyto-store --test sqlite_query_speed -- --ignored --nocapture`.
//! `PINYTO_DOCUMENTS` says how many documents there are, by default a million.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

mod query_speed;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{
    assembly::AssemblyRef,
    document::Scope,
    query::{Direction, Query},
    store::Store as _,
    testing::given,
    user::User,
};
use pinyto_store::sqlite::SqliteStore;
use query_speed::{NONE, book, count, first, is_indexed, median, save, scattered, search};
use serde_json::json;

/// Of the disk this is built on; a temporary directory may be in memory.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn store(directory: &tempfile::TempDir) -> Arc<SqliteStore> {
    let path = directory.path().join("pinyto.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    Arc::new(SqliteStore::open(url).await.unwrap())
}

/// CPU time of this process, exact to 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Stores documents, 64 callers at a time.
async fn fill(
    store: &Arc<SqliteStore>,
    user: &User,
    books: &AssemblyRef,
    from: u64,
    count: u64,
) -> Duration {
    let started = Instant::now();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let (store, user, books) = (Arc::clone(store), user.clone(), books.clone());
            tokio::spawn(async move {
                for n in (from + writer..from + count).step_by(64) {
                    given::stored(store.as_ref(), &user, &book(n, &books)).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and a quiet machine"]
async fn queries() {
    let total: u64 =
        std::env::var("PINYTO_DOCUMENTS").map_or(1_000_000, |text| text.parse().unwrap());
    let directory = directory();
    let store = store(&directory).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let bob = given::user(store.as_ref(), "bob", 2).await;
    let books = save(store.as_ref(), &ann, &[]).await;
    for user in [&ann, &bob] {
        given::installed(store.as_ref(), user, &books).await;
    }
    let part = 20_000.min(total / 10);
    let (mut from, mut costs) = (0, Vec::new());
    for indexes in [
        &[][..],
        &["data.isbn"],
        &["data.isbn", "data.year", "data.authors", "data.title"],
    ] {
        save(store.as_ref(), &ann, indexes).await;
        for path in indexes {
            while !is_indexed(store.as_ref(), Scope::all_of(ann.id), path).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let before = cpu();
        let time = fill(&store, &ann, &books, from, part).await;
        let cost = (cpu() - before).as_secs_f64() * 1e6 / part as f64;
        println!(
            "insert with {} declared indexes: {:.0}/s, {cost:.1} us CPU each",
            indexes.len(),
            part as f64 / time.as_secs_f64(),
        );
        costs.push(cost);
        from += part;
    }
    let ratio = costs[1] / costs[0];
    println!("an insert with one index takes {ratio:.2} x the CPU of one without");
    assert!(ratio <= 2.0, "more than twice");
    fill(&store, &bob, &books, 0, part).await;
    let time = fill(&store, &ann, &books, 3 * part, total - 3 * part).await;
    println!(
        "{total} documents, the last of them at {:.0}/s",
        (total - 3 * part) as f64 / time.as_secs_f64()
    );

    let scope = Scope::all_of(ann.id);
    let books_id = store.assemblies().find(&books).await.unwrap().unwrap().id;
    let own = Scope::stored_by(ann.id, books_id);
    let isbn = |n: u64| format!("978{:010}", scattered(n * 5) % 10_000_000_000);
    let (up, down) = (Direction::Ascending, Direction::Descending);
    let s = store.as_ref();
    search(s, scope, "find type and indexed value", Some(5.0), |n| {
        first(&json!({"type": "book", "data.isbn": isbn(n)}), None)
    })
    .await;
    search(s, own, "the same of one assembly", Some(5.0), |n| {
        first(&json!({"type": "book", "data.isbn": isbn(n)}), None)
    })
    .await;
    count(s, scope, "count type and indexed value", Some(5.0), |n| {
        given::query(&json!({"type": "book", "data.isbn": isbn(n)}))
    })
    .await;
    count(s, scope, "count indexed value (8,000 fit)", NONE, |n| {
        given::query(&json!({"data.year": 1900 + n % 120}))
    })
    .await;
    count(
        s,
        scope,
        "count type and indexed value (7,000 fit)",
        NONE,
        |n| given::query(&json!({"type": "book", "data.year": 1900 + n % 120})),
    )
    .await;
    count(s, scope, "count type (800,000 fit)", NONE, |_| {
        given::query(&json!({"type": "book"}))
    })
    .await;
    count(s, scope, "count all", NONE, |_| Query::default()).await;
    search(
        s,
        scope,
        "sorted by an indexed path, first 20",
        Some(10.0),
        |_| first(&json!({}), Some(("data.title", up))),
    )
    .await;
    search(
        s,
        scope,
        "type, sorted by an indexed path downwards, first 20",
        Some(10.0),
        |_| first(&json!({"type": "book"}), Some(("data.title", down))),
    )
    .await;
    search(
        s,
        scope,
        "type, sorted by an indexed array, first 20",
        Some(10.0),
        |_| first(&json!({"type": "book"}), Some(("data.authors", down))),
    )
    .await;
    search(
        s,
        scope,
        "range of an indexed path, sorted by it, first 20",
        Some(10.0),
        |n| {
            first(
                &json!({"data.year": {"$gte": 1950 + n % 20, "$lt": 2000}}),
                Some(("data.year", up)),
            )
        },
    )
    .await;
    search(
        s,
        scope,
        "indexed member of an array, first 20",
        NONE,
        |n| {
            first(
                &json!({"data.authors": format!("Author {}", n % 5000)}),
                None,
            )
        },
    )
    .await;
    search(s, scope, "$in of an indexed path, first 20", NONE, |n| {
        first(
            &json!({"data.isbn": {"$in": [isbn(n), isbn(n + 1), isbn(n + 2)]}}),
            None,
        )
    })
    .await;
    search(s, scope, "type, first 20", Some(10.0), |_| {
        first(&json!({"type": "book"}), None)
    })
    .await;
    search(s, scope, "type, last 20", Some(10.0), |_| {
        first(&json!({"type": "book"}), Some(("_id", down)))
    })
    .await;
    search(s, scope, "the latest 20", Some(10.0), |_| {
        first(&json!({}), Some(("time", down)))
    })
    .await;
    search(s, scope, "type and time range, first 20", Some(10.0), |n| first(&json!({"type": "book", "time": {"$gte": given::at(i64::try_from(n * 500).unwrap()).to_string()}}), Some(("time", up)))).await;
    search(s, scope, "time range of 1000 documents", NONE, |n| first(&json!({"time": {"$gte": given::at(500_000).to_string(), "$lt": given::at(501_000).to_string()}, "data.place.room": n % 7}), None)).await;
    count(s, scope, "count without index, told by SQL", NONE, |n| {
        given::query(&json!({"data.place.room": n % 7}))
    })
    .await;
    count(
        s,
        scope,
        "count without index, told by the evaluator",
        NONE,
        |_| given::query(&json!({"data.title": {"$regex": "77$"}})),
    )
    .await;
    search(s, scope, "sorted without index, first 20", NONE, |_| {
        first(
            &json!({"data.place.shelf": 3}),
            Some(("data.place.room", up)),
        )
    })
    .await;

    let started = Instant::now();
    save(
        store.as_ref(),
        &ann,
        &[
            "data.isbn",
            "data.year",
            "data.authors",
            "data.title",
            "data.place.shelf",
        ],
    )
    .await;
    let (mut waits, mut is_built) = (Vec::new(), false);
    let mut n = total;
    while !is_built {
        let before = Instant::now();
        given::stored(store.as_ref(), &ann, &book(n, &books)).await;
        waits.push(before.elapsed());
        n += 1;
        if n.is_multiple_of(100) {
            is_built = is_indexed(store.as_ref(), scope, "data.place.shelf").await;
        }
    }
    let took = started.elapsed();
    let (middle, worst) = median(waits);
    println!(
        "a new index of {total} documents: {took:.1?}; inserts meanwhile p50 {middle:.1?}, worst {worst:.1?}"
    );
    store.close().await;
}
