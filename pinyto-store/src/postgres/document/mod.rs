pub(super) mod change;
mod dialect;
pub(super) mod index;
mod listing;
pub(super) mod search;
mod setup;
mod way;

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{
        Document, DocumentId, DocumentRepository, InsertOutcome, NewEntry, Replacement,
        SaveOutcome, ScanLimits, Scope, Search, Searched, tree_size,
    },
    id::UserId,
    json,
    query::{Path, Query},
    store::StoreError,
};
use serde_json::Value;

pub(super) use change::{Prepared, Remove, SMALL_STORED};
pub(super) use index::Indexer;
pub(super) use setup::KnownSetups;

use super::{PostgresStore, error::Failure};
use crate::{
    query::{evaluation::SMALL, gather::JsonArray},
    row::{
        Corrupt, corrupt,
        document::{BODY, DocumentRow},
    },
};

const FIND: &str = "
    SELECT d.id, d.assembly, d.time, d.body::text AS body FROM pinyto.documents d
    WHERE d.user_id = $1 AND d.id = $2 AND ($3::bigint IS NULL OR d.assembly_id = $3)";

#[async_trait]
impl DocumentRepository for PostgresStore {
    async fn insert(&self, user: UserId, entry: &NewEntry) -> Result<InsertOutcome, StoreError> {
        change::insert(self, user, entry).await
    }

    async fn find(&self, scope: Scope, id: DocumentId) -> Result<Option<Document>, StoreError> {
        let Some(row) = self.document_row(scope, id).await? else {
            return Ok(None);
        };
        let document = self.read(tree_size(&row.body), move || row.document());
        Ok(Some(document.await?))
    }

    async fn find_text(&self, scope: Scope, id: DocumentId) -> Result<Option<String>, StoreError> {
        let Some(row) = self.document_row(scope, id).await? else {
            return Ok(None);
        };
        let text = self.read(row.body.len(), move || row.text());
        Ok(Some(text.await?))
    }

    async fn search(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Document>>, StoreError> {
        let (database, evaluations) = (&self.database, &self.evaluations);
        let find =
            || database.reading(|| search::search(database, evaluations, scope, search, limits));
        self.query_turns.take(scope.user, find).await
    }

    async fn search_text(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<String>, StoreError> {
        let (database, evaluations) = (&self.database, &self.evaluations);
        let find =
            || database.reading(|| search::search(database, evaluations, scope, search, limits));
        let found = self.query_turns.take(scope.user, find).await?;
        Ok(found.map(JsonArray::into_text))
    }

    async fn count(
        &self,
        scope: Scope,
        query: &Query,
        limits: ScanLimits,
    ) -> Result<Searched<u64>, StoreError> {
        let (database, evaluations) = (&self.database, &self.evaluations);
        let count =
            || database.reading(|| search::count(database, evaluations, scope, query, limits));
        self.query_turns.take(scope.user, count).await
    }

    async fn distinct(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Value>>, StoreError> {
        let (database, evaluations) = (&self.database, &self.evaluations);
        let find = || {
            database.reading(|| search::distinct(database, evaluations, scope, query, path, limits))
        };
        let found = self.query_turns.take(scope.user, find).await?;
        Ok(match found {
            Searched::Found(texts, scan) => {
                // They were written by the same library.
                let values = texts.map(|text| json::value(&text).map_err(corrupt(BODY)));
                let values: Result<_, Corrupt> = values.collect();
                Searched::Found(values.map_err(Failure::from)?, scan)
            }
            Searched::TooMuch(limit, scan) => Searched::TooMuch(limit, scan),
        })
    }

    async fn distinct_text(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<String>, StoreError> {
        let (database, evaluations) = (&self.database, &self.evaluations);
        let find = || {
            database.reading(|| search::distinct(database, evaluations, scope, query, path, limits))
        };
        let found = self.query_turns.take(scope.user, find).await?;
        Ok(found.map(|texts| {
            let mut all = JsonArray::default();
            texts.for_each(|text| all.add_text(&text));
            all.into_text()
        }))
    }

    async fn save(
        &self,
        scope: Scope,
        id: DocumentId,
        new: &Replacement,
    ) -> Result<SaveOutcome, StoreError> {
        change::save(self, scope, id, new).await
    }

    async fn remove(
        &self,
        scope: Scope,
        id: DocumentId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        change::remove(self, scope, id, at).await
    }
}

impl PostgresStore {
    async fn document_row(
        &self,
        scope: Scope,
        id: DocumentId,
    ) -> Result<Option<DocumentRow>, StoreError> {
        let find = || {
            sqlx::query_as::<_, DocumentRow>(FIND)
                .bind(scope.user.get())
                .bind(id.as_bytes().as_slice())
                .bind(scope.assembly.map(|assembly| assembly.get()))
        };
        self.database.one(find).await
    }

    /// Makes something of a body that takes so many bytes: where it is, if it is small.
    async fn read<T: Send + 'static>(
        &self,
        size: usize,
        read: impl FnOnce() -> Result<T, Corrupt> + Send + 'static,
    ) -> Result<T, StoreError> {
        let read = if size <= SMALL {
            read()
        } else {
            self.evaluations.run(size, None, move |_| read()).await?
        };
        Ok(read.map_err(Failure::from)?)
    }
}
