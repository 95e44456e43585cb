//! The one way to a user's documents, whoever wants something of them: her own program, or the
//! code of an assembly that runs for her. Limits, quotas and what it costs are decided here.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Document, DocumentId, InsertOutcome, NewEntry, QueryGivenUp, QueuedJob, Replacement,
    SaveOutcome, Scan, ScanLimits, Scope, Search, Searched,
    ledger::{LOOK_UP, Ledger, WRITE, per_byte},
    length,
};
use crate::{
    assembly::AssemblyRef,
    clock::Timestamp,
    cloud::Cloud,
    error::{Error, Limited},
    job::{EnqueueOutcome, Hold, JobRef},
    query::{Path, Query},
    store::StoreError,
};

/// What is booked at most for a query that was refused because there was too much to do: it has
/// waited, but before that a store may have tried for a moment whether it is a short one.
const TRIED: Duration = Duration::from_millis(50);

/// The documents of a scope, for one call or operation. What is done with them stands in the
/// ledger, to be booked.
pub(super) struct DocumentAccess {
    cloud: Cloud,
    scope: Scope,
    ledger: Ledger,
}

impl DocumentAccess {
    pub(super) fn new(cloud: Cloud, scope: Scope) -> Self {
        Self {
            cloud,
            scope,
            ledger: Ledger::default(),
        }
    }

    pub(super) const fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(super) const fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// How long the store may still work.
    pub(super) fn time_left(&self) -> Duration {
        let all_together = self.cloud.settings().query_limits.all_together;
        all_together.saturating_sub(self.ledger.work())
    }

    fn limits(&self) -> ScanLimits {
        let settings = self.cloud.settings();
        ScanLimits {
            examined: settings.query_limits.examined,
            time: settings.query_limits.time.min(self.time_left()),
            bytes: settings.code_limits.service_bytes as u64,
        }
    }

    /// Has the store answer a query within limits.
    async fn searched<T>(
        &self,
        search: impl AsyncFnOnce(ScanLimits) -> Result<Searched<T>, StoreError>,
    ) -> Result<T, Error> {
        let limits = self.limits();
        let booking = self.ledger.begin(limits.time);
        match search(limits).await {
            Err(error) => {
                if let StoreError::Busy { .. } = error {
                    booking.settle_at_most(TRIED);
                }
                Err(error.into())
            }
            Ok(Searched::Found(found, scan)) => {
                booking.settle(scan.work);
                if scan.examined > Scan::MANY {
                    let (examined, hint) = (scan.examined, index_hint(&scan));
                    self.ledger
                        .note(format!("A query looked at {examined} documents.{hint}"));
                }
                Ok(found)
            }
            Ok(Searched::TooMuch(limit, scan)) => {
                booking.settle(scan.work);
                let examined = match scan.examined {
                    0 => String::new(),
                    examined => format!(" after it had looked at {examined} documents"),
                };
                let hint = index_hint(&scan);
                self.ledger
                    .note(format!("A query was given up{examined}.{hint}"));
                Err(QueryGivenUp::new(limit, limits, scan.missing_index).into())
            }
        }
    }

    /// A search that finds no more than is ever in an answer.
    fn bounded(&self, mut search: Search) -> Search {
        search.limit = search.limit.min(self.cloud.settings().query_limits.found);
        search
    }

    pub(super) async fn search(&self, search: Search) -> Result<Vec<Document>, Error> {
        let (documents, search) = (self.cloud.store().documents(), self.bounded(search));
        self.searched(async |limits| documents.search(self.scope, &search, limits).await)
            .await
    }

    /// As the text of a JSON array.
    pub(super) async fn search_text(&self, search: Search) -> Result<String, Error> {
        let (documents, search) = (self.cloud.store().documents(), self.bounded(search));
        self.searched(async |limits| documents.search_text(self.scope, &search, limits).await)
            .await
    }

    pub(super) async fn count(&self, query: &Query) -> Result<u64, Error> {
        let documents = self.cloud.store().documents();
        self.searched(async |limits| documents.count(self.scope, query, limits).await)
            .await
    }

    pub(super) async fn distinct(&self, query: &Query, path: &Path) -> Result<Vec<Value>, Error> {
        let documents = self.cloud.store().documents();
        self.searched(async |limits| documents.distinct(self.scope, query, path, limits).await)
            .await
    }

    /// As the text of a JSON array.
    pub(super) async fn distinct_text(&self, query: &Query, path: &Path) -> Result<String, Error> {
        let documents = self.cloud.store().documents();
        self.searched(async |limits| {
            documents
                .distinct_text(self.scope, query, path, limits)
                .await
        })
        .await
    }

    pub(super) async fn find(&self, id: DocumentId) -> Result<Option<Document>, Error> {
        let found = self.cloud.store().documents().find(self.scope, id).await?;
        let size = found.as_ref().map_or(0, Document::size);
        self.ledger.book(LOOK_UP + per_byte(size));
        Ok(found)
    }

    /// As JSON.
    pub(super) async fn find_text(&self, id: DocumentId) -> Result<Option<String>, Error> {
        let documents = self.cloud.store().documents();
        let found = documents.find_text(self.scope, id).await?;
        let size = found.as_ref().map_or(0, String::len);
        self.ledger.book(LOOK_UP + per_byte(size as u64));
        Ok(found)
    }

    /// Stores a new document in the name of an assembly, and queues `job` for it; at once, or when
    /// `hold` ends.
    pub(super) async fn insert(
        &self,
        assembly: AssemblyRef,
        fields: Map<String, Value>,
        job: Option<JobRef>,
        hold: Option<Hold>,
    ) -> Result<DocumentId, Error> {
        let settings = self.cloud.settings();
        let (time, limit) = (self.cloud.now(), settings.max_queued_jobs);
        let document = Document {
            id: self.cloud.document_ids().next(time),
            assembly,
            time,
            fields,
        };
        let id = document.id;
        self.ledger.book(WRITE + per_byte(document.size()));
        let job = job.map(|job| QueuedJob { job, limit, hold });
        let queues_job = job.is_some();
        let entry = NewEntry {
            document,
            at: time,
            max_bytes: settings.quotas.bytes,
            job,
        };
        let documents = self.cloud.store().documents();
        match documents.insert(self.scope.user, &entry).await? {
            InsertOutcome::Inserted => {
                match hold {
                    _ if !queues_job => {}
                    Some(_) => self.ledger.note_queued_job(),
                    None => self.cloud.wake_scheduler(),
                }
                Ok(id)
            }
            InsertOutcome::NotQueued(EnqueueOutcome::LimitReached) => Err(Error::LimitReached {
                things: Limited::QueuedJobs,
                limit: limit as u64,
            }),
            InsertOutcome::NotQueued(_) => Err(Error::UnknownJob),
            InsertOutcome::NotInstalled => Err(Error::AssemblyNotInstalled),
            InsertOutcome::StorageFull => Err(self.storage_full()),
        }
    }

    /// Gives a document other fields, and another time if one is given.
    pub(super) async fn save(
        &self,
        id: DocumentId,
        fields: Map<String, Value>,
        time: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.ledger.book(WRITE + per_byte(length(&fields)));
        let new = Replacement {
            fields,
            time,
            at: self.cloud.now(),
            max_bytes: self.cloud.settings().quotas.bytes,
        };
        let documents = self.cloud.store().documents();
        match documents.save(self.scope, id, &new).await? {
            SaveOutcome::Saved => Ok(()),
            SaveOutcome::NotFound => Err(Error::UnknownDocument),
            SaveOutcome::StorageFull => Err(self.storage_full()),
        }
    }

    /// Says whether there was one.
    pub(super) async fn remove(&self, id: DocumentId) -> Result<bool, Error> {
        self.ledger.book(WRITE);
        let (documents, now) = (self.cloud.store().documents(), self.cloud.now());
        Ok(documents.remove(self.scope, id, now).await?)
    }

    fn storage_full(&self) -> Error {
        Error::StorageFull {
            limit: self.cloud.settings().quotas.bytes.unwrap_or(u64::MAX),
        }
    }
}

/// Names an index that would help.
fn index_hint(scan: &Scan) -> String {
    let path = scan.missing_index.as_ref();
    path.map_or_else(String::new, QueryGivenUp::index_hint)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::sleep;

    use super::*;
    use crate::{challenge::ServerKey, id::UserId, memory::MemoryStore, testing::rsa::Toy};

    #[tokio::test]
    async fn a_query_that_was_refused_costs_a_moment_and_one_that_failed_what_it_took() {
        let key = ServerKey::generate(Toy::new()).unwrap();
        let cloud = Cloud::builder(Arc::new(MemoryStore::new()), key).build();
        let documents = DocumentAccess::new(cloud.unwrap(), Scope::all_of(UserId::new(1)));
        let fails = async |error: fn() -> StoreError| {
            let failed = documents.searched(async |_| {
                sleep(2 * TRIED).await;
                Err::<Searched<()>, _>(error())
            });
            failed.await.unwrap_err()
        };
        assert_eq!(fails(StoreError::busy).await.code(), "busy");
        assert_eq!(documents.ledger().work(), TRIED);
        let failed = fails(|| StoreError::unavailable("the disk is full")).await;
        assert_eq!(failed.code(), "database_unavailable");
        assert!(documents.ledger().work() >= 3 * TRIED);
    }
}
