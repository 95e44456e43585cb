//! What can only be seen from inside. The store as others see it is tested in `tests/`.

mod backup;
mod busy;
mod cancelled;
mod failures;
mod indexes;
mod keys;
mod locks;
mod migrations;
mod queries;
mod retries;
mod round_trips;
mod sharing;
mod throttle;
mod trouble;

use std::{sync::Arc, time::Duration};

use pinyto_core::{assembly::AssemblyRepository, id::AssemblyId, testing::given, user::User};
use pinyto_postgres_cluster::Database as Guard;
use tokio::time::timeout;

use super::{PostgresStore, pool::Row};

/// A store in a database of its own. The guard goes last. `None` where there is no PostgreSQL.
async fn store() -> Option<(Arc<PostgresStore>, Guard)> {
    let database = pinyto_postgres_cluster::database_if_any().await?;
    let store = PostgresStore::open(database.url()).await.unwrap();
    Some((Arc::new(store), database))
}

async fn rows<R: Row>(store: &PostgresStore, sql: &'static str) -> Vec<R> {
    store.database.all(|| sqlx::query_as(sql)).await.unwrap()
}

async fn number(store: &PostgresStore, sql: &'static str) -> i64 {
    rows::<(i64,)>(store, sql).await[0].0
}

/// Waits until all indexes are as they are to be.
async fn settled(store: &PostgresStore) {
    let unfinished = "SELECT count(*) FROM pinyto.indexes WHERE state <> 'ready'";
    let settled = async {
        while number(store, unfinished).await != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), settled).await.unwrap();
}

/// Saves the author's assembly with these indexes; two repositories have a `save`.
async fn save(store: &PostgresStore, author: &User, name: &str, paths: &[&str]) -> AssemblyId {
    let paths = paths.iter().map(|path| given::path(path));
    let source = given::source(name).into_builder().indexes(paths);
    let source = source.build().unwrap();
    let (limits, at) = (given::NO_LIMITS, given::at(0));
    let saved =
        AssemblyRepository::save(store, author.id, Some(source.name()), &source, limits, at);
    saved.await.unwrap();
    let assembly = given::assembly_ref(&format!("{}/{name}", author.name));
    let found = AssemblyRepository::find(store, &assembly).await.unwrap();
    found.unwrap().id
}
