//! What the code of an assembly can do with the documents of the user it runs for.
//!
//! Arguments come from the author's code and answers go there, so everything about them is
//! checked here, whatever runtime carries them.

mod arguments;

use std::{sync::Arc, time::Duration};

use arguments::{Arguments, of_value, wrong_type};
use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{ScanLimit, Scope, Search, access::DocumentAccess, ledger::Tally};
use crate::{
    assembly::AssemblyRef,
    clock::Timestamp,
    cloud::Cloud,
    egress::{EgressRequest, HostPattern, RequestBudget},
    error::Error,
    job::{Hold, JobRef},
    query::{Path, Query, Sort},
    run::RunId,
    runtime::{CodeError, CodeLimit, Service, ServiceError, ServiceException, Services},
};

/// The services of one call.
pub(crate) struct CallServices {
    documents: DocumentAccess,
    run: RunId,
    assembly: AssemblyRef,
    hosts: Option<Vec<HostPattern>>,
    requests: Arc<RequestBudget>,
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
            documents: DocumentAccess::new(cloud, scope),
            run,
            assembly,
            hosts,
            requests,
        }
    }

    /// What has been done for the code.
    pub(crate) fn finish(self) -> Tally {
        self.documents.into_ledger().close()
    }

    fn cloud(&self) -> &Cloud {
        self.documents.cloud()
    }

    fn out_of_time(&self) -> ServiceError {
        let limit = CodeLimit::Database(self.cloud().settings().query_limits.all_together);
        ServiceError::Ended(CodeError::LimitReached { limit })
    }

    /// Why the code can't have what it has asked of documents.
    fn refusal(&self, error: Error) -> ServiceError {
        let (exception, message) = match error {
            Error::QueryGivenUp(given_up)
                if given_up.limit() == ScanLimit::Time && self.documents.time_left().is_zero() =>
            {
                return self.out_of_time();
            }
            Error::QueryGivenUp(given_up) => (ServiceException::Runtime, given_up.to_string()),
            Error::StorageFull { limit } => (
                ServiceException::Runtime,
                format!("The user may store at most {limit} bytes."),
            ),
            Error::LimitReached { limit, .. } => (
                ServiceException::Runtime,
                format!("At most {limit} runs of jobs may be queued."),
            ),
            Error::AssemblyNotInstalled => (
                ServiceException::Permission,
                "The assembly is not installed any more.".to_owned(),
            ),
            Error::UnknownJob => (
                ServiceException::Lookup,
                "There is no such job in an assembly that the user has installed.".to_owned(),
            ),
            Error::UnknownDocument => return unknown_document(),
            Error::Busy { retry_after } => {
                return ServiceError::Ended(CodeError::Busy { retry_after });
            }
            // The code can't do anything about it, and learns nothing.
            failed => {
                let error: &dyn std::error::Error = &failed;
                tracing::error!(error, "a service for an assembly's code failed");
                return ServiceError::Ended(CodeError::Unavailable);
            }
        };
        ServiceError::raised(exception, message)
    }

    /// The query among the arguments. Reading one is work, too: it compiles regular expressions.
    fn query(&self, arguments: &mut Arguments) -> Result<Query, ServiceError> {
        let query = arguments.required("query")?;
        let booking = self.documents.ledger().begin(Duration::MAX);
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
            limit,
        };
        drop(arguments);
        let found = self.documents.search_text(search).await;
        found.map_err(|error| self.refusal(error))
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
        let found = self.documents.find_text(id).await;
        let found = found.map_err(|error| self.refusal(error))?;
        Ok(found.unwrap_or_else(null))
    }

    async fn find_distinct(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let query = self.query(&mut arguments)?;
        let path = match arguments.required("attribute")? {
            Value::String(path) => Path::parse(&path).map_err(of_value)?,
            other => return Err(wrong_type("attribute", "a path", &other)),
        };
        drop(arguments);
        let found = self.documents.distinct_text(&query, &path).await;
        found.map_err(|error| self.refusal(error))
    }

    async fn count(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let query = self.query(&mut arguments)?;
        drop(arguments);
        let counted = self.documents.count(&query).await;
        let counted = counted.map_err(|error| self.refusal(error))?;
        Ok(counted.to_string())
    }

    async fn insert(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let mut fields = arguments.document()?;
        let _room = arguments.into_room();
        for given in ["_id", "time", "assembly"] {
            fields.remove(given);
        }
        let job = self.job(&fields)?;
        let hold = Some(self.hold());
        let inserted = self
            .documents
            .insert(self.assembly.clone(), fields, job, hold)
            .await;
        let id = inserted.map_err(|error| self.refusal(error))?;
        Ok(text(&id.to_string()))
    }

    /// What the code queues waits until the code has ended.
    fn hold(&self) -> Hold {
        let longest = self.cloud().settings().code_limits.wall_time;
        Hold {
            by: self.run,
            until: self
                .cloud()
                .now()
                .saturating_add(longest.saturating_add(LONGER)),
        }
    }

    /// The job that a document of type `job` queues.
    fn job(&self, fields: &Map<String, Value>) -> Result<Option<JobRef>, ServiceError> {
        match JobRef::of_document(fields).map_err(of_value)? {
            Some(job)
                if self.documents.scope().assembly.is_some() && job.assembly != self.assembly =>
            {
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
        let id = id.parse().map_err(|_| unknown_document())?;
        fields.remove("assembly");
        let time = match fields.remove("time") {
            Some(Value::String(time)) => Timestamp::parse_rfc3339(&time),
            _ => None,
        };
        let saved = self.documents.save(id, fields, time).await;
        saved.map_err(|error| self.refusal(error))?;
        Ok(text(&id.to_string()))
    }

    async fn remove(&self, mut arguments: Arguments) -> Result<String, ServiceError> {
        let mut document = arguments.document()?;
        let id = document.remove("_id");
        drop((document, arguments));
        if let Some(Value::String(id)) = id
            && let Ok(id) = id.parse()
        {
            let removed = self.documents.remove(id).await;
            removed.map_err(|error| self.refusal(error))?;
        }
        Ok(null())
    }

    /// Fetches a URL. What goes wrong on the way is an empty text; what the code had no right to
    /// ask for is told.
    async fn fetch(&self, request: EgressRequest) -> Result<String, ServiceError> {
        let Some(egress) = self.cloud().egress() else {
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
                    self.documents
                        .ledger()
                        .note(format!("Http gave an empty text: {error}"));
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
        let at_most = self.cloud().settings().code_limits.service_bytes;
        let (url, form) = (arguments.url()?, arguments.form(at_most)?);
        drop(arguments);
        self.fetch(self.request(url, Some(form))).await
    }

    fn request(&self, url: String, form: Option<Vec<(String, String)>>) -> EgressRequest {
        EgressRequest {
            user: self.documents.scope().user,
            requests: Arc::clone(&self.requests),
            url,
            form,
            allowed_hosts: self.hosts.clone(),
        }
    }
}

#[async_trait]
impl Services for CallServices {
    async fn begin(&self) -> Result<(), CodeError> {
        match self
            .cloud()
            .check_cpu_quota(self.documents.scope().user)
            .await
        {
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
        if self.documents.time_left().is_zero() {
            return Err(self.out_of_time());
        }
        let user = self.documents.scope().user;
        let room = self.cloud().room_for_values(user, arguments).await;
        let room = room.map_err(|error| match error {
            Error::Busy { retry_after } => ServiceError::Ended(CodeError::Busy { retry_after }),
            other => of_value(other),
        })?;
        let booking = self.documents.ledger().begin(Duration::MAX);
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

fn unknown_document() -> ServiceError {
    ServiceError::raised(
        ServiceException::Lookup,
        "There is no document with this _id.",
    )
}
