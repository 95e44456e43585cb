use std::time::Duration;

use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    id::{AssemblyId, UserId},
    run::{HourUsage, PartKind, Run, RunError, RunId, RunOutcome, RunPart},
    runtime::Output,
};
use serde::Serialize;

use super::{Corrupt, corrupt};

#[derive(sqlx::FromRow)]
pub(crate) struct RunRow {
    id: Vec<u8>,
    user_id: i64,
    assembly_id: i64,
    assembly: String,
    part_kind: String,
    part: String,
    started_at: i64,
    duration_nanos: i64,
    cpu_nanos: i64,
    failure_kind: Option<String>,
    failure_message: Option<String>,
    failure_line: Option<i64>,
    output: String,
    truncated: bool,
    attempt: i64,
}

/// The error that the columns `failure_...` of a row tell of.
pub(crate) fn run_error(
    kind: &str,
    message: Option<&str>,
    line: Option<i64>,
) -> Result<RunError, Corrupt> {
    let line = line.map(u32::try_from).transpose();
    let line = line.map_err(corrupt("failure_line"))?;
    Ok(RunError::new(kind, message.unwrap_or_default(), line))
}

impl TryFrom<RunRow> for Run {
    type Error = Corrupt;

    fn try_from(row: RunRow) -> Result<Self, Corrupt> {
        let id = <[u8; 12]>::try_from(row.id.as_slice()).map_err(corrupt("pinyto_runs.id"))?;
        let assembly_name = AssemblyRef::parse(&row.assembly).ok_or("not author/name");
        let kind = PartKind::from_name(&row.part_kind).ok_or("unknown");
        let kind = kind.map_err(corrupt("pinyto_runs.part_kind"))?;
        let duration = u64::try_from(row.duration_nanos);
        let cpu_time = u64::try_from(row.cpu_nanos);
        let outcome = match &row.failure_kind {
            None => RunOutcome::Succeeded,
            Some(kind) => {
                let message = row.failure_message.as_deref();
                RunOutcome::Failed(run_error(kind, message, row.failure_line)?)
            }
        };
        let assembly_name = assembly_name.map_err(corrupt("pinyto_runs.assembly"))?;
        let mut run = Self::new(
            RunId::from_bytes(id),
            UserId::new(row.user_id),
            (AssemblyId::new(row.assembly_id), assembly_name),
            RunPart::parse(kind, &row.part).map_err(corrupt("pinyto_runs.part"))?,
            Timestamp::from_unix_millis(row.started_at),
        );
        let duration = duration.map_err(corrupt("pinyto_runs.duration_nanos"))?;
        run.duration = Duration::from_nanos(duration);
        let cpu_time = cpu_time.map_err(corrupt("pinyto_runs.cpu_nanos"))?;
        run.cpu_time = Duration::from_nanos(cpu_time);
        run.outcome = outcome;
        run.output = Output::new(row.output);
        run.output.truncated = row.truncated;
        run.attempt = u32::try_from(row.attempt).map_err(corrupt("pinyto_runs.attempt"))?;
        Ok(run)
    }
}

/// A run as JSON, which takes many of them into one statement.
#[derive(Serialize)]
pub(crate) struct NewRun<'a> {
    id: String,
    user: i64,
    assembly_id: i64,
    assembly: String,
    part_kind: &'static str,
    part: &'a str,
    started_at: i64,
    duration: i64,
    cpu: i64,
    kind: Option<&'a str>,
    message: Option<&'a str>,
    line: Option<u32>,
    output: &'a str,
    truncated: bool,
    attempt: u32,
}

pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl<'a> From<&'a Run> for NewRun<'a> {
    fn from(run: &'a Run) -> Self {
        let error = run.outcome.error();
        Self {
            id: run.id.to_string(),
            user: run.user.get(),
            assembly_id: run.assembly.get(),
            assembly: run.assembly_name.to_string(),
            part_kind: run.part.kind().name(),
            part: run.part.name(),
            started_at: run.started_at.unix_millis(),
            duration: nanos(run.duration),
            cpu: nanos(run.cpu_time),
            kind: error.map(RunError::kind),
            message: error.map(RunError::message),
            line: error.and_then(RunError::line),
            output: &run.output.text,
            truncated: run.output.truncated,
            attempt: run.attempt,
        }
    }
}

/// What is booked for an hour of a user.
pub(crate) fn figure(user: UserId, (hour, nanos): (i64, i64)) -> Result<HourUsage, Corrupt> {
    let nanos = u64::try_from(nanos).map_err(corrupt("pinyto_users.hour_cpu_nanos"))?;
    Ok(HourUsage {
        user,
        hour,
        used: Duration::from_nanos(nanos),
    })
}
