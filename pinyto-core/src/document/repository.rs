use async_trait::async_trait;

use super::{Document, DocumentId};
use crate::{id::UserId, store::StoreError};

/// What became of a document that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// It is stored, and the user's usage says so.
    Inserted,
    /// The user has not installed the document's assembly (or there is none); nothing was changed.
    NotInstalled,
}

/// Where documents are kept.
#[async_trait]
pub trait DocumentRepository: Send + Sync {
    /// Stores a new document of the user, if she has its assembly installed, and accounts for its
    /// [size](Document::size) from [`Document::time`] on, in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn insert(&self, user: UserId, document: &Document) -> Result<InsertOutcome, StoreError>;

    /// The user's document with that identifier, exactly as it was stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(
        &self,
        user: UserId,
        document: DocumentId,
    ) -> Result<Option<Document>, StoreError>;

    /// How many documents the user has.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn count(&self, user: UserId) -> Result<u64, StoreError>;
}
