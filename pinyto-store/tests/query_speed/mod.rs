//! What the measurements of queries in large stores have in common.

#![allow(dead_code, unreachable_pub, reason = "not every test needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that panics fails"
)]

use std::time::{Duration, Instant};

use pinyto_core::{
    Page,
    assembly::AssemblyRef,
    document::{Document, ScanLimits, Scope, Search, Searched},
    query::{Direction, Query},
    store::Store,
    testing::given,
    user::User,
};
use serde_json::{Value, json};

/// A number that looks like chance.
pub const fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

pub fn book(n: u64, assembly: &AssemblyRef) -> Document {
    let data = json!({
        "isbn": format!("978{:010}", scattered(n) % 10_000_000_000),
        "title": format!("Title of number {n}"),
        "authors": ["Some Body", format!("Author {}", n % 5_000)],
        "year": 1900 + scattered(n) % 120,
        "place": {"room": n % 7, "shelf": n % 31},
        "text": "x".repeat(150),
    });
    let mut document = given::document(n, assembly, data);
    let kind = ["book", "book", "book", "book", "lending"][usize::try_from(n % 5).unwrap()];
    document.fields.insert("type".into(), kind.into());
    document.time = given::at(i64::try_from(n).unwrap());
    document
}

pub async fn save(store: &dyn Store, author: &User, indexes: &[&str]) -> AssemblyRef {
    let indexes = indexes.iter().map(|path| given::path(path));
    let source = given::source("Books").into_builder().indexes(indexes);
    let source = source.build().unwrap();
    let saved = store
        .assemblies()
        .save(
            author.id,
            Some(source.name()),
            &source,
            given::NO_LIMITS,
            given::at(0),
        )
        .await;
    saved.unwrap();
    given::assembly_ref(&format!("{}/Books", author.name))
}

/// Whether the path's index can be asked: no document has to be looked at.
pub async fn is_indexed(store: &dyn Store, scope: Scope, path: &str) -> bool {
    let query = given::query(&json!({path: "nothing like this"}));
    let limits = ScanLimits {
        examined: 0,
        ..given::NO_SCAN_LIMITS
    };
    let counted = store.documents().count(scope, &query, limits).await;
    matches!(counted.unwrap(), Searched::Found(..))
}

pub fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

/// What a figure must not exceed, in milliseconds, if anything.
pub type Target = Option<f64>;

pub const NONE: Target = None;

pub async fn search(
    store: &dyn Store,
    scope: Scope,
    what: &str,
    target: Target,
    search: impl Fn(u64) -> Search,
) {
    let (mut times, mut last) = (Vec::new(), None);
    for round in 0..40 {
        let search = search(scattered(round) % 1000);
        let started = Instant::now();
        let searched = store
            .documents()
            .search(scope, &search, given::NO_SCAN_LIMITS)
            .await;
        times.push(started.elapsed());
        last = Some(searched.unwrap());
        if started.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    let (found, scan) = match last {
        Some(Searched::Found(found, scan)) => (found.len(), scan),
        other => panic!("{other:?}"),
    };
    report(what, target, times, found as u64, scan.examined);
}

pub async fn count(
    store: &dyn Store,
    scope: Scope,
    what: &str,
    target: Target,
    query: impl Fn(u64) -> Query,
) {
    let (mut times, mut last) = (Vec::new(), None);
    for round in 0..40 {
        let query = query(scattered(round) % 1000);
        let started = Instant::now();
        let counted = store
            .documents()
            .count(scope, &query, given::NO_SCAN_LIMITS)
            .await;
        times.push(started.elapsed());
        last = Some(counted.unwrap());
        if started.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    let (found, scan) = match last {
        Some(Searched::Found(found, scan)) => (found, scan),
        other => panic!("{other:?}"),
    };
    report(what, target, times, found, scan.examined);
}

pub fn report(what: &str, target: Target, times: Vec<Duration>, found: u64, examined: u64) {
    let (median, worst) = median(times);
    println!(
        "{what:<64} p50 {:>9.3} ms, worst {:>9.3} ms; found {found}, looked at {examined}",
        median.as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3,
    );
    if let Some(target) = target {
        assert!(
            median.as_secs_f64() * 1e3 < target,
            "{what}: not below {target} ms"
        );
    }
}

pub fn first(query: &Value, sort: Option<(&str, Direction)>) -> Search {
    given::search(query, sort).page(Page::first(20))
}

/// What was found; all limits are wide enough.
pub fn found<T>(searched: Searched<T>) -> T {
    match searched {
        Searched::Found(found, _) => found,
        _ => panic!("a limit was reached"),
    }
}
