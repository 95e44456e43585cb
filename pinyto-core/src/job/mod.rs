//! Jobs: code that runs on its own, on a schedule or when it is queued.
//!
//! What is to be run stands in the store as a [`JobEntry`]: one per user and scheduled job of an
//! assembly she has installed, and one per run that was queued. A server claims entries that are
//! due with a *lease*: a promise that expires. While the job runs the server extends the lease;
//! at the end it completes the entry, which only the holder of the lease can do. A server that
//! dies lets its leases expire, and another one takes over.
//!
//! What happens to an entry is decided in `entry.rs`, without any I/O; a store only carries it
//! out in its transactions. [`Scheduler`] is what claims and runs.
//!
//! # The rules
//!
//! - A job with a schedule runs at once when it is installed (or its assembly is saved with it for
//!   the first time), then every so many minutes from the time it was planned for. Times that
//!   have passed meanwhile are skipped: after a downtime it runs once.
//! - A job without (schedule 0) runs once per installation. Saving the assembly again doesn't run
//!   it again; a new name or another installation does.
//! - Two runs of one job for one user never overlap.
//! - A run that fails is tried again, [`MAX_ATTEMPTS`] times in all, after pauses that grow. Then
//!   a job with a schedule goes on at its next time; everything else is *parked* with its error
//!   until [`Cloud::run_job_now`](crate::Cloud::run_job_now), until its document is removed, or
//!   (on schedule 0) until the author saves other code for it.
//! - What a call or a job queues runs after that has ended, whichever server looks for it. If the
//!   server dies in between, it runs when the call would have had to end.
//! - A run whose server died counts as a try, and is noted as `lost` by the server that takes
//!   over. One that was put back, because the server shuts down or the user is over her quota,
//!   doesn't.

mod entry;
mod execute;
mod repository;
mod scheduler;
mod service;
mod turn;

use std::fmt;

use serde_json::{Map, Value};

pub use entry::{Completion, JobEntry, JobFailure, MAX_ATTEMPTS};
pub use repository::{Claim, EnqueueOutcome, JobRepository};
pub use scheduler::{Scheduler, SchedulerSettings};
pub use service::MAX_LISTED;
pub use turn::{Turn, claimable_at};

use crate::{
    assembly::{AssemblyName, AssemblyRef, JobName, Schedule},
    clock::Timestamp,
    document::DocumentId,
    egress::HostPattern,
    id::{AssemblyId, JobEntryId},
    randomness::{Randomness, RandomnessUnavailable},
    run::RunId,
    user::{User, UserName},
};

/// What a job is referred to by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobRef {
    /// Its assembly.
    pub assembly: AssemblyRef,
    /// Its name, unique among the assembly's jobs.
    pub name: JobName,
}

/// Why a document of type `job` queues none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The data of a document of type job names a job by the texts assembly_user, assembly_name and job_name."
)]
#[non_exhaustive]
pub struct InvalidJobDocument;

impl InvalidJobDocument {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_job_document"
    }
}

impl JobRef {
    /// The job that a document queues when it is stored: one of type `job` whose data has
    /// `assembly_user`, `assembly_name` and `job_name`. `None`: it queues nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidJobDocument`] if these can't be the names of a job.
    pub fn of_document(fields: &Map<String, Value>) -> Result<Option<Self>, InvalidJobDocument> {
        if fields.get("type").and_then(Value::as_str) != Some("job") {
            return Ok(None);
        }
        let data = fields.get("data");
        let name = |field| data.and_then(|data| data.get(field));
        let names = [
            name("assembly_user"),
            name("assembly_name"),
            name("job_name"),
        ];
        let [Some(author), Some(assembly), Some(job)] = names else {
            return Ok(None);
        };
        Ok(Some(Self {
            assembly: AssemblyRef {
                author: parsed(author, UserName::parse)?,
                name: parsed(assembly, AssemblyName::parse)?,
            },
            name: parsed(job, JobName::parse)?,
        }))
    }
}

fn parsed<N, E>(
    value: &Value,
    parse: impl FnOnce(&str) -> Result<N, E>,
) -> Result<N, InvalidJobDocument> {
    let text = value.as_str().ok_or(InvalidJobDocument)?;
    parse(text).map_err(|_| InvalidJobDocument)
}

/// `author/assembly/job`.
impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.assembly, self.name)
    }
}

/// Why a job is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// The assembly is installed and lists it.
    Schedule,
    /// The user has stored this document. It is deleted when the job is done.
    Document(DocumentId),
    /// The user wants it now.
    RunNow,
}

impl Trigger {
    /// `schedule`, `document` or `run_now`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Document(_) => "document",
            Self::RunNow => "run_now",
        }
    }
}

/// Keeps what a run queues from being claimed before that run has ended.
///
/// The server that executes the run releases it then
/// ([`JobRepository::release`]); if that server dies, it becomes due by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The run that queues it.
    pub by: RunId,
    /// When that has certainly ended.
    pub until: Timestamp,
}

/// Names one claim; unguessable, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId([u8; 16]);

impl LeaseId {
    /// The identifier with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn generate(randomness: &dyn Randomness) -> Result<Self, RandomnessUnavailable> {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

/// Tells the beginning only: who has all of it may complete the job.
impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "LeaseId({first:02x}{second:02x}..)")
    }
}

/// A claimed entry: who shows it may extend and complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The entry.
    pub entry: JobEntryId,
    /// The claim.
    pub id: LeaseId,
}

/// A job that the claimer is to run now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// What entitles to it.
    pub lease: Lease,
    /// For whom.
    pub user: User,
    /// The assembly.
    pub assembly: AssemblyId,
    /// What it and the job are called.
    pub job: JobRef,
    /// Whether the code sees only the documents its assembly stored.
    pub only_own_data: bool,
    /// The hosts it may fetch from, if the author has named them.
    pub http_hosts: Option<Vec<HostPattern>>,
    /// The Python source of the job's body.
    pub code: String,
    /// Which try this is, counted from 1.
    pub attempt: u32,
    /// Why it is to be run.
    pub trigger: Trigger,
    /// When it should have run.
    pub planned_at: Timestamp,
    /// When the try before this began, if it was lost with its server.
    pub lost: Option<Timestamp>,
}

impl ClaimedJob {
    /// The job of an entry that [was claimed](JobEntry::claim), and its code, for the user. It sees
    /// only what its assembly stored, may fetch from all hosts that the operator allows, and no try
    /// before it was lost.
    #[must_use]
    pub fn new(
        lease: Lease,
        user: User,
        job: (AssemblyId, JobRef),
        code: String,
        entry: &JobEntry,
    ) -> Self {
        let (assembly, job) = job;
        Self {
            lease,
            user,
            assembly,
            job,
            only_own_data: true,
            http_hosts: None,
            code,
            attempt: entry.attempts,
            trigger: entry.trigger,
            planned_at: entry.planned_at,
            lost: None,
        }
    }
}

/// How it stands with one job of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobState {
    /// The job.
    pub job: JobRef,
    /// Why it is to be run.
    pub trigger: Trigger,
    /// How often, if by [`Trigger::Schedule`].
    pub schedule: Schedule,
    /// When it runs next; `None` if it runs just now, is parked, or has run once and for all.
    pub next_run: Option<Timestamp>,
    /// Since when it runs, if it runs just now.
    pub running_since: Option<Timestamp>,
    /// How many tries the present run has had, or has begun. 0: none yet.
    pub attempts: u32,
    /// Why the last run failed, if it did.
    pub last_failure: Option<JobFailure>,
    /// Whether all tries have failed and none is planned.
    pub parked: bool,
}

impl JobState {
    /// What an entry of the job says at `now`.
    #[must_use]
    pub fn of(job: JobRef, entry: &JobEntry, now: Timestamp) -> Self {
        let runs = entry.is_running(now);
        Self {
            job,
            trigger: entry.trigger,
            schedule: entry.schedule,
            next_run: entry.due_at.filter(|_| !runs),
            running_since: entry.started_at.filter(|_| runs),
            attempts: entry.attempts,
            last_failure: entry.failure.clone(),
            parked: entry.parked,
        }
    }
}
