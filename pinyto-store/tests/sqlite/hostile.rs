//! Queries and documents made to keep the server busy: they end, and nobody else notices.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{
    document::{Replacement, ScanLimit, ScanLimits, Scope, Search, Searched},
    query::{Direction, Query, Sort},
    store::Store,
    testing::given,
    user::User,
};
use pinyto_store::sqlite::SqliteStore;
use serde_json::{Value, json};

const LIMITS: ScanLimits = ScanLimits {
    time: Duration::from_secs(3),
    bytes: 4 * 1024 * 1024,
    ..given::NO_SCAN_LIMITS
};

/// What delays of others are allowed: far less than the time that is spent, and less in release
/// builds, which are not slowed down.
const DELAY: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 100 });

/// A store with Ann, who has `ann/Notes` and one document with this data, and Ben, who has a small
/// one.
async fn world(data: Value) -> (tempfile::TempDir, Arc<SqliteStore>, User, User) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/p.db?mode=rwc", folder.path().display());
    let store = Arc::new(SqliteStore::open(url).await.unwrap());
    let ann = given::user(&*store, "ann", 1).await;
    let notes = given::assembly(&*store, &ann, "Notes").await;
    given::installed(&*store, &ann, &notes).await;
    let ben = given::user(&*store, "ben", 2).await;
    given::installed(&*store, &ben, &notes).await;
    given::stored(&*store, &ann, &given::document(1, &notes, data)).await;
    given::stored(&*store, &ben, &given::document(1, &notes, json!(1))).await;
    (folder, store, ann, ben)
}

/// Does `work`, and tells the longest that Ben waits for his document meanwhile.
async fn delay<T: Send + 'static>(
    store: &SqliteStore,
    ben: &User,
    work: impl Future<Output = T> + Send + 'static,
) -> (T, Duration) {
    let work = tokio::spawn(work);
    let (scope, mut longest) = (Scope::all_of(ben.id), Duration::ZERO);
    while !work.is_finished() {
        let began = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let found = store.documents().find(scope, given::document_id(1)).await;
        assert!(found.unwrap().is_some());
        longest = longest.max(began.elapsed());
    }
    (work.await.unwrap(), longest)
}

/// What takes seconds to be evaluated over one document.
fn hostile() -> Vec<(Value, Value, ScanLimit)> {
    let mut digits = 1_u64;
    let mut digit = || {
        digits ^= digits << 13;
        digits ^= digits >> 7;
        digits ^= digits << 17;
        if digits & 1 == 0 { '0' } else { '1' }
    };
    let digits: String = (0..1_000_000).map(|_| digit()).collect();
    let branches: Vec<Value> = (1..1_000).map(|n| json!({"data": n})).collect();
    vec![
        (
            vec![0; 300_000].into(),
            json!({"$nor": branches}),
            ScanLimit::Time,
        ),
        (
            digits.into(),
            json!({"data": {"$regex": "[01]*1[01]{800}2"}}),
            ScanLimit::LongSearch,
        ),
    ]
}

fn stopped<T>(searched: &Searched<T>) -> Option<ScanLimit> {
    match searched {
        Searched::Found(..) => None,
        Searched::TooMuch(limit, _) => Some(*limit),
    }
}

/// Asks, and looks at what becomes of it, how long that takes, and whether Ben notices.
async fn attack<T: Send + 'static, F: Future<Output = Searched<T>> + Send + 'static>(
    ask: impl Fn(Arc<SqliteStore>, Scope, Query) -> F,
) {
    for (data, query, limit) in hostile() {
        let (_folder, store, ann, ben) = world(data).await;
        let asked = ask(
            Arc::clone(&store),
            Scope::all_of(ann.id),
            given::query(&query),
        );
        let began = Instant::now();
        let (searched, delay) = delay(&store, &ben, asked).await;
        assert_eq!(stopped(&searched), Some(limit));
        assert!(
            began.elapsed() < LIMITS.time + DELAY * 5,
            "{:?}",
            began.elapsed()
        );
        assert!(delay < DELAY, "{limit:?}: {delay:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_takes_long_ends_and_keeps_nobody_waiting() {
    attack(|store, scope, query| async move {
        let by_data = Sort::by("data", Direction::Descending).unwrap();
        let wanted = Search::new(query).sorted_by(by_data);
        let searched = store.documents().search_text(scope, &wanted, LIMITS).await;
        searched.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_takes_long_ends_and_keeps_nobody_waiting() {
    attack(|store, scope, query| async move {
        let counted = store.documents().count(scope, &query, LIMITS).await;
        counted.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_for_values_that_takes_long_ends_and_keeps_nobody_waiting() {
    attack(|store, scope, query| async move {
        let path = given::path("data");
        let told = store
            .documents()
            .distinct_text(scope, &query, &path, LIMITS)
            .await;
        told.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_does_not_wait_for_large_documents_to_be_indexed() {
    let (_folder, store, ann, ben) = world(json!(null)).await;
    let scope = Scope::all_of(ann.id);
    let large = |n: u64| Replacement {
        fields: [
            ("type".to_owned(), json!("test")),
            ("data".to_owned(), json!(vec![json!({"a": n}); 100_000])),
        ]
        .into_iter()
        .collect(),
        time: None,
        at: given::at(1),
        max_bytes: None,
    };
    let (own, mine) = (Arc::clone(&store), large(0));
    let saving = async move {
        for _ in 0..5 {
            let saved = own.documents().save(scope, given::document_id(1), &mine);
            saved.await.unwrap();
        }
    };
    let saving = tokio::spawn(saving);
    let (mut n, mut waits) = (2, Vec::new());
    let notes = given::assembly_ref("ann/Notes");
    while !saving.is_finished() {
        let began = Instant::now();
        given::stored(&*store, &ben, &given::document(n, &notes, json!(n))).await;
        waits.push(began.elapsed());
        n += 1;
    }
    saving.await.unwrap();
    waits.sort_unstable();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "{} inserts, median {median:?}, longest {longest:?}",
        waits.len()
    );
    assert!(median < DELAY / 4, "{median:?}");
    // It is what it was to be, and indexes list it so.
    let found = store.documents().find(scope, given::document_id(1)).await;
    assert_eq!(found.unwrap().unwrap().fields, large(0).fields);
    let query = given::query(&json!({"type": "test"}));
    let counted = store
        .documents()
        .count(scope, &query, LIMITS)
        .await
        .unwrap();
    assert!(matches!(counted, Searched::Found(1, _)));
    let removed = store
        .documents()
        .remove(scope, given::document_id(1), given::at(2));
    assert!(removed.await.unwrap());
    assert_eq!(given::document_count(&*store, &ann).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_documents_that_race_are_saved_one_after_the_other() {
    let (_folder, store, ann, _) = world(json!(null)).await;
    let scope = Scope::all_of(ann.id);
    let racing: Vec<_> = (0..6_u64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let data = vec![json!(n); 10_000 * usize::try_from(n % 2).unwrap()];
                let fields = [
                    ("type".to_owned(), json!(n.to_string())),
                    ("data".to_owned(), json!(data)),
                ];
                let new = Replacement {
                    fields: fields.into_iter().collect(),
                    time: None,
                    at: given::at(1),
                    max_bytes: None,
                };
                let saved = store.documents().save(scope, given::document_id(1), &new);
                saved.await.unwrap();
            })
        })
        .collect();
    for one in racing {
        one.await.unwrap();
    }
    let found = store.documents().find(scope, given::document_id(1)).await;
    let kind = found.unwrap().unwrap().fields["type"].clone();
    for n in 0..6 {
        let query = given::query(&json!({"type": n.to_string()}));
        let counted = store
            .documents()
            .count(scope, &query, LIMITS)
            .await
            .unwrap();
        let expected = u64::from(kind == json!(n.to_string()));
        assert!(matches!(counted, Searched::Found(count, _) if count == expected));
    }
}
