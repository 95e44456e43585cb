//! What is given up half-way by whoever asked for it harms nobody else.

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    assembly::AssemblyRepository, document::DocumentRepository, document::Scope, testing::given,
};
use serde_json::json;
use sqlx::Connection as _;
use tokio::time::{sleep, timeout};

use super::{super::PostgresOptions, PostgresStore};

/// Waits until somebody waits for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn a_change_that_is_given_up_before_it_begins_leaves_no_transaction_to_others() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    // One connection for everything.
    let store = PostgresStore::open(PostgresOptions::new(database.url()).one_connection()).await;
    let store = Arc::new(store.unwrap());
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let bob = given::user(store.as_ref(), "bob", 2).await;
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    given::installed(store.as_ref(), &bob, &notes).await;
    let other = PostgresStore::open(database.url()).await.unwrap();

    let mut holder = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM pinyto.users WHERE id = $1 FOR UPDATE")
        .bind(ann.id.get())
        .execute(&mut *held)
        .await
        .unwrap();
    for n in 0..3 {
        let installing = {
            let (store, ann, notes) = (Arc::clone(&store), ann.id, notes.clone());
            tokio::spawn(async move {
                AssemblyRepository::install(store.as_ref(), ann, &notes, 9, given::at(0)).await
            })
        };
        let waits = async {
            while super::number(&other, WAITING).await == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), waits).await.unwrap();
        installing.abort();
        assert!(installing.await.unwrap_err().is_cancelled());
        if n == 2 {
            held.rollback().await.unwrap();
            break;
        }
        // The server works on it until it has the lock, or the connection is given up.
        sqlx::query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            .execute(&mut *held)
            .await
            .unwrap();
    }

    let document = given::document(1, &notes, json!(1));
    given::stored(store.as_ref(), &bob, &document).await;
    let found = DocumentRepository::find(&other, Scope::all_of(bob.id), document.id).await;
    assert_eq!(found.unwrap(), Some(document), "is seen by others");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(super::number(&other, open).await, 0);
}
