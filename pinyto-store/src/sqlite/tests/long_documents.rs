//! Documents whose bodies aren't read ahead.

use pinyto_core::{
    Page,
    document::{Scope, Search, Searched},
    query::{Direction, Path, Query, Sort},
    store::Store as _,
    testing::given,
};
use serde_json::{Value, json};

use super::store;

/// Each third is long.
const COUNT: u64 = 60;

fn found<T>(searched: Searched<T>) -> T {
    match searched {
        Searched::Found(found, _) => found,
        Searched::TooMuch(limit, _) => panic!("{limit:?}"),
    }
}

#[tokio::test]
async fn long_documents_are_found_among_short_ones() {
    let (store, _directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    given::installed(store.as_ref(), &ann, &notes).await;
    let documents: Vec<_> = (0..COUNT)
        .map(|n| {
            let text = "x".repeat(if n % 3 == 1 { 70_000 } else { 10 });
            let data = json!({"n": n, "list": [n % 2, {"deep": n}], "text": text});
            given::document(n, &notes, data)
        })
        .collect();
    for document in &documents {
        given::stored(store.as_ref(), &ann, document).await;
    }
    let (scope, limits) = (Scope::all_of(ann.id), given::NO_SCAN_LIMITS);
    let store = store.documents();

    // What SQL knows, what it doesn't, and nothing at all.
    type Case = (Value, fn(u64) -> bool);
    let queries: [Case; 4] = [
        (json!({}), |_| true),
        (json!({"data.n": {"$gte": 7}}), |n| n >= 7),
        (json!({"data.text": {"$regex": "^x+$"}}), |_| true),
        (json!({"data.list.deep": {"$lt": 31}}), |n| n < 31),
    ];
    for (query, matches) in queries {
        let query = Query::parse(&query).unwrap();
        let mut expected: Vec<_> = documents.clone();
        expected.retain(|document| matches(document.fields["data"]["n"].as_u64().unwrap()));
        let count = store.count(scope, &query, limits).await.unwrap();
        assert_eq!(found(count), expected.len() as u64, "{query:?}");
        let path = Path::parse("data.n").unwrap();
        let distinct = store.distinct(scope, &query, &path, limits).await;
        assert_eq!(found(distinct.unwrap()).len(), expected.len(), "{query:?}");
        expected.reverse();
        let sort = Sort {
            path: Some(path),
            direction: Direction::Descending,
        };
        let page = Page::first(20).after(2);
        let search = Search::new(query).sorted_by(sort).page(page);
        let all = found(store.search(scope, &search, limits).await.unwrap());
        assert_eq!(
            all,
            expected[2..expected.len().min(22)],
            "{:?}",
            search.query
        );
    }
}
