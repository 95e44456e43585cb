//! The store in a SQLite file beyond what every store has to do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

mod corruption;
mod documents;
mod durability;
mod hostile;
mod opening;
mod schema;
mod sharing;

use std::path::Path;

use pinyto_store::sqlite::SqliteStore;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

/// A directory for a database.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        url(&self.0.path().join("pinyto.db"))
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.url()).await.unwrap()
    }

    /// Does to the database what only somebody else would do.
    async fn meddle(&self, sql: &'static str) {
        let mut other = SqliteConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    }
}

fn url(path: &Path) -> String {
    format!("sqlite:{}?mode=rwc", path.display())
}
