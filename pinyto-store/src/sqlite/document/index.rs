//! The indexes of users, and the task that fills new ones and clears away those that are no longer
//! wanted.
//!
//! Which indexes a user has follows from the assemblies she has installed; whatever changes that
//! also changes the rows of `pinyto_indexes`, in the same transaction. From then on every change of
//! a document keeps the entries of all of them. The entries of documents that were there before are
//! made by the task, in transactions that are small enough not to hold up anybody. Until it is
//! through with an index, no query uses it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use pinyto_core::{
    assembly::AssemblyName, document::Document, id::UserId, query::Path, store::StoreError,
};
use quick_cache::sync::Cache;
use sqlx::SqliteConnection;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    super::{
        error::{Failure, corrupt},
        pool::Readers,
        writer::{Intent, Writer},
    },
    body,
    change::{Listings, hexadecimal},
};
use crate::row::document::DocumentRow;

#[cfg(test)]
pub(in super::super) const STATEMENTS: &[&str] = &[
    REFRESH_OF_USER,
    REFRESH_OF_ASSEMBLY,
    FORGET_ASSEMBLY,
    NEXT,
    INDEX,
    DOCUMENTS,
    LIST,
    PROGRESS,
    CLEAR,
    REMOVE,
];

/// How many documents get their entries, or how many entries go, in one transaction.
const CHUNK: i64 = 500;

/// How many bytes of documents get their entries in one transaction, about.
const CHUNK_BYTES: usize = 1024 * 1024;

/// How long to wait after something went wrong.
const PAUSE: Duration = Duration::from_secs(5);

/// The paths of users' indexes as last seen, so that entries can be made before a document's turn
/// comes. Whether they are right is checked when it has come.
pub(in super::super) struct KnownPaths(Cache<UserId, Arc<[Path]>>);

impl Default for KnownPaths {
    fn default() -> Self {
        Self(Cache::new(10_000))
    }
}

impl KnownPaths {
    pub(in super::super) fn of(&self, user: UserId) -> Arc<[Path]> {
        // What every user has.
        let only_type = || Path::parse("type").into_iter().collect();
        self.0.get(&user).unwrap_or_else(only_type)
    }

    pub(super) fn note(&self, user: UserId, paths: Vec<Path>) {
        self.0.insert(user, paths.into());
    }
}

/// What each of the users who `$users` selects is to have an index of, and what not any more. The
/// paths that the table of documents is indexed by itself are left out. There is a bound to what
/// each document costs: nobody has more than 64 indexes, those that are going included. Who is to
/// have more gets them when others have gone (queries are only slower without).
macro_rules! refresh {
    ($users:literal) => {
        concat!(
            "UPDATE pinyto_indexes AS x SET state = 'building', built_to = x''
            WHERE x.user_id IN (",
            $users,
            ") AND x.state = 'going'
                AND EXISTS (
                    SELECT 1 FROM pinyto_installations i
                    JOIN pinyto_assembly_indexes p ON p.assembly_id = i.assembly_id
                    WHERE i.user_id = x.user_id AND p.path = x.path);
            UPDATE pinyto_indexes AS x SET state = 'going'
            WHERE x.user_id IN (",
            $users,
            ") AND x.path <> 'type' AND x.state <> 'going'
                AND NOT EXISTS (
                    SELECT 1 FROM pinyto_installations i
                    JOIN pinyto_assembly_indexes p ON p.assembly_id = i.assembly_id
                    WHERE i.user_id = x.user_id AND p.path = x.path);
            INSERT INTO pinyto_indexes (user_id, path, state)
            SELECT user_id, path, 'building' FROM (
                SELECT i.user_id, p.path,
                    row_number() OVER (PARTITION BY i.user_id ORDER BY min(i.assembly_id), p.path)
                        AS place
                FROM pinyto_installations i
                JOIN pinyto_assembly_indexes p ON p.assembly_id = i.assembly_id
                WHERE i.user_id IN (",
            $users,
            ")
                    AND p.path NOT IN ('_id', 'assembly', 'time', 'type')
                    AND NOT EXISTS (
                        SELECT 1 FROM pinyto_indexes x
                        WHERE x.user_id = i.user_id AND x.path = p.path)
                GROUP BY i.user_id, p.path) AS new
            WHERE place <= 64 - (
                SELECT count(*) FROM pinyto_indexes x WHERE x.user_id = new.user_id)"
        )
    };
}

const REFRESH_OF_USER: &str = refresh!("SELECT ?1");

/// After the user has installed or uninstalled something.
pub(in super::super) async fn refresh_of_user(
    db: &mut SqliteConnection,
    user: UserId,
) -> Result<(), Failure> {
    sqlx::query(REFRESH_OF_USER)
        .bind(user.get())
        .execute(db)
        .await?;
    Ok(())
}

const REFRESH_OF_ASSEMBLY: &str =
    refresh!("SELECT user_id FROM pinyto_installations WHERE assembly_id = ?1");

/// After the assembly was replaced.
pub(in super::super) async fn refresh_of_assembly(
    db: &mut SqliteConnection,
    assembly: i64,
) -> Result<(), Failure> {
    sqlx::query(REFRESH_OF_ASSEMBLY)
        .bind(assembly)
        .execute(db)
        .await?;
    Ok(())
}

/// After everything was restored.
pub(in super::super) const REFRESH_ALL: &str = refresh!("SELECT id FROM pinyto_users");

const FORGET_ASSEMBLY: &str = concat!(
    "DELETE FROM pinyto_assembly_indexes WHERE assembly_id =
        (SELECT id FROM pinyto_assemblies WHERE author_id = ?1 AND name = ?2);
    ",
    refresh!(
        "SELECT user_id FROM pinyto_installations WHERE assembly_id =
            (SELECT id FROM pinyto_assemblies WHERE author_id = ?1 AND name = ?2)"
    )
);

/// Before the assembly is deleted.
pub(in super::super) async fn forget_assembly(
    db: &mut SqliteConnection,
    author: UserId,
    name: &AssemblyName,
) -> Result<(), Failure> {
    sqlx::query(FORGET_ASSEMBLY)
        .bind(author.get())
        .bind(name.as_str())
        .execute(db)
        .await?;
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
    pub(in super::super) fn start(writer: Arc<Writer>, readers: Arc<Readers>) -> Self {
        let (work, wanted) = mpsc::channel(1);
        let task = Task {
            writer,
            readers,
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
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    wanted: mpsc::Receiver<()>,
}

impl Task {
    async fn run(mut self) {
        while self.wanted.recv().await.is_some() {
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
        // Of this round: whether anything was done, and an index that can't be read.
        let (mut did_something, mut corrupt) = (false, None);
        while !(self.wanted.is_closed() && self.wanted.is_empty()) {
            let next = sqlx::query_as::<_, (i64,)>(NEXT).bind(last);
            match self.readers.one(next).await? {
                Some((index,)) => {
                    match self.writer.run(Step(index)).await {
                        Ok(()) => did_something = true,
                        // The others don't wait for it.
                        Err(error @ StoreError::Corrupt { .. }) => corrupt = Some(error),
                        Err(error) => return Err(error),
                    }
                    last = index;
                }
                None if last == 0 => break,
                None => {
                    if let Some(error) = corrupt.take_if(|_| !did_something) {
                        return Err(error);
                    }
                    (last, did_something, corrupt) = (0, false, None);
                }
            }
        }
        Ok(())
    }
}

const NEXT: &str = "
    SELECT id FROM pinyto_indexes WHERE state <> 'ready' AND id > ?1 ORDER BY id LIMIT 1";

/// Does a bit for an index.
struct Step(i64);

#[derive(sqlx::FromRow)]
struct IndexRow {
    user_id: i64,
    path: String,
    state: String,
    built_to: Vec<u8>,
}

const INDEX: &str = "SELECT user_id, path, state, built_to FROM pinyto_indexes WHERE id = ?1";

#[async_trait]
impl Intent for Step {
    type Outcome = ();

    async fn run(&self, db: &mut SqliteConnection) -> Result<(), Failure> {
        let row: Option<IndexRow> = sqlx::query_as(INDEX)
            .bind(self.0)
            .fetch_optional(&mut *db)
            .await?;
        match row {
            Some(row) if row.state == "building" => self.build(db, row).await,
            Some(row) if row.state == "going" => self.clear(db, UserId::new(row.user_id)).await,
            _ => Ok(()),
        }
    }
}

const DOCUMENTS: &str = concat!(
    "SELECT d.id, d.assembly_id, d.assembly, d.time, ",
    body!(),
    " AS body FROM pinyto_documents d
    WHERE d.user_id = ?1 AND d.id > ?2 ORDER BY d.id LIMIT ?3 + 0"
);

/// With the entries as a JSON array of arrays: document, assembly, path, key, role, traits.
const LIST: &str = "
    INSERT INTO pinyto_index_entries (index_id, key, document_id, assembly_id, role)
    SELECT ?1, unhex(e.value ->> 3), unhex(e.value ->> 0), e.value ->> 1, e.value ->> 4
    FROM json_each(?2) AS e WHERE true
    ON CONFLICT DO UPDATE SET role = excluded.role";

const PROGRESS: &str = "
    UPDATE pinyto_indexes SET built_to = ?2, state = ?3, traits = traits | ?4 WHERE id = ?1";

#[derive(sqlx::FromRow)]
struct ListedRow {
    assembly_id: i64,
    #[sqlx(flatten)]
    document: DocumentRow,
}

impl Step {
    /// Gives the next documents their entries.
    async fn build(&self, db: &mut SqliteConnection, index: IndexRow) -> Result<(), Failure> {
        let path = Path::parse(&index.path).map_err(corrupt("pinyto_indexes.path"))?;
        let mut built_to = index.built_to;
        let (mut entries, mut traits) = (Vec::new(), 0);
        let (mut count, mut bytes) = (0, 0);
        {
            let after = built_to.clone();
            // One by one, because single documents can be large.
            let mut rows = sqlx::query_as::<_, ListedRow>(DOCUMENTS)
                .bind(index.user_id)
                .bind(after)
                .bind(CHUNK)
                .fetch(&mut *db);
            while bytes < CHUNK_BYTES
                && let Some(row) = rows.try_next().await?
            {
                count += 1;
                bytes += row.document.body.len();
                let id = row.document.id.clone();
                let listings = match Document::try_from(row.document) {
                    Ok(document) => Listings::of(&document, [&path]),
                    // Queries that use the index find it, and say what is wrong.
                    Err(_) => Listings::of_unreadable(&path),
                };
                for (path, key, role, own) in listings.into_entries() {
                    entries.push((hexadecimal(&id), row.assembly_id, path, key, role, own));
                    traits |= own;
                }
                built_to = id;
            }
        }
        let is_done = count < CHUNK && bytes < CHUNK_BYTES;
        // Texts and numbers always become JSON.
        let entries = serde_json::to_string(&entries).unwrap_or_default();
        sqlx::query(LIST)
            .bind(self.0)
            .bind(entries)
            .execute(&mut *db)
            .await?;
        sqlx::query(PROGRESS)
            .bind(self.0)
            .bind(built_to)
            .bind(if is_done { "ready" } else { "building" })
            .bind(traits)
            .execute(&mut *db)
            .await?;
        Ok(())
    }

    /// Removes some entries, and the index after the last.
    async fn clear(&self, db: &mut SqliteConnection, user: UserId) -> Result<(), Failure> {
        let cleared = sqlx::query(CLEAR)
            .bind(self.0)
            .bind(CHUNK * 4)
            .execute(&mut *db)
            .await?;
        if cleared.rows_affected() == 0 {
            sqlx::query(REMOVE).bind(self.0).execute(&mut *db).await?;
            // There may be others for which there was no place.
            refresh_of_user(db, user).await?;
        }
        Ok(())
    }
}

const CLEAR: &str = "
    DELETE FROM pinyto_index_entries WHERE (index_id, key, document_id) IN (
        SELECT index_id, key, document_id FROM pinyto_index_entries WHERE index_id = ?1 LIMIT ?2 + 0)";

const REMOVE: &str = "DELETE FROM pinyto_indexes WHERE id = ?1";
