//! What can only be seen from inside. The store as others see it is tested in `tests/`.

mod backup;
#[cfg(unix)]
mod changes;
mod first_documents;
mod group_commit;
mod indexes;
mod long_documents;
mod migrations;
mod plans;
mod query_plans;
mod serving;
mod turns;

use std::sync::Arc;

use super::{SqliteOptions, SqliteStore};

/// A store in a directory that goes with it.
async fn store(
    options: impl FnOnce(SqliteOptions) -> SqliteOptions,
) -> (Arc<SqliteStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pinyto.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    let options = options(SqliteOptions::new(url));
    (
        Arc::new(SqliteStore::open(options).await.unwrap()),
        directory,
    )
}
