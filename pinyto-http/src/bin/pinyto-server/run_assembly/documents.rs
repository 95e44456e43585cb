//! Documents in a file: a JSON list, or one JSON object a line.

use std::{fs, path::Path, time::Duration};

use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{Document, DocumentId, ScanLimits, Scope, Search, Searched},
    id::UserId,
    memory::MemoryStore,
    query::Query,
    store::Store as _,
};
use serde_json::{Map, Value};

/// The documents in the file, as if `assembly` had stored them. Those without `_id` get one.
///
/// # Errors
///
/// One sentence about what is wrong with the file.
pub(super) fn read(
    file: &Path,
    assembly: &AssemblyRef,
    now: Timestamp,
) -> Result<Vec<Document>, String> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| format!("{shown} can't be read: {error}."))?;
    let wrong = |error| format!("{shown} has to hold JSON objects: {error}.");
    let objects: Vec<Map<String, Value>> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(wrong)?
    } else {
        let lines = serde_json::Deserializer::from_str(&text).into_iter();
        lines.collect::<Result<_, _>>().map_err(wrong)?
    };
    let documents = objects
        .into_iter()
        .zip(0_u32..)
        .map(|(mut fields, number)| {
            let id = match fields.remove("_id") {
                None => made_up(number),
                Some(Value::String(id)) => id
                    .parse()
                    .map_err(|error| format!("Document {number} in {shown}: {error}"))?,
                Some(other) => {
                    return Err(format!("{other} in {shown} is no _id: that is a text."));
                }
            };
            let time = fields.remove("time");
            let time = time.as_ref().and_then(Value::as_str);
            fields.remove("assembly");
            let time = time.and_then(Timestamp::parse_rfc3339).unwrap_or(now);
            Ok(Document::new(id, assembly.clone(), time, fields))
        });
    documents.collect()
}

/// An identifier in the order of the file.
fn made_up(number: u32) -> DocumentId {
    let mut bytes = [0; 12];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    DocumentId::from_bytes(bytes)
}

/// Writes all documents of the user to the file, as a JSON list.
///
/// # Errors
///
/// One sentence about what failed.
pub(super) async fn write(file: &Path, store: &MemoryStore, user: UserId) -> Result<(), String> {
    let search = Search::new(Query::default());
    let limits = ScanLimits {
        examined: u64::MAX,
        time: Duration::MAX,
        bytes: u64::MAX,
    };
    let found = store
        .documents()
        .search(Scope::all_of(user), &search, limits);
    let Ok(Searched::Found(documents, _)) = found.await else {
        return Err("The documents can't be read any more.".to_owned());
    };
    let all: Value = documents.into_iter().map(Document::into_json).collect();
    fs::write(file, format!("{all:#}\n"))
        .map_err(|error| format!("{} can't be written: {error}.", file.display()))
}
