//! What happens when the database doesn't do as it is told.

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    document::{DocumentRepository, Scope},
    key::{KeyChange, KeyRepository, KeyState},
    session::{NewSession, ReplaceOutcome, SessionRepository},
    store::{Store, StoreError},
    testing::given,
    user::UserRepository,
};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::{
    super::{PostgresOptions, PostgresStore},
    number, store,
};

const END_ALL: &str = "
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn a_broken_connection_is_replaced_without_anybody_noticing() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    for _ in 0..3 {
        database.execute(END_ALL).await;
        let keys = store.list(ann.id).await.unwrap();
        assert_eq!(keys.len(), 1);
        database.execute(END_ALL).await;
        // A transaction that can't even begin.
        let hash = given::hash_of(1);
        let changed = store
            .set_state(ann.id.into(), &hash, KeyState::Active, given::at(0))
            .await;
        assert!(matches!(changed, Ok(KeyChange::Done(_))), "{changed:?}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_unavailable_until_it_can() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    database.set_reachable(false).await;
    let usage = store.usage(ann.id).await;
    assert!(
        matches!(usage, Err(StoreError::Unavailable { .. })),
        "{usage:?}"
    );
    let pinged = store.ping().await;
    assert!(
        matches!(pinged, Err(StoreError::NotReady { .. })),
        "{pinged:?}"
    );
    database.set_reachable(true).await;
    store.ping().await.unwrap();
    assert!(store.usage(ann.id).await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_waits_forever_for_a_lock_and_nothing_is_half_done() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    given::installed(store.as_ref(), &ann, &notes).await;
    store.close().await;
    let options = PostgresOptions::new(database.url()).patience(Duration::from_millis(300));
    let store = PostgresStore::open(options).await.unwrap();
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut holder = other.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM pinyto.users FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let document = given::document(1, &notes, json!(1));
    let entry = given::entry(&document);
    let inserted = store.insert(ann.id, &entry).await;
    assert!(
        matches!(inserted, Err(StoreError::Unavailable { .. })),
        "{inserted:?}"
    );
    let scope = Scope::all_of(ann.id);
    let removed = store.remove(scope, document.id, given::at(1)).await;
    assert!(
        matches!(removed, Err(StoreError::Unavailable { .. })),
        "{removed:?}"
    );
    // Reading waits for no lock.
    assert_eq!(store.list(ann.id).await.unwrap().len(), 1);
    holder.rollback().await.unwrap();
    // Whoever gave up left nothing that would come about later.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let found = DocumentRepository::find(&store, scope, document.id).await;
    assert_eq!(found.unwrap(), None);
    store.insert(ann.id, &entry).await.unwrap();
}

/// Locks in a fixed order leave no deadlocks; so one is made from outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let key = given::first_key(store.as_ref(), &ann).await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    // It is the store's transaction that is to be broken off.
    sqlx::query("SET deadlock_timeout = '10s'")
        .execute(&mut other)
        .await
        .unwrap();
    let mut holder = other.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM pinyto.keys FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let asking = Arc::clone(&store);
    let opening = tokio::spawn(async move {
        let session = NewSession {
            user: ann.id,
            key,
            token_hash: given::token_hash(1),
            at: given::at(1),
        };
        store.replace(&session).await
    });
    // The store has the user and waits for the key.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock'";
    while number(&asking, waits).await == 0 {}
    sqlx::query("SELECT 1 FROM pinyto.users FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    holder.rollback().await.unwrap();
    let opened = opening.await.unwrap().unwrap();
    assert!(matches!(opened, ReplaceOutcome::Opened(_)), "{opened:?}");
}

#[tokio::test]
async fn a_row_that_cannot_be_is_told_by_table_and_column() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    for (sql, place) in [
        ("UPDATE pinyto.keys SET label = E'\\t'", "pinyto.keys.label"),
        (
            "UPDATE pinyto.keys SET label = NULL, exponent = -1",
            "pinyto.keys.exponent",
        ),
        ("UPDATE pinyto.users SET bytes = -1", "pinyto.users.bytes"),
    ] {
        database.execute(sql).await;
        let read = match store.list(ann.id).await {
            Ok(_) => store.usage(ann.id).await.map(drop),
            Err(error) => Err(error),
        };
        match read {
            Err(StoreError::Corrupt { place: found, .. }) => assert_eq!(found, place),
            other => panic!("{sql}: {other:?}"),
        }
        database
            .execute("UPDATE pinyto.keys SET exponent = 65537 WHERE exponent < 0")
            .await;
    }
}
