pub(super) mod change;
mod dialect;
pub(super) mod index;
mod plan;
pub(super) mod search;

use std::sync::Arc;

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

pub(super) use change::Remove;
pub(super) use index::{Indexer, KnownPaths};
pub(super) use search::Connections;

use change::{Body, Insert, Listings, Prepared, ROUNDS, RemoveOnce, Save};

use super::{SqliteStore, error::corrupt};
use crate::{
    query::{evaluation::SMALL, gather::JsonArray},
    row::document::{BODY, DocumentRow, fields_text},
};

/// A document's body as text, or an empty text if it is no JSON. (8: JSONB, checked all through.)
macro_rules! body {
    () => {
        "iif(json_valid(d.body, 8), json(d.body), '')"
    };
}
use body;

pub(super) const FIND: &str = concat!(
    "SELECT d.id, d.assembly, d.time, ",
    body!(),
    " AS body FROM pinyto_documents d
    WHERE d.user_id = ?1 AND d.id = ?2 AND (?3 IS NULL OR d.assembly_id = ?3)"
);

#[async_trait]
impl DocumentRepository for SqliteStore {
    async fn insert(&self, user: UserId, entry: &NewEntry) -> Result<InsertOutcome, StoreError> {
        let body = Body::new(fields_text(&entry.document.fields)?, self.queries.careful()).await?;
        for _ in 0..ROUNDS {
            let paths = self.known_paths.of(user);
            let (document, evaluations) = (&entry.document, &self.evaluations);
            let listings = Listings::before_insert(document, &body, paths, evaluations).await?;
            let known = Arc::clone(&self.known_paths);
            let insert = Insert::new(user, entry, body.clone(), listings, known);
            if let Some(outcome) = self.write(insert).await? {
                return Ok(outcome);
            }
        }
        Err(overtaken())
    }

    async fn find(&self, scope: Scope, id: DocumentId) -> Result<Option<Document>, StoreError> {
        let Some(row) = self.document_row(scope, id).await? else {
            return Ok(None);
        };
        let size = tree_size(&row.body);
        Ok(Some(if size <= SMALL {
            row.document()?
        } else {
            let read = self.evaluations.run(size, None, move |_| row.document());
            read.await??
        }))
    }

    async fn find_text(&self, scope: Scope, id: DocumentId) -> Result<Option<String>, StoreError> {
        let Some(row) = self.document_row(scope, id).await? else {
            return Ok(None);
        };
        let size = row.body.len();
        Ok(Some(if size <= SMALL {
            row.text()?
        } else {
            let read = self.evaluations.run(size, None, move |_| row.text());
            read.await??
        }))
    }

    async fn search(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Document>>, StoreError> {
        let (queries, evaluations) = (&self.queries, &self.evaluations);
        let find = || search::search(queries, evaluations, scope, search, limits);
        self.query_turns.take(scope.user, find).await
    }

    async fn search_text(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<String>, StoreError> {
        let (queries, evaluations) = (&self.queries, &self.evaluations);
        let find = || search::search(queries, evaluations, scope, search, limits);
        let found = self.query_turns.take(scope.user, find).await?;
        Ok(found.map(JsonArray::into_text))
    }

    async fn count(
        &self,
        scope: Scope,
        query: &Query,
        limits: ScanLimits,
    ) -> Result<Searched<u64>, StoreError> {
        let (queries, evaluations) = (&self.queries, &self.evaluations);
        let count = || search::count(queries, evaluations, scope, query, limits);
        self.query_turns.take(scope.user, count).await
    }

    async fn distinct(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Value>>, StoreError> {
        let (queries, evaluations) = (&self.queries, &self.evaluations);
        let find = || search::distinct(queries, evaluations, scope, query, path, limits);
        let found = self.query_turns.take(scope.user, find).await?;
        // They were written by the same library.
        let values = found.map(|texts| texts.map(|text| json::value(&text)).collect());
        Ok(match values {
            Searched::Found(values, scan) => {
                let values: Result<_, serde_json::Error> = values;
                Searched::Found(values.map_err(corrupt(BODY))?, scan)
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
        let (queries, evaluations) = (&self.queries, &self.evaluations);
        let find = || search::distinct(queries, evaluations, scope, query, path, limits);
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
        let body = Body::new(fields_text(&new.fields)?, self.queries.careful()).await?;
        if matches!(body, Body::Small(_)) {
            let save = Save::new(scope, id, new, body.clone(), None);
            if let Some(outcome) = self.write(save).await? {
                return Ok(outcome);
            }
        }
        for _ in 0..ROUNDS {
            let change = Some((new.time, fields_text(&new.fields)?));
            let (readers, evaluations) = (self.queries.careful(), &self.evaluations);
            let prepared = Prepared::new(readers, evaluations, scope, id, change).await?;
            let Some(prepared) = prepared else {
                return Ok(SaveOutcome::NotFound);
            };
            let save = Save::new(scope, id, new, body.clone(), Some(prepared));
            if let Some(outcome) = self.write(save).await? {
                return Ok(outcome);
            }
        }
        Err(overtaken())
    }

    async fn remove(
        &self,
        scope: Scope,
        id: DocumentId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut prepared = None;
        for _ in 0..ROUNDS {
            let removal = Remove { scope, id, at };
            if let Some(removed) = self.write(RemoveOnce { removal, prepared }).await? {
                return Ok(removed);
            }
            let (readers, evaluations) = (self.queries.careful(), &self.evaluations);
            prepared = Prepared::new(readers, evaluations, scope, id, None).await?;
            if prepared.is_none() {
                return Ok(false);
            }
        }
        Err(overtaken())
    }
}

/// Somebody changes the document, or the indexes, all the time.
fn overtaken() -> StoreError {
    StoreError::unavailable("others were quicker again and again")
}

impl SqliteStore {
    async fn document_row(
        &self,
        scope: Scope,
        id: DocumentId,
    ) -> Result<Option<DocumentRow>, StoreError> {
        let query = sqlx::query_as::<_, DocumentRow>(FIND)
            .bind(scope.user.get())
            .bind(id.as_bytes().as_slice())
            .bind(scope.assembly.map(|assembly| assembly.get()));
        self.readers.one(query).await
    }
}
