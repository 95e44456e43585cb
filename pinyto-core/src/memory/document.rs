use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    document::{Document, DocumentId, DocumentRepository, InsertOutcome},
    id::UserId,
    store::StoreError,
};

#[async_trait]
impl DocumentRepository for MemoryStore {
    async fn insert(&self, user: UserId, document: &Document) -> Result<InsertOutcome, StoreError> {
        let mut state = self.lock();
        if state.installed(user, &document.assembly).is_none() {
            return Ok(InsertOutcome::NotInstalled);
        }
        if let Some(found) = state.users.get_mut(&user) {
            found.usage = found
                .usage
                .with_storage_changed(document.time, document.size(), 0);
        }
        state
            .documents
            .insert((user, document.id), document.clone());
        Ok(InsertOutcome::Inserted)
    }

    async fn find(&self, user: UserId, id: DocumentId) -> Result<Option<Document>, StoreError> {
        Ok(self.lock().documents.get(&(user, id)).cloned())
    }

    async fn count(&self, user: UserId) -> Result<u64, StoreError> {
        let state = self.lock();
        Ok(state
            .documents
            .keys()
            .filter(|(owner, _)| *owner == user)
            .count() as u64)
    }
}
