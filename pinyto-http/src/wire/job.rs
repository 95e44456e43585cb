//! Jobs: how it stands with them.

use pinyto_core::{
    assembly::{AssemblyRef, Schedule},
    clock::Timestamp,
    document::DocumentId,
    job::{JobFailure, JobState, Trigger},
};
use serde::{Deserialize, Serialize};

use super::{
    ANY_NAME, COUNT, Request,
    field::{as_optional_text, as_text},
};

/// Asks how it stands with the user's jobs.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListJobs {
    /// How many of the first are left out. Default: 0.
    pub skip: Option<u64>,
    /// How many are listed at the most; never more than 1000, which is the default.
    pub count: Option<u64>,
}

impl Request for ListJobs {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("skip", COUNT), ("count", COUNT)];
}

/// Lets a job run now.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunJob {
    /// Who wrote the assembly.
    pub author: String,
    /// The assembly's name.
    pub name: String,
    /// The job's name.
    pub job: String,
}

impl Request for RunJob {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("author", ANY_NAME), ("name", ANY_NAME), ("job", ANY_NAME)];
}

/// How it stands with one job of the user.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStateAnswer<'a> {
    /// Its assembly: `author/name`.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub assembly: &'a AssemblyRef,
    /// The job's name.
    pub name: &'a str,
    /// Why it is to be run: `schedule`, `document` or `run_now`.
    pub trigger: &'static str,
    /// The document that queued it, if that is why; else null.
    #[serde(serialize_with = "as_optional_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub document: Option<DocumentId>,
    /// Minutes from one run to the next; 0: it runs once.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub schedule: Schedule,
    /// When it runs next (RFC 3339, UTC); null if it runs just now, is parked, or has run once and
    /// for all.
    #[serde(serialize_with = "as_optional_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_run: Option<Timestamp>,
    /// Since when it runs (RFC 3339, UTC), if it runs just now; else null.
    #[serde(serialize_with = "as_optional_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub running_since: Option<Timestamp>,
    /// How many tries the present run has had, or has begun; 0: none yet.
    pub attempts: u32,
    /// Whether all tries have failed and none is planned. /run_job lets it run again.
    pub parked: bool,
    /// Why the last try failed, if it did; else null.
    pub last_failure: Option<JobFailureAnswer<'a>>,
}

/// Why a job failed.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobFailureAnswer<'a> {
    /// As that of a run.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// What it says.
    pub message: &'a str,
    /// The line of the job's code, counted from 1; null if it is not known.
    pub line: Option<u32>,
    /// When it failed (RFC 3339, UTC).
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

impl<'a> From<&'a JobState> for JobStateAnswer<'a> {
    fn from(state: &'a JobState) -> Self {
        Self {
            assembly: &state.job.assembly,
            name: state.job.name.as_str(),
            trigger: state.trigger.name(),
            document: match state.trigger {
                Trigger::Document(document) => Some(document),
                _ => None,
            },
            schedule: state.schedule,
            next_run: state.next_run,
            running_since: state.running_since,
            attempts: state.attempts,
            parked: state.parked,
            last_failure: state.last_failure.as_ref().map(JobFailureAnswer::from),
        }
    }
}

impl<'a> From<&'a JobFailure> for JobFailureAnswer<'a> {
    fn from(failure: &'a JobFailure) -> Self {
        Self {
            kind: failure.error.kind(),
            message: failure.error.message(),
            line: failure.error.line(),
            at: failure.at,
        }
    }
}
