//! What a later migration may do, and may not.

use pinyto_core::{job::JobRepository as _, key::KeyRepository as _, testing::given};
use sqlx::{Connection as _, SqliteConnection};

use super::{
    super::{
        OpenError, SqliteOptions, SqliteStore,
        migration::{self, MIGRATIONS},
    },
    store,
};

/// As <https://sqlite.org/lang_altertable.html#otheralter> says.
const REBUILD: &str = "
    CREATE TABLE pinyto_new_users (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        name          TEXT    NOT NULL UNIQUE,
        created_at    INTEGER NOT NULL,
        cpu_nanos     INTEGER NOT NULL DEFAULT 0 CHECK (cpu_nanos >= 0),
        byte_seconds  REAL    NOT NULL DEFAULT 0.0,
        bytes         INTEGER NOT NULL DEFAULT 0,
        calculated_at INTEGER NOT NULL,
        hour          INTEGER,
        hour_cpu_nanos INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO pinyto_new_users SELECT * FROM pinyto_users;
    DROP TABLE pinyto_users;
    ALTER TABLE pinyto_new_users RENAME TO pinyto_users";

/// The version after all there are.
const NEXT: i64 = 1000;

const FORGET: &str = "DELETE FROM pinyto_users";

/// Runs a second migration on a database with a user, her key and a document.
async fn migrated(
    second: &'static str,
) -> (
    Result<SqliteConnection, OpenError>,
    SqliteOptions,
    tempfile::TempDir,
) {
    let (store, directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    given::installed(store.as_ref(), &ann, &notes).await;
    let document = given::document(1, &notes, 1.into());
    given::stored(store.as_ref(), &ann, &document).await;
    store.close().await;

    let path = directory.path().join("pinyto.db");
    let options = SqliteOptions::new(format!("sqlite:{}", path.display()));
    let migrations = [MIGRATIONS, &[(NEXT, "next", second)]].concat();
    let opened = migration::open(&options.writer().unwrap(), &migrations).await;
    (opened, options, directory)
}

async fn count(db: &mut SqliteConnection, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(db).await.unwrap()
}

const CHILDREN: &str = "SELECT (SELECT count(*) FROM pinyto_keys)
    + (SELECT count(*) FROM pinyto_installations) + (SELECT count(*) FROM pinyto_documents)";

#[tokio::test]
async fn rebuilding_a_table_keeps_the_rows_that_refer_to_it() {
    let (opened, _, _directory) = migrated(REBUILD).await;
    let mut db = opened.unwrap();
    assert_eq!(count(&mut db, CHILDREN).await, 3);
    assert_eq!(migration::version(&mut db).await.unwrap(), NEXT);
    // Foreign keys are in force again, with the new table.
    sqlx::query(FORGET).execute(&mut db).await.unwrap();
    assert_eq!(count(&mut db, CHILDREN).await, 0);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_migration_that_breaks_a_foreign_key_is_refused_and_rolled_back() {
    let (opened, options, _directory) = migrated(FORGET).await;
    let refused = opened.unwrap_err();
    assert_eq!(refused.code(), "database_migration");
    assert!(refused.to_string().contains("pinyto_users"), "{refused}");

    let store = SqliteStore::open(options).await.unwrap();
    let ann = pinyto_core::user::UserRepository::find(&store, &given::name("ann")).await;
    let ann = ann.unwrap().unwrap();
    assert_eq!(store.list(ann.id).await.unwrap().len(), 1);
    assert_eq!(given::document_count(&store, &ann).await, 1);
}

#[tokio::test]
async fn what_an_embedder_leaves_dangling_stops_no_migration() {
    let (store, directory) = store(|options| options).await;
    store.close().await;
    let path = directory.path().join("pinyto.db");
    let options = SqliteOptions::new(format!("sqlite:{}", path.display()));
    let second = "CREATE TABLE parents (id INTEGER PRIMARY KEY);
        CREATE TABLE children (parent INTEGER REFERENCES parents (id));
        INSERT INTO children VALUES (1)";
    let migrations = [MIGRATIONS, &[(NEXT, "next", second)]].concat();
    let opened = migration::open(&options.writer().unwrap(), &migrations).await;
    assert!(opened.is_ok(), "{opened:?}");
}

#[tokio::test]
async fn what_was_installed_before_there_were_jobs_is_planned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pinyto.db");
    let options = SqliteOptions::new(format!("sqlite:{}?mode=rwc", path.display()));
    let first = &MIGRATIONS[..1];
    let mut db = migration::open(&options.writer().unwrap(), first)
        .await
        .unwrap();
    let installed = "
        INSERT INTO pinyto_users (name, created_at, calculated_at) VALUES ('ann', 0, 0);
        INSERT INTO pinyto_assemblies (author_id, name, description, only_own_data, saved_at)
        VALUES (1, 'Notes', '', 1, 0);
        INSERT INTO pinyto_jobs VALUES (1, 0, 'tidy', 'pass', 60);
        INSERT INTO pinyto_installations VALUES (1, 1, 5000)";
    sqlx::raw_sql(installed).execute(&mut db).await.unwrap();
    db.close().await.unwrap();

    let store = SqliteStore::open(options).await.unwrap();
    let due = store.next_due().await.unwrap();
    assert_eq!(due.map(|due| due.unix_millis()), Some(5000));
}
