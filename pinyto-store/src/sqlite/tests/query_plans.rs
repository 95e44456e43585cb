//! Which index serves which query.

use std::sync::Arc;

use pinyto_core::{
    assembly::AssemblyRepository, document::Scope, query::Direction, testing::given, user::User,
};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use super::{
    super::{SqliteStore, document::search::explain},
    store,
};

const COUNT: i64 = 2_500;

/// Many books and few films, each of which has a number of its own.
async fn library() -> (Arc<SqliteStore>, tempfile::TempDir, User) {
    let (store, directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let paths = ["data.isbn", "data.year", "data.tags"];
    let source = given::source("Books")
        .with_indexes(paths.map(given::path).to_vec())
        .unwrap();
    let (assembly, at) = (given::assembly_ref("ann/Books"), given::at(0));
    let saved = AssemblyRepository::save(store.as_ref(), ann.id, "", &source, given::NO_LIMITS, at);
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
    (store, directory, ann)
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
    let cases: Vec<(Scope, Value, Option<(&str, Direction)>, String)> = vec![
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
            entry(""),
        ),
        (
            scope,
            json!({"type": "book"}),
            Some(("data.tags", down)),
            entry(""),
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
        let plan = explain(&store.readers, scope, &search.query, Some(&search)).await;
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
        let plan = explain(&store.readers, scope, &query, None).await;
        assert_eq!(plan, expected, "{query:?}");
    }
}
