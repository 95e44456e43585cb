//! Transactions, and the one place where something is tried again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pinyto_core::{id::UserId, slots::Slots, store::StoreError};
use sqlx::{
    AssertSqlSafe, Connection as _, FromRow, PgConnection, Postgres,
    postgres::{PgArguments, PgRow},
    query::QueryAs,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::{
    connections::{Connections, InUse, Lent, Turn},
    error::{Failure, Trouble, trouble},
    hosts::is_writable,
    lock::{Lock, begin},
};

/// A query whose rows become `R`.
pub(super) type Query<'q, R> = QueryAs<'q, Postgres, R, PgArguments>;

/// A row that becomes `Self`, whatever the lifetime of the row.
pub(super) trait Row: for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for R {}

/// How much longer the server has to say that something took too long.
const GRACE: Duration = Duration::from_secs(1);

/// How often something is tried that was in somebody's way or met a broken connection.
const TRIES: u32 = 5;

/// Something that changes the database: all or nothing, possibly several times over.
#[async_trait]
pub(super) trait Intent: Send + Sync {
    /// What became of it.
    type Outcome: Send;

    /// What is locked first. `None`: it is one statement, which is a transaction of its own and may
    /// come about twice: nobody knows what became of one whose connection broke. With no locks it is
    /// a transaction nevertheless.
    fn locks(&self) -> Option<Vec<Lock>>;

    /// The user who waits in turn with others, so that many changes of hers don't take all
    /// connections.
    fn user(&self) -> Option<UserId> {
        self.locks()?.iter().find_map(|lock| match lock {
            Lock::User(user) | Lock::Writings(user) => Some(*user),
            Lock::Claims | Lock::WritingsShared(_) => None,
        })
    }

    /// The next try follows one that may have come about.
    fn may_be_done(&self) {}

    /// Does it. Nothing outside the database may be changed, since it may be done again.
    async fn run(&self, db: &mut PgConnection) -> Result<Self::Outcome, Failure>;
}

/// How many of the connections the queries of assemblies' code may have: enough for a short and a
/// long one.
pub(super) fn queries_at_once(connections: u32) -> usize {
    (connections / 2).max(2) as usize
}

/// The database, as those see it who ask it.
pub(super) struct Database {
    connections: Connections,
    patience: Duration,
    /// Of the connections that the queries of assemblies' code may have.
    for_queries: Semaphore,
    /// Turns for changes: those of one user wait for each other, and each has a connection.
    for_changes: Arc<Slots>,
    /// Of the connections that changes may have of which nobody knows whose they are before they
    /// are made.
    for_others: Arc<Semaphore>,
}

/// Why a try ended without a result.
enum Ended {
    /// Nothing was changed, or what was may come about twice; and another try may succeed.
    Again(Failure),
    For(Failure),
}

impl Ended {
    /// In a transaction that is not committed.
    fn uncommitted(failure: impl Into<Failure>) -> Self {
        let failure = failure.into();
        match failure.trouble() {
            Trouble::Conflict | Trouble::Lost | Trouble::ReadOnly | Trouble::Stale => {
                Self::Again(failure)
            }
            _ => Self::For(failure),
        }
    }

    /// At a moment from which on it may be committed.
    fn committing(failure: impl Into<Failure>) -> Self {
        let failure = failure.into();
        match failure.trouble() {
            Trouble::Conflict => Self::Again(failure),
            _ => Self::For(failure),
        }
    }

    fn trouble(&self) -> Trouble {
        let (Self::Again(failure) | Self::For(failure)) = self;
        failure.trouble()
    }
}

impl Database {
    pub(super) fn new(
        connections: Connections,
        connections_at_most: u32,
        patience: Duration,
    ) -> Self {
        let count = connections_at_most as usize;
        Self {
            connections,
            patience,
            for_queries: Semaphore::new(queries_at_once(connections_at_most)),
            // Some are left for what only reads, and waits for nobody.
            for_changes: Slots::new(count - count / 4, count / 4),
            for_others: Arc::new(Semaphore::new((count / 2).max(1))),
        }
    }

    /// For tests that take them.
    #[cfg(test)]
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// All rows of the query that `make` makes.
    pub(super) async fn all<'q, R: Row>(
        &self,
        make: impl Fn() -> Query<'q, R> + Send + Sync,
    ) -> Result<Vec<R>, StoreError> {
        self.reading(|| self.fetch(make())).await
    }

    /// The first row of the query that `make` makes, if there is one.
    pub(super) async fn one<'q, R: Row>(
        &self,
        make: impl Fn() -> Query<'q, R> + Send + Sync,
    ) -> Result<Option<R>, StoreError> {
        Ok(self.all(make).await?.into_iter().next())
    }

    /// Reads, several times over if others are in the way or connections break.
    pub(super) async fn reading<T, F>(&self, read: impl Fn() -> F + Send) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let since = Instant::now();
        let mut tries = 1;
        loop {
            match read().await.map_err(Ended::uncommitted) {
                Ok(read) => return Ok(read),
                Err(Ended::Again(failure)) if self.is_to_try(tries, since) => {
                    tracing::debug!(?failure, tries, "a query is tried again");
                    tries += 1;
                }
                Err(Ended::Again(failure) | Ended::For(failure)) => return Err(failure.into()),
            }
        }
    }

    fn is_to_try(&self, tries: u32, since: Instant) -> bool {
        tries < TRIES && since.elapsed() < self.patience
    }

    async fn fetch<R: Row>(&self, query: Query<'_, R>) -> Result<Vec<R>, Failure> {
        let mut connection = self.connections.get().await?;
        match timeout(self.patience + GRACE, query.fetch_all(&mut *connection)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                self.connections.judge(connection, trouble(&error));
                Err(error.into())
            }
            Err(_) => Err(self.unanswered(connection)),
        }
    }

    /// Reads on a connection, within the patience.
    pub(super) async fn lend<T>(
        &self,
        read: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = self.connections.get().await?;
        match timeout(self.patience + GRACE, read(&mut connection)).await {
            Ok(read) => read.inspect_err(|failure| {
                self.connections.judge(connection, failure.trouble());
            }),
            Err(_) => Err(self.unanswered(connection)),
        }
    }

    /// The server would have said that it takes too long: there is none any more.
    fn unanswered(&self, connection: Lent) -> Failure {
        self.connections.forfeit(connection);
        sqlx::Error::PoolTimedOut.into()
    }

    /// Does what is intended when it is its user's turn, several times over if others are in the way.
    pub(super) async fn write<I: Intent>(&self, intent: I) -> Result<I::Outcome, StoreError> {
        let since = Instant::now();
        let turn = timeout(self.patience, self.turn(intent.user())).await;
        let turn = Arc::new(turn.map_err(|_| StoreError::busy())??);
        let mut tries = 1;
        loop {
            match self.attempt(&intent, &turn).await {
                Ok(outcome) => return Ok(outcome),
                Err(Ended::Again(failure)) if self.is_to_try(tries, since) => {
                    tracing::debug!(?failure, tries, "a transaction is tried again");
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                Err(Ended::Again(failure) | Ended::For(failure)) => return Err(failure.into()),
            }
        }
    }

    async fn turn(&self, user: Option<UserId>) -> Result<Turn, StoreError> {
        Ok(if let Some(user) = user {
            Turn::Of(self.for_changes.take(user).await)
        } else {
            let permit = Arc::clone(&self.for_others).acquire_owned().await;
            Turn::Other(permit.map_err(StoreError::unavailable)?)
        })
    }

    async fn attempt<I: Intent>(&self, intent: &I, turn: &Arc<Turn>) -> Result<I::Outcome, Ended> {
        let connection = self.connections.get().await.map_err(Ended::For)?;
        let bound = self.patience + GRACE;
        let mut connection = InUse::new(connection, Arc::clone(turn), bound);
        let begin = intent.locks().map(|locks| begin(&locks, self.patience));
        let work = async { perform(connection.get()?, begin, intent).await };
        match timeout(bound, work).await {
            Ok(Ok(Ok(outcome))) => {
                drop(connection.take_back());
                Ok(outcome)
            }
            Ok(Ok(Err(ended))) => {
                if let Some(connection) = connection.take_back() {
                    self.connections.judge(connection, ended.trouble());
                }
                Err(ended)
            }
            // The transaction is there, but failed; the driver doesn't know of it.
            Ok(Err(error)) => {
                if let Trouble::Lost | Trouble::ReadOnly = trouble(&error)
                    && let Some(connection) = connection.take_back()
                {
                    self.connections.forfeit(connection);
                }
                Err(Ended::uncommitted(error))
            }
            // All of it took too long, which says nothing of the server.
            Err(_) => Err(Ended::For(sqlx::Error::PoolTimedOut.into())),
        }
    }

    /// A connection for a query of assemblies' code, as soon as one is free.
    pub(super) async fn for_query(&self) -> Result<ForQuery<'_>, Failure> {
        let lent = timeout(self.patience, async {
            let permit = self.for_queries.acquire().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            Ok(ForQuery {
                connection: Some(self.connections.get().await?),
                connections: &self.connections,
                _permit: permit,
            })
        });
        let lent = lent.await;
        lent.unwrap_or(Err(sqlx::Error::PoolTimedOut.into()))
    }

    /// Whether the database can be written, within so much time; else why not, in words that
    /// anybody may read.
    pub(super) async fn is_ready(&self, within: Duration) -> Result<(), &'static str> {
        let asked = timeout(within, async {
            match self.ask().await {
                // A connection that a former restart has broken says nothing of the server.
                Err(failure) if failure.trouble() == Trouble::Lost => self.ask().await,
                asked => asked,
            }
        });
        let failure = match asked.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) if failure.trouble() != Trouble::Late => failure,
            // Why it takes so long.
            _ => match timeout(within, self.connections.probe()).await {
                Ok(Ok(())) => return Err("no connection to it is free"),
                Ok(Err(failure)) => failure,
                Err(_) => return Err("it doesn't answer"),
            },
        };
        tracing::warn!(?failure, "the database is not ready");
        Err(failure.reason())
    }

    /// Whether the database can be written, asked on any connection.
    async fn ask(&self) -> Result<(), Failure> {
        let mut connection = self.connections.get().await?;
        match is_writable(&mut connection).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.connections.forfeit(connection);
                Err(Failure::ReadOnly)
            }
            Err(error) => {
                self.connections.judge(connection, trouble(&error));
                Err(error.into())
            }
        }
    }

    /// Waits for what runs, then closes the connections; later calls fail.
    pub(super) async fn close(&self) {
        self.for_queries.close();
        self.connections.close().await;
    }
}

/// Does what is intended once. An error of its own means that the transaction can't be begun.
async fn perform<I: Intent>(
    db: &mut PgConnection,
    begin: Option<String>,
    intent: &I,
) -> Result<Result<I::Outcome, Ended>, sqlx::Error> {
    let Some(begin) = begin else {
        return Ok(intent.run(db).await.map_err(|failure| {
            let ended = Ended::uncommitted(failure);
            if ended.trouble() == Trouble::Lost {
                intent.may_be_done();
            }
            ended
        }));
    };
    let mut transaction = db.begin_with(AssertSqlSafe(begin)).await?;
    let outcome = match intent.run(&mut transaction).await {
        Ok(outcome) => outcome,
        Err(failure) => return Ok(Err(Ended::uncommitted(failure))),
    };
    let committed = transaction.commit().await.map_err(Ended::committing);
    Ok(committed.map(|()| outcome))
}

/// The pause before the second try; each further one is longer.
const PAUSE: Duration = Duration::from_millis(5);

/// A connection with its share of the bound. One that is not given back is closed: something may
/// still run on it that nobody waits for any more.
pub(super) struct ForQuery<'a> {
    connection: Option<Lent>,
    connections: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl ForQuery<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connection = self.connection.as_deref_mut();
        connection.ok_or(sqlx::Error::PoolClosed)
    }

    /// Gives it back, to be rolled back, for which nobody waits.
    pub(super) fn give_back(mut self) {
        self.connection.take();
    }

    /// Takes it back after trouble.
    pub(super) fn judge(mut self, trouble: Trouble) {
        if let Some(connection) = self.connection.take() {
            self.connections.judge(connection, trouble);
        }
    }
}

impl Drop for ForQuery<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.abandon();
        }
    }
}
