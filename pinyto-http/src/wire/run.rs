//! Runs: what became of function calls and jobs.

use std::time::Duration;

use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    run::{AuthorOutcome, AuthorRun, Run, RunError, RunId},
};
use serde::{Deserialize, Serialize};

use super::{
    ANY_NAME, COUNT, Request, Undecodable,
    field::{as_seconds, as_text},
};

const SUCCEEDED: &str = "succeeded";
const FAILED: &str = "failed";

/// Asks for the runs for the user, newest first.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListRuns {
    /// Only those of one assembly: who wrote it. Sent together with `name`, or not at all.
    pub author: Option<String>,
    /// What the assembly was called when it ran.
    pub name: Option<String>,
    /// How many of the newest are left out. Default: 0.
    pub skip: Option<u64>,
    /// How many are listed at the most; never more than 100, which is the default.
    pub count: Option<u64>,
}

impl Request for ListRuns {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("author", ANY_NAME),
        ("name", ANY_NAME),
        ("skip", COUNT),
        ("count", COUNT),
    ];
}

impl ListRuns {
    /// Author and name of the assembly, if only its runs are wanted.
    ///
    /// # Errors
    ///
    /// [`Undecodable::Missing`] if one is there without the other.
    pub fn assembly(&self) -> Result<Option<(&str, &str)>, Undecodable> {
        let missing = |field: &str, expected| {
            let field = field.to_owned();
            Err(Undecodable::Missing { field, expected })
        };
        match (&self.author, &self.name) {
            (Some(author), Some(name)) => Ok(Some((author, name))),
            (None, None) => Ok(None),
            (Some(_), None) => missing("name", "sent together with author"),
            (None, Some(_)) => missing("author", "sent together with name"),
        }
    }
}

/// Asks for one run.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GetRun {
    /// Which one: 24 hexadecimal digits.
    pub id: String,
}

impl Request for GetRun {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("id", "a string of 24 hexadecimal digits")];
}

/// Asks for the runs of an assembly of the user's, whoever they were for, newest first.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListAssemblyRuns {
    /// The assembly's name.
    pub name: String,
    /// How many of the newest are left out. Default: 0.
    pub skip: Option<u64>,
    /// How many are listed at the most; never more than 100, which is the default.
    pub count: Option<u64>,
}

impl Request for ListAssemblyRuns {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("name", ANY_NAME), ("skip", COUNT), ("count", COUNT)];
}

/// A run as the user sees whom it was for.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunAnswer<'a> {
    /// Its identifier: 24 hexadecimal digits, later ones are greater.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: RunId,
    /// What the assembly was called when it ran: `author/name`.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub assembly: &'a AssemblyRef,
    /// `function` or `job`.
    pub kind: &'static str,
    /// The function's or job's name.
    pub name: &'a str,
    /// When it began (RFC 3339, UTC).
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started: Timestamp,
    /// How many seconds it took, waiting for other servers included.
    #[serde(serialize_with = "as_seconds")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub duration: Duration,
    /// How many seconds of CPU time it used.
    #[serde(serialize_with = "as_seconds")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub cpu: Duration,
    /// `succeeded` or `failed`.
    pub outcome: &'static str,
    /// Why it failed, or null.
    pub error: Option<RunErrorAnswer<'a>>,
    /// What it printed.
    pub output: &'a str,
    /// Whether it printed more than that.
    pub output_truncated: bool,
    /// Which try it was, counted from 1. A function is tried once.
    pub attempt: u32,
}

/// Why a run failed.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunErrorAnswer<'a> {
    /// The exception's type, as `ValueError`, or in lower case what ended the code: `cpu_time`,
    /// `wall_time`, `memory`, `answer`, `service_calls`, `service_bytes`, `database`, `crashed` and others.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// What it says; null if the run was for somebody else.
    pub message: Option<&'a str>,
    /// The line of the code, counted from 1; null if it is not known.
    pub line: Option<u32>,
}

impl<'a> From<&'a RunError> for RunErrorAnswer<'a> {
    fn from(error: &'a RunError) -> Self {
        Self {
            kind: error.kind(),
            message: Some(error.message()),
            line: error.line(),
        }
    }
}

impl<'a> From<&'a Run> for RunAnswer<'a> {
    fn from(run: &'a Run) -> Self {
        let (outcome, error) = match run.outcome.error() {
            None => (SUCCEEDED, None),
            Some(error) => (FAILED, Some(error.into())),
        };
        Self {
            id: run.id,
            assembly: &run.assembly_name,
            kind: run.part.kind().name(),
            name: run.part.name(),
            started: run.started_at,
            duration: run.duration,
            cpu: run.cpu_time,
            outcome,
            error,
            output: &run.output.text,
            output_truncated: run.output.truncated,
            attempt: run.attempt,
        }
    }
}

/// A run as the assembly's author sees it: nothing of other users' data.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthorRunAnswer<'a> {
    /// Its identifier: 24 hexadecimal digits, later ones are greater.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: RunId,
    /// `function` or `job`.
    pub kind: &'static str,
    /// The function's or job's name.
    pub name: &'a str,
    /// When it began (RFC 3339, UTC).
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started: Timestamp,
    /// How many seconds it took, waiting for other servers included.
    #[serde(serialize_with = "as_seconds")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub duration: Duration,
    /// How many seconds of CPU time it used.
    #[serde(serialize_with = "as_seconds")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub cpu: Duration,
    /// `succeeded` or `failed`.
    pub outcome: &'static str,
    /// Why it failed, or null.
    pub error: Option<RunErrorAnswer<'a>>,
    /// What it printed, if it ran for the author; null if it ran for somebody else.
    pub output: Option<&'a str>,
    /// Whether it printed more than that.
    pub output_truncated: bool,
    /// Which try it was, counted from 1. A function is tried once.
    pub attempt: u32,
}

impl<'a> From<&'a AuthorRun> for AuthorRunAnswer<'a> {
    fn from(run: &'a AuthorRun) -> Self {
        let (outcome, error) = match &run.outcome {
            AuthorOutcome::Succeeded => (SUCCEEDED, None),
            AuthorOutcome::Failed {
                kind,
                line,
                message,
            } => {
                let error = RunErrorAnswer {
                    kind,
                    message: message.as_deref(),
                    line: *line,
                };
                (FAILED, Some(error))
            }
        };
        Self {
            id: run.id,
            kind: run.part.kind().name(),
            name: run.part.name(),
            started: run.started_at,
            duration: run.duration,
            cpu: run.cpu_time,
            outcome,
            error,
            output: run.output.as_ref().map(|output| output.text.as_str()),
            output_truncated: run.output.as_ref().is_some_and(|output| output.truncated),
            attempt: run.attempt,
        }
    }
}
