//! The store in a PostgreSQL database, version 14 or newer.
//!
//! For several servers on one database, and for those who run PostgreSQL anyway. All tables are in a
//! schema of their own, `pinyto`, and every statement names it: nothing depends on the search path
//! or on anything else that belongs to a connection, so that a proxy may share connections out by
//! transaction (one that knows prepared statements, as PgBouncer does from 1.21 on).
//!
//! # How it goes about it
//!
//! | file | |
//! |---|---|
//! | `pool.rs`, `lock.rs` | transactions, what is tried again, and what is locked in which order |
//! | `connections.rs`, `hosts.rs` | connections, and to which server |
//! | `migration.rs` | bringing the tables up to date |
//! | `reads.rs` | what is read for a session, in one statement with its look-up |
//! | `error.rs` | what an error of the database means |
//! | `document/` | documents: `change.rs` changes them together with usage and indexes, `search.rs` answers queries, `index.rs` keeps the indexes |
//! | `user.rs`, `key.rs`, `session.rs`, `keyserver.rs`, `assembly/`, `run.rs`, `job/`, `throttle.rs` | the statements, each beside the function that runs it |

mod assembly;
mod backup;
mod connections;
mod document;
mod error;
mod hosts;
mod job;
mod key;
mod keyserver;
mod lock;
mod migration;
mod options;
mod pool;
mod reads;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod throttle;
mod user;

use std::{fmt, sync::Arc, time::Duration};

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
use sqlx::{Connection as _, PgConnection};

pub use migration::OpenError;
pub use options::PostgresOptions;

use crate::{DatabaseState, migrations::newest_of, query::evaluation::Evaluations, turns::Turns};
use connections::Connections;
use document::{Indexer, KnownSetups};
use hosts::Hosts;
use pool::{Database, Intent, queries_at_once};

/// How long an answer to a ping may take.
const PING: Duration = Duration::from_secs(2);

/// A store in a PostgreSQL database. See the [module](self) and the [crate's page](crate) on what
/// it promises.
pub struct PostgresStore {
    database: Arc<Database>,
    setups: KnownSetups,
    evaluations: Evaluations,
    query_turns: Turns,
    indexer: Indexer,
}

/// A connection, and what operators know the database by.
async fn connect(hosts: &Hosts) -> Result<(PgConnection, String), OpenError> {
    let database = hosts.name();
    match hosts.connect().await {
        Ok(connection) => Ok((connection, database)),
        Err(failure) => Err(OpenError::Connection {
            database,
            source: failure.into(),
        }),
    }
}

impl PostgresStore {
    /// Connects to the database, brings its tables up to date and starts the task that keeps
    /// indexes (it has to be called within a tokio runtime, and serves as long as that runtime
    /// runs).
    ///
    /// Several stores, also of several servers, may use the same database.
    ///
    /// Starts one task, the indexer, which [`close`](Self::close) ends, and makes connections as
    /// they are needed, up to [`connections`](PostgresOptions::connections).
    ///
    /// # Errors
    ///
    /// [`OpenError`], with one sentence for the operator.
    pub async fn open(options: impl Into<PostgresOptions> + Send) -> Result<Self, OpenError> {
        let options = options.into();
        let (hosts, count) = (options.hosts()?, options.count()?);
        Self::migrate_with(&hosts).await?;
        let connections = match hosts.shared().cloned() {
            Some(pool) => Connections::over(pool, hosts, count, options.patience),
            None => Connections::new(hosts, options.pool(), options.patience),
        };
        let database = Arc::new(Database::new(connections, count, options.patience));
        let evaluations = Evaluations::new(count);
        Ok(Self {
            indexer: Indexer::start(Arc::clone(&database), evaluations.clone()),
            setups: KnownSetups::default(),
            evaluations,
            query_turns: Turns::new(queries_at_once(count), options.patience),
            database,
        })
    }

    /// Brings the tables up to date and does nothing else: for a role that may do that, where the
    /// server's role may not.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with one sentence for the operator.
    pub async fn migrate(options: impl Into<PostgresOptions> + Send) -> Result<(), OpenError> {
        Self::migrate_with(&options.into().hosts()?).await
    }

    async fn migrate_with(hosts: &Hosts) -> Result<(), OpenError> {
        let (mut connection, name) = connect(hosts).await?;
        migration::inspect(&mut connection, &name).await?;
        migration::migrate(&mut connection, &name, migration::MIGRATIONS).await?;
        // Everything is committed.
        let _ = connection.close().await;
        Ok(())
    }

    /// Says what [`PostgresStore::open`] would come upon, without changing anything.
    ///
    /// # Errors
    ///
    /// The [`OpenError`] that opening would end with, as far as that can be known before.
    pub async fn inspect(
        options: impl Into<PostgresOptions> + Send,
    ) -> Result<DatabaseState, OpenError> {
        let (mut connection, name) = connect(&options.into().hosts()?).await?;
        let found = migration::inspect(&mut connection, &name).await;
        let _ = connection.close().await;
        let (found, known) = (found?, newest_of(migration::MIGRATIONS));
        Ok(if found == known {
            DatabaseState::Current
        } else {
            DatabaseState::Outdated { found, known }
        })
    }

    /// Finishes what runs, then closes the connections (not those of a pool that is
    /// [shared](PostgresOptions::sharing)); every later call fails as unavailable.
    pub async fn close(&self) {
        self.indexer.close().await;
        self.database.close().await;
    }

    async fn write<I: Intent>(&self, intent: I) -> Result<I::Outcome, StoreError> {
        self.database.write(intent).await
    }
}

#[async_trait]
impl Store for PostgresStore {
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
        if !self.indexer.is_serving() {
            return Err(StoreError::unavailable("a task of the store has ended"));
        }
        // Whoever asks wants to know now.
        let ready = self.database.is_ready(PING).await;
        ready.map_err(|reason| StoreError::NotReady { reason })
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
