use std::fmt;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Document, DocumentId, ScanLimits, Search, Searched};
use crate::{
    clock::Timestamp,
    id::{AssemblyId, UserId},
    job::{EnqueueOutcome, Hold, JobRef},
    query::{Path, Query},
    store::StoreError,
};

/// Which of a user's documents are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose.
    pub user: UserId,
    /// Only those that this assembly stored, whatever it was called then. `None`: all of hers.
    pub assembly: Option<AssemblyId>,
}

impl Scope {
    /// All documents of the user.
    #[must_use]
    pub const fn all_of(user: UserId) -> Self {
        Self {
            user,
            assembly: None,
        }
    }

    /// The documents of the user that the assembly stored.
    #[must_use]
    pub const fn stored_by(user: UserId, assembly: AssemblyId) -> Self {
        Self {
            user,
            assembly: Some(assembly),
        }
    }
}

/// A document that is to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// The document. Its identifier is new.
    pub document: Document,
    /// The present, from which on it is accounted for, whatever time it has.
    pub at: Timestamp,
    /// The most bytes the user may have stored afterwards, counted as [`Document::size`]; `None`:
    /// any number.
    pub max_bytes: Option<u64>,
    /// The job that it queues; it is stored only if that can be queued.
    pub job: Option<QueuedJob>,
}

/// A job that a new document queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedJob {
    /// Which one.
    pub job: JobRef,
    /// The most runs that may be queued for the user.
    pub limit: usize,
    /// The run whose end it waits for, if a run queues it.
    pub hold: Option<Hold>,
}

/// What a stored document is to become.
#[derive(Clone, PartialEq)]
pub struct Replacement {
    /// All fields but `_id`, `assembly` and `time`.
    pub fields: Map<String, Value>,
    /// Its new time; `None`: it keeps the one it has.
    pub time: Option<Timestamp>,
    /// The present.
    pub at: Timestamp,
    /// The most bytes the user may have stored afterwards, if the document grows; `None`: any
    /// number.
    pub max_bytes: Option<u64>,
}

/// Tells how many fields there are, not what they hold.
impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacement")
            .field("fields", &self.fields.len())
            .field("time", &self.time)
            .field("at", &self.at)
            .field("max_bytes", &self.max_bytes)
            .finish()
    }
}

/// What became of a document that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertOutcome {
    /// It is stored, and the user's usage says so.
    Inserted,
    /// The user has not installed the document's assembly (or there is none); nothing was changed.
    NotInstalled,
    /// The user would have stored more bytes than allowed; nothing was changed.
    StorageFull,
    /// The job can't be queued: its assembly is not installed, has no such job, or too many wait;
    /// nothing was changed.
    NotQueued(EnqueueOutcome),
}

/// What became of a document that was to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveOutcome {
    /// It is as it was to be, and the user's usage says so.
    Saved,
    /// There is no such document in the scope; nothing was changed.
    NotFound,
    /// The document would have grown, and the user had stored more bytes than allowed; nothing
    /// was changed.
    StorageFull,
}

/// Where documents are kept.
///
/// What a query means and in which order documents come is said by [`Query::matches`] and
/// [`Sort`](crate::query::Sort); a store may use indexes and a language of its own, but finds
/// exactly the same. It keeps the indexes that a user's installed assemblies declare
/// ([`AssemblySource::indexes`](crate::assembly::AssemblySource::indexes)) if it can; without them
/// queries only take longer.
#[async_trait]
pub trait DocumentRepository: Send + Sync {
    /// Stores a new document of the user, if she has its assembly installed, and accounts for its
    /// [size](Document::size) from [`Document::time`] on, in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn insert(&self, user: UserId, entry: &NewEntry) -> Result<InsertOutcome, StoreError>;

    /// The document with that identifier, exactly as it was stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(&self, scope: Scope, id: DocumentId) -> Result<Option<Document>, StoreError>;

    /// The documents that a query asks for, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn search(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Document>>, StoreError>;

    /// [`DocumentRepository::find`] as the text of [`Document::to_json`]. A store that keeps text
    /// spares making values of it, which take many times as much memory.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find_text(&self, scope: Scope, id: DocumentId) -> Result<Option<String>, StoreError> {
        let found = self.find(scope, id).await?;
        Ok(found.map(|document| document.into_json().to_string()))
    }

    /// [`DocumentRepository::search`] as the text of a JSON array of [`Document::to_json`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn search_text(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<String>, StoreError> {
        let searched = self.search(scope, search, limits).await?;
        let text = |found: Vec<Document>| {
            let all: Value = found.into_iter().map(Document::into_json).collect();
            all.to_string()
        };
        Ok(searched.map(text))
    }

    /// How many documents a query asks for.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn count(
        &self,
        scope: Scope,
        query: &Query,
        limits: ScanLimits,
    ) -> Result<Searched<u64>, StoreError>;

    /// The [different values](Path::distinct_values) at a path of the documents that a query asks
    /// for, in the [order of values](crate::query::compare).
    ///
    /// Of values that are equal but written differently (`1` and `1.0`) the one from the document
    /// with the least `_id`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn distinct(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Value>>, StoreError>;

    /// [`DocumentRepository::distinct`] as the text of a JSON array.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn distinct_text(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<String>, StoreError> {
        let searched = self.distinct(scope, query, path, limits).await?;
        Ok(searched.map(|values| Value::from(values).to_string()))
    }

    /// Replaces the fields of a document, which keeps its assembly, and accounts for its new size
    /// from [`Replacement::at`] on, in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn save(
        &self,
        scope: Scope,
        id: DocumentId,
        new: &Replacement,
    ) -> Result<SaveOutcome, StoreError>;

    /// Removes a document and accounts for that from `at` on, in one transaction; says whether
    /// there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn remove(&self, scope: Scope, id: DocumentId, at: Timestamp)
    -> Result<bool, StoreError>;
}
