use std::sync::Arc;

use super::{Fate, ImportError, UserImport};
use crate::{
    clock::Timestamp,
    document::{Document, DocumentId, InsertOutcome, NewEntry, Scope},
    id::UserId,
    store::Store,
};

/// How many documents are stored at once: a store that commits many together is quicker so.
const AT_ONCE: usize = 16;

impl UserImport {
    /// Has the document stored, some lines later at the latest.
    pub(super) async fn document(&mut self, mut document: Document) -> Result<(), ImportError> {
        let user = self.owner().await?;
        document.assembly = self.home(&document.assembly.clone()).await?;
        // One after the other, if there are several with one identifier.
        while self.stored_now.contains(&document.id) || self.storing.len() >= AT_ONCE {
            self.wait().await?;
        }
        let storing = Storing {
            store: Arc::clone(&self.store),
            user: user.id,
            now: self.now,
            max_bytes: self.settings.max_bytes,
            line: self.lines.number,
        };
        self.stored_now.insert(document.id);
        self.storing.spawn(storing.store(document));
        Ok(())
    }
}

/// What it takes to store a document.
struct Storing {
    store: Arc<dyn Store>,
    user: UserId,
    now: Timestamp,
    max_bytes: Option<u64>,
    line: u64,
}

impl Storing {
    /// Stores it, unless there is one with its identifier.
    async fn store(self, document: Document) -> Result<(DocumentId, Fate), ImportError> {
        let line = self.line;
        let failed = |source| ImportError::Store { line, source };
        let wrong = |reason: &str| {
            let reason = reason.to_owned();
            Err(ImportError::Line { line, reason })
        };
        let (documents, id) = (self.store.documents(), document.id);
        let there = documents.find(Scope::all_of(self.user), id).await;
        if let Some(there) = there.map_err(failed)? {
            let is_same = there == document;
            return Ok((id, if is_same { Fate::Known } else { Fate::Kept }));
        }
        let entry = NewEntry {
            document,
            at: self.now,
            max_bytes: self.max_bytes,
            job: None,
        };
        match documents.insert(self.user, &entry).await.map_err(failed)? {
            InsertOutcome::Inserted => Ok((id, Fate::New)),
            InsertOutcome::StorageFull => wrong("the user has stored as much as she may store"),
            InsertOutcome::NotInstalled | InsertOutcome::NotQueued(_) => {
                wrong("its assembly has just been uninstalled")
            }
        }
    }
}
