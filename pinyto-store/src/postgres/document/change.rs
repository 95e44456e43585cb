//! What changes documents: each change is one transaction together with the user's usage and the
//! entries in her indexes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{
        Document, DocumentId, InsertOutcome, NewEntry, QueuedJob, Replacement, SaveOutcome, Scope,
    },
    id::UserId,
    query::Path,
    store::StoreError,
};
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::{
    super::{
        PostgresStore,
        error::Failure,
        job,
        pool::{Intent, Lock},
    },
    listing::Listings,
    setup::{KnownSetups, Setup, with_paths},
};
use crate::{query::evaluation::Evaluations, row::document::DocumentRow};

/// Accounts for `$added` bytes that came and `$removed` that went at `$at`:
/// [`Usage::with_storage_changed`](pinyto_core::usage::Usage) to the last bit (seconds and the rest
/// of a duration become floating-point numbers separately).
macro_rules! account {
    ($at:literal, $added:literal, $removed:literal) => {
        concat!(
            "byte_seconds = byte_seconds + bytes::float8 * (
                (greatest(",
            $at,
            "::numeric - calculated_at, 0)::bigint / 1000)::float8
                + (greatest(",
            $at,
            "::numeric - calculated_at, 0)::bigint % 1000 * 1000000)::float8 / 1e9::float8),
            bytes = greatest(bytes + ",
            $added,
            " - ",
            $removed,
            ", 0),
            calculated_at = greatest(calculated_at, ",
            $at,
            ")"
        )
    };
}

/// The indexes `$indexes` have got entries with `$traits`, if there is a row in `$table`.
macro_rules! note_traits {
    ($indexes:literal, $traits:literal, $table:literal) => {
        concat!(
            "UPDATE pinyto.indexes x SET traits = x.traits | e.traits
            FROM ",
            $table,
            ", unnest(",
            $indexes,
            "::bigint[], ",
            $traits,
            "::bigint[]) AS e (index_id, traits)
            WHERE x.id = e.index_id AND x.traits & e.traits <> e.traits"
        )
    };
}

fn size(document: &Document) -> i64 {
    i64::try_from(document.size()).unwrap_or(i64::MAX)
}

fn max_bytes(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

fn text(fields: &Map<String, Value>) -> Result<String, StoreError> {
    // A JSON value always becomes text.
    serde_json::to_string(fields).map_err(StoreError::unavailable)
}

/// Does nothing if the assembly isn't installed, if it would be too much, or if the user has
/// changed what she has set up: her row is changed under these conditions, and whatever else is
/// done depends on that.
const INSERT: &str = concat!(
    "WITH installed AS MATERIALIZED (
        SELECT a.id, author.name || '/' || a.name AS name
        FROM pinyto.users author
        JOIN pinyto.assemblies a ON a.author_id = author.id AND a.name = $6
        JOIN pinyto.installations i ON i.assembly_id = a.id AND i.user_id = $1
        WHERE author.name = $5),
    charged AS (
        UPDATE pinyto.users SET ",
    account!("$3", "$4", "0"),
    " WHERE id = $1 AND setup = $9 AND bytes <= $8 - $4 AND EXISTS (SELECT 1 FROM installed)
        RETURNING id),
    stored AS (
        INSERT INTO pinyto.documents (user_id, id, assembly, assembly_id, time, size, body)
        SELECT $1, $2, installed.name, installed.id, $3, $4, $7::json FROM charged, installed),
    listed AS (
        INSERT INTO pinyto.index_entries (index_id, key, document_id, assembly_id, role)
        SELECT e.index_id, e.key, $2, installed.id, e.role
        FROM charged, installed,
            unnest($10::bigint[], $11::bytea[], $12::smallint[]) AS e (index_id, key, role)),
    noted AS (",
    note_traits!("$13", "$14", "charged"),
    ")
    SELECT count(*) FROM charged"
);

/// Why nothing was inserted.
const CIRCUMSTANCES: &str = "
    SELECT EXISTS (
               SELECT 1 FROM pinyto.users author
               JOIN pinyto.assemblies a ON a.author_id = author.id AND a.name = $3
               JOIN pinyto.installations i ON i.assembly_id = a.id AND i.user_id = $1
               WHERE author.name = $2) AS installed,
           u.bytes, u.setup,
           ARRAY(SELECT id FROM pinyto.indexes WHERE user_id = $1 ORDER BY id) AS indexes,
           ARRAY(SELECT path FROM pinyto.indexes WHERE user_id = $1 ORDER BY id) AS paths
    FROM pinyto.users u WHERE u.id = $1";

#[derive(sqlx::FromRow)]
struct CircumstancesRow {
    installed: bool,
    bytes: i64,
    setup: i64,
    indexes: Vec<i64>,
    paths: Vec<String>,
}

/// How often an insert is tried while the user changes what she has set up, before she is locked.
const TRIES: usize = 3;

struct Insert<'a> {
    user: UserId,
    document: &'a Document,
    size: i64,
    body: &'a str,
    max_bytes: i64,
    job: Option<&'a QueuedJob>,
    setups: &'a KnownSetups,
    evaluations: &'a Evaluations,
    /// Whether nobody else may change anything of the user's meanwhile.
    locks: bool,
    /// Whether an earlier try may have stored it.
    may_be_done: &'a AtomicBool,
}

pub(super) async fn insert(
    store: &PostgresStore,
    user: UserId,
    entry: &NewEntry,
) -> Result<InsertOutcome, StoreError> {
    let document = &entry.document;
    let body = text(&document.fields)?;
    let may_be_done = AtomicBool::new(false);
    let insert = |locks| Insert {
        user,
        document,
        size: size(document),
        body: &body,
        max_bytes: max_bytes(entry.max_bytes),
        job: entry.job.as_ref(),
        setups: &store.setups,
        evaluations: &store.evaluations,
        locks,
        may_be_done: &may_be_done,
    };
    // A job depends on how many are queued.
    let locks = entry.job.is_some();
    if let Some(outcome) = store.write(insert(locks)).await? {
        return Ok(outcome);
    }
    let outcome = store.write(insert(true)).await?;
    outcome.ok_or_else(|| StoreError::unavailable("a user's indexes don't fit her row"))
}

#[async_trait]
impl Intent for Insert<'_> {
    /// `None`: what she has set up changes again and again.
    type Outcome = Option<InsertOutcome>;

    /// Without locks, only the last of its statements changes anything.
    fn locks(&self) -> Option<Vec<Lock>> {
        self.locks.then(|| vec![Lock::User(self.user)])
    }

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    fn may_be_done(&self) {
        self.may_be_done.store(true, Ordering::Relaxed);
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Option<InsertOutcome>, Failure> {
        if self.may_be_done.load(Ordering::Relaxed) && self.is_done(db).await? {
            return Ok(Some(InsertOutcome::Inserted));
        }
        // Before anything is written.
        let refused = match self.job {
            Some(QueuedJob { job, limit, .. }) => job::refusal(db, self.user, job, *limit).await?,
            None => None,
        };
        let mut setup = self.setups.of(self.user);
        for _ in 0..TRIES {
            if let Some(setup) = setup.take()
                && refused.is_none()
                && self.insert_once(db, &setup).await?
            {
                if let Some(job) = self.job {
                    job::enqueue(db, self.user, self.document, job).await?;
                }
                return Ok(Some(InsertOutcome::Inserted));
            }
            let assembly = &self.document.assembly;
            let row: Option<CircumstancesRow> = sqlx::query_as(CIRCUMSTANCES)
                .bind(self.user.get())
                .bind(assembly.author.as_str())
                .bind(assembly.name.as_str())
                .fetch_optional(&mut *db)
                .await?;
            let Some(row) = row.filter(|row| row.installed) else {
                return Ok(Some(InsertOutcome::NotInstalled));
            };
            if row.bytes > self.max_bytes.saturating_sub(self.size) {
                return Ok(Some(InsertOutcome::StorageFull));
            }
            if let Some(refused) = refused {
                return Ok(Some(InsertOutcome::NotQueued(refused)));
            }
            let new = Arc::new(Setup::new(row.setup, row.indexes, &row.paths)?);
            self.setups.note(self.user, Arc::clone(&new));
            setup = Some(new);
        }
        Ok(None)
    }
}

/// Identifiers are given once.
const IS_DONE: &str = "SELECT 1 FROM pinyto.documents WHERE user_id = $1 AND id = $2";

impl Insert<'_> {
    /// Whether the document is there: then an earlier try has stored it, whose answer got lost.
    async fn is_done(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let found: Option<(i32,)> = sqlx::query_as(IS_DONE)
            .bind(self.user.get())
            .bind(self.document.id.as_bytes().as_slice())
            .fetch_optional(db)
            .await?;
        Ok(found.is_some())
    }

    /// [`Insert::insert`], or whether that has happened.
    async fn insert_once(&self, db: &mut PgConnection, setup: &Setup) -> Result<bool, Failure> {
        match self.insert(db, setup).await {
            // An earlier try was committed just now.
            Err(Failure::Sql(sqlx::Error::Database(error)))
                if error.is_unique_violation() && self.may_be_done.load(Ordering::Relaxed) =>
            {
                Ok(true)
            }
            inserted => inserted,
        }
    }

    async fn insert(&self, db: &mut PgConnection, setup: &Setup) -> Result<bool, Failure> {
        let Document {
            id, assembly, time, ..
        } = self.document;
        let indexes = &setup.indexes;
        let listings = Listings::of(self.document, self.body, indexes, self.evaluations).await?;
        let entries = listings.entries();
        let (indexes, traits) = listings.traits();
        let (inserted,): (i64,) = sqlx::query_as(INSERT)
            .bind(self.user.get())
            .bind(id.as_bytes().as_slice())
            .bind(time.unix_millis())
            .bind(self.size)
            .bind(assembly.author.as_str())
            .bind(assembly.name.as_str())
            .bind(self.body)
            .bind(self.max_bytes)
            .bind(setup.changes)
            .bind(entries.indexes)
            .bind(entries.keys)
            .bind(entries.roles)
            .bind(indexes)
            .bind(traits)
            .fetch_one(db)
            .await?;
        Ok(inserted > 0)
    }
}

/// What is there before a change.
#[derive(sqlx::FromRow)]
struct StoredRow {
    size: i64,
    bytes: i64,
    indexes: Vec<i64>,
    paths: Vec<String>,
    #[sqlx(flatten)]
    document: DocumentRow,
}

struct Stored {
    document: Document,
    body: String,
    size: i64,
    bytes: i64,
    indexes: Vec<(i64, Path)>,
}

const STORED: &str = "
    SELECT d.id, d.assembly, d.time, d.size, u.bytes, d.body::text AS body,
        ARRAY(SELECT id FROM pinyto.indexes WHERE user_id = $1 ORDER BY id) AS indexes,
        ARRAY(SELECT path FROM pinyto.indexes WHERE user_id = $1 ORDER BY id) AS paths
    FROM pinyto.documents d JOIN pinyto.users u ON u.id = d.user_id
    WHERE d.user_id = $1 AND d.id = $2 AND ($3::bigint IS NULL OR d.assembly_id = $3)";

async fn stored(
    db: &mut PgConnection,
    scope: Scope,
    id: DocumentId,
) -> Result<Option<Stored>, Failure> {
    let row: Option<StoredRow> = sqlx::query_as(STORED)
        .bind(scope.user.get())
        .bind(id.as_bytes().as_slice())
        .bind(scope.assembly.map(|assembly| assembly.get()))
        .fetch_optional(db)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Stored {
        document: row.document.document()?,
        body: row.document.body,
        size: row.size,
        bytes: row.bytes,
        indexes: with_paths(row.indexes, &row.paths)?,
    }))
}

/// Removes the entries `$indexes`, `$keys` of document $2.
macro_rules! remove_entries {
    ($indexes:literal, $keys:literal) => {
        concat!(
            "DELETE FROM pinyto.index_entries x
            USING unnest(",
            $indexes,
            "::bigint[], ",
            $keys,
            "::bytea[]) AS e (index_id, key)
            WHERE x.index_id = e.index_id AND x.key = e.key AND x.document_id = $2"
        )
    };
}

pub(super) struct Save {
    scope: Scope,
    id: DocumentId,
    new: Replacement,
    body: String,
    evaluations: Evaluations,
}

impl Save {
    pub(super) fn new(
        scope: Scope,
        id: DocumentId,
        new: &Replacement,
        evaluations: Evaluations,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            scope,
            id,
            evaluations,
            body: text(&new.fields)?,
            new: new.clone(),
        })
    }
}

const SAVE: &str = concat!(
    "WITH changed AS (
        UPDATE pinyto.documents SET time = $3, size = $4, body = $5::json
        WHERE user_id = $1 AND id = $2 RETURNING assembly_id),
    charged AS (
        UPDATE pinyto.users SET ",
    account!("$6", "$4", "$7"),
    " WHERE id = $1),
    gone AS (",
    remove_entries!("$8", "$9"),
    "),
    noted AS (",
    note_traits!("$10", "$11", "changed"),
    ")
    INSERT INTO pinyto.index_entries (index_id, key, document_id, assembly_id, role)
    SELECT e.index_id, e.key, $2, changed.assembly_id, e.role
    FROM changed, unnest($12::bigint[], $13::bytea[], $14::smallint[]) AS e (index_id, key, role)
    ON CONFLICT (index_id, key, document_id) DO UPDATE SET role = excluded.role"
);

#[async_trait]
impl Intent for Save {
    type Outcome = SaveOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.scope.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<SaveOutcome, Failure> {
        let Some(old) = stored(db, self.scope, self.id).await? else {
            return Ok(SaveOutcome::NotFound);
        };
        let new = Document {
            time: self.new.time.unwrap_or(old.document.time),
            fields: self.new.fields.clone(),
            ..old.document.clone()
        };
        let size = size(&new);
        let after = old.bytes.saturating_add(size).saturating_sub(old.size);
        if size > old.size && after > max_bytes(self.new.max_bytes) {
            return Ok(SaveOutcome::StorageFull);
        }
        let (indexes, evaluations) = (&old.indexes, &self.evaluations);
        let before = Listings::of(&old.document, &old.body, indexes, evaluations).await?;
        let listings = Listings::of(&new, &self.body, indexes, evaluations).await?;
        let (gone, come) = before.changed_to(&listings);
        let (indexes, traits) = listings.traits();
        sqlx::query(SAVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(new.time.unix_millis())
            .bind(size)
            .bind(self.body.as_str())
            .bind(self.new.at.unix_millis())
            .bind(old.size)
            .bind(gone.indexes)
            .bind(gone.keys)
            .bind(indexes)
            .bind(traits)
            .bind(come.indexes)
            .bind(come.keys)
            .bind(come.roles)
            .execute(db)
            .await?;
        Ok(SaveOutcome::Saved)
    }
}

/// Removes a document, as anything that does has to: with its entries, and accounted for.
pub(in super::super) struct Remove {
    pub(in super::super) scope: Scope,
    pub(in super::super) id: DocumentId,
    pub(in super::super) at: Timestamp,
    pub(in super::super) evaluations: Evaluations,
}

const REMOVE: &str = concat!(
    "WITH removed AS (DELETE FROM pinyto.documents WHERE user_id = $1 AND id = $2),
    gone AS (",
    remove_entries!("$5", "$6"),
    ")
    UPDATE pinyto.users SET ",
    account!("$3", "0", "$4"),
    " WHERE id = $1"
);

#[async_trait]
impl Intent for Remove {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.scope.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let Some(old) = stored(db, self.scope, self.id).await? else {
            return Ok(false);
        };
        let (indexes, evaluations) = (&old.indexes, &self.evaluations);
        let listings = Listings::of(&old.document, &old.body, indexes, evaluations).await?;
        let entries = listings.entries();
        sqlx::query(REMOVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.at.unix_millis())
            .bind(old.size)
            .bind(entries.indexes)
            .bind(entries.keys)
            .execute(db)
            .await?;
        Ok(true)
    }
}
