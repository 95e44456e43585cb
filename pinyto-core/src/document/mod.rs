//! Documents: what users keep.
//!
//! The program around a [`Cloud`](crate::Cloud) reaches those of a session's user:
//!
//! ```
//! use pinyto_core::{Cloud, Page, document::{NewDocument, Search}, query::Query};
//! # use std::sync::Arc;
//! # use pinyto_core::{
//! #     assembly::{AssemblyName, AssemblyRef, AssemblySource},
//! #     challenge::{DeviceKey, ServerKey},
//! #     crypto::default_backend,
//! #     memory::MemoryStore,
//! #     user::UserName,
//! # };
//! use serde_json::json;
//! # fn kept(name: &str) -> String {
//! #     std::fs::read_to_string(format!("src/testing/keys/{name}.pem")).expect("a key")
//! # }
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let server_key = ServerKey::from_pem(default_backend(), &kept("server"))?;
//! # let cloud = Cloud::builder(Arc::new(MemoryStore::new()), server_key).build()?;
//! # let device = DeviceKey::from_pem(default_backend(), &kept("device0"))?;
//! # let ada = UserName::parse("ada")?;
//! # cloud.register(ada.clone(), device.public_key().clone()).await?;
//! # let challenge = cloud.authenticate(&ada, &device.key_hash()).await?;
//! # let session = cloud.session(&device.answer(&challenge, cloud.server_public_key())?).await?;
//! # let name = AssemblyName::parse("Notes")?;
//! # let source = AssemblySource::builder(name).build()?;
//! # cloud.save_assembly(&session, None, &source).await?;
//! # let notes = AssemblyRef::parse("ada/Notes").ok_or("no name")?;
//! # cloud.install_assembly(&session, &notes).await?;
//! let note = NewDocument::new(json!("note"), json!(["garden"]), json!({"text": "plant peas"}))?;
//! let id = cloud.store_document(&session, notes, note).await?;
//!
//! let garden = Query::parse(&json!({"type": "note", "tags": "garden"}))?;
//! let search = Search::new(garden).page(Page::first(10));
//! let mut found = cloud.search_documents(&session, search).await?;
//! assert_eq!(found[0].id, id);
//!
//! found[0].fields.insert("data".into(), json!({"text": "plant beans"}));
//! cloud.save_document(&session, found.remove(0)).await?;
//! assert!(cloud.remove_document(&session, id).await?);
//! # Ok::<_, Box<dyn std::error::Error>>(()) }).map_err(|error| error.to_string())?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! What queries mean is told by [`query`](crate::query).
//!
//! # Sessions
//!
//! These methods take a session for granted: they don't ask whether it still lives. So ask for it
//! per request ([`Cloud::session`](crate::Cloud::session)), and don't keep it.
//!
//! # Limits
//!
//! Whether the program or an assembly's code asks, limits, quotas and what it costs are decided in
//! one place and the same, but for two things:
//!
//! - What the program stores, saves and removes takes none of the user's CPU time, and she needs
//!   none left; what code changes does. Reading takes of it for both.
//! - [`QueryLimits::all_together`] holds for each operation of the program by itself, but for all
//!   that one call of a function or run of a job asks for together.

use std::fmt;

mod access;
mod given_up;
mod id;
mod ledger;
mod new_document;
mod repository;
mod search;
mod service;
mod services;
mod text;

pub use given_up::QueryGivenUp;
pub(crate) use id::DocumentIds;
pub use id::{DocumentId, InvalidDocumentId};
pub use new_document::NewDocument;
pub(crate) use new_document::is_deeper_than;
pub use repository::{
    DocumentRepository, InsertOutcome, NewEntry, QueuedJob, Replacement, SaveOutcome, Scope,
};
pub use search::{QueryLimits, Scan, ScanLimit, ScanLimits, Search, Searched};
use serde_json::{Map, Value};
pub use service::Statistics;
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
