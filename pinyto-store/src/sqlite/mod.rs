//! The store in a SQLite file.

mod assembly;
mod backup;
mod changes;
mod document;
mod error;
mod inspect;
mod job;
mod key;
mod keyserver;
mod lookup;
mod migration;
mod options;
mod pool;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod throttle;
mod user;
mod writer;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use pinyto_core::{
    assembly::AssemblyRepository,
    document::DocumentRepository,
    job::JobRepository,
    key::KeyRepository,
    keyserver::KeyserverRepository,
    run::RunRepository,
    session::{SessionReads, SessionRepository},
    store::{Store, StoreError},
    throttle::FailureRepository,
    user::UserRepository,
};
use sqlx::Connection as _;

pub use crate::migrations::DatabaseState;
pub use migration::OpenError;
pub use options::{SqliteOptions, Synchronous};

use crate::query::evaluation::Evaluations;
use {
    crate::turns::Turns,
    assembly::FunctionOfUser,
    changes::Changes,
    document::{Connections, Indexer, KnownPaths},
    key::KeysOfUser,
    lookup::Lookup,
    pool::Readers,
    session::SessionById,
    writer::{Intent, Writer},
};

/// A store in a SQLite file. See the [crate's page](crate) on what it promises.
pub struct SqliteStore {
    writer: Arc<Writer>,
    indexer: Indexer,
    known_paths: Arc<KnownPaths>,
    readers: Arc<Readers>,
    /// For what assemblies' code asks, so that nobody's queries keep look-ups waiting.
    queries: Connections,
    evaluations: Evaluations,
    query_turns: Turns,
    sessions_by_id: Lookup<SessionById>,
    keys_of_user: Lookup<KeysOfUser>,
    functions_of_users: Lookup<FunctionOfUser>,
}

impl SqliteStore {
    /// Opens the database, brings its tables up to date and starts the tasks that serve it (it
    /// has to be called within a tokio runtime, and serves as long as that runtime runs).
    ///
    /// Several stores, also in several processes, may have the same file open.
    ///
    /// Starts five tasks: the writer and the indexer, which [`close`](Self::close) ends, and three
    /// that look up sessions, keys and functions, which end when the store is dropped. The writer,
    /// each of [`readers`](SqliteOptions::readers) and twice as many queries of code have a
    /// connection, which takes a thread.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with one sentence for the operator.
    pub async fn open(options: impl Into<SqliteOptions> + Send) -> Result<Self, OpenError> {
        let options = options.into();
        let connect = options.writer()?;
        let connection = migration::open(&connect, migration::MIGRATIONS).await?;
        let changes = Arc::new(if options::is_in_memory(&connect) {
            Changes::unknown()
        } else {
            Changes::of(connect.get_filename())
        });
        let readers = Arc::new(Readers::new(
            options::reader(&connect, options.cache_kib),
            options.readers,
            options.patience,
        ));
        // Short queries have a half of them for themselves.
        let queries_at_once = 2 * options.readers;
        let queries = Connections::new(queries_at_once, options.patience, |rows_ahead| {
            options::reader(&connect, options.cache_kib).row_buffer_size(rows_ahead)
        });
        let writer = Writer::start(connection, connect, options.max_group, options.patience);
        let writer = Arc::new(writer);
        Ok(Self {
            indexer: Indexer::start(Arc::clone(&writer), Arc::clone(&readers)),
            known_paths: Arc::default(),
            writer,
            sessions_by_id: Lookup::start(
                Arc::clone(&readers),
                Arc::clone(&changes),
                options.patience,
            ),
            keys_of_user: Lookup::start(
                Arc::clone(&readers),
                Arc::clone(&changes),
                options.patience,
            ),
            functions_of_users: Lookup::start(Arc::clone(&readers), changes, options.patience),
            readers,
            queries,
            evaluations: Evaluations::new(options.readers),
            query_turns: Turns::new(queries_at_once as usize, options.patience),
        })
    }

    /// Finishes the writes and reads that wait, then closes the database; every later call fails
    /// as unavailable. The tasks that look things up end when the store is dropped. A store that is
    /// only dropped finishes its writes, too, but nobody knows when.
    pub async fn close(&self) {
        self.indexer.close().await;
        let connection = self.writer.close().await;
        self.readers.close().await;
        self.queries.close().await;
        // The last one to close brings the write-ahead log into the database file.
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }

    async fn write<I: Intent>(&self, intent: I) -> Result<I::Outcome, StoreError> {
        self.writer.run(intent).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn users(&self) -> &dyn UserRepository {
        self
    }

    fn keys(&self) -> &dyn KeyRepository {
        self
    }

    fn sessions(&self) -> &dyn SessionRepository {
        self
    }

    fn keyserver(&self) -> &dyn KeyserverRepository {
        self
    }

    fn assemblies(&self) -> &dyn AssemblyRepository {
        self
    }

    fn documents(&self) -> &dyn DocumentRepository {
        self
    }

    fn runs(&self) -> &dyn RunRepository {
        self
    }

    fn jobs(&self) -> &dyn JobRepository {
        self
    }

    fn failures(&self) -> &dyn FailureRepository {
        self
    }

    fn reads(&self) -> &dyn SessionReads {
        self
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let serving = self.writer.is_serving()
            && self.indexer.is_serving()
            && self.sessions_by_id.is_serving()
            && self.keys_of_user.is_serving()
            && self.functions_of_users.is_serving();
        if !serving {
            return Err(StoreError::unavailable("a task of the store has ended"));
        }
        let read = sqlx::query_as::<_, (i64,)>("SELECT count(*) FROM pinyto_migrations");
        self.readers.one(read).await.map(drop)
    }
}

/// Sessions are remembered, so that looking one up costs next to nothing.
impl SessionReads for SqliteStore {
    fn store(&self) -> &dyn Store {
        self
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
