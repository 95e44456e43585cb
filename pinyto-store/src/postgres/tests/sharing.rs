//! A pool that an application shares with the store.

use std::time::Duration;

use futures_util::future::join_all;
use pinyto_core::{
    store::{Store as _, StoreError},
    testing::given,
    user::{RegisterOutcome, UserRepository},
};
use pinyto_postgres_cluster::Database as Guard;
use sqlx::{Connection as _, PgPool, postgres::PgPoolOptions};
use tokio::time::timeout;

use super::super::{OpenError, PostgresOptions, PostgresStore};

async fn pool(connections: u32) -> Option<(PgPool, Guard)> {
    let database = pinyto_postgres_cluster::database_if_any().await?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect(database.url())
        .await
        .unwrap();
    Some((pool, database))
}

/// A store on a pool of eight connections.
async fn shared() -> Option<(PostgresStore, PgPool, Guard)> {
    let (pool, guard) = pool(8).await?;
    let store = PostgresStore::open(PostgresOptions::sharing(pool.clone())).await;
    Some((store.unwrap(), pool, guard))
}

async fn registered(store: &PostgresStore, name: &str, number: u64) -> bool {
    let registered = store.register(&given::new_user(name, number)).await;
    matches!(registered.unwrap(), RegisterOutcome::Registered(_))
}

#[tokio::test]
async fn both_use_it_and_it_outlives_the_store() {
    let Some((store, pool, _guard)) = shared().await else {
        return;
    };
    // Of the same name as one of Pinyto's.
    let own_table =
        "DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; CREATE TABLE app.users ()";
    sqlx::raw_sql(own_table).execute(&pool).await.unwrap();
    assert!(registered(&store, "hugo", 1).await);
    // An application may read what is Pinyto's, beside its own.
    let count = "SELECT count(*) FROM pinyto.users";
    let (users,): (i64,) = sqlx::query_as(count).fetch_one(&pool).await.unwrap();
    assert_eq!(users, 1);

    store.close().await;
    let closed = store.find(&given::name("hugo")).await.unwrap_err();
    assert_eq!(closed.code(), "database_unavailable");
    assert!(!pool.is_closed());
    let (again,): (i64,) = sqlx::query_as(count).fetch_one(&pool).await.unwrap();
    assert_eq!(again, 1);
}

#[tokio::test]
async fn the_store_leaves_the_application_its_half() {
    let Some((pool, _guard)) = pool(8).await else {
        return;
    };
    let options = PostgresOptions::sharing(pool.clone()).patience(Duration::from_millis(300));
    let store = PostgresStore::open(options).await.unwrap();
    let connections = store.database.connections();
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(connections.get().await.unwrap());
    }
    assert!(connections.get().await.is_err(), "not one more");
    let mut of_application = Vec::new();
    for _ in 0..4 {
        of_application.push(pool.acquire().await.unwrap());
    }
    taken.pop();
    of_application.push(pool.acquire().await.unwrap());
    assert!(connections.get().await.is_err(), "all are in use");
    of_application.pop();
    assert!(connections.get().await.is_ok());

    // Closing waits for those who have one, and nobody gets one any more.
    let mut closing = Box::pin(store.close());
    let short = Duration::from_millis(100);
    assert!(timeout(short, &mut closing).await.is_err());
    assert!(connections.get().await.is_err());
    drop(taken);
    closing.await;
}

#[tokio::test]
async fn what_the_application_does_to_its_connections_is_not_felt() {
    let Some((store, pool, _guard)) = shared().await else {
        return;
    };
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(pool.acquire().await.unwrap());
    }
    for connection in &mut all {
        let settings = "SET search_path = ''; SET default_transaction_isolation = 'serializable';
            SET lock_timeout = 1; SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET extra_float_digits = -5";
        sqlx::raw_sql(settings)
            .execute(&mut **connection)
            .await
            .unwrap();
        // And one is left in the middle of something.
        let transaction = connection.begin().await.unwrap();
        drop(transaction);
    }
    drop(all);
    let hugo = given::user(&store, "hugo", 1).await;
    let notes = given::assembly(&store, &hugo, "Notes").await;
    given::installed(&store, &hugo, &notes).await;
    let document = given::document(1, &notes, serde_json::json!({"sum": 0.1_f64 + 0.2_f64}));
    given::stored(&store, &hugo, &document).await;
    let scope = pinyto_core::document::Scope::all_of(hugo.id);
    let found = store.documents().find(scope, document.id).await.unwrap();
    assert_eq!(found, Some(document));
}

/// As if somebody had not waited for the end of what begins a transaction: the driver doesn't know
/// of it.
async fn left_behind(pool: &PgPool, sql: &'static str) {
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(pool.acquire().await.unwrap());
    }
    for connection in &mut all {
        // The last one may fail.
        let _ = sqlx::raw_sql(sql).execute(&mut **connection).await;
    }
    drop(all);
}

#[tokio::test]
async fn transactions_that_the_application_leaves_behind_take_nothing_along() {
    let Some((store, pool, guard)) = shared().await else {
        return;
    };
    let elsewhere = PostgresStore::open(guard.url()).await.unwrap();
    let hugo = given::user(&store, "hugo", 1).await;
    let key = store.keys().list(hugo.id).await.unwrap()[0].id;
    let reads_once = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM pinyto.users";
    let read_only = "SET default_transaction_read_only = on";
    let left = [
        reads_once,
        "BEGIN; SELECT 1 / 0",
        "BEGIN READ ONLY",
        read_only,
    ];
    for (number, sql) in (2..).zip(left) {
        left_behind(&pool, sql).await;
        // One statement without locks, and a transaction.
        let session = given::session(&store, &hugo, key, number).await;
        let name = format!("user{number}");
        assert!(registered(&store, &name, number).await, "{sql}");
        let found = elsewhere.users().find(&given::name(&name)).await.unwrap();
        assert!(found.is_some(), "{sql}: not committed");
        let found = elsewhere.sessions().find(session.id).await.unwrap();
        assert!(found.is_some(), "{sql}: not committed");
        // What others have done since is seen.
        given::user(&elsewhere, &format!("other{number}"), 100 + number).await;
        let other = given::name(&format!("other{number}"));
        assert!(store.users().find(&other).await.unwrap().is_some(), "{sql}");
    }
    assert!(store.ping().await.is_ok());
}

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some((store, _pool, guard)) = shared().await else {
        return;
    };
    for number in 1..=3 {
        assert!(registered(&store, &format!("user{number}"), number).await);
        guard.set_reachable(false).await;
        guard.set_reachable(true).await;
    }
    assert!(store.ping().await.is_ok());
}

#[tokio::test]
async fn many_broken_connections_that_the_pool_does_not_test_are_no_trouble() {
    let Some(guard) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    let pool = PgPoolOptions::new()
        .max_connections(20)
        .test_before_acquire(false)
        .connect(guard.url())
        .await
        .unwrap();
    let options = PostgresOptions::sharing(pool.clone()).patience(Duration::from_secs(3));
    let store = PostgresStore::open(options).await.unwrap();
    for sql in ["SELECT 1", "BEGIN; SELECT 1 / 0"] {
        let all = join_all((0..20).map(|_| pool.acquire())).await;
        for connection in all {
            let mut connection = connection.unwrap();
            let _ = sqlx::raw_sql(sql).execute(&mut *connection).await;
        }
        if sql == "SELECT 1" {
            guard.set_reachable(false).await;
            guard.set_reachable(true).await;
        }
        assert!(store.ping().await.is_ok(), "after {sql}");
    }
}

#[tokio::test]
async fn why_it_is_not_ready_is_told() {
    let Some((store, pool, guard)) = shared().await else {
        return;
    };
    let reason = async || match store.ping().await {
        Err(StoreError::NotReady { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(pool.acquire().await.unwrap());
    }
    assert_eq!(reason().await, "no connection to it is free");
    drop(all);
    assert!(store.ping().await.is_ok());

    guard.set_reachable(false).await;
    let away = reason().await;
    assert_ne!(away, "no connection to it is free");
    guard.set_reachable(true).await;
    assert!(store.ping().await.is_ok());

    let only_read = "DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$";
    guard.execute(only_read).await;
    // Of those there are.
    left_behind(&pool, "SET default_transaction_read_only = on").await;
    assert_eq!(reason().await, "it can only be read, not written");
    let writable = "BEGIN READ WRITE; DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$; COMMIT";
    guard.execute(writable).await;
    assert!(store.ping().await.is_ok());
}

#[tokio::test]
async fn a_pool_that_is_too_small_is_refused() {
    let Some((pool, _guard)) = pool(7).await else {
        return;
    };
    let refused = PostgresStore::open(PostgresOptions::sharing(pool)).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, OpenError::SmallPool { found: 7, .. }));
    assert_eq!(
        refused.to_string(),
        "The pool has 7 connections at most. To share it takes 8."
    );
}
