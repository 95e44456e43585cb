use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{Document, DocumentId, document_text},
    json,
    store::StoreError,
};
use serde_json::{Map, Value};

use super::{Corrupt, corrupt};

/// The text that is kept of a document's fields. What the server itself sets is no part of them.
pub(crate) fn fields_text(fields: &Map<String, Value>) -> Result<String, StoreError> {
    const OWN: [&str; 3] = ["_id", "assembly", "time"];
    let text = if OWN.iter().any(|own| fields.contains_key(*own)) {
        let mut fields = fields.clone();
        fields.retain(|name, _| !OWN.contains(&name.as_str()));
        serde_json::to_string(&fields)
    } else {
        serde_json::to_string(fields)
    };
    text.map_err(StoreError::unavailable)
}

/// Where bodies are.
pub(crate) const BODY: &str = "pinyto_documents.body";

#[derive(sqlx::FromRow)]
pub(crate) struct DocumentRow {
    pub(crate) id: Vec<u8>,
    pub(crate) assembly: String,
    pub(crate) time: i64,
    pub(crate) body: String,
}

/// The identifier that a column holds.
pub(crate) fn document_id(bytes: &[u8]) -> Result<DocumentId, Corrupt> {
    let bytes = bytes.try_into().map_err(corrupt("pinyto_documents.id"))?;
    Ok(DocumentId::from_bytes(bytes))
}

impl DocumentRow {
    pub(crate) fn assembly(&self) -> Result<AssemblyRef, Corrupt> {
        let assembly = AssemblyRef::parse(&self.assembly).ok_or("not author/name");
        assembly.map_err(corrupt("pinyto_documents.assembly"))
    }

    pub(crate) const fn time(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.time)
    }

    pub(crate) fn document(&self) -> Result<Document, Corrupt> {
        let (id, fields) = (document_id(&self.id)?, json::object(&self.body));
        let fields = fields.map_err(corrupt(BODY))?;
        Ok(Document::new(id, self.assembly()?, self.time(), fields))
    }

    /// The whole document as JSON.
    pub(crate) fn text(&self) -> Result<String, Corrupt> {
        let (id, assembly) = (document_id(&self.id)?, self.assembly()?);
        document_text(id, &assembly, self.time(), &self.body).map_err(corrupt(BODY))
    }
}

impl TryFrom<DocumentRow> for Document {
    type Error = Corrupt;

    fn try_from(row: DocumentRow) -> Result<Self, Corrupt> {
        row.document()
    }
}
