//! What changes documents: each change is one transaction together with the user's usage and the
//! entries in her indexes.

use std::{collections::HashSet, sync::Arc};

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
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::SqliteConnection;

use super::{
    super::{
        Intent,
        error::{Corrupt, Failure, corrupt},
        job,
    },
    DocumentRow, KnownPaths, body,
};
use crate::query::entry::{self, Listing};

#[cfg(test)]
pub(in super::super) const STATEMENTS: &[&str] = &[INSERT, CIRCUMSTANCES, STORED, SAVE, REMOVE];

// Statements that are several have parameters with `$`: with `?` SQLite counts those that a statement
// leaves out, too, and the driver then stops binding when it has counted beyond the last.

/// How indexes list a document, as JSON for a statement: path, key in hexadecimal digits, role and
/// traits of each entry.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Listings(Vec<(String, String, i64, i64)>);

impl Listings {
    pub(super) fn of<'p>(document: &Document, paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut all = Self::default();
        for path in paths {
            let Listing { entries, traits } = entry::listing(path, document);
            let entries = entries.into_iter();
            all.0
                .extend(entries.map(|(key, role)| {
                    (path.as_str().to_owned(), hexadecimal(&key), role, traits)
                }));
        }
        all
    }

    /// Of a document that can't be read: it comes up wherever it could belong.
    pub(super) fn of_unreadable(path: &Path) -> Self {
        let Listing { entries, traits } = entry::unreadable();
        let entries = entries.into_iter();
        Self(
            entries
                .map(|(key, role)| (path.as_str().to_owned(), hexadecimal(&key), role, traits))
                .collect(),
        )
    }

    pub(super) fn into_entries(self) -> Vec<(String, String, i64, i64)> {
        self.0
    }

    /// Leaves what is only in one of both.
    fn without_common(&mut self, other: &mut Self) {
        let mine: HashSet<_> = self.0.drain(..).collect();
        let others: HashSet<_> = other.0.drain(..).collect();
        self.0.extend(mine.difference(&others).cloned());
        other.0.extend(others.difference(&mine).cloned());
    }

    fn json(&self) -> String {
        // Texts and numbers always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Adds the entries `$listings` of document $2 of user $1, if `$condition`. Indexes that are gone
/// meanwhile are left out.
macro_rules! add_entries {
    ($listings:literal, $condition:literal) => {
        concat!(
            "INSERT INTO pinyto_index_entries (index_id, key, document_id, assembly_id, role)
            SELECT x.id, unhex(e.value ->> 1), $2,
                   (SELECT assembly_id FROM pinyto_documents WHERE user_id = $1 AND id = $2),
                   e.value ->> 2
            FROM json_each(",
            $listings,
            ") AS e
            CROSS JOIN pinyto_indexes x ON x.user_id = $1 AND x.path = e.value ->> 0
            WHERE ",
            $condition,
            "
            ON CONFLICT DO UPDATE SET role = excluded.role;
            UPDATE pinyto_indexes AS x SET traits = x.traits | (e.value ->> 3)
            FROM json_each(",
            $listings,
            ") AS e
            WHERE x.user_id = $1 AND x.path = e.value ->> 0 AND (e.value ->> 3) & ~x.traits
                AND ",
            $condition
        )
    };
}

/// Accounts for `$added` bytes that came and `$removed` that went at `$at`:
/// [`Usage::with_storage_changed`](pinyto_core::usage::Usage) to the last bit (seconds and the rest
/// of a duration become floating-point numbers separately).
macro_rules! account {
    ($at:literal, $added:literal, $removed:literal) => {
        concat!(
            "UPDATE pinyto_users SET
                byte_seconds = byte_seconds + bytes * (
                    max(",
            $at,
            " - calculated_at, 0) / 1000
                    + max(",
            $at,
            " - calculated_at, 0) % 1000 * 1000000 / 1e9),
                bytes = max(bytes + ",
            $added,
            " - ",
            $removed,
            ", 0),
                calculated_at = max(calculated_at, ",
            $at,
            ")
            WHERE id = $1"
        )
    };
}

pub(super) struct Insert {
    user: UserId,
    document: Document,
    size: i64,
    body: String,
    max_bytes: i64,
    job: Option<QueuedJob>,
    known: Arc<KnownPaths>,
    /// Made before its turn comes, from the paths the user had last.
    listings: String,
}

impl Insert {
    pub(super) fn new(
        user: UserId,
        entry: &NewEntry,
        known: Arc<KnownPaths>,
    ) -> Result<Self, StoreError> {
        let document = entry.document.clone();
        Ok(Self {
            user,
            size: size(&document),
            body: text(&document.fields)?,
            max_bytes: max_bytes(entry.max_bytes),
            job: entry.job.clone(),
            listings: Listings::of(&document, known.of(user).iter()).json(),
            known,
            document,
        })
    }

    async fn insert(&self, db: &mut SqliteConnection, listings: &str) -> Result<bool, Failure> {
        let Document {
            id, assembly, time, ..
        } = &self.document;
        let inserted = sqlx::query(INSERT)
            .bind(self.user.get())
            .bind(id.as_bytes().as_slice())
            .bind(time.unix_millis())
            .bind(self.size)
            .bind(assembly.author.as_str())
            .bind(assembly.name.as_str())
            .bind(self.body.as_str())
            .bind(self.max_bytes)
            .bind(listings)
            .execute(db)
            .await?;
        Ok(inserted.rows_affected() > 0)
    }
}

impl Insert {
    /// Queues the job that the document asks for.
    async fn inserted(&self, db: &mut SqliteConnection) -> Result<InsertOutcome, Failure> {
        if let Some(job) = &self.job {
            job::enqueue(db, self.user, &self.document, job).await?;
        }
        Ok(InsertOutcome::Inserted)
    }
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

/// Does nothing if the assembly isn't installed, if it would be too much, or if the listings are
/// not of the indexes that the user has.
const INSERT: &str = concat!(
    "INSERT INTO pinyto_documents (user_id, id, assembly, assembly_id, time, size, body)
    SELECT $1, $2, author.name || '/' || a.name, a.id, $3, $4, jsonb($7)
    FROM pinyto_users author
    JOIN pinyto_assemblies a ON a.author_id = author.id AND a.name = $6
    JOIN pinyto_installations i ON i.assembly_id = a.id AND i.user_id = $1
    WHERE author.name = $5
        AND (SELECT bytes FROM pinyto_users WHERE id = $1) <= $8 - $4
        AND NOT EXISTS (
            SELECT 1 FROM pinyto_indexes x WHERE x.user_id = $1
                AND x.path NOT IN (SELECT e.value ->> 0 FROM json_each($9) AS e))
        AND NOT EXISTS (
            SELECT 1 FROM json_each($9) AS e WHERE NOT EXISTS (
                SELECT 1 FROM pinyto_indexes x WHERE x.user_id = $1 AND x.path = e.value ->> 0));
    ",
    account!("$3", "$4", "0"),
    " AND changes() = 1;
    ",
    add_entries!("$9", "changes() > 0")
);

/// Why nothing was inserted.
const CIRCUMSTANCES: &str = "
    SELECT EXISTS (
               SELECT 1 FROM pinyto_users author
               JOIN pinyto_assemblies a ON a.author_id = author.id AND a.name = $3
               JOIN pinyto_installations i ON i.assembly_id = a.id AND i.user_id = $1
               WHERE author.name = $2),
           (SELECT bytes FROM pinyto_users WHERE id = $1),
           (SELECT json_group_array(path) FROM pinyto_indexes WHERE user_id = $1)";

#[async_trait]
impl Intent for Insert {
    type Outcome = InsertOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<InsertOutcome, Failure> {
        // Before anything is written.
        let refused = match &self.job {
            Some(QueuedJob { job, limit, .. }) => job::refusal(db, self.user, job, *limit).await?,
            None => None,
        };
        if refused.is_none() && self.insert(db, &self.listings).await? {
            return self.inserted(db).await;
        }
        let assembly = &self.document.assembly;
        let (installed, bytes, paths): (bool, Option<i64>, String) = sqlx::query_as(CIRCUMSTANCES)
            .bind(self.user.get())
            .bind(assembly.author.as_str())
            .bind(assembly.name.as_str())
            .fetch_one(&mut *db)
            .await?;
        if !installed {
            return Ok(InsertOutcome::NotInstalled);
        }
        if bytes.unwrap_or(0) > self.max_bytes.saturating_sub(self.size) {
            return Ok(InsertOutcome::StorageFull);
        }
        if let Some(refused) = refused {
            return Ok(InsertOutcome::NotQueued(refused));
        }
        // An index has come into being, or has gone.
        let paths = index_paths(&paths)?;
        let listings = Listings::of(&self.document, &paths).json();
        self.known.note(self.user, paths);
        match self.insert(db, &listings).await? {
            true => self.inserted(db).await,
            false => Err(unchanged("pinyto_indexes.path")),
        }
    }
}

fn unchanged(place: &'static str) -> Failure {
    let detail = "rows don't fit each other".to_owned();
    Corrupt { place, detail }.into()
}

/// The paths of a user's indexes, from a JSON array.
fn index_paths(paths: &str) -> Result<Vec<Path>, Corrupt> {
    let paths: Vec<String> = serde_json::from_str(paths).map_err(corrupt("pinyto_indexes.path"))?;
    let paths = paths.iter().map(|path| Path::parse(path));
    paths
        .collect::<Result<_, _>>()
        .map_err(corrupt("pinyto_indexes.path"))
}

/// What is there before a change.
#[derive(sqlx::FromRow)]
struct StoredRow {
    size: i64,
    bytes: i64,
    paths: String,
    #[sqlx(flatten)]
    document: DocumentRow,
}

struct Stored {
    document: Document,
    size: i64,
    bytes: i64,
    paths: Vec<Path>,
}

const STORED: &str = concat!(
    "SELECT d.id, d.assembly, d.time, d.size, u.bytes, ",
    body!(),
    " AS body,
        (SELECT json_group_array(path) FROM pinyto_indexes WHERE user_id = $1) AS paths
    FROM pinyto_documents d JOIN pinyto_users u ON u.id = d.user_id
    WHERE d.user_id = $1 AND d.id = $2 AND ($3 IS NULL OR d.assembly_id = $3)"
);

async fn stored(
    db: &mut SqliteConnection,
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
        document: row.document.try_into()?,
        size: row.size,
        bytes: row.bytes,
        paths: index_paths(&row.paths)?,
    }))
}

/// Removes the entries `$listings` of document $2 of user $1.
macro_rules! remove_entries {
    ($listings:literal) => {
        concat!(
            "DELETE FROM pinyto_index_entries WHERE (index_id, key, document_id) IN (
                SELECT x.id, unhex(e.value ->> 1), $2
                FROM json_each(",
            $listings,
            ") AS e
                CROSS JOIN pinyto_indexes x ON x.user_id = $1 AND x.path = e.value ->> 0)"
        )
    };
}

pub(super) struct Save {
    scope: Scope,
    id: DocumentId,
    new: Replacement,
    body: String,
}

impl Save {
    pub(super) fn new(scope: Scope, id: DocumentId, new: &Replacement) -> Result<Self, StoreError> {
        Ok(Self {
            scope,
            id,
            body: text(&new.fields)?,
            new: new.clone(),
        })
    }
}

const SAVE: &str = concat!(
    "UPDATE pinyto_documents SET time = $3, size = $4, body = jsonb($5)
    WHERE user_id = $1 AND id = $2;
    ",
    account!("$6", "$4", "$7"),
    ";
    ",
    remove_entries!("$8"),
    ";
    ",
    add_entries!("$9", "true")
);

#[async_trait]
impl Intent for Save {
    type Outcome = SaveOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<SaveOutcome, Failure> {
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
        let mut gone = Listings::of(&old.document, &old.paths);
        let mut come = Listings::of(&new, &old.paths);
        gone.without_common(&mut come);
        sqlx::query(SAVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(new.time.unix_millis())
            .bind(size)
            .bind(self.body.as_str())
            .bind(self.new.at.unix_millis())
            .bind(old.size)
            .bind(gone.json())
            .bind(come.json())
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
}

const REMOVE: &str = concat!(
    "DELETE FROM pinyto_documents WHERE user_id = $1 AND id = $2;
    ",
    account!("$3", "0", "$4"),
    ";
    ",
    remove_entries!("$5")
);

#[async_trait]
impl Intent for Remove {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let Some(old) = stored(db, self.scope, self.id).await? else {
            return Ok(false);
        };
        sqlx::query(REMOVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.at.unix_millis())
            .bind(old.size)
            .bind(Listings::of(&old.document, &old.paths).json())
            .execute(db)
            .await?;
        Ok(true)
    }
}
