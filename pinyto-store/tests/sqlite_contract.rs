//! The store in a SQLite file does what every store has to.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::sync::Arc;

use pinyto_core::{store::Store, store_contract};
use pinyto_store::sqlite::SqliteStore;
use tempfile::TempDir;

async fn fresh() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (again(&directory).await, directory)
}

/// As another process that has the file open.
async fn again(directory: &TempDir) -> Arc<dyn Store> {
    let path = directory.path().join("pinyto.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    Arc::new(SqliteStore::open(url).await.unwrap())
}

store_contract!(fresh, again);

/// The same for a database in memory.
mod in_memory {
    use std::sync::Arc;

    use pinyto_core::{store::Store, store_contract};
    use pinyto_store::sqlite::SqliteStore;

    async fn fresh() -> (Arc<dyn Store>, ()) {
        (
            Arc::new(SqliteStore::open("sqlite::memory:").await.unwrap()),
            (),
        )
    }

    store_contract!(fresh);
}
