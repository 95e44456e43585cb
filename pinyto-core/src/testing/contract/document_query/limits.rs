//! What is given up because it would take too much.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{found, hugo};
use crate::{
    assembly::AssemblyRef,
    document::{Scan, ScanLimit, ScanLimits, Scope, Search, Searched},
    query::{Direction, Query},
    store::Store,
    testing::given,
    user::User,
};

/// Documents of 100 bytes and more, with data from 0 on.
async fn many(store: &dyn Store, user: &User, notes: &AssemblyRef, count: u64) -> u64 {
    let mut bytes = 0;
    for n in 0..count {
        let document = given::document(n, notes, json!({"n": n, "text": "x".repeat(50)}));
        given::stored(store, user, &document).await;
        bytes += document.size();
    }
    bytes
}

pub async fn a_query_that_would_look_at_too_many_documents_is_stopped(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    many(&*store, &hugo, &notes, 20).await;
    let scope = Scope::all_of(hugo.id);
    let limits = |examined| ScanLimits {
        examined,
        ..given::NO_SCAN_LIMITS
    };
    let documents = store.documents();
    let nothing = given::query(&json!({"data.n": {"$regex": "x"}}));
    let all = Search {
        query: nothing.clone(),
        ..given::search(&json!({}), Some(("data.n", Direction::Descending)))
    };
    let path = given::path("data.n");
    for examined in [0, 1, 19, 20, 21] {
        let limits = limits(examined);
        let searched = documents.search(scope, &all, limits).await.unwrap();
        let counted = documents.count(scope, &nothing, limits).await.unwrap();
        let told = documents
            .distinct(scope, &nothing, &path, limits)
            .await
            .unwrap();
        if examined < 20 {
            for stopped in [
                matches!(&searched, Searched::TooMuch(ScanLimit::Examined, scan) if scan.examined == examined),
                matches!(&counted, Searched::TooMuch(ScanLimit::Examined, scan) if scan.examined == examined),
                matches!(&told, Searched::TooMuch(ScanLimit::Examined, scan) if scan.examined == examined),
            ] {
                assert!(stopped, "{examined}: {searched:?} {counted:?} {told:?}");
            }
        } else {
            assert!(
                matches!(&searched, Searched::Found(none, scan) if none.is_empty() && scan.examined == 20)
            );
            assert!(matches!(&counted, Searched::Found(0, scan) if scan.examined == 20));
            assert!(
                matches!(&told, Searched::Found(none, scan) if none.is_empty() && scan.examined == 20)
            );
        }
    }
    // What is found before that needs no more.
    let first = Search {
        limit: 3,
        ..given::search(&json!({"data.text": {"$regex": "x"}}), None)
    };
    let searched = documents.search(scope, &first, limits(3)).await.unwrap();
    assert!(
        matches!(&searched, Searched::Found(three, scan) if three.len() == 3 && scan.examined == 3)
    );
}

pub async fn a_query_that_would_find_too_many_bytes_is_stopped(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.n"]).await;
    let bytes = many(&*store, &hugo, &notes, 20).await;
    let scope = Scope::all_of(hugo.id);
    let limits = |bytes| ScanLimits {
        bytes,
        ..given::NO_SCAN_LIMITS
    };
    let documents = store.documents();
    for sort in [None, Some("data.n"), Some("data.text")] {
        let all = given::search(&json!({}), sort.map(|path| (path, Direction::Ascending)));
        let searched = documents.search(scope, &all, limits(bytes)).await.unwrap();
        assert_eq!(found(searched).len(), 20);
        let searched = documents
            .search(scope, &all, limits(bytes - 1))
            .await
            .unwrap();
        assert!(matches!(searched, Searched::TooMuch(ScanLimit::Bytes, _)));
        let one = Search {
            skip: 10,
            limit: 1,
            ..all
        };
        let searched = documents
            .search(scope, &one, limits(bytes / 10))
            .await
            .unwrap();
        assert_eq!(found(searched).len(), 1, "only what is handed out counts");
    }
    let (query, path) = (Query::default(), given::path("data.n"));
    // Ten numbers with one digit, ten with two.
    let bytes = 30 + 20 * ScanLimits::VALUE;
    let told = documents
        .distinct(scope, &query, &path, limits(bytes))
        .await
        .unwrap();
    assert_eq!(found(told).len(), 20);
    let told = documents
        .distinct(scope, &query, &path, limits(bytes - 1))
        .await
        .unwrap();
    assert!(matches!(told, Searched::TooMuch(ScanLimit::Bytes, _)));
    let counted = documents.count(scope, &query, limits(0)).await.unwrap();
    assert_eq!(found(counted), 20);
}

pub async fn a_query_without_time_is_stopped(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    many(&*store, &hugo, &notes, 10).await;
    let (scope, documents) = (Scope::all_of(hugo.id), store.documents());
    let limits = ScanLimits {
        time: Duration::ZERO,
        ..given::NO_SCAN_LIMITS
    };
    let (query, path) = (
        given::query(&json!({"data.n": {"$regex": "x"}})),
        given::path("a"),
    );
    let all = given::search(&json!({"data.n": {"$regex": "x"}}), None);
    let searched = documents.search(scope, &all, limits).await.unwrap();
    assert!(
        matches!(searched, Searched::TooMuch(ScanLimit::Time, _)),
        "{searched:?}"
    );
    let counted = documents.count(scope, &query, limits).await.unwrap();
    assert!(
        matches!(counted, Searched::TooMuch(ScanLimit::Time, _)),
        "{counted:?}"
    );
    let told = documents
        .distinct(scope, &query, &path, limits)
        .await
        .unwrap();
    assert!(
        matches!(told, Searched::TooMuch(ScanLimit::Time, _)),
        "{told:?}"
    );
    // Nobody else suffers from it.
    assert_eq!(given::document_count(&*store, &hugo).await, 10);
}

pub async fn a_query_that_looked_at_many_documents_names_the_index_it_lacks(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    many(&*store, &hugo, &notes, 1_001).await;
    let scope = Scope::all_of(hugo.id);
    let scan = async |query: Value| {
        let query = given::query(&query);
        let counted = store
            .documents()
            .count(scope, &query, given::NO_SCAN_LIMITS)
            .await;
        match counted.unwrap() {
            Searched::Found(count, scan) => {
                assert_eq!(count, 1);
                scan
            }
            stopped @ Searched::TooMuch(..) => panic!("{stopped:?}"),
        }
    };
    let told = scan(json!({"type": "test", "data.n": 7})).await;
    assert_eq!(told.examined, 1_001);
    assert!(told.work > Duration::ZERO);
    assert_eq!(told.missing_index, Some(given::path("data.n")));
    let told = scan(json!({"_id": given::document_id(7).to_string(), "data.n": 7})).await;
    let rarely = Scan {
        work: Duration::ZERO,
        ..told
    };
    assert!(rarely.missing_index.is_none() || rarely.examined > Scan::MANY);
}
