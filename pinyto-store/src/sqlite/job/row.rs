//! What entries look like in statements.

use pinyto_core::{clock::Timestamp, job::JobEntry};
use sqlx::SqliteConnection;

use super::super::error::Failure;

/// The columns of an [`EntryRow`], of a table named `e`.
macro_rules! entry_columns {
    () => {
        "e.cause, e.document_id, e.schedule, e.planned_at, e.due_at, e.held_by,
         e.attempts, e.lease,
         e.started_at, e.parked, e.failure_kind, e.failure_message, e.failure_line, e.failed_at"
    };
}
pub(super) use entry_columns;

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
