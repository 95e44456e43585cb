//! Whether the store notices that it can't serve any more, and keeps within its bounds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use pinyto_core::store::{Store as _, StoreError};

use super::{
    super::{
        changes::Changes,
        error::Corrupt,
        lookup::{Find, Lookup},
        pool::Readers,
    },
    store,
};

#[tokio::test]
async fn a_store_whose_writer_has_ended_answers_no_ping() {
    let (store, _directory) = store(|options| options).await;
    store.ping().await.unwrap();
    let connection = store.writer.close().await;
    assert!(connection.is_some());
    let ping = store.ping().await;
    assert!(
        matches!(ping, Err(StoreError::Unavailable { .. })),
        "{ping:?}"
    );
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_any_more_is_stopped_and_frees_its_place() {
    let patience = Duration::from_millis(50);
    let (store, directory) = store(|options| options.readers(1).patience(patience)).await;
    let slow = "WITH RECURSIVE numbers (n) AS (
                    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000000000)
                SELECT count(*) FROM numbers";
    let slow = store.readers.one::<(i64,)>(sqlx::query_as(slow)).await;
    assert!(
        matches!(slow, Err(StoreError::Unavailable { .. })),
        "{slow:?}"
    );
    // The query would take hours.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while store.ping().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
    }
    store.close().await;
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "no connection was left open: {files:?}");
}

/// Ends the task.
enum Panics {}

#[async_trait]
impl Find for Panics {
    type Wanted = i64;
    type Found = i64;

    fn size(_: &i64) -> u64 {
        8
    }

    async fn find(
        _: &Readers,
        wanted: &[i64],
    ) -> Result<HashMap<i64, Result<i64, Corrupt>>, sqlx::Error> {
        assert!(wanted.is_empty(), "panics on purpose");
        Ok(HashMap::new())
    }
}

#[tokio::test]
async fn a_look_up_whose_task_has_ended_does_not_serve() {
    let (store, _directory) = store(|options| options).await;
    let (readers, changes) = (Arc::clone(&store.readers), Arc::new(Changes::unknown()));
    let panics = Lookup::<Panics>::start(readers, changes, Duration::from_secs(1));
    assert!(panics.is_serving());
    let found = panics.find(1).await;
    assert!(
        matches!(found, Err(StoreError::Unavailable { .. })),
        "{found:?}"
    );
    while panics.is_serving() {
        tokio::task::yield_now().await;
    }
}
