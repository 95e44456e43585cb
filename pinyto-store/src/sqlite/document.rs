use async_trait::async_trait;
use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{Document, DocumentId, DocumentRepository, InsertOutcome},
    id::UserId,
    store::StoreError,
};
use sqlx::SqliteConnection;

use super::{
    Intent, SqliteStore,
    error::{Corrupt, Failure, corrupt},
};

#[derive(sqlx::FromRow)]
struct DocumentRow {
    assembly: String,
    time: i64,
    /// `None` if it is no JSON.
    body: Option<String>,
}

impl DocumentRow {
    fn into_document(self, id: DocumentId) -> Result<Document, Corrupt> {
        let body = self.body.ok_or("no JSON");
        let body = body.map_err(corrupt("pinyto_documents.body"))?;
        let assembly = AssemblyRef::parse(&self.assembly).ok_or("not author/name");
        Ok(Document {
            id,
            assembly: assembly.map_err(corrupt("pinyto_documents.assembly"))?,
            time: Timestamp::from_unix_millis(self.time),
            fields: serde_json::from_str(&body).map_err(corrupt("pinyto_documents.body"))?,
        })
    }
}

/// 8: JSONB, checked all through.
pub(super) const FIND: &str = "
    SELECT assembly, time, iif(json_valid(body, 8), json(body), NULL) AS body
    FROM pinyto_documents WHERE user_id = ?1 AND id = ?2";

pub(super) const COUNT: &str = "SELECT count(*) FROM pinyto_documents WHERE user_id = ?1";

struct Insert {
    user: UserId,
    id: DocumentId,
    assembly: AssemblyRef,
    time: Timestamp,
    size: i64,
    body: String,
}

/// The second statement is [`Usage::with_storage_changed`](pinyto_core::usage::Usage) to the last
/// bit: seconds and the rest of a duration become floating-point numbers separately.
pub(super) const INSERT: &str = "
    INSERT INTO pinyto_documents (user_id, id, assembly, assembly_id, time, size, body)
    SELECT ?1, ?2, author.name || '/' || a.name, a.id, ?3, ?4, jsonb(?7)
    FROM pinyto_users author
    JOIN pinyto_assemblies a ON a.author_id = author.id AND a.name = ?6
    JOIN pinyto_installations i ON i.assembly_id = a.id AND i.user_id = ?1
    WHERE author.name = ?5;
    UPDATE pinyto_users SET
        byte_seconds = byte_seconds + bytes * (
            max(?3 - calculated_at, 0) / 1000
            + max(?3 - calculated_at, 0) % 1000 * 1000000 / 1e9),
        bytes = bytes + ?4,
        calculated_at = max(calculated_at, ?3)
    WHERE id = ?1 AND changes() = 1";

#[async_trait]
impl Intent for Insert {
    type Outcome = InsertOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<InsertOutcome, Failure> {
        let inserted = sqlx::query(INSERT)
            .bind(self.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.time.unix_millis())
            .bind(self.size)
            .bind(self.assembly.author.as_str())
            .bind(self.assembly.name.as_str())
            .bind(self.body.as_str())
            .execute(db)
            .await?;
        Ok(match inserted.rows_affected() {
            0 => InsertOutcome::NotInstalled,
            _ => InsertOutcome::Inserted,
        })
    }
}

#[async_trait]
impl DocumentRepository for SqliteStore {
    async fn insert(&self, user: UserId, document: &Document) -> Result<InsertOutcome, StoreError> {
        // A JSON value always becomes text.
        let body = serde_json::to_string(&document.fields).map_err(StoreError::unavailable)?;
        self.write(Insert {
            user,
            id: document.id,
            assembly: document.assembly.clone(),
            time: document.time,
            size: i64::try_from(document.size()).unwrap_or(i64::MAX),
            body,
        })
        .await
    }

    async fn find(
        &self,
        user: UserId,
        document: DocumentId,
    ) -> Result<Option<Document>, StoreError> {
        let query = sqlx::query_as::<_, DocumentRow>(FIND)
            .bind(user.get())
            .bind(document.as_bytes().as_slice());
        let row = self.readers.one(query).await?;
        Ok(row.map(|row| row.into_document(document)).transpose()?)
    }

    async fn count(&self, user: UserId) -> Result<u64, StoreError> {
        let query = sqlx::query_as::<_, (i64,)>(COUNT).bind(user.get());
        let count = self.readers.one(query).await?;
        Ok(count.map_or(0, |(count,)| u64::try_from(count).unwrap_or(0)))
    }
}
