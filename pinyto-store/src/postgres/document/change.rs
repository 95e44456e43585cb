//! What changes documents: each change is one transaction together with the user's usage and the
//! entries in her indexes.
//!
//! Her row is locked meanwhile, so what takes long, how indexes list a large document, is worked out
//! before; whether that is still right is checked then.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{Document, InsertOutcome, NewEntry, QueuedJob, tree_size},
    id::UserId,
    store::StoreError,
};
use sqlx::PgConnection;

use super::{
    super::{PostgresStore, error::Failure, job, lock::Lock, pool::Intent},
    listing::Listings,
    setup::{KnownSetups, Setup},
};
use crate::{
    query::evaluation::{Evaluations, SMALL},
    row::document::fields_text,
};

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

mod prepare;
mod save;

pub(in super::super) use prepare::Prepared;
pub(in super::super) use save::Remove;
pub(super) use save::{remove, save};

/// How often a change is prepared again because somebody else was quicker. Then it is worked out while
/// the user is locked.
pub(super) const ROUNDS: usize = 8;

/// The most bytes of a stored document that is read while its user is locked.
pub(in super::super) const SMALL_STORED: i64 = 16 * 1024;

fn size(document: &Document) -> i64 {
    i64::try_from(document.size()).unwrap_or(i64::MAX)
}

fn max_bytes(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
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
    account!("$15", "$4", "0"),
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
    at: Timestamp,
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
    /// How the indexes of a setup list it.
    prepared: Option<&'a (Arc<Setup>, Listings)>,
    /// Whether that is worked out here if it isn't prepared.
    works_out: bool,
}

/// What became of an insert under the condition of a setup.
enum Tried {
    Inserted,
    Refused,
    Unprepared,
}

pub(super) async fn insert(
    store: &PostgresStore,
    user: UserId,
    entry: &NewEntry,
) -> Result<InsertOutcome, StoreError> {
    let document = &entry.document;
    let body = fields_text(&document.fields)?;
    let may_be_done = AtomicBool::new(false);
    let (setups, evaluations) = (&store.setups, &store.evaluations);
    let is_large = tree_size(&body) > SMALL;
    let mut prepared = None;
    let mut forgot = false;
    for round in 0..=ROUNDS {
        // A job depends on how many are queued.
        let locks = entry.job.is_some() || round > 0;
        let is_prepared = is_large && locks && round < ROUNDS;
        if is_prepared && let Some(setup) = setups.of(user) {
            let listings = Listings::of(document, &body, &setup.indexes, evaluations).await;
            prepared = Some((setup, listings.map_err(Failure::from)?));
        }
        let insert = Insert {
            user,
            document,
            at: entry.at,
            size: size(document),
            body: &body,
            max_bytes: max_bytes(entry.max_bytes),
            job: entry.job.as_ref(),
            setups,
            evaluations,
            locks,
            may_be_done: &may_be_done,
            prepared: prepared.as_ref(),
            works_out: !is_prepared,
        };
        match store.write(insert).await {
            Ok(Some(outcome)) => return Ok(outcome),
            Ok(None) => {}
            // After a failover that lost commits, what is known may be of indexes that never came.
            Err(StoreError::Corrupt { place, .. })
                if !forgot && place.starts_with("pinyto.index_entries") =>
            {
                setups.forget(user);
                (prepared, forgot) = (None, true);
            }
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::unavailable(
        "a user's indexes don't fit her row",
    ))
}

#[async_trait]
impl Intent for Insert<'_> {
    /// `None`: what she has set up changes again and again, or isn't what was prepared for.
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
            {
                match self.insert_once(db, &setup).await? {
                    Tried::Inserted => {
                        if let Some(job) = self.job {
                            job::enqueue(db, self.user, self.document.id, job, self.at).await?;
                        }
                        return Ok(Some(InsertOutcome::Inserted));
                    }
                    Tried::Unprepared => return Ok(None),
                    Tried::Refused => {}
                }
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
    async fn insert_once(&self, db: &mut PgConnection, setup: &Setup) -> Result<Tried, Failure> {
        match self.insert(db, setup).await {
            // An earlier try was committed just now.
            Err(Failure::Sql(sqlx::Error::Database(error)))
                if error.is_unique_violation() && self.may_be_done.load(Ordering::Relaxed) =>
            {
                Ok(Tried::Inserted)
            }
            tried => tried,
        }
    }

    async fn insert(&self, db: &mut PgConnection, setup: &Setup) -> Result<Tried, Failure> {
        let Document {
            id, assembly, time, ..
        } = self.document;
        let indexes = &setup.indexes;
        let worked_out;
        let listings = match self.prepared {
            Some((prepared_for, listings)) if prepared_for.changes == setup.changes => listings,
            _ if self.works_out => {
                let (document, evaluations) = (self.document, self.evaluations);
                worked_out = Listings::of(document, self.body, indexes, evaluations).await?;
                &worked_out
            }
            _ => return Ok(Tried::Unprepared),
        };
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
            .bind(self.at.unix_millis())
            .fetch_one(db)
            .await?;
        Ok(if inserted > 0 {
            Tried::Inserted
        } else {
            Tried::Refused
        })
    }
}
