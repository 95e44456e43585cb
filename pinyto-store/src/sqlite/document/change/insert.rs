//! Storing documents.

use std::sync::Arc;

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{Document, InsertOutcome, NewEntry, QueuedJob},
    id::UserId,
};
use serde_json::Map;
use sqlx::SqliteConnection;

use super::{
    super::{
        super::{Intent, error::Failure, job},
        KnownPaths,
    },
    Body, Listings, index_paths, max_bytes, size, unchanged,
};

pub(in super::super) struct Insert {
    user: UserId,
    /// Of a large one without its fields.
    document: Document,
    at: Timestamp,
    size: i64,
    body: Body,
    max_bytes: i64,
    job: Option<QueuedJob>,
    known: Arc<KnownPaths>,
    /// Made before its turn comes, from the paths the user had last.
    listings: String,
}

impl Insert {
    /// With the listings of the document in what `known` has for the user.
    pub(in super::super) fn new(
        user: UserId,
        entry: &NewEntry,
        body: Body,
        listings: String,
        known: Arc<KnownPaths>,
    ) -> Self {
        let document = &entry.document;
        let fields = match body {
            Body::Small(_) => document.fields.clone(),
            Body::Large { .. } => Map::new(),
        };
        Self {
            user,
            at: entry.at,
            size: size(document),
            body,
            max_bytes: max_bytes(entry.max_bytes),
            job: entry.job.clone(),
            listings,
            known,
            document: Document::new(
                document.id,
                document.assembly.clone(),
                document.time,
                fields,
            ),
        }
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
            .bind(&self.body)
            .bind(self.max_bytes)
            .bind(listings)
            .bind(self.at.unix_millis())
            .execute(db)
            .await?;
        Ok(inserted.rows_affected() > 0)
    }
}

impl Insert {
    /// Queues the job that the document asks for.
    async fn inserted(&self, db: &mut SqliteConnection) -> Result<InsertOutcome, Failure> {
        if let Some(job) = &self.job {
            job::enqueue(db, self.user, self.document.id, job, self.at).await?;
        }
        Ok(InsertOutcome::Inserted)
    }
}

/// Does nothing if the assembly isn't installed, if it would be too much, or if the listings are
/// not of the indexes that the user has.
pub(super) const INSERT: &str = concat!(
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
    account!("$10", "$4", "0"),
    " AND changes() = 1;
    ",
    add_entries!("$9", "changes() > 0")
);

/// Why nothing was inserted.
pub(super) const CIRCUMSTANCES: &str = "
    SELECT EXISTS (
               SELECT 1 FROM pinyto_users author
               JOIN pinyto_assemblies a ON a.author_id = author.id AND a.name = $3
               JOIN pinyto_installations i ON i.assembly_id = a.id AND i.user_id = $1
               WHERE author.name = $2),
           (SELECT bytes FROM pinyto_users WHERE id = $1),
           (SELECT json_group_array(path) FROM pinyto_indexes WHERE user_id = $1)";

#[async_trait]
impl Intent for Insert {
    /// None if the listings are to be made again, of the paths that are known now.
    type Outcome = Option<InsertOutcome>;

    async fn run(&self, db: &mut SqliteConnection) -> Result<Self::Outcome, Failure> {
        // Before anything is written.
        let refused = match &self.job {
            Some(QueuedJob { job, limit, .. }) => job::refusal(db, self.user, job, *limit).await?,
            None => None,
        };
        if refused.is_none() && self.insert(db, &self.listings).await? {
            return self.inserted(db).await.map(Some);
        }
        let assembly = &self.document.assembly;
        let (installed, bytes, paths): (bool, Option<i64>, String) = sqlx::query_as(CIRCUMSTANCES)
            .bind(self.user.get())
            .bind(assembly.author.as_str())
            .bind(assembly.name.as_str())
            .fetch_one(&mut *db)
            .await?;
        if !installed {
            return Ok(Some(InsertOutcome::NotInstalled));
        }
        if bytes.unwrap_or(0) > self.max_bytes.saturating_sub(self.size) {
            return Ok(Some(InsertOutcome::StorageFull));
        }
        if let Some(refused) = refused {
            return Ok(Some(InsertOutcome::NotQueued(refused)));
        }
        // An index has come into being, or has gone.
        let paths = index_paths(&paths)?;
        if matches!(self.body, Body::Large { .. }) {
            self.known.note(self.user, paths);
            return Ok(None);
        }
        let listings = Listings::of(&self.document, &paths).json();
        self.known.note(self.user, paths);
        match self.insert(db, &listings).await? {
            true => self.inserted(db).await.map(Some),
            false => Err(unchanged("pinyto_indexes.path")),
        }
    }
}
