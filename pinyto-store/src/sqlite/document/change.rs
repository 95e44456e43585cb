//! What changes documents: each change is one transaction together with the user's usage and the
//! entries in her indexes.
//!
//! There is one writer for all, so what takes long is done before its turn comes: how indexes list
//! a large document, and its text as JSONB. Whether that is still right is checked then; if it
//! isn't, it is done again.

use std::collections::HashSet;

use pinyto_core::{
    document::{Document, DocumentId, Scope},
    query::Path,
};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::{
    super::error::{Corrupt, Failure, corrupt},
    body,
};
use crate::{
    query::entry::{self, Listing},
    row::document::DocumentRow,
};

#[cfg(test)]
pub(in super::super) const STATEMENTS: &[&str] = &[
    insert::INSERT,
    insert::CIRCUMSTANCES,
    STORED,
    prepare::BEFORE,
    prepare::UNCHANGED,
    save::SAVE,
    save::REMOVE,
];

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
/// meanwhile are left out. All entries of a path have the same traits, which are gathered first: else
/// the whole list would be gone through once for each index.
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
            UPDATE pinyto_indexes AS x SET traits = x.traits | own.traits
            FROM (
                SELECT e.value ->> 0 AS path, max(e.value ->> 3) AS traits
                FROM json_each(",
            $listings,
            ") AS e GROUP BY 1) AS own
            WHERE x.user_id = $1 AND x.path = own.path AND own.traits & ~x.traits
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
    id: Vec<u8>,
    assembly: String,
    time: i64,
    size: i64,
    bytes: i64,
    paths: String,
    body: Option<String>,
}

struct Stored {
    /// None if it is larger than was wanted.
    document: Option<Document>,
    size: i64,
    bytes: i64,
    paths: Vec<Path>,
}

/// The body if the document has at most so many bytes.
const STORED: &str = concat!(
    "SELECT d.id, d.assembly, d.time, d.size, u.bytes,
        CASE WHEN d.size <= $4 THEN ",
    body!(),
    " END AS body,
        (SELECT json_group_array(path) FROM pinyto_indexes WHERE user_id = $1) AS paths
    FROM pinyto_documents d JOIN pinyto_users u ON u.id = d.user_id
    WHERE d.user_id = $1 AND d.id = $2 AND ($3 IS NULL OR d.assembly_id = $3)"
);

async fn stored(
    db: &mut SqliteConnection,
    scope: Scope,
    id: DocumentId,
    largest: i64,
) -> Result<Option<Stored>, Failure> {
    let row: Option<StoredRow> = sqlx::query_as(STORED)
        .bind(scope.user.get())
        .bind(id.as_bytes().as_slice())
        .bind(scope.assembly.map(|assembly| assembly.get()))
        .bind(largest)
        .fetch_optional(db)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let (id, assembly, time) = (row.id, row.assembly, row.time);
    let document = row.body.map(|body| DocumentRow {
        id,
        assembly,
        time,
        body,
    });
    Ok(Some(Stored {
        document: document.map(Document::try_from).transpose()?,
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

mod insert;
mod prepare;
mod save;

pub(super) use insert::Insert;
pub(super) use prepare::{Body, Prepared};
pub(in super::super) use save::Remove;
pub(super) use save::{RemoveOnce, Save};

/// How often a change is prepared again because somebody else was quicker.
pub(super) const ROUNDS: usize = 16;

/// The most bytes of a stored document that is read while the writer waits.
const SMALL_STORED: i64 = 16 * 1024;

fn size(document: &Document) -> i64 {
    i64::try_from(document.size()).unwrap_or(i64::MAX)
}

fn max_bytes(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
