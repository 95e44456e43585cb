//! The store in a PostgreSQL database does what every store has to.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::sync::Arc;

use pinyto_core::{store::Store, store_contract};
use pinyto_postgres_cluster::Database;
use pinyto_store::postgres::PostgresStore;

async fn fresh() -> (Arc<dyn Store>, Database) {
    let database = pinyto_postgres_cluster::database().await;
    (again(&database).await, database)
}

/// As another server.
async fn again(database: &Database) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(database.url()).await.unwrap())
}

store_contract!(fresh, again);
