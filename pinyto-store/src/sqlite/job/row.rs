//! What the queries answer, and what it means.

use pinyto_core::{
    assembly::{AssemblyName, AssemblyRef, Schedule},
    clock::Timestamp,
    document::DocumentId,
    job::{JobEntry, JobFailure, JobRef, LeaseId, Trigger},
    run::RunId,
    user::UserName,
};
use sqlx::SqliteConnection;

use super::super::{
    error::{Corrupt, Failure, corrupt},
    run::run_error,
};

/// The columns of an [`EntryRow`], of a table named `e`.
macro_rules! entry_columns {
    () => {
        "e.cause, e.document_id, e.schedule, e.planned_at, e.due_at, e.held_by,
         e.attempts, e.lease,
         e.started_at, e.parked, e.failure_kind, e.failure_message, e.failure_line, e.failed_at"
    };
}
pub(super) use entry_columns;

#[derive(sqlx::FromRow)]
pub(super) struct EntryRow {
    cause: String,
    document_id: Option<Vec<u8>>,
    schedule: i64,
    planned_at: i64,
    due_at: Option<i64>,
    held_by: Option<Vec<u8>>,
    attempts: i64,
    lease: Option<Vec<u8>>,
    started_at: Option<i64>,
    parked: bool,
    failure_kind: Option<String>,
    failure_message: Option<String>,
    failure_line: Option<i64>,
    failed_at: Option<i64>,
}

impl TryFrom<EntryRow> for JobEntry {
    type Error = Corrupt;

    fn try_from(row: EntryRow) -> Result<Self, Corrupt> {
        let moment = Timestamp::from_unix_millis;
        let trigger = match (row.cause.as_str(), row.document_id) {
            ("schedule", None) => Trigger::Schedule,
            ("run_now", None) => Trigger::RunNow,
            ("document", Some(id)) => {
                let id = <[u8; 12]>::try_from(id.as_slice());
                let id = id.map_err(corrupt("pinyto_job_entries.document_id"))?;
                Trigger::Document(DocumentId::from_bytes(id))
            }
            _ => return Err(corrupt("pinyto_job_entries.cause")("unknown")),
        };
        let schedule = u64::try_from(row.schedule).ok();
        let schedule = schedule.and_then(Schedule::from_minutes).ok_or("too long");
        let lease = row.lease.as_deref().map(<[u8; 16]>::try_from).transpose();
        let lease = lease.map_err(corrupt("pinyto_job_entries.lease"))?;
        let held_by = row.held_by.as_deref().map(<[u8; 12]>::try_from);
        let held_by = held_by.transpose();
        let held_by = held_by.map_err(corrupt("pinyto_job_entries.held_by"))?;
        let failure = match (&row.failure_kind, row.failed_at) {
            (Some(kind), Some(at)) => Some(JobFailure {
                error: run_error(kind, row.failure_message.as_deref(), row.failure_line)?,
                at: moment(at),
            }),
            _ => None,
        };
        Ok(Self {
            trigger,
            schedule: schedule.map_err(corrupt("pinyto_job_entries.schedule"))?,
            planned_at: moment(row.planned_at),
            due_at: row.due_at.map(moment),
            held_by: held_by.map(RunId::from_bytes),
            attempts: u32::try_from(row.attempts)
                .map_err(corrupt("pinyto_job_entries.attempts"))?,
            lease: lease.map(LeaseId::from_bytes),
            started_at: row.started_at.map(moment),
            parked: row.parked,
            failure,
        })
    }
}

pub(in super::super) const WRITE: &str = "
    UPDATE pinyto_job_entries SET planned_at = ?2, due_at = ?3, attempts = ?4, lease = ?5,
        started_at = ?6, parked = ?7, failure_kind = ?8, failure_message = ?9, failure_line = ?10,
        failed_at = ?11, held_by = ?12
    WHERE id = ?1";

/// Writes back what the rules of the core may have changed.
pub(super) async fn write(
    db: &mut SqliteConnection,
    id: i64,
    entry: &JobEntry,
) -> Result<(), Failure> {
    let error = entry.failure.as_ref().map(|failure| &failure.error);
    sqlx::query(WRITE)
        .bind(id)
        .bind(entry.planned_at.unix_millis())
        .bind(entry.due_at.map(Timestamp::unix_millis))
        .bind(entry.attempts)
        .bind(
            entry
                .lease
                .as_ref()
                .map(|lease| lease.as_bytes().as_slice()),
        )
        .bind(entry.started_at.map(Timestamp::unix_millis))
        .bind(entry.parked)
        .bind(error.map(|error| error.kind()))
        .bind(error.map(|error| error.message()))
        .bind(error.and_then(|error| error.line()))
        .bind(
            entry
                .failure
                .as_ref()
                .map(|failure| failure.at.unix_millis()),
        )
        .bind(entry.held_by.as_ref().map(|run| run.as_bytes().as_slice()))
        .execute(db)
        .await?;
    Ok(())
}

/// What a job is called.
#[derive(sqlx::FromRow)]
pub(super) struct NameRow {
    author: String,
    assembly: String,
    job: String,
}

impl TryFrom<NameRow> for JobRef {
    type Error = Corrupt;

    fn try_from(row: NameRow) -> Result<Self, Corrupt> {
        Ok(Self {
            assembly: AssemblyRef {
                author: UserName::parse(&row.author).map_err(corrupt("pinyto_users.name"))?,
                name: AssemblyName::parse(&row.assembly)
                    .map_err(corrupt("pinyto_assemblies.name"))?,
            },
            name: AssemblyName::parse(&row.job).map_err(corrupt("pinyto_job_entries.job"))?,
        })
    }
}
