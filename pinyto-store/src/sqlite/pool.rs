//! The connections that read.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pinyto_core::store::StoreError;
use sqlx::{
    ConnectOptions as _, Connection as _, FromRow, Sqlite, SqliteConnection,
    query::QueryAs,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::error::Failure;

/// A query whose rows become `R`.
pub(super) type Query<'q, R> = QueryAs<'q, Sqlite, R, SqliteArguments>;

/// A row that becomes `Self`, whatever the lifetime of the row.
pub(super) trait Row: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Row for R {}

/// After how many steps of its machine SQLite asks whether anybody still waits: well below a
/// millisecond.
const STEPS: i32 = 1_000;

/// A bounded number of read-only connections, opened when they are first needed.
///
/// One query is one snapshot of the database.
pub(super) struct Readers {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    count: u32,
    patience: Duration,
}

impl Readers {
    pub(super) fn new(options: SqliteConnectOptions, count: u32, patience: Duration) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(count as usize)),
            count,
            patience,
        }
    }

    /// All rows of `query`.
    pub(super) async fn all<R: Row>(&self, query: Query<'_, R>) -> Result<Vec<R>, StoreError> {
        let rows = self.all_or_error(query).await;
        Ok(rows.map_err(Failure::from)?)
    }

    /// As [`Readers::all`], for those who tell several callers of an error.
    pub(super) async fn all_or_error<R: Row>(
        &self,
        query: Query<'_, R>,
    ) -> Result<Vec<R>, sqlx::Error> {
        self.within(async {
            let mut lent = self.lend().await?;
            let rows = query.fetch_all(lent.connection()?).await?;
            self.take_back(lent);
            Ok(rows)
        })
        .await
    }

    /// The first row of `query`, if there is one.
    pub(super) async fn one<R: Row>(&self, query: Query<'_, R>) -> Result<Option<R>, StoreError> {
        let row = self.within(async {
            let mut lent = self.lend().await?;
            let row = query.fetch_optional(lent.connection()?).await?;
            self.take_back(lent);
            Ok(row)
        });
        Ok(row.await.map_err(Failure::from)?)
    }

    /// A connection for several queries, as soon as one is free. Give it back with
    /// [`Readers::take_back`]; a dropped one stops what it is doing.
    pub(super) async fn borrow(&self) -> Result<Lent, StoreError> {
        Ok(self.within(self.lend()).await.map_err(Failure::from)?)
    }

    /// Nobody waits forever.
    async fn within<T>(
        &self,
        read: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, sqlx::Error> {
        let read = timeout(self.patience, read).await;
        read.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// A connection that was given back, else a new one.
    async fn lend(&self) -> Result<Lent, sqlx::Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        if let Some(reader) = idle {
            return Ok(Lent(Some((reader, permit))));
        }
        // In a task, because opening goes on when nobody waits for it any more.
        let options = self.options.clone();
        let opening = tokio::spawn(async move {
            let reader = Reader::open(&options).await?;
            Ok(Lent(Some((reader, permit))))
        });
        opening.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Takes back a connection that has finished its queries, and its transaction.
    pub(super) fn take_back(&self, mut lent: Lent) {
        if let Some((reader, permit)) = lent.0.take() {
            self.idle().push(reader);
            drop(permit);
        }
    }

    /// Held for a push or a pop, which don't panic half-way.
    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the reads that run or wait, then closes the connections; later reads fail.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.idle());
        for reader in idle {
            let _ = reader.connection.close().await;
        }
    }
}

/// A connection that can be told to stop.
struct Reader {
    connection: SqliteConnection,
    is_wanted: Arc<AtomicBool>,
}

impl Reader {
    async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let mut connection = options.connect().await?;
        let is_wanted = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&is_wanted);
        connection
            .lock_handle()
            .await?
            .set_progress_handler(STEPS, move || goes_on.load(Ordering::Relaxed));
        Ok(Self {
            connection,
            is_wanted,
        })
    }
}

/// A connection with its share of the bound.
///
/// Who fails, or is dropped half-way, doesn't give it back: it may be broken, and SQLite may work
/// on the query until it notices that nobody wants the answer. Its share is free when it has
/// really ended.
pub(super) struct Lent(Option<(Reader, OwnedSemaphorePermit)>);

impl Lent {
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let reader = self.0.as_mut().map(|(reader, _)| reader);
        let reader = reader.ok_or(sqlx::Error::WorkerCrashed)?;
        Ok(&mut reader.connection)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Without a runtime nobody reads any more.
        let Some((reader, permit)) = self.0.take() else {
            return;
        };
        reader.is_wanted.store(false, Ordering::Relaxed);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // Waits for what it is doing.
                let _ = reader.connection.close().await;
                drop(permit);
            });
        }
    }
}
