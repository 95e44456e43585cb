use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::Value;

use super::{MemoryStore, State};
use crate::{
    clock::Timestamp,
    document::{
        Document, DocumentId, DocumentRepository, InsertOutcome, NewEntry, Replacement,
        SaveOutcome, Scan, ScanLimit, ScanLimits, Scope, Search, Searched,
    },
    id::{AssemblyId, UserId},
    job::EnqueueOutcome,
    query::{Path, Query, Sort, SortKey, Watch},
    store::StoreError,
    usage::Usage,
};

/// A document, and which assembly has stored it.
pub(super) struct Stored {
    assembly: AssemblyId,
    document: Document,
}

impl State {
    fn documents_in(&self, scope: Scope) -> impl Iterator<Item = &Document> {
        let least = DocumentId::from_bytes([0; 12]);
        let greatest = DocumentId::from_bytes([0xff; 12]);
        self.documents
            .range((scope.user, least)..=(scope.user, greatest))
            .map(|(_, stored)| stored)
            .filter(move |stored| stored.is_in(scope))
            .map(|stored| &stored.document)
    }

    /// Removes the document, if there is one, and what it has queued.
    pub(super) fn remove_document(&mut self, user: UserId, id: DocumentId, at: Timestamp) {
        let removed = self.documents.remove(&(user, id));
        if let (Some(removed), Some(found)) = (removed, self.users.get_mut(&user)) {
            let size = removed.document.size();
            found.usage = found.usage.with_storage_changed(at, 0, size);
        }
        self.cancel_job_of(user, id);
    }

    fn is_indexed(&self, user: UserId, path: &Path) -> bool {
        self.installations
            .iter()
            .filter(|(owner, _)| *owner == user)
            .filter_map(|(_, id)| self.assemblies.get(id))
            .any(|(_, assembly)| assembly.source.indexes().contains(path))
    }
}

impl Stored {
    fn is_in(&self, scope: Scope) -> bool {
        scope.assembly.is_none_or(|wanted| wanted == self.assembly)
    }
}

/// Whether storing so much more would be too much.
fn is_full(usage: &Usage, added: u64, removed: u64, max_bytes: Option<u64>) -> bool {
    let after = usage.bytes.saturating_add(added).saturating_sub(removed);
    added > removed && max_bytes.is_some_and(|max| after > max)
}

/// Goes through documents, within limits.
struct Reading<'a> {
    state: &'a State,
    scope: Scope,
    query: &'a Query,
    sort: Option<&'a Sort>,
    limits: ScanLimits,
    since: Instant,
    examined: u64,
    bytes: u64,
}

impl<'a> Reading<'a> {
    fn new(state: &'a State, scope: Scope, query: &'a Query, limits: ScanLimits) -> Self {
        Self {
            state,
            scope,
            query,
            sort: None,
            limits,
            since: Instant::now(),
            examined: 0,
            bytes: 0,
        }
    }

    /// Calls `take` with each document that matches, in the order of identifiers, until it has
    /// enough.
    fn each(
        &mut self,
        mut take: impl FnMut(&mut Self, &'a Document) -> Result<bool, ScanLimit>,
    ) -> Result<(), ScanLimit> {
        for document in self.state.documents_in(self.scope) {
            if self.examined == self.limits.examined {
                return Err(ScanLimit::Examined);
            }
            self.examined += 1;
            if self.since.elapsed() > self.limits.time {
                return Err(ScanLimit::Time);
            }
            let (since, time) = (self.since, self.limits.time);
            let mut is_late = || since.elapsed() > time;
            let mut watch = Watch::new(&mut is_late);
            if self.query.matches_within(document, &mut watch)? && !take(self, document)? {
                break;
            }
        }
        Ok(())
    }

    fn found(&mut self, bytes: u64) -> Result<(), ScanLimit> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes {
            return Err(ScanLimit::Bytes);
        }
        Ok(())
    }

    fn end<T>(self, result: Result<T, ScanLimit>) -> Searched<T> {
        let is_indexed = |path: &Path| self.state.is_indexed(self.scope.user, path);
        let work = self.since.elapsed().max(Duration::from_nanos(1));
        let (examined, query, sort) = (self.examined, self.query, self.sort);
        match result {
            Ok(found) => {
                let scan = Scan::new(examined, work, query, sort, is_indexed);
                Searched::Found(found, scan)
            }
            Err(limit @ (ScanLimit::Time | ScanLimit::Examined)) => {
                let scan = Scan::given_up(examined, work, query, sort, is_indexed);
                Searched::TooMuch(limit, scan)
            }
            Err(limit) => {
                let scan = Scan::new(examined, work, query, sort, is_indexed);
                Searched::TooMuch(limit, scan)
            }
        }
    }
}

#[async_trait]
impl DocumentRepository for MemoryStore {
    async fn insert(&self, user: UserId, entry: &NewEntry) -> Result<InsertOutcome, StoreError> {
        let mut state = self.lock();
        let NewEntry {
            document,
            at,
            max_bytes,
            job,
        } = entry;
        let Some(assembly) = state
            .installed(user, &document.assembly)
            .map(|found| found.id)
        else {
            return Ok(InsertOutcome::NotInstalled);
        };
        if state.documents.contains_key(&(user, document.id)) {
            return Err(StoreError::corrupt("documents", "an identifier came twice"));
        }
        let size = document.size();
        let usage = state.users.get(&user).map(|found| &found.usage);
        if usage.is_some_and(|usage| is_full(usage, size, 0, *max_bytes)) {
            return Ok(InsertOutcome::StorageFull);
        }
        if let Some(job) = job {
            match state.enqueue(user, document.id, job, *at) {
                EnqueueOutcome::Queued => {}
                refused => return Ok(InsertOutcome::NotQueued(refused)),
            }
        }
        if let Some(found) = state.users.get_mut(&user) {
            found.usage = found.usage.with_storage_changed(*at, size, 0);
        }
        let stored = Stored {
            assembly,
            document: document.clone(),
        };
        state.documents.insert((user, document.id), stored);
        Ok(InsertOutcome::Inserted)
    }

    async fn find(&self, scope: Scope, id: DocumentId) -> Result<Option<Document>, StoreError> {
        let state = self.lock();
        let found = state.documents.get(&(scope.user, id));
        let found = found.filter(|stored| stored.is_in(scope));
        Ok(found.map(|stored| stored.document.clone()))
    }

    async fn search(
        &self,
        scope: Scope,
        search: &Search,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Document>>, StoreError> {
        let state = self.lock();
        let bound = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let (skip, limit) = (bound(search.skip), bound(search.limit));
        let mut reading = Reading::new(&state, scope, &search.query, limits);
        reading.sort = Some(&search.sort);
        let enough = if search.sort == Sort::default() {
            skip.saturating_add(limit)
        } else {
            usize::MAX
        };
        let mut matching = Vec::new();
        let read = reading.each(|_, document| {
            matching.push(document);
            Ok(matching.len() < enough)
        });
        let found = read.and_then(|()| {
            search.sort.sort(&mut matching);
            matching
                .into_iter()
                .skip(skip)
                .take(limit)
                .map(|document| {
                    reading.found(document.size())?;
                    Ok(document.clone())
                })
                .collect()
        });
        Ok(reading.end(found))
    }

    async fn count(
        &self,
        scope: Scope,
        query: &Query,
        limits: ScanLimits,
    ) -> Result<Searched<u64>, StoreError> {
        let state = self.lock();
        let mut reading = Reading::new(&state, scope, query, limits);
        let mut count = 0;
        let read = reading.each(|_, _| {
            count += 1;
            Ok(true)
        });
        Ok(reading.end(read.map(|()| count)))
    }

    async fn distinct(
        &self,
        scope: Scope,
        query: &Query,
        path: &Path,
        limits: ScanLimits,
    ) -> Result<Searched<Vec<Value>>, StoreError> {
        let state = self.lock();
        let mut reading = Reading::new(&state, scope, query, limits);
        let mut values = BTreeMap::new();
        let read = reading.each(|reading, document| {
            for value in path.distinct_values(document) {
                let key = SortKey::of(&value);
                if let std::collections::btree_map::Entry::Vacant(free) = values.entry(key) {
                    reading.found(value.to_string().len() as u64 + ScanLimits::VALUE)?;
                    free.insert(value.into_owned());
                }
            }
            Ok(true)
        });
        Ok(reading.end(read.map(|()| values.into_values().collect())))
    }

    async fn save(
        &self,
        scope: Scope,
        id: DocumentId,
        new: &Replacement,
    ) -> Result<SaveOutcome, StoreError> {
        let mut state = self.lock();
        let State {
            documents, users, ..
        } = &mut *state;
        let stored = documents.get_mut(&(scope.user, id));
        let Some(stored) = stored.filter(|stored| stored.is_in(scope)) else {
            return Ok(SaveOutcome::NotFound);
        };
        let document = Document {
            time: new.time.unwrap_or(stored.document.time),
            fields: new.fields.clone(),
            ..stored.document.clone()
        };
        if let Some(found) = users.get_mut(&scope.user) {
            let (added, removed) = (document.size(), stored.document.size());
            if is_full(&found.usage, added, removed, new.max_bytes) {
                return Ok(SaveOutcome::StorageFull);
            }
            found.usage = found.usage.with_storage_changed(new.at, added, removed);
        }
        stored.document = document;
        Ok(SaveOutcome::Saved)
    }

    async fn remove(
        &self,
        scope: Scope,
        id: DocumentId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let there = state.documents.get(&(scope.user, id));
        let is_there = there.is_some_and(|stored| stored.is_in(scope));
        if is_there {
            state.remove_document(scope.user, id, at);
        }
        Ok(is_there)
    }
}
