//! Databases of both kinds.

use std::{sync::Arc, time::Duration};

use pinyto_core::{store::Store, testing::given};
use pinyto_postgres_cluster::Database;
use pinyto_store::{
    backup::{BackupError, RestoreError, RestoreOptions, Summary},
    postgres::PostgresStore,
    sqlite::SqliteStore,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A database without any row, without tables if it is SQLite's.
pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

/// When backups are made.
pub(crate) const MOMENT: i64 = 5_000;

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// `None`: there is no PostgreSQL here.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = pinyto_postgres_cluster::database_if_any().await?;
        Some(Self::Postgres(database))
    }

    /// One of each kind, as far as there are.
    pub(crate) async fn all() -> Vec<Self> {
        let postgres = Self::postgres().await;
        std::iter::once(Self::sqlite()).chain(postgres).collect()
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => {
                let path = directory.path().join("pinyto.db");
                format!("sqlite:{}?mode=rwc", path.display())
            }
            Self::Postgres(database) => database.url().to_owned(),
        }
    }

    pub(crate) async fn backup(&self) -> Result<(Vec<u8>, Summary), BackupError> {
        let mut file = Vec::new();
        let (at, url) = (given::at(MOMENT), self.url());
        let summary = match self {
            Self::Sqlite(_) => SqliteStore::backup(url, &mut file, at, &mut |_| ()).await,
            Self::Postgres(_) => PostgresStore::backup(url, &mut file, at, &mut |_| ()).await,
        };
        summary.map(|summary| (file, summary))
    }

    pub(crate) async fn restore(&self, file: &[u8]) -> Result<Summary, RestoreError> {
        self.restore_with(file, &RestoreOptions::default()).await
    }

    pub(crate) async fn restore_with(
        &self,
        file: &[u8],
        options: &RestoreOptions,
    ) -> Result<Summary, RestoreError> {
        let url = self.url();
        match self {
            Self::Sqlite(_) => SqliteStore::restore(url, file, options, &mut |_| ()).await,
            Self::Postgres(_) => PostgresStore::restore(url, file, options, &mut |_| ()).await,
        }
    }

    pub(crate) async fn open(&self) -> Open {
        match self {
            Self::Sqlite(_) => Open::Sqlite(Arc::new(SqliteStore::open(self.url()).await.unwrap())),
            Self::Postgres(_) => {
                Open::Postgres(Arc::new(PostgresStore::open(self.url()).await.unwrap()))
            }
        }
    }

    /// All numbers that the query finds, whose tables have `pinyto_` before them.
    pub(crate) async fn numbers(&self, query: &str) -> Vec<i64> {
        match self {
            Self::Sqlite(_) => {
                let mut db = SqliteConnection::connect(&self.url()).await.unwrap();
                let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
                query.fetch_all(&mut db).await.unwrap()
            }
            Self::Postgres(_) => {
                let mut db = PgConnection::connect(&self.url()).await.unwrap();
                let query = sqlx::query_scalar(AssertSqlSafe(query.replace("pinyto_", "pinyto.")));
                query.fetch_all(&mut db).await.unwrap()
            }
        }
    }
}

/// A store that is open on a place.
pub(crate) enum Open {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Open {
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// Waits until all indexes are ready.
    pub(crate) async fn indexed(&self) {
        loop {
            let left = match self {
                Self::Sqlite(store) => store.indexes_in_the_making().await,
                Self::Postgres(store) => store.indexes_in_the_making().await,
            };
            if left.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}
