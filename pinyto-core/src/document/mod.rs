//! Documents: what users keep.

use std::fmt;

mod id;
mod repository;
mod search;
mod service;
mod services;
mod text;

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
pub use text::{NoObject, document_text, tree_size};

use crate::{assembly::AssemblyRef, clock::Timestamp};

/// A stored document.
///
/// What the server itself sets has a field here; everything else (`type`, `tags`, `data`, and
/// whatever assemblies save beside them) is in [`Document::fields`].
#[derive(Clone, PartialEq)]
#[non_exhaustive]
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

/// Tells how many fields there are, not what they hold.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("id", &self.id)
            .field("assembly", &self.assembly)
            .field("time", &self.time)
            .field("fields", &self.fields.len())
            .finish()
    }
}

impl Document {
    /// A document with all fields but `_id`, `assembly` and `time`.
    #[must_use]
    pub const fn new(
        id: DocumentId,
        assembly: AssemblyRef,
        time: Timestamp,
        fields: Map<String, Value>,
    ) -> Self {
        Self {
            id,
            assembly,
            time,
            fields,
        }
    }
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
        let own = [
            ("_id", self.id.to_string()),
            ("assembly", self.assembly.to_string()),
            ("time", self.time.to_string()),
        ];
        // None of them has anything to escape: the two texts with their quotes, colon and comma.
        let added: usize = own
            .iter()
            .map(|(name, value)| name.len() + value.len() + 6)
            .sum();
        let hidden = |(name, _): &(&str, String)| self.fields.contains_key(*name);
        if own.iter().any(hidden) {
            return length(&self.to_json());
        }
        let commas_too_many = u64::from(self.fields.is_empty());
        length(&self.fields) + added as u64 - commas_too_many
    }
}

/// As compact JSON.
fn length(value: &impl serde::Serialize) -> u64 {
    let mut counter = ByteCounter(0);
    // Writing to a counter can't fail, and neither can serializing a JSON value.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::given;

    #[test]
    fn the_size_is_the_length_of_the_whole_document() {
        let mut document = given::document(1, &given::assembly_ref("ann/Notes"), json!({"a": 1}));
        let whole = |document: &Document| document.to_json().to_string().len() as u64;
        assert_eq!(document.size(), whole(&document));
        document.fields.insert("time".into(), json!([]));
        assert_eq!(document.size(), whole(&document));
        document.fields.clear();
        assert_eq!(document.size(), whole(&document));
    }
}
