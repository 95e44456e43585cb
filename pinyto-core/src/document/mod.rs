//! Documents: what users keep.

mod id;
mod repository;
mod search;
mod service;
mod services;

pub(crate) use id::DocumentIds;
pub use id::{DocumentId, InvalidDocumentId};
pub use repository::{
    DocumentRepository, InsertOutcome, NewEntry, QueuedJob, Replacement, SaveOutcome, Scope,
};
pub use search::{QueryLimits, Scan, ScanLimit, ScanLimits, Search, Searched};
use serde_json::{Map, Value};
pub(crate) use service::is_deeper_than;
pub use service::{NewDocument, Statistics};
pub(crate) use services::CallServices;

use crate::{assembly::AssemblyRef, clock::Timestamp};

/// A stored document.
///
/// What the server itself sets has a field here; everything else (`type`, `tags`, `data`, and
/// whatever assemblies save beside them) is in [`Document::fields`].
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Unique among the user's documents.
    pub id: DocumentId,
    /// The assembly that stored it.
    pub assembly: AssemblyRef,
    /// When it was stored.
    pub time: Timestamp,
    /// All fields but `_id`, `assembly` and `time`.
    pub fields: Map<String, Value>,
}

impl Document {
    /// The whole document as clients and assemblies see it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.clone().into_json()
    }

    /// The whole document as clients and assemblies see it.
    #[must_use]
    pub fn into_json(self) -> Value {
        let mut all = self.fields;
        all.insert("_id".into(), self.id.to_string().into());
        all.insert("assembly".into(), self.assembly.to_string().into());
        all.insert("time".into(), self.time.to_string().into());
        Value::Object(all)
    }

    /// The bytes the user is charged for: the length of the whole document as compact JSON.
    #[must_use]
    pub fn size(&self) -> u64 {
        let mut counter = ByteCounter(0);
        // Writing to a counter can't fail, and neither can serializing a JSON value.
        let _ = serde_json::to_writer(&mut counter, &self.to_json());
        counter.0
    }
}

struct ByteCounter(u64);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
