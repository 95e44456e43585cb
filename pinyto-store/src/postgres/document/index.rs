//! The indexes of users, and the task that fills new ones and clears away those that are no longer
//! wanted.
//!
//! Which indexes a user has follows from the assemblies she has installed; whatever changes that
//! also changes the rows of `pinyto.indexes`, in the same transaction. From then on every change of
//! a document keeps the entries of all of them. The entries of documents that were there before are
//! made by the task, in transactions that are small enough not to hold up anybody. Until it is
//! through with an index, no query uses it.
//!
//! Each server has such a task. What one leaves undone, the others take up.

mod chunk;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pinyto_core::{id::UserId, store::StoreError};
use sqlx::PgConnection;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    super::{
        error::Failure,
        lock::Lock,
        pool::{Database, Intent},
    },
    change::ROUNDS,
};
use crate::query::evaluation::Evaluations;
use chunk::{Chunk, INDEX, IndexRow, VERSIONS, read_chunk, read_rows};

/// How many entries go in one transaction.
const CLEARED: i64 = 2000;

/// How long to wait after something went wrong.
const PAUSE: Duration = Duration::from_secs(5);

/// How often to look for what other servers have left undone.
const ROUND: Duration = Duration::from_secs(60);

/// What each of the users in the array $1 is to have an index of, and what not any more. The paths
/// that the table of documents is indexed by itself are left out. There is a bound to what each
/// document costs: nobody has more than 64 indexes, those that are going included. Who is to have
/// more gets them when others have gone (queries are only slower without).
pub(in super::super) const REFRESH: &str = "
    WITH concerned AS MATERIALIZED (SELECT DISTINCT unnest($1::bigint[]) AS user_id),
    wanted AS MATERIALIZED (
        SELECT i.user_id, p.path, min(i.assembly_id) AS first
        FROM concerned c JOIN pinyto.installations i ON i.user_id = c.user_id
        JOIN pinyto.assembly_indexes p ON p.assembly_id = i.assembly_id
        WHERE p.path NOT IN ('_id', 'assembly', 'time', 'type')
        GROUP BY i.user_id, p.path),
    back AS (
        UPDATE pinyto.indexes x SET state = 'building', built_to = ''
        FROM wanted w
        WHERE x.user_id = w.user_id AND x.path = w.path AND x.state = 'going'),
    gone AS (
        UPDATE pinyto.indexes x SET state = 'going'
        FROM concerned c
        WHERE x.user_id = c.user_id AND x.path <> 'type' AND x.state <> 'going'
            AND NOT EXISTS (
                SELECT 1 FROM wanted w WHERE w.user_id = x.user_id AND w.path = x.path)),
    new AS (
        INSERT INTO pinyto.indexes (user_id, path, state)
        SELECT user_id, path, 'building' FROM (
            SELECT w.user_id, w.path,
                row_number() OVER (PARTITION BY w.user_id ORDER BY w.first, w.path) AS place
            FROM wanted w WHERE NOT EXISTS (
                SELECT 1 FROM pinyto.indexes x
                WHERE x.user_id = w.user_id AND x.path = w.path)) AS missing
        WHERE place <= 64 - (
            SELECT count(*) FROM pinyto.indexes x WHERE x.user_id = missing.user_id))
    UPDATE pinyto.users u SET setup = u.setup + 1 FROM concerned c WHERE u.id = c.user_id";

/// After what the users have installed has changed, or what that lists. They have to be locked.
pub(in super::super) async fn refresh(db: &mut PgConnection, users: &[i64]) -> Result<(), Failure> {
    if !users.is_empty() {
        sqlx::query(REFRESH).bind(users).execute(db).await?;
    }
    Ok(())
}

/// The task that brings indexes to the state they are to have.
pub(in super::super) struct Indexer {
    work: std::sync::Mutex<Option<mpsc::Sender<()>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Indexer {
    /// Starts the task, which begins with what an earlier one has left. It ends when it is closed
    /// or dropped.
    pub(in super::super) fn start(database: Arc<Database>, evaluations: Evaluations) -> Self {
        let (work, wanted) = mpsc::channel(1);
        let task = Task {
            database,
            evaluations,
            wanted,
        };
        let indexer = Self {
            work: std::sync::Mutex::new(Some(work)),
            task: Mutex::new(Some(tokio::spawn(task.run()))),
        };
        indexer.wake();
        indexer
    }

    /// Says that there may be something to do.
    pub(in super::super) fn wake(&self) {
        let work = self.work();
        if let Some(work) = &*work {
            // If it is full, the task will look anyway.
            let _ = work.try_send(());
        }
    }

    /// Whether the task runs.
    pub(in super::super) fn is_serving(&self) -> bool {
        self.work().as_ref().is_some_and(|work| !work.is_closed())
    }

    /// Held for a try to send only, which doesn't panic.
    fn work(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<()>>> {
        self.work
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Finishes the transaction that runs.
    pub(in super::super) async fn close(&self) {
        self.work().take();
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

struct Task {
    database: Arc<Database>,
    evaluations: Evaluations,
    wanted: mpsc::Receiver<()>,
}

impl Task {
    async fn run(mut self) {
        loop {
            // Also when nobody says anything.
            if let Ok(None) = timeout(ROUND, self.wanted.recv()).await {
                return;
            }
            while let Err(error) = self.work().await {
                tracing::warn!(%error, "indexing documents failed, it will be tried again");
                if self.is_closed_within(PAUSE).await {
                    return;
                }
            }
        }
    }

    /// Waits, unless the store closes.
    async fn is_closed_within(&mut self, pause: Duration) -> bool {
        let closed = async { while self.wanted.recv().await.is_some() {} };
        timeout(pause, closed).await.is_ok()
    }

    /// Goes round the indexes that aren't as they are to be, doing a bit for each, until none is
    /// left or the store closes.
    async fn work(&mut self) -> Result<(), StoreError> {
        let mut last = 0;
        // Of this round: whether anything was done, and why something couldn't be.
        let (mut did_something, mut failed) = (false, None);
        while !(self.wanted.is_closed() && self.wanted.is_empty()) {
            let next = || sqlx::query_as::<_, (i64, i64)>(NEXT).bind(last);
            match self.database.one(next).await? {
                Some((index, user)) => {
                    let user = UserId::new(user);
                    match self.step(index, user).await {
                        Ok(()) => did_something = true,
                        // It can't be read, or its user is busy: the others don't wait for it.
                        Err(error) => failed = Some(error),
                    }
                    last = index;
                }
                None if last == 0 => break,
                None => {
                    if let Some(error) = failed.take_if(|_| !did_something) {
                        return Err(error);
                    }
                    (last, did_something, failed) = (0, false, None);
                }
            }
        }
        Ok(())
    }
}

impl Task {
    /// Does a bit for an index. What documents are listed by is worked out before their user is
    /// locked; if she changes them too often meanwhile, then.
    async fn step(&self, index: i64, user: UserId) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let read = || {
                self.database
                    .lend(async |db| read_chunk(db, index, user).await)
            };
            let prepared = match self.database.reading(read).await? {
                Some(rows) => Some(Chunk::of(rows, &self.evaluations).await?),
                None => None,
            };
            let step = Step {
                index,
                user,
                prepared,
                works_out: false,
            };
            if self.database.write(step).await? {
                return Ok(());
            }
        }
        let step = Step {
            index,
            user,
            prepared: None,
            works_out: true,
        };
        self.database.write(step).await.map(drop)
    }
}

const NEXT: &str = "
    SELECT id, user_id FROM pinyto.indexes WHERE state <> 'ready' AND id > $1
    ORDER BY id LIMIT 1";

/// Does a bit for an index.
struct Step {
    index: i64,
    user: UserId,
    /// What documents get, if the index was being built.
    prepared: Option<Chunk>,
    /// Whether that is worked out here, if it wasn't before.
    works_out: bool,
}

#[async_trait]
impl Intent for Step {
    /// Whether it was done, or there is nothing to do; else what was prepared doesn't fit.
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let row: Option<IndexRow> = sqlx::query_as(INDEX)
            .bind(self.index)
            .fetch_optional(&mut *db)
            .await?;
        match row {
            Some(row) if row.state == "building" => self.build(db, row).await,
            Some(row) if row.state == "going" => self.clear(db).await.map(|()| true),
            _ => Ok(true),
        }
    }
}

const LIST: &str = "
    INSERT INTO pinyto.index_entries (index_id, key, document_id, assembly_id, role)
    SELECT $1, e.key, e.document_id, e.assembly_id, e.role
    FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::smallint[])
        AS e (key, document_id, assembly_id, role)
    ON CONFLICT (index_id, key, document_id) DO UPDATE SET role = excluded.role";

const PROGRESS: &str = "
    UPDATE pinyto.indexes SET built_to = $2, state = $3, traits = traits | $4 WHERE id = $1";

impl Step {
    /// Gives the next documents their entries.
    async fn build(&self, db: &mut PgConnection, index: IndexRow) -> Result<bool, Failure> {
        let worked_out;
        let chunk = match &self.prepared {
            Some(chunk) if self.fits(db, chunk, &index).await? => chunk,
            _ if self.works_out => {
                worked_out = Chunk::now(read_rows(db, self.user, index).await?);
                &worked_out
            }
            _ => return Ok(false),
        };
        let batch = &chunk.batch;
        sqlx::query(LIST)
            .bind(self.index)
            .bind(batch.keys.as_slice())
            .bind(batch.documents.as_slice())
            .bind(batch.assemblies.as_slice())
            .bind(batch.roles.as_slice())
            .execute(&mut *db)
            .await?;
        sqlx::query(PROGRESS)
            .bind(self.index)
            .bind(chunk.to.as_slice())
            .bind(if chunk.is_last { "ready" } else { "building" })
            .bind(batch.traits)
            .execute(&mut *db)
            .await?;
        Ok(true)
    }

    /// Whether the index is as far as it was, and the documents are still the same.
    async fn fits(
        &self,
        db: &mut PgConnection,
        chunk: &Chunk,
        index: &IndexRow,
    ) -> Result<bool, Failure> {
        if chunk.from != index.built_to {
            return Ok(false);
        }
        let (versions, more): (Vec<String>, bool) = sqlx::query_as(VERSIONS)
            .bind(self.user.get())
            .bind(chunk.from.as_slice())
            .bind(chunk.to.as_slice())
            .fetch_one(db)
            .await?;
        Ok(versions == chunk.versions && !(chunk.is_last && more))
    }

    /// Removes some entries, and the index after the last.
    async fn clear(&self, db: &mut PgConnection) -> Result<(), Failure> {
        let cleared = sqlx::query(CLEAR)
            .bind(self.index)
            .bind(CLEARED)
            .execute(&mut *db)
            .await?;
        if cleared.rows_affected() == 0 {
            sqlx::query(REMOVE)
                .bind(self.index)
                .execute(&mut *db)
                .await?;
            // There may be others for which there was no place.
            refresh(db, &[self.user.get()]).await?;
        }
        Ok(())
    }
}

const CLEAR: &str = "
    DELETE FROM pinyto.index_entries e
    USING (SELECT key, document_id FROM pinyto.index_entries WHERE index_id = $1 LIMIT $2) AS going
    WHERE e.index_id = $1 AND e.key = going.key AND e.document_id = going.document_id";

const REMOVE: &str = "DELETE FROM pinyto.indexes WHERE id = $1";
