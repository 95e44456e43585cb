//! The database that the settings name.

use std::sync::Arc;

use pinyto_core::{clock::Timestamp, store::Store};
#[cfg(feature = "postgres")]
use pinyto_store::postgres::{PostgresOptions, PostgresStore};
use pinyto_store::{
    DatabaseState,
    backup::{Progress, RestoreOptions, Summary},
    sqlite::{SqliteOptions, SqliteStore, Synchronous},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::{Settings, SqliteSynchronous};

/// Is told how far a backup or a restore is.
pub(crate) type Watcher<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// A database that is open.
pub(crate) enum Database {
    Sqlite(Arc<SqliteStore>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<PostgresStore>),
}

/// What to open.
enum Wanted {
    Sqlite(SqliteOptions),
    #[cfg(feature = "postgres")]
    Postgres(PostgresOptions),
}

impl Wanted {
    fn of(settings: &Settings) -> Self {
        let url = settings.database.expose();
        #[cfg(feature = "postgres")]
        if !url.starts_with("sqlite:") {
            let options = PostgresOptions::new(url).connections(settings.postgres_connections);
            return Self::Postgres(options);
        }
        Self::Sqlite(
            SqliteOptions::new(url).synchronous(match settings.sqlite_synchronous {
                SqliteSynchronous::Full => Synchronous::Full,
                SqliteSynchronous::Normal => Synchronous::Normal,
            }),
        )
    }
}

impl Database {
    /// Opens it and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, String> {
        match Wanted::of(settings) {
            Wanted::Sqlite(options) => match SqliteStore::open(options).await {
                Ok(store) => Ok(Self::Sqlite(Arc::new(store))),
                Err(error) => Err(error.to_string()),
            },
            #[cfg(feature = "postgres")]
            Wanted::Postgres(options) => match PostgresStore::open(options).await {
                Ok(store) => Ok(Self::Postgres(Arc::new(store))),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Brings the tables up to date and does nothing else.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn migrate(settings: &Settings) -> Result<(), String> {
        match Wanted::of(settings) {
            Wanted::Sqlite(options) => match SqliteStore::open(options).await {
                Ok(store) => {
                    store.close().await;
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            #[cfg(feature = "postgres")]
            Wanted::Postgres(options) => PostgresStore::migrate(options)
                .await
                .map_err(|error| error.to_string()),
        }
    }

    /// What opening it would come upon.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn inspect(settings: &Settings) -> Result<DatabaseState, String> {
        match Wanted::of(settings) {
            Wanted::Sqlite(options) => SqliteStore::inspect(options)
                .await
                .map_err(|error| error.to_string()),
            #[cfg(feature = "postgres")]
            Wanted::Postgres(options) => PostgresStore::inspect(options)
                .await
                .map_err(|error| error.to_string()),
        }
    }

    /// Writes a backup of it, as it is at the moment `at`.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn backup(
        settings: &Settings,
        to: impl AsyncWrite + Send + Unpin,
        at: Timestamp,
        watcher: Watcher<'_>,
    ) -> Result<Summary, String> {
        let written = match Wanted::of(settings) {
            Wanted::Sqlite(options) => SqliteStore::backup(options, to, at, watcher).await,
            #[cfg(feature = "postgres")]
            Wanted::Postgres(options) => PostgresStore::backup(options, to, at, watcher).await,
        };
        written.map_err(|error| error.to_string())
    }

    /// Puts a backup into it, which is empty or missing.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn restore(
        settings: &Settings,
        from: impl AsyncRead + Send + Unpin,
        how: &RestoreOptions,
        watcher: Watcher<'_>,
    ) -> Result<Summary, String> {
        let restored = match Wanted::of(settings) {
            Wanted::Sqlite(options) => SqliteStore::restore(options, from, how, watcher).await,
            #[cfg(feature = "postgres")]
            Wanted::Postgres(options) => PostgresStore::restore(options, from, how, watcher).await,
        };
        restored.map_err(|error| error.to_string())
    }

    /// How many indexes of documents are being made.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn indexes_in_the_making(&self) -> Result<u64, String> {
        let count = match self {
            Self::Sqlite(store) => store.indexes_in_the_making().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.indexes_in_the_making().await,
        };
        count.map_err(|error| error.to_string())
    }

    /// What is kept there.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as Arc<dyn Store>,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// Finishes what is being written.
    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.close().await,
        }
    }
}
