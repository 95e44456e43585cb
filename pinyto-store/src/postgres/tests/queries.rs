//! Which index serves which query, and that it doesn't matter for the answer.

use std::sync::Arc;

use pinyto_core::{
    document::{Document, DocumentRepository, Scope, Searched},
    query::Direction,
    testing::{
        given,
        random::{self, Dice, Documents},
    },
    user::User,
};
use pinyto_postgres_cluster::Database as Guard;
use serde_json::{Value, json};

use super::{
    super::{
        PostgresStore,
        document::search::explain::{along_all_ways, explain},
    },
    save, settled, store,
};

/// The evaluator says what a query means; every way of this store, and SQLite's store, say the same.
#[tokio::test]
async fn all_ways_lead_to_the_same_documents_in_the_same_order() {
    let Some((store, _database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let paths = ["data", "data.a", "data.a.b", "data.b", "data.l", "tags"];
    let id = save(&store, &ann, "Notes", &paths).await;
    let notes = given::assembly_ref("ann/Notes");
    given::installed(store.as_ref(), &ann, &notes).await;
    #[cfg(feature = "sqlite")]
    let (sqlite, bob) = {
        let sqlite = crate::sqlite::SqliteStore::open("sqlite::memory:");
        let sqlite = sqlite.await.unwrap();
        let bob = given::user(&sqlite, "ann", 1).await;
        let notes = given::assembly(&sqlite, &bob, "Notes").await;
        given::installed(&sqlite, &bob, &notes).await;
        (sqlite, bob)
    };
    let (mut dice, mut documents) = (Dice::new(7), Documents::new());
    for n in 0..60 {
        let document = random::document(&mut dice, n, &notes);
        given::stored(store.as_ref(), &ann, &document).await;
        #[cfg(feature = "sqlite")]
        given::stored(&sqlite, &bob, &document).await;
        documents.insert(n, (id, document));
    }
    settled(&store).await;
    let mut ways = 0;
    for _ in 0..400 {
        let search = random::search(&mut dice, &documents);
        let mut all: Vec<&Document> = documents
            .values()
            .map(|(_, document)| document)
            .filter(|document| search.query.matches(*document))
            .collect();
        search.sort.sort(&mut all);
        let part = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let expected: Vec<Document> = all
            .into_iter()
            .skip(part(search.skip))
            .take(part(search.limit))
            .cloned()
            .collect();
        let scope = Scope {
            user: ann.id,
            assembly: [None, Some(id)][dice.roll(2)],
        };
        for (way, found) in
            along_all_ways(&store.database, &store.evaluations, scope, &search).await
        {
            assert_eq!(found, expected, "{way} {search:#?}");
            ways += 1;
        }
        #[cfg(feature = "sqlite")]
        {
            let (scope, limits) = (Scope::all_of(bob.id), given::NO_SCAN_LIMITS);
            let found = DocumentRepository::search(&sqlite, scope, &search, limits).await;
            let Ok(Searched::Found(found, _)) = found else {
                panic!("{found:?}");
            };
            assert_eq!(found, expected, "SQLite {search:#?}");
        }
    }
    assert!(ways > 800, "{ways}");
}

const COUNT: u64 = 2_000;

/// Many books and few films, each of which has a number of its own.
async fn library() -> Option<(Arc<PostgresStore>, Guard, User)> {
    let (store, database) = store().await?;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    save(
        &store,
        &ann,
        "Books",
        &["data.isbn", "data.year", "data.tags"],
    )
    .await;
    let books = given::assembly_ref("ann/Books");
    given::installed(store.as_ref(), &ann, &books).await;
    for n in 0..COUNT {
        let data = json!({"isbn": n, "year": n % 50, "tags": [n % 2, "x"], "title": n % 10});
        let mut document = given::document(n, &books, data);
        let kind = if n % 100 == 0 { "film" } else { "book" };
        document.fields.insert("type".into(), kind.into());
        document.time = given::at(i64::try_from(n).unwrap());
        given::stored(store.as_ref(), &ann, &document).await;
    }
    settled(&store).await;
    database.execute("ANALYZE").await;
    Some((store, database, ann))
}

#[tokio::test]
async fn each_query_is_served_by_the_index_that_helps_most() {
    let Some((store, _database, ann)) = library().await else {
        return;
    };
    let scope = Scope::all_of(ann.id);
    let (up, down) = (Direction::Ascending, Direction::Descending);
    type Case = (
        Value,
        Option<(&'static str, Direction)>,
        &'static [&'static str],
    );
    let entries = &["index_entries_pkey", "documents_pkey"][..];
    let cases: Vec<Case> = vec![
        (json!({"type": "film"}), None, entries),
        (json!({"type": "book"}), Some(("_id", down)), entries),
        (json!({"type": "book", "data.isbn": 7}), None, entries),
        (json!({"type": "book"}), Some(("data.year", up)), entries),
        (
            json!({"data.isbn": {"$gt": 100}}),
            Some(("data.isbn", down)),
            entries,
        ),
        (
            json!({"time": {"$gte": "2027"}}),
            Some(("time", down)),
            &["documents_by_time"],
        ),
        (json!({}), Some(("time", up)), &["documents_by_time"]),
        (json!({}), None, &["documents_pkey"]),
        (json!({"data.title": 3}), None, &["documents_pkey"]),
    ];
    for (query, sort, expected) in cases {
        let search = given::search(&query, sort);
        let (indexes, others) = explain(&store.database, &store.evaluations, scope, &search).await;
        assert_eq!(indexes, expected, "{query} {sort:?}");
        // The order is that of an index.
        assert_eq!(others, Vec::<String>::new(), "{query} {sort:?}");
    }
}

#[tokio::test]
async fn counting_what_indexes_know_reads_no_document() {
    let Some((store, _database, ann)) = library().await else {
        return;
    };
    let scope = Scope::all_of(ann.id);
    for (query, expected) in [
        (json!({}), COUNT),
        (json!({"type": "film"}), COUNT / 100),
        (json!({"data.isbn": {"$gte": 10, "$lt": 1000}}), 990),
        (json!({"type": "film", "data.year": 0}), COUNT / 100),
        (json!({"data.title": 3}), COUNT / 10),
    ] {
        let parsed = given::query(&query);
        let limits = given::NO_SCAN_LIMITS;
        let counted = DocumentRepository::count(store.as_ref(), scope, &parsed, limits).await;
        let Ok(Searched::Found(count, scan)) = counted else {
            panic!("{query}: {counted:?}");
        };
        let examined = if query == json!({"data.title": 3}) {
            COUNT
        } else {
            0
        };
        assert_eq!((count, scan.examined), (expected, examined), "{query}");
    }
}

/// What PostgreSQL's texts and numbers can't hold, or compare otherwise.
#[tokio::test]
async fn what_jsonb_cannot_hold_is_compared_by_the_evaluator() {
    let Some((store, _database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    given::installed(store.as_ref(), &ann, &notes).await;
    let values = [
        json!("a\0b"),
        json!("a\\u0000b"),
        json!({"\0": 1}),
        json!(-0.0),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992.0),
        json!(9_223_372_036_854_775_808_u64),
        json!(9.223_372_036_854_776e18),
        json!(1e308),
        json!(5e-324),
        json!(0.1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("\u{10ffff}"),
        json!("\u{e000}"),
        json!("Z"),
        json!("a"),
        json!("Ä"),
    ];
    let mut documents = Vec::new();
    for (value, n) in values.iter().zip(0..) {
        let document = given::document(n, &notes, json!({"v": value}));
        given::stored(store.as_ref(), &ann, &document).await;
        let scope = Scope::all_of(ann.id);
        let found = DocumentRepository::find(store.as_ref(), scope, document.id).await;
        assert_eq!(
            found.unwrap().unwrap().to_json().to_string(),
            document.to_json().to_string()
        );
        documents.push(document);
    }
    let limits = given::NO_SCAN_LIMITS;
    for value in &values {
        for operator in ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"] {
            let operand = match operator {
                "$in" | "$nin" => json!([value, "x"]),
                _ => value.clone(),
            };
            let query = given::query(&json!({"data.v": {operator: operand}}));
            let expected = documents.iter().filter(|document| query.matches(*document));
            let expected = expected.count() as u64;
            let scope = Scope::all_of(ann.id);
            let counted = DocumentRepository::count(store.as_ref(), scope, &query, limits).await;
            let Ok(Searched::Found(count, _)) = counted else {
                panic!("{operator} {value}: {counted:?}");
            };
            assert_eq!(count, expected, "{operator} {value}");
        }
    }
}
