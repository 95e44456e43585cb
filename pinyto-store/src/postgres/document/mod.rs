pub(super) mod change;
mod dialect;
pub(super) mod index;
mod listing;
mod search;
mod setup;
mod way;

use async_trait::async_trait;
use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{
        Document, DocumentId, DocumentRepository, InsertOutcome, NewEntry, Replacement,
        SaveOutcome, ScanLimits, Scope, Search, Searched,
    },
    id::UserId,
    query::{Path, Query},
    store::StoreError,
};
use serde_json::Value;

pub(super) use change::Remove;
pub(super) use index::Indexer;
pub(super) use setup::KnownSetups;

use super::{PostgresStore, error::Failure};
use crate::row::{Corrupt, corrupt};

#[derive(sqlx::FromRow)]
struct DocumentRow {
    id: Vec<u8>,
    assembly: String,
    time: i64,
    body: String,
}

fn document_id(bytes: &[u8]) -> Result<DocumentId, Corrupt> {
    let bytes = bytes.try_into().map_err(corrupt("pinyto_documents.id"))?;
    Ok(DocumentId::from_bytes(bytes))
}

impl TryFrom<DocumentRow> for Document {
    type Error = Corrupt;

    fn try_from(row: DocumentRow) -> Result<Self, Corrupt> {
        let assembly = AssemblyRef::parse(&row.assembly).ok_or("not author/name");
        Ok(Self {
            id: document_id(&row.id)?,
            assembly: assembly.map_err(corrupt("pinyto_documents.assembly"))?,
            time: Timestamp::from_unix_millis(row.time),
            fields: serde_json::from_str(&row.body).map_err(corrupt("pinyto_documents.body"))?,
        })
    }
}

const FIND: &str = "
    SELECT d.id, d.assembly, d.time, d.body::text AS body FROM pinyto.documents d
    WHERE d.user_id = $1 AND d.id = $2 AND ($3::bigint IS NULL OR d.assembly_id = $3)";

#[async_trait]
impl DocumentRepository for PostgresStore {
    async fn insert(&self, user: UserId, entry: &NewEntry) -> Result<InsertOutcome, StoreError> {
        change::insert(&self.database, &self.setups, user, entry).await
    }

    async fn find(&self, scope: Scope, id: DocumentId) -> Result<Option<Document>, StoreError> {
        let find = || {
            sqlx::query_as::<_, DocumentRow>(FIND)
                .bind(scope.user.get())
                .bind(id.as_bytes().as_slice())
                .bind(scope.assembly.map(|assembly| assembly.get()))
        };
        let row = self.database.one(find).await?;
        Ok(row
            .map(Document::try_from)
            .transpose()
            .map_err(Failure::from)?)
    }

    async fn search(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Document>>, StoreError> {
        search::search(&self.database, scope, search, limits).await
    }

    async fn count(
        &self,
        scope: Scope,
        query: &Query,
        limits: ScanLimits,
    ) -> Result<Searched<u64>, StoreError> {
        search::count(&self.database, scope, query, limits).await
    }

    async fn distinct(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Value>>, StoreError> {
        search::distinct(&self.database, scope, query, path, limits).await
    }

    async fn save(
        &self,
        scope: Scope,
        id: DocumentId,
        new: &Replacement,
    ) -> Result<SaveOutcome, StoreError> {
        self.write(change::Save::new(scope, id, new)?).await
    }

    async fn remove(
        &self,
        scope: Scope,
        id: DocumentId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(Remove { scope, id, at }).await
    }
}
