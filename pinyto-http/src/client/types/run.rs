//! Jobs, runs, and why they fail.

use std::fmt;

use pinyto_core::{assembly::AssemblyRef, clock::Timestamp, document::DocumentId, run::RunId};
use serde::Deserialize;

use super::{assembly_ref, optional_document, optional_time, run_id, time};

/// How it stands with a job of the user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobState {
    /// Its assembly.
    #[serde(deserialize_with = "assembly_ref")]
    pub assembly: AssemblyRef,
    /// The job's name.
    pub name: String,
    /// Why it is to be run: `schedule`, `document` or `run_now`.
    pub trigger: String,
    /// The document that queued it, if that is why.
    #[serde(default, deserialize_with = "optional_document")]
    pub document: Option<DocumentId>,
    /// Minutes from one run to the next; 0: it runs once.
    pub schedule: u32,
    /// When it runs next; `None` if it runs just now, is parked, or has run once and for all.
    #[serde(default, deserialize_with = "optional_time")]
    pub next_run: Option<Timestamp>,
    /// Since when it runs, if it runs just now.
    #[serde(default, deserialize_with = "optional_time")]
    pub running_since: Option<Timestamp>,
    /// How many tries the present run has had, or has begun.
    pub attempts: u32,
    /// Whether all tries have failed and none is planned.
    pub parked: bool,
    /// Why the last try failed, if it did.
    pub last_failure: Option<JobFailure>,
}

/// Why a job failed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobFailure {
    /// The exception's type, or in lower case what ended the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The line of the job's code, counted from 1, if it is known.
    pub line: Option<u32>,
    /// When it failed.
    #[serde(deserialize_with = "time")]
    pub at: Timestamp,
}

/// A run of a function or job for the user. `Debug` doesn't show what it printed.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Later ones are greater.
    #[serde(deserialize_with = "run_id")]
    pub id: RunId,
    /// What the assembly was called when it ran.
    #[serde(deserialize_with = "assembly_ref")]
    pub assembly: AssemblyRef,
    /// `function` or `job`.
    pub kind: String,
    /// The function's or job's name.
    pub name: String,
    /// When it began.
    #[serde(deserialize_with = "time")]
    pub started: Timestamp,
    /// How many seconds it took, waiting for other servers included.
    pub duration: f64,
    /// How many seconds of CPU time it used.
    pub cpu: f64,
    /// `succeeded` or `failed`.
    pub outcome: String,
    /// Why it failed, if it did.
    pub error: Option<RunError>,
    /// What it printed.
    pub output: String,
    /// Whether it printed more than that.
    pub output_truncated: bool,
    /// Which try it was, counted from 1.
    pub attempt: u32,
}

/// A run as the assembly's author sees it.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct AuthorRun {
    /// Later ones are greater.
    #[serde(deserialize_with = "run_id")]
    pub id: RunId,
    /// `function` or `job`.
    pub kind: String,
    /// The function's or job's name.
    pub name: String,
    /// When it began.
    #[serde(deserialize_with = "time")]
    pub started: Timestamp,
    /// How many seconds it took, waiting for other servers included.
    pub duration: f64,
    /// How many seconds of CPU time it used.
    pub cpu: f64,
    /// `succeeded` or `failed`.
    pub outcome: String,
    /// Why it failed, if it did.
    pub error: Option<RunError>,
    /// What it printed, if it ran for the author.
    pub output: Option<String>,
    /// Whether it printed more than that.
    pub output_truncated: bool,
    /// Which try it was, counted from 1.
    pub attempt: u32,
}

/// Why a run failed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RunError {
    /// The exception's type, as `ValueError`, or in lower case what ended the code: `cpu_time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says; `None` if the run was for somebody else.
    pub message: Option<String>,
    /// The line of the code, counted from 1, if it is known.
    pub line: Option<u32>,
}

/// An exception that an assembly's code raised and didn't catch. `Debug` doesn't show its message.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Exception {
    /// Its type, as `ValueError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The line of the function's code, counted from 1, if it is known.
    pub line: Option<u32>,
}

/// Shows which fields there are, but not what code has printed or said: that is the user's.
macro_rules! private_debug {
    ($($name:ident: $($field:ident),+;)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        }
    )+};
}

private_debug! {
    JobFailure: kind, line, at;
    Run: id, assembly, kind, name, started, duration, cpu, outcome, error, attempt;
    AuthorRun: id, kind, name, started, duration, cpu, outcome, error, attempt;
    RunError: kind, line;
    Exception: kind, line;
}
