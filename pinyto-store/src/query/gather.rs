//! What is made of the documents that match.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

use pinyto_core::{
    document::{Document, DocumentId, ScanLimit, ScanLimits, Search, tree_size},
    query::{Direction, Path, Sort, SortKey, Watch},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    evaluation::{Evaluations, SMALL},
    stop::Stop,
};
use crate::row::document::{DocumentRow, document_id};

/// How much memory the keys may take that documents are sorted by, if no index has them in order.
const MAX_SORTED_BYTES: usize = 8 * 1024 * 1024;

/// A document that may match.
pub(crate) struct Candidate {
    row: DocumentRow,
    size: i64,
    is_known_to_match: bool,
    document: Option<Document>,
}

impl Candidate {
    pub(crate) const fn new(row: DocumentRow, size: i64) -> Self {
        Self {
            row,
            size,
            is_known_to_match: false,
            document: None,
        }
    }

    /// Nobody has to look whether it matches.
    pub(crate) const fn known_to_match(mut self) -> Self {
        self.is_known_to_match = true;
        self
    }

    pub(crate) const fn is_known_to_match(&self) -> bool {
        self.is_known_to_match
    }

    pub(crate) fn body(&self) -> &str {
        &self.row.body
    }

    /// Reads it when it is first asked for.
    pub(crate) fn document(&mut self) -> Result<&Document, Stop> {
        Ok(match &mut self.document {
            Some(document) => document,
            none => none.insert(self.row.document()?),
        })
    }
}

/// What documents are handed over as.
pub(crate) trait Answer: Default + Send + 'static {
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
pub(crate) struct JsonArray(String);

impl JsonArray {
    pub(crate) fn add_text(&mut self, text: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(text);
    }

    pub(crate) fn into_text(mut self) -> String {
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

/// Documents that were read once more, and in which order they are wanted.
pub(crate) struct Rows {
    pub(crate) rows: Vec<DocumentRow>,
    /// Identifiers and sizes.
    pub(crate) wanted: Vec<(DocumentId, i64)>,
}

impl Rows {
    pub(crate) async fn answer<A: Answer>(
        self,
        evaluations: &Evaluations,
        deadline: Option<Instant>,
    ) -> Result<A, Stop> {
        let sizes = self.rows.iter().map(|row| match A::NEEDS_VALUES {
            true => tree_size(&row.body),
            false => row.body.len(),
        });
        let size = sizes.sum();
        if size <= SMALL {
            return self.in_order();
        }
        evaluations.run(size, deadline, |_| self.in_order()).await?
    }

    fn in_order<A: Answer>(self) -> Result<A, Stop> {
        let mut by_id = HashMap::new();
        for row in self.rows {
            by_id.insert(document_id(&row.id)?, row);
        }
        let mut answer = A::default();
        for (id, size) in self.wanted {
            if let Some(row) = by_id.remove(&id) {
                answer.add(&mut Candidate::new(row, size))?;
            }
        }
        Ok(answer)
    }
}

/// Counts the bytes of what is found.
pub(crate) struct Bytes {
    found: u64,
    limit: u64,
}

impl Bytes {
    pub(crate) const fn new(limits: &ScanLimits) -> Self {
        Self {
            found: 0,
            limit: limits.bytes,
        }
    }

    pub(crate) fn found(&mut self, bytes: u64) -> Result<(), Stop> {
        self.found = self.found.saturating_add(bytes);
        if self.found > self.limit {
            return Err(Stop::Limit(ScanLimit::Bytes));
        }
        Ok(())
    }
}

/// Takes documents that match, one after the other, wherever they are looked at.
pub(crate) trait Gather: Send + 'static {
    /// Whether documents have to be read for it.
    const NEEDS_VALUES: bool;

    /// Takes a document, and says whether it wants more. After [`Stop::Evaluation`] it may be
    /// asked to take the same one again.
    fn take(&mut self, candidate: &mut Candidate, watch: &mut Watch<'_>) -> Result<bool, Stop>;
}

/// The documents from the `skip`th to the `enough`th.
pub(crate) struct InOrder<A> {
    matching: u64,
    skip: u64,
    enough: u64,
    bytes: Bytes,
    pub(crate) answer: A,
}

impl<A: Answer> InOrder<A> {
    pub(crate) fn new(search: &Search, limits: &ScanLimits) -> Self {
        Self {
            matching: 0,
            skip: search.skip,
            enough: search.skip.saturating_add(search.limit),
            bytes: Bytes::new(limits),
            answer: A::default(),
        }
    }
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
pub(crate) struct Counted(pub(crate) u64);

impl Gather for Counted {
    const NEEDS_VALUES: bool = false;

    fn take(&mut self, _: &mut Candidate, _: &mut Watch<'_>) -> Result<bool, Stop> {
        self.0 += 1;
        Ok(true)
    }
}

/// The first documents in an order that they don't come in.
pub(crate) struct First {
    sort: Sort,
    enough: u64,
    /// What each is sorted by, its identifier and its size.
    kept: BTreeSet<(Vec<u8>, DocumentId, i64)>,
    bytes: usize,
}

impl First {
    pub(crate) fn new(sort: &Sort, enough: u64) -> Self {
        Self {
            sort: sort.clone(),
            enough,
            kept: BTreeSet::new(),
            bytes: 0,
        }
    }

    pub(crate) fn into_order(self, skip: u64) -> Vec<(DocumentId, i64)> {
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
pub(crate) struct Distinct {
    path: Path,
    bytes: Bytes,
    values: BTreeMap<SortKey, (DocumentId, String)>,
}

impl Distinct {
    pub(crate) fn new(path: &Path, limits: &ScanLimits) -> Self {
        Self {
            path: path.clone(),
            bytes: Bytes::new(limits),
            values: BTreeMap::new(),
        }
    }

    pub(crate) fn into_texts(self) -> impl Iterator<Item = String> {
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
