//! Which index serves which query.

use std::sync::Arc;

use pinyto_core::{
    assembly::AssemblyRepository,
    document::{Document, Scope},
    query::Direction,
    testing::{
        given,
        random::{self, Dice, Documents},
    },
    user::User,
};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use super::{
    super::{
        SqliteStore,
        document::search::explain::{along_all_ways, explain},
    },
    store,
};

const COUNT: i64 = 2_500;

/// Many books and few films, each of which has a number of its own.
async fn library() -> (Arc<SqliteStore>, tempfile::TempDir, User) {
    let (store, directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let paths = ["data.isbn", "data.year", "data.tags"];
    let source = given::source("Books")
        .into_builder()
        .indexes(paths.map(given::path))
        .build()
        .unwrap();
    let (assembly, at) = (given::assembly_ref("ann/Books"), given::at(0));
    let saved =
        AssemblyRepository::save(store.as_ref(), ann.id, None, &source, given::NO_LIMITS, at);
    saved.await.unwrap();
    given::installed(store.as_ref(), &ann, &assembly).await;
    let mut documents = Vec::new();
    for n in 0..COUNT {
        let data = json!({"isbn": n, "year": n % 50, "tags": [n % 2, "x"], "title": n % 10});
        let mut document = given::document(u64::try_from(n).unwrap(), &assembly, data);
        let kind = if n % 100 == 0 { "film" } else { "book" };
        document.fields.insert("type".into(), kind.into());
        document.time = given::at(n);
        documents.push(document);
    }
    let writing = documents.chunks(100).map(|chunk| {
        let (store, ann, chunk) = (Arc::clone(&store), ann.clone(), chunk.to_vec());
        tokio::spawn(async move {
            for document in &chunk {
                given::stored(store.as_ref(), &ann, document).await;
            }
        })
    });
    for writer in writing.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    settled(&store).await;
    (store, directory, ann)
}

/// Waits until all indexes are used.
async fn settled(store: &SqliteStore) {
    let unfinished = "SELECT count(*) FROM pinyto_indexes WHERE state <> 'ready'";
    let settled = async {
        while store
            .readers
            .one::<(i64,)>(sqlx::query_as(unfinished))
            .await
            .unwrap()
            != Some((0,))
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), settled).await.unwrap();
}

const DOCUMENT: &str =
    "SEARCH d USING INDEX sqlite_autoindex_pinyto_documents_1 (user_id=? AND id=?)";

#[tokio::test]
async fn each_query_is_served_by_the_index_that_helps_most() {
    let (store, _directory, ann) = library().await;
    let scope = Scope::all_of(ann.id);
    let own = Scope {
        assembly: Some(
            AssemblyRepository::find(store.as_ref(), &given::assembly_ref("ann/Books"))
                .await
                .unwrap()
                .unwrap()
                .id,
        ),
        ..scope
    };
    let entry = |keys: &str| format!("SEARCH e USING PRIMARY KEY (index_id=?{keys}); {DOCUMENT}");
    let (up, down) = (Direction::Ascending, Direction::Descending);
    let by_time = "SEARCH d USING INDEX pinyto_documents_by_time (user_id=? AND time>? AND time<?)";
    let gathered = |keys: &str| {
        format!(
            "CO-ROUTINE e; SEARCH e USING PRIMARY KEY (index_id=?{keys}); USE TEMP B-TREE FOR DISTINCT; \
             SCAN e; {DOCUMENT}"
        )
    };
    type Case = (Scope, Value, Option<(&'static str, Direction)>, String);
    let cases: Vec<Case> = vec![
        (scope, json!({"type": "book"}), None, entry(" AND key=?")),
        (
            scope,
            json!({"type": "book"}),
            Some(("_id", down)),
            entry(" AND key=?"),
        ),
        (
            scope,
            json!({"type": "book", "data.isbn": 7}),
            None,
            entry(" AND key=?"),
        ),
        (
            own,
            json!({"type": "book", "data.isbn": 7}),
            None,
            entry(" AND key=?"),
        ),
        (
            scope,
            json!({"type": "book"}),
            Some(("data.year", up)),
            entry(" AND key<?"),
        ),
        (
            scope,
            json!({"type": "book"}),
            Some(("data.tags", down)),
            entry(" AND key<?"),
        ),
        (
            scope,
            json!({"data.isbn": {"$gt": 100}}),
            Some(("data.isbn", down)),
            entry(" AND key>? AND key<?"),
        ),
        (
            scope,
            json!({"data.isbn": {"$gt": 10, "$lt": 20}}),
            Some(("data.title", up)),
            gathered(" AND key>? AND key<?") + "; then sorts",
        ),
        (
            scope,
            json!({"data.isbn": {"$in": [1, 2]}}),
            None,
            gathered(" AND key=?"),
        ),
        (
            scope,
            json!({"time": {"$gte": "2027"}}),
            Some(("time", down)),
            by_time.to_owned(),
        ),
        (scope, json!({}), Some(("time", up)), by_time.to_owned()),
        (
            scope,
            json!({"_id": given::document_id(7).to_string()}),
            None,
            DOCUMENT.to_owned(),
        ),
        (
            scope,
            json!({}),
            None,
            "SEARCH d USING INDEX sqlite_autoindex_pinyto_documents_1 (user_id=?)".to_owned(),
        ),
        (
            own,
            json!({"data.title": 3}),
            None,
            "SEARCH d USING INDEX pinyto_documents_by_assembly (user_id=? AND assembly_id=?)"
                .to_owned(),
        ),
    ];
    for (scope, query, sort, expected) in cases {
        let search = given::search(&query, sort);
        let plan = explain(
            &store.readers,
            &store.evaluations,
            scope,
            &search.query,
            Some(&search),
        )
        .await;
        assert_eq!(plan, expected, "{query} {sort:?}");
    }
}

#[tokio::test]
async fn counting_what_indexes_know_reads_no_document() {
    let (store, _directory, ann) = library().await;
    let scope = Scope::all_of(ann.id);
    for (query, expected) in [
        (
            json!({}),
            "SEARCH d USING COVERING INDEX pinyto_documents_by_assembly (user_id=?)",
        ),
        (
            json!({"type": "book"}),
            "SEARCH e USING PRIMARY KEY (index_id=? AND key=?)",
        ),
        (
            json!({"data.isbn": {"$gte": 10, "$lt": 2000}}),
            "USE TEMP B-TREE FOR count(DISTINCT); SEARCH e USING PRIMARY KEY (index_id=? AND key>? AND key<?)",
        ),
        (
            json!({"type": "book", "data.year": 7}),
            "SEARCH e USING PRIMARY KEY (index_id=? AND key=?); \
             SEARCH o EXISTS USING PRIMARY KEY (index_id=? AND key=? AND document_id=?)",
        ),
        (
            json!({"time": {"$gt": "2027"}}),
            "SEARCH d USING COVERING INDEX pinyto_documents_by_time (user_id=? AND time>? AND time<?)",
        ),
    ] {
        let query = given::query(&query);
        let plan = explain(&store.readers, &store.evaluations, scope, &query, None).await;
        assert_eq!(plan, expected, "{query:?}");
    }
}

#[tokio::test]
async fn all_ways_lead_to_the_same_documents_in_the_same_order() {
    let (store, _directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let paths = ["data", "data.a", "data.a.b", "data.b", "data.l", "tags"];
    let source = given::source("Notes").into_builder();
    let source = source.indexes(paths.map(given::path)).build();
    let (notes, at) = (given::assembly_ref("ann/Notes"), given::at(0));
    AssemblyRepository::save(
        store.as_ref(),
        ann.id,
        None,
        &source.unwrap(),
        given::NO_LIMITS,
        at,
    )
    .await
    .unwrap();
    given::installed(store.as_ref(), &ann, &notes).await;
    let id = AssemblyRepository::find(store.as_ref(), &notes).await;
    let id = id.unwrap().unwrap().id;
    let (mut dice, mut documents) = (Dice::new(7), Documents::new());
    for n in 0..60 {
        let document = random::document(&mut dice, n, &notes);
        given::stored(store.as_ref(), &ann, &document).await;
        documents.insert(n, (id, document));
    }
    settled(&store).await;
    let mut ways = 0;
    for _ in 0..1_500 {
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
        for (way, found) in along_all_ways(&store.readers, &store.evaluations, scope, &search).await
        {
            assert_eq!(found, expected, "{way} {search:#?}");
            ways += 1;
        }
    }
    assert!(ways > 3_000, "{ways}");
}
