//! Indexes come, are filled, and go.

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    assembly::AssemblyRepository,
    document::{DocumentRepository, Replacement, Scope, Searched},
    store::StoreError,
    testing::given,
    user::{User, UserRepository},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::timeout;

use super::{
    super::{
        SqliteOptions, SqliteStore,
        migration::{self, MIGRATIONS},
        pool::Row,
    },
    store,
};

async fn rows<R: Row>(store: &SqliteStore, sql: &'static str) -> Vec<R> {
    store.readers.all(sqlx::query_as(sql)).await.unwrap()
}

/// Path and state of all indexes, in the order of paths.
async fn indexes(store: &SqliteStore) -> Vec<(String, String)> {
    rows(
        store,
        "SELECT path, state FROM pinyto_indexes ORDER BY path",
    )
    .await
}

async fn entries(store: &SqliteStore) -> i64 {
    rows::<(i64,)>(store, "SELECT count(*) FROM pinyto_index_entries").await[0].0
}

/// Where the store's database is, for those who meddle.
async fn url(store: &SqliteStore) -> String {
    let file = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file = &rows::<(String,)>(store, file).await[0].0;
    format!("sqlite:{file}")
}

/// Waits until nothing is left to do.
async fn settled(store: &SqliteStore) {
    let settled = async {
        while indexes(store)
            .await
            .iter()
            .any(|(_, state)| state != "ready")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), settled).await.unwrap();
}

async fn save(store: &SqliteStore, author: &User, name: &str, paths: &[&str]) {
    let paths = paths.iter().map(|path| given::path(path));
    let source = given::source(name).into_builder().indexes(paths);
    let source = source.build().unwrap();
    // Two repositories have a `save`.
    let saved = AssemblyRepository::save(
        store,
        author.id,
        Some(source.name()),
        &source,
        given::NO_LIMITS,
        given::at(0),
    );
    saved.await.unwrap();
}

async fn with_documents(count: u64) -> (Arc<SqliteStore>, tempfile::TempDir, User) {
    let (store, directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    save(&store, &ann, "Notes", &[]).await;
    let notes = given::assembly_ref("ann/Notes");
    given::installed(store.as_ref(), &ann, &notes).await;
    for n in 0..count {
        let document = given::document(n, &notes, json!({"n": n, "tags": [n % 3, "x"]}));
        given::stored(store.as_ref(), &ann, &document).await;
    }
    (store, directory, ann)
}

fn ready(paths: &[&str]) -> Vec<(String, String)> {
    let ready = |path: &&str| ((*path).to_owned(), "ready".to_owned());
    paths.iter().map(ready).collect()
}

#[tokio::test]
async fn an_index_comes_with_the_first_assembly_that_names_it_and_goes_with_the_last() {
    let (store, _directory, ann) = with_documents(30).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await, ready(&["type"]));
    assert_eq!(entries(&store).await, 30);

    save(&store, &ann, "Notes", &["data.n", "time", "type"]).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await, ready(&["data.n", "type"]));
    assert_eq!(entries(&store).await, 60);

    save(&store, &ann, "Other", &["data.n", "data.tags"]).await;
    settled(&store).await;
    assert_eq!(
        indexes(&store).await,
        ready(&["data.n", "type"]),
        "not installed"
    );
    let other = given::assembly_ref("ann/Other");
    given::installed(store.as_ref(), &ann, &other).await;
    settled(&store).await;
    let all = ready(&["data.n", "data.tags", "type"]);
    assert_eq!(indexes(&store).await, all);
    // Of each array, its members and itself.
    assert_eq!(entries(&store).await, 60 + 3 * 30);

    save(&store, &ann, "Notes", &[]).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await, all);
    assert!(store.uninstall(ann.id, &other).await.unwrap());
    settled(&store).await;
    assert_eq!(indexes(&store).await, ready(&["type"]));
    assert_eq!(entries(&store).await, 30);

    given::installed(store.as_ref(), &ann, &other).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await, all);
    let deleted = store.delete(ann.id, &other.name).await;
    assert!(deleted.unwrap());
    settled(&store).await;
    assert_eq!(indexes(&store).await, ready(&["type"]));
    assert_eq!(entries(&store).await, 30);
}

#[tokio::test]
async fn entries_follow_their_documents_also_while_an_index_is_built() {
    let (store, _directory, ann) = with_documents(600).await;
    save(&store, &ann, "Notes", &["data.n", "data.tags"]).await;
    let scope = Scope::all_of(ann.id);
    let notes = given::assembly_ref("ann/Notes");
    for n in (0..600).step_by(3) {
        let id = given::document_id(n);
        let new = Replacement {
            fields: json!({"type": "test", "data": {"n": n, "tags": []}})
                .as_object()
                .unwrap()
                .clone(),
            time: None,
            at: given::at(1),
            max_bytes: None,
        };
        DocumentRepository::save(store.as_ref(), scope, id, &new)
            .await
            .unwrap();
        let id = given::document_id(n + 1);
        assert!(store.remove(scope, id, given::at(1)).await.unwrap());
        let document = given::document(1000 + n, &notes, json!({"n": n, "tags": n}));
        given::stored(store.as_ref(), &ann, &document).await;
    }
    settled(&store).await;
    let kept = entries(&store).await;
    // As many as if all were made at once.
    let wrong: Vec<(i64,)> = rows(
        &store,
        "SELECT count(*) FROM pinyto_index_entries e WHERE NOT EXISTS (
            SELECT 1 FROM pinyto_documents d WHERE d.id = e.document_id)",
    )
    .await;
    assert_eq!(wrong[0].0, 0);
    save(&store, &ann, "Notes", &[]).await;
    settled(&store).await;
    save(&store, &ann, "Notes", &["data.n", "data.tags"]).await;
    settled(&store).await;
    assert_eq!(entries(&store).await, kept);
}

#[tokio::test]
async fn what_a_store_has_left_the_next_one_finishes() {
    let (store, directory, ann) = with_documents(1_200).await;
    save(&store, &ann, "Notes", &["data.n"]).await;
    // In the middle of it, or before, or after.
    store.close().await;
    drop(store);
    let path = directory.path().join("pinyto.db");
    let options = SqliteOptions::new(format!("sqlite:{}", path.display()));
    let store = SqliteStore::open(options).await.unwrap();
    settled(&store).await;
    assert_eq!(indexes(&store).await, ready(&["data.n", "type"]));
    assert_eq!(entries(&store).await, 2_400);
}

/// The tables before there were indexes, with a user and her documents.
const BEFORE: &str = "
    INSERT INTO pinyto_users (name, created_at, calculated_at) VALUES ('ann', 0, 0);
    INSERT INTO pinyto_assemblies (author_id, name, description, only_own_data, saved_at)
        VALUES (1, 'Notes', '', 0, 0);
    INSERT INTO pinyto_installations VALUES (1, 1, 0);
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 700)
    INSERT INTO pinyto_documents (user_id, id, assembly, assembly_id, time, size, body)
    SELECT 1, unhex(format('%024x', n)), 'ann/Notes', 1, n, 10,
        jsonb(json_object('type', iif(n % 7, 'book', 'film'), 'n', n))
    FROM numbers";

#[tokio::test]
async fn documents_from_before_there_were_indexes_are_found_by_their_type() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pinyto.db");
    let options = SqliteOptions::new(format!("sqlite:{}?mode=rwc", path.display()));
    let mut old: SqliteConnection = migration::open(&options.writer().unwrap(), &MIGRATIONS[..1])
        .await
        .unwrap();
    sqlx::raw_sql(BEFORE).execute(&mut old).await.unwrap();
    old.close().await.unwrap();

    let store = SqliteStore::open(options).await.unwrap();
    let ann = UserRepository::find(&store, &given::name("ann")).await;
    let scope = Scope::all_of(ann.unwrap().unwrap().id);
    let count = async |query: Value| {
        let query = given::query(&query);
        let counted = DocumentRepository::count(&store, scope, &query, given::NO_SCAN_LIMITS).await;
        match counted.unwrap() {
            Searched::Found(count, scan) => (count, scan.examined),
            stopped => panic!("{stopped:?}"),
        }
    };
    assert_eq!(count(json!({"type": "film"})).await.0, 100);
    settled(&store).await;
    assert_eq!(
        count(json!({"type": "film"})).await,
        (100, 0),
        "by the index alone"
    );
}

#[tokio::test]
async fn who_has_many_indexes_gets_no_more() {
    let (store, _directory, ann) = with_documents(2).await;
    for assembly in 0..8 {
        let paths: Vec<String> = (0..16).map(|n| format!("data.p{assembly}x{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let name = format!("Many{assembly}");
        save(&store, &ann, &name, &paths).await;
        let many = given::assembly_ref(&format!("ann/{name}"));
        given::installed(store.as_ref(), &ann, &many).await;
    }
    settled(&store).await;
    assert_eq!(indexes(&store).await.len(), 64);
    let query = given::query(&json!({"data.p7x15": null}));
    let counted = store
        .count(Scope::all_of(ann.id), &query, given::NO_SCAN_LIMITS)
        .await;
    assert!(matches!(counted.unwrap(), Searched::Found(2, _)));
}

#[tokio::test]
async fn one_assembly_gives_nobody_more_indexes_than_there_may_be() {
    let (store, _directory, ann) = with_documents(2).await;
    let paths: Vec<String> = (0..16).map(|n| format!("data.p{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    save(&store, &ann, "Notes", &paths).await;
    // More than any assembly may name, all at once.
    let mut writer = SqliteConnection::connect(&url(&store).await).await.unwrap();
    let many = "
        WITH RECURSIVE numbers (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1700)
        INSERT INTO pinyto_assembly_indexes SELECT 1, n, 'data.q' || n FROM numbers";
    sqlx::raw_sql(many).execute(&mut writer).await.unwrap();
    let notes = given::assembly_ref("ann/Notes");
    assert!(store.uninstall(ann.id, &notes).await.unwrap());
    given::installed(store.as_ref(), &ann, &notes).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await.len(), 64);
}

#[tokio::test]
async fn an_index_comes_when_others_have_made_room() {
    let (store, _directory, ann) = with_documents(2).await;
    for assembly in 0..5 {
        let paths: Vec<String> = (0..16).map(|n| format!("data.p{assembly}x{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let name = format!("Many{assembly}");
        save(&store, &ann, &name, &paths).await;
        let many = given::assembly_ref(&format!("ann/{name}"));
        given::installed(store.as_ref(), &ann, &many).await;
    }
    settled(&store).await;
    let path = "data.p4x15".to_owned();
    let has = async || indexes(&store).await.iter().any(|(own, _)| *own == path);
    assert!(!has().await);
    let first = given::assembly_ref("ann/Many0");
    assert!(store.uninstall(ann.id, &first).await.unwrap());
    settled(&store).await;
    assert!(has().await);
    // Of `type`, and of what four assemblies name: one too many.
    assert_eq!(indexes(&store).await.len(), 64);
}

#[tokio::test]
async fn rows_that_cannot_be_read_hold_up_no_other_index() {
    let (store, _directory, ann) = with_documents(2).await;
    let mut writer = SqliteConnection::connect(&url(&store).await).await.unwrap();
    let broken = "
        UPDATE pinyto_documents SET body = x'ff' WHERE id = (SELECT min(id) FROM pinyto_documents);
        INSERT INTO pinyto_indexes (user_id, path, state) SELECT id, '.', 'building' FROM pinyto_users";
    sqlx::raw_sql(broken).execute(&mut writer).await.unwrap();
    save(&store, &ann, "Notes", &["data.n"]).await;
    let is_ready = async || {
        let wanted = ("data.n".to_owned(), "ready".to_owned());
        indexes(&store).await.contains(&wanted)
    };
    let comes = async {
        while !is_ready().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), comes).await.unwrap();
    let query = given::query(&json!({"data.n": 0}));
    let scope = Scope::all_of(ann.id);
    let counted = store.count(scope, &query, given::NO_SCAN_LIMITS).await;
    assert!(
        matches!(counted, Err(StoreError::Corrupt { .. })),
        "{counted:?}"
    );
}

#[tokio::test]
async fn what_new_documents_are_listed_by_follows_indexes_that_have_gone() {
    let (store, _directory, ann) = with_documents(1).await;
    save(&store, &ann, "Notes", &["data.n"]).await;
    let notes = given::assembly_ref("ann/Notes");
    let insert = async |n| {
        let document = given::document(n, &notes, json!({"n": n}));
        given::stored(store.as_ref(), &ann, &document).await;
        store.known_paths.of(ann.id).len()
    };
    assert_eq!(insert(10).await, 2);
    save(&store, &ann, "Notes", &[]).await;
    settled(&store).await;
    assert_eq!(insert(11).await, 1);
    assert_eq!(entries(&store).await, 3);
}
