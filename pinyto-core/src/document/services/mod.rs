//! What the code of an assembly can do with the documents of the user it runs for.
//!
//! Arguments come from the author's code and answers go there, so everything about them is
//! checked here, whatever runtime carries them.

mod arguments;
mod tally;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{
    Document, DocumentId, InsertOutcome, NewEntry, QueuedJob, Replacement, SaveOutcome, Scan,
    ScanLimit, ScanLimits, Scope, Search, Searched, length,
};
use arguments::{Arguments, of_value, wrong_type};
pub(crate) use tally::Tally;
use tally::{LOOK_UP, Ledger, WRITE, per_byte};

use crate::{
    assembly::AssemblyRef,
    clock::Timestamp,
    cloud::Cloud,
    egress::{EgressRequest, HostPattern, RequestBudget},
    error::Error,
    job::{EnqueueOutcome, Hold, JobRef},
    query::{Path, Query, Sort},
    run::RunId,
    runtime::{CodeError, CodeLimit, Service, ServiceError, ServiceException, Services},
    store::StoreError,
};

/// The services of one call.
pub(crate) struct CallServices {
    cloud: Cloud,
    run: RunId,
    scope: Scope,
    assembly: AssemblyRef,
    hosts: Option<Vec<HostPattern>>,
    requests: Arc<RequestBudget>,
    tally: Ledger,
}

/// How much longer than its wall time a call may take until it has ended, for all that is known.
const LONGER: Duration = Duration::from_secs(10);

impl CallServices {
    /// For the run of code of `assembly` that runs for the user of `scope` and may reach only `hosts`, if
    /// they are given.
    pub(crate) fn new(
        cloud: Cloud,
        run: RunId,
        scope: Scope,
        assembly: AssemblyRef,
        hosts: Option<Vec<HostPattern>>,
    ) -> Self {
        let requests = Arc::new(RequestBudget::new(cloud.settings().http_requests));
        Self {
            cloud,
            run,
            scope,
            assembly,
            hosts,
            requests,
            tally: Ledger::default(),
        }
    }

    /// What has been done for the code.
    pub(crate) fn finish(self) -> Tally {
        self.tally.close()
    }

    /// How long the store may still work for the code.
    fn time_left(&self) -> Duration {
        let all_together = self.cloud.settings().query_limits.all_together;
        all_together.saturating_sub(self.tally.work())
    }

    fn limits(&self) -> ScanLimits {
        let settings = self.cloud.settings();
        ScanLimits {
            examined: settings.query_limits.examined,
            time: settings.query_limits.time.min(self.time_left()),
            bytes: settings.code_limits.service_bytes as u64,
        }
    }

    /// Has the store answer a query within limits, and books what that has cost.
    async fn searched<T>(
        &self,
        search: impl AsyncFnOnce(ScanLimits) -> Result<Searched<T>, StoreError>,
    ) -> Result<T, ServiceError> {
        let limits = self.limits();
        let booking = self.tally.begin(limits.time);
        let searched = search(limits).await.map_err(unavailable)?;
        let (found, scan) = match searched {
            Searched::Found(found, scan) => (Ok(found), scan),
            Searched::TooMuch(limit, scan) => (Err(limit), scan),
        };
        booking.settle(scan.work);
        let hint = self.note(&scan, found.is_err());
        found.map_err(|limit| {
            if limit == ScanLimit::Time && self.time_left().is_zero() {
                return self.out_of_time();
            }
            let what = match limit {
                ScanLimit::Bytes => format!(
                    "the documents found have more than {} bytes. Use limit and skip.",
                    self.limits().bytes
                ),
                ScanLimit::Examined => format!(
                    "it had to look at more than {} documents.{hint}",
                    self.limits().examined
                ),
                ScanLimit::LongSearch => {
                    "a regular expression is too large for the length of a text it was looked \
                     for in. Use a simpler one."
                        .to_owned()
                }
                ScanLimit::Time => format!(
                    "it took longer than {} s.{hint}",
                    self.limits().time.as_secs_f64()
                ),
            };
            let message = format!("The query was given up: {what}");
            ServiceError::raised(ServiceException::Runtime, message)
        })
    }

    fn out_of_time(&self) -> ServiceError {
        let limit = CodeLimit::Database(self.cloud.settings().query_limits.all_together);
        ServiceError::Ended(CodeError::LimitReached { limit })
    }

    /// Tells the author about a query that looked at many documents, and about an index that would
    /// help.
    fn note(&self, scan: &Scan, was_given_up: bool) -> String {
        let hint = scan
            .missing_index
            .as_ref()
            .map_or_else(String::new, |path| {
                format!(" An index on {path} would help: add it to the assembly's indexes.")
            });
        let examined = match scan.examined {
            0 => String::new(),
            examined => format!(" after it had looked at {examined} documents"),
        };
        if was_given_up {
            self.tally
                .note(format!("A query was given up{examined}.{hint}"));
        } else if scan.examined > Scan::MANY {
            let examined = scan.examined;
            self.tally
                .note(format!("A query looked at {examined} documents.{hint}"));
        }
        hint
    }

    /// The query among the arguments. Reading one is work, too: it compiles regular expressions.
    fn query(&self, arguments: &mut Arguments) -> Result<Query, ServiceError> {
        let query = arguments.required("query")?;
        let booking = self.tally.begin(Duration::MAX);
        let parsed = Query::parse(&query);
        drop(booking);
        parsed.map_err(of_value)
    }

    async fn find(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let query = self.query(&mut arguments)?;
        let skip = arguments.count("skip")?;
        let limit = match arguments.count("limit")? {
            0 => u64::MAX,
            limit => limit,
        };
        let direction = match arguments.optional("sort_direction") {
            None => Ok("asc".to_owned()),
            Some(Value::String(direction)) => Ok(direction),
            Some(other) => Err(wrong_type("sort_direction", "\"asc\" or \"desc\"", &other)),
        }?;
        let direction = direction.parse().map_err(of_value)?;
        let sort = match arguments.optional("sorting") {
            None => Sort::default(),
            Some(Value::String(path)) => Sort::by(&path, direction).map_err(of_value)?,
            Some(other) => return Err(wrong_type("sorting", "a path or None", &other)),
        };
        let search = Search {
            query,
            sort,
            skip,
            limit: limit.min(self.cloud.settings().query_limits.found),
        };
        drop(arguments);
        let documents = self.cloud.store().documents();
        self.searched(async |limits| documents.search_text(self.scope, &search, limits).await)
            .await
    }

    async fn find_for_id(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let id = match arguments.required("id")? {
            Value::String(id) => id,
            other => return Err(wrong_type("id", "a text", &other)),
        };
        // What can't be an _id is one that nobody has.
        let Ok(id) = id.parse() else {
            return Ok(null());
        };
        drop(arguments);
        let documents = self.cloud.store().documents();
        let found = documents.find_text(self.scope, id).await;
        let found = found.map_err(unavailable)?.unwrap_or_else(null);
        self.tally.book(LOOK_UP + per_byte(found.len() as u64));
        Ok(found)
    }

    async fn find_distinct(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let query = self.query(&mut arguments)?;
        let path = match arguments.required("attribute")? {
            Value::String(path) => Path::parse(&path).map_err(of_value)?,
            other => return Err(wrong_type("attribute", "a path", &other)),
        };
        drop(arguments);
        let documents = self.cloud.store().documents();
        self.searched(async |limits| {
            documents
                .distinct_text(self.scope, &query, &path, limits)
                .await
        })
        .await
    }

    async fn count(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let query = self.query(&mut arguments)?;
        drop(arguments);
        let documents = self.cloud.store().documents();
        let counted =
            self.searched(async |limits| documents.count(self.scope, &query, limits).await);
        Ok(counted.await?.to_string())
    }

    async fn insert(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let mut fields = arguments.document()?;
        let _room = arguments.into_room();
        for given in ["_id", "time", "assembly"] {
            fields.remove(given);
        }
        let job = self.job(&fields)?;
        let (queues_job, limit) = (job.is_some(), self.cloud.settings().max_queued_jobs);
        let time = self.cloud.now();
        let document = Document {
            id: self.cloud.document_ids().next(time),
            assembly: self.assembly.clone(),
            time,
            fields,
        };
        let id = document.id;
        self.tally.book(WRITE + per_byte(document.size()));
        let entry = NewEntry {
            document,
            at: time,
            max_bytes: self.cloud.settings().quotas.bytes,
            job: job.map(|job| QueuedJob {
                job,
                limit,
                hold: Some(self.hold(time)),
            }),
        };
        let documents = self.cloud.store().documents();
        let inserted = documents.insert(self.scope.user, &entry).await;
        match inserted.map_err(unavailable)? {
            InsertOutcome::Inserted => {
                if queues_job {
                    self.tally.note_queued_job();
                }
                Ok(text(&id.to_string()))
            }
            InsertOutcome::NotInstalled => Err(ServiceError::raised(
                ServiceException::Permission,
                "The assembly is not installed any more.",
            )),
            InsertOutcome::StorageFull => Err(self.storage_full()),
            InsertOutcome::NotQueued(EnqueueOutcome::LimitReached) => Err(ServiceError::raised(
                ServiceException::Runtime,
                format!("At most {limit} runs of jobs may be queued."),
            )),
            InsertOutcome::NotQueued(_) => Err(ServiceError::raised(
                ServiceException::Lookup,
                "There is no such job in an assembly that the user has installed.",
            )),
        }
    }

    /// What the code queues waits until the code has ended.
    fn hold(&self, now: Timestamp) -> Hold {
        let longest = self.cloud.settings().code_limits.wall_time;
        Hold {
            by: self.run,
            until: now.saturating_add(longest.saturating_add(LONGER)),
        }
    }

    /// The job that a document of type `job` queues.
    fn job(&self, fields: &Map<String, Value>) -> Result<Option<JobRef>, ServiceError> {
        match JobRef::of_document(fields).map_err(of_value)? {
            Some(job) if self.scope.assembly.is_some() && job.assembly != self.assembly => {
                Err(ServiceError::raised(
                    ServiceException::Permission,
                    "An assembly with only_own_data can queue its own jobs only.",
                ))
            }
            job => Ok(job),
        }
    }

    async fn save(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let mut fields = arguments.document()?;
        let _room = arguments.into_room();
        let id = match fields.remove("_id") {
            Some(Value::String(id)) => id,
            Some(Value::Null) | None => {
                let message = "_id";
                return Err(ServiceError::raised(ServiceException::Key, message));
            }
            Some(other) => return Err(wrong_type("_id", "a text", &other)),
        };
        let unknown = || {
            ServiceError::raised(
                ServiceException::Lookup,
                "There is no document with this _id.",
            )
        };
        let id: DocumentId = id.parse().map_err(|_| unknown())?;
        fields.remove("assembly");
        self.tally.book(WRITE + per_byte(length(&fields)));
        let time = match fields.remove("time") {
            Some(Value::String(time)) => Timestamp::parse_rfc3339(&time),
            _ => None,
        };
        let new = Replacement {
            fields,
            time,
            at: self.cloud.now(),
            max_bytes: self.cloud.settings().quotas.bytes,
        };
        let documents = self.cloud.store().documents();
        let saved = documents.save(self.scope, id, &new).await;
        match saved.map_err(unavailable)? {
            SaveOutcome::Saved => Ok(text(&id.to_string())),
            SaveOutcome::NotFound => Err(unknown()),
            SaveOutcome::StorageFull => Err(self.storage_full()),
        }
    }

    async fn remove(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let mut document = arguments.document()?;
        let id = document.remove("_id");
        drop((document, arguments));
        if let Some(Value::String(id)) = id
            && let Ok(id) = id.parse()
        {
            self.tally.book(WRITE);
            let (documents, now) = (self.cloud.store().documents(), self.cloud.now());
            let removed = documents.remove(self.scope, id, now).await;
            removed.map_err(unavailable)?;
        }
        Ok(null())
    }

    /// Fetches a URL. What goes wrong on the way is an empty text; what the code had no right to
    /// ask for is told.
    async fn fetch(&self, request: EgressRequest) -> Result<String, ServiceError> {
        let Some(egress) = self.cloud.egress() else {
            return Err(ServiceError::raised(
                ServiceException::Permission,
                "This server fetches nothing from other servers.",
            ));
        };
        let fetched = match self.requests.take() {
            Ok(()) => egress.fetch(&request).await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(fetched) => Ok(text(&fetched)),
            Err(error) => match error.exception() {
                Some(exception) => Err(ServiceError::raised(exception, error.to_string())),
                None => {
                    self.tally.note(format!("Http gave an empty text: {error}"));
                    Ok(text(""))
                }
            },
        }
    }

    async fn get(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let url = arguments.url()?;
        drop(arguments);
        self.fetch(self.request(url, None)).await
    }

    async fn post(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let at_most = self.cloud.settings().code_limits.service_bytes;
        let (url, form) = (arguments.url()?, arguments.form(at_most)?);
        drop(arguments);
        self.fetch(self.request(url, Some(form))).await
    }

    fn request(&self, url: String, form: Option<Vec<(String, String)>>) -> EgressRequest {
        EgressRequest {
            user: self.scope.user,
            requests: Arc::clone(&self.requests),
            url,
            form,
            allowed_hosts: self.hosts.clone(),
        }
    }

    fn storage_full(&self) -> ServiceError {
        let limit = self.cloud.settings().quotas.bytes.unwrap_or(u64::MAX);
        let message = format!("The user may store at most {limit} bytes.");
        ServiceError::raised(ServiceException::Runtime, message)
    }
}

#[async_trait]
impl Services for CallServices {
    async fn begin(&self) -> Result<(), CodeError> {
        match self.cloud.check_cpu_quota(self.scope.user).await {
            Ok(()) => Ok(()),
            Err(Error::QuotaExceeded {
                limit,
                reset,
                retry_after,
            }) => Err(CodeError::QuotaExceeded {
                limit,
                reset,
                retry_after,
            }),
            Err(error) => {
                tracing::error!(?error, "can't tell whether a user is over her quota");
                Err(CodeError::Unavailable)
            }
        }
    }

    async fn call(&self, service: Service, arguments: &str) -> Result<String, ServiceError> {
        if self.time_left().is_zero() {
            return Err(self.out_of_time());
        }
        let user = self.scope.user;
        let room = self.cloud.room_for_values(user, arguments).await;
        let room = room.map_err(|error| match error {
            Error::Busy { retry_after } => ServiceError::Ended(CodeError::Busy { retry_after }),
            other => of_value(other),
        })?;
        let booking = self.tally.begin(Duration::MAX);
        let arguments = Arguments::read(service, arguments, room)?;
        drop(booking);
        match service {
            Service::Find => self.find(arguments).await,
            Service::FindDocumentForId => self.find_for_id(arguments).await,
            Service::FindDistinct => self.find_distinct(arguments).await,
            Service::Count => self.count(arguments).await,
            Service::Insert => self.insert(arguments).await,
            Service::Save => self.save(arguments).await,
            Service::Remove => self.remove(arguments).await,
            Service::HttpGet => self.get(arguments).await,
            Service::HttpPost => self.post(arguments).await,
        }
    }
}

/// As JSON.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// As JSON.
fn null() -> String {
    "null".to_owned()
}

/// The code can't do anything about it, and learns nothing.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: StoreError) -> ServiceError {
    if let StoreError::Busy { retry_after } = error {
        return ServiceError::Ended(CodeError::Busy { retry_after });
    }
    let error: &dyn std::error::Error = &error;
    tracing::error!(error, "a service for an assembly's code failed");
    ServiceError::Ended(CodeError::Unavailable)
}
