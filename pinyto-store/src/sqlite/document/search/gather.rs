//! What is made of the documents that match.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use pinyto_core::{
    document::{Document, DocumentId, ScanLimit, ScanLimits, document_text},
    query::{Direction, Path, Sort, SortKey, Watch},
};
use serde_json::Value;

use super::{
    super::{BODY, DocumentRow, document_id},
    Stop,
};
use crate::sqlite::error::corrupt;

/// How much memory the keys may take that documents are sorted by, if no index has them in order.
const MAX_SORTED_BYTES: usize = 64 * 1024 * 1024;

/// A document that may match.
pub(in super::super) struct Candidate {
    row: DocumentRow,
    size: i64,
    document: Option<Document>,
}

impl Candidate {
    pub(super) const fn new(row: DocumentRow, size: i64) -> Self {
        Self {
            row,
            size,
            document: None,
        }
    }

    pub(super) fn body(&self) -> &str {
        &self.row.body
    }

    /// Reads it when it is first asked for.
    pub(super) fn document(&mut self) -> Result<&Document, Stop> {
        Ok(match &mut self.document {
            Some(document) => document,
            none => none.insert(self.row.document()?),
        })
    }
}

/// What documents are handed over as.
pub(in super::super) trait Answer: Default + Send + 'static {
    /// Whether documents have to be read for it.
    const NEEDS_VALUES: bool;

    /// Adds a document at the end.
    fn add(&mut self, candidate: &mut Candidate) -> Result<(), Stop>;
}

impl Answer for Vec<Document> {
    const NEEDS_VALUES: bool = true;

    fn add(&mut self, candidate: &mut Candidate) -> Result<(), Stop> {
        candidate.document()?;
        self.extend(candidate.document.take());
        Ok(())
    }
}

/// The text of a JSON array of documents, without its end.
#[derive(Default)]
pub(in super::super) struct JsonArray(String);

impl JsonArray {
    pub(in super::super) fn add_text(&mut self, text: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(text);
    }

    pub(in super::super) fn into_text(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }
}

impl Answer for JsonArray {
    const NEEDS_VALUES: bool = false;

    fn add(&mut self, candidate: &mut Candidate) -> Result<(), Stop> {
        self.add_text(&candidate.row.text()?);
        Ok(())
    }
}

impl DocumentRow {
    /// The whole document as JSON.
    pub(in super::super) fn text(&self) -> Result<String, super::Corrupt> {
        let (id, assembly) = (document_id(&self.id)?, self.assembly()?);
        document_text(id, &assembly, self.time(), &self.body).map_err(corrupt(BODY))
    }
}

/// Counts the bytes of what is found.
pub(super) struct Bytes {
    found: u64,
    limit: u64,
}

impl Bytes {
    pub(super) const fn new(limits: &ScanLimits) -> Self {
        Self {
            found: 0,
            limit: limits.bytes,
        }
    }

    pub(super) fn found(&mut self, bytes: u64) -> Result<(), Stop> {
        self.found = self.found.saturating_add(bytes);
        if self.found > self.limit {
            return Err(Stop::Limit(ScanLimit::Bytes));
        }
        Ok(())
    }
}

/// Takes documents that match, one after the other, wherever they are looked at.
pub(super) trait Gather: Send + 'static {
    /// Whether documents have to be read for it.
    const NEEDS_VALUES: bool;

    /// Takes a document, and says whether it wants more. After [`Stop::Limit`] it may be asked to
    /// take the same one again.
    fn take(&mut self, candidate: &mut Candidate, watch: &mut Watch<'_>) -> Result<bool, Stop>;
}

/// The documents from the `skip`th to the `enough`th.
pub(super) struct InOrder<A> {
    pub(super) matching: u64,
    pub(super) skip: u64,
    pub(super) enough: u64,
    pub(super) bytes: Bytes,
    pub(super) answer: A,
}

impl<A: Answer> Gather for InOrder<A> {
    const NEEDS_VALUES: bool = A::NEEDS_VALUES;

    fn take(&mut self, candidate: &mut Candidate, _: &mut Watch<'_>) -> Result<bool, Stop> {
        self.matching += 1;
        if self.matching > self.skip {
            self.bytes
                .found(u64::try_from(candidate.size).unwrap_or(0))?;
            self.answer.add(candidate)?;
        }
        Ok(self.matching < self.enough)
    }
}

/// How many there are.
#[derive(Default)]
pub(super) struct Counted(pub(super) u64);

impl Gather for Counted {
    const NEEDS_VALUES: bool = false;

    fn take(&mut self, _: &mut Candidate, _: &mut Watch<'_>) -> Result<bool, Stop> {
        self.0 += 1;
        Ok(true)
    }
}

/// The first documents in an order that they don't come in.
pub(super) struct First {
    sort: Sort,
    enough: u64,
    /// What each is sorted by, its identifier and its size.
    kept: BTreeSet<(Vec<u8>, DocumentId, i64)>,
    bytes: usize,
}

impl First {
    pub(super) fn new(sort: &Sort, enough: u64) -> Self {
        Self {
            sort: sort.clone(),
            enough,
            kept: BTreeSet::new(),
            bytes: 0,
        }
    }

    pub(super) fn into_order(self, skip: u64) -> Vec<(DocumentId, i64)> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let kept = self.kept.into_iter().map(|(_, id, size)| (id, size));
        match self.sort.direction {
            Direction::Ascending => kept.skip(skip).collect(),
            Direction::Descending => kept.rev().skip(skip).collect(),
        }
    }
}

impl Gather for First {
    const NEEDS_VALUES: bool = true;

    fn take(&mut self, candidate: &mut Candidate, _: &mut Watch<'_>) -> Result<bool, Stop> {
        let size = candidate.size;
        let document = candidate.document()?;
        let key = self.sort.path.as_ref().map_or_else(Vec::new, |path| {
            let value = path.sort_value(document, self.sort.direction);
            value.key().into_bytes()
        });
        self.bytes += key.len() + 32;
        self.kept.insert((key, document.id, size));
        if self.kept.len() as u64 > self.enough {
            let last = match self.sort.direction {
                Direction::Ascending => self.kept.pop_last(),
                Direction::Descending => self.kept.pop_first(),
            };
            self.bytes -= last.map_or(0, |(key, ..)| key.len() + 32);
        }
        if self.bytes > MAX_SORTED_BYTES {
            return Err(Stop::Limit(ScanLimit::Bytes));
        }
        Ok(true)
    }
}

/// The different values at a path, as JSON.
pub(super) struct Distinct {
    path: Path,
    bytes: Bytes,
    values: BTreeMap<SortKey, (DocumentId, String)>,
}

impl Distinct {
    pub(super) fn new(path: &Path, limits: &ScanLimits) -> Self {
        Self {
            path: path.clone(),
            bytes: Bytes::new(limits),
            values: BTreeMap::new(),
        }
    }

    pub(super) fn into_texts(self) -> impl Iterator<Item = String> {
        self.values.into_values().map(|(_, text)| text)
    }
}

impl Gather for Distinct {
    const NEEDS_VALUES: bool = true;

    fn take(&mut self, candidate: &mut Candidate, watch: &mut Watch<'_>) -> Result<bool, Stop> {
        let document = candidate.document()?;
        for value in self.path.distinct_values(document) {
            // Finding its place takes as long as looking at dozens of values.
            watch.charge(64 + weight(&value))?;
            match self.values.entry(SortKey::of(&value)) {
                Entry::Vacant(free) => {
                    let text = value.to_string();
                    self.bytes.found(text.len() as u64 + ScanLimits::VALUE)?;
                    free.insert((document.id, text));
                }
                // How it is written in the first document counts.
                Entry::Occupied(mut earlier) if document.id < earlier.get().0 => {
                    earlier.insert((document.id, value.to_string()));
                }
                Entry::Occupied(_) => {}
            }
        }
        Ok(true)
    }
}

/// About how many values are in it, of large ones only that they are large.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 16,
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}
