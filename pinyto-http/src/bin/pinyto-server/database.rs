//! The database that the settings name.

use std::sync::Arc;

use pinyto_core::store::Store;
use pinyto_http::server::config::{Settings, SqliteSynchronous};
#[cfg(feature = "postgres")]
use pinyto_store::postgres::{PostgresOptions, PostgresStore};
use pinyto_store::{
    DatabaseState,
    sqlite::{SqliteOptions, SqliteStore, Synchronous},
};

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
