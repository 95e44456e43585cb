//! What entries look like in statements.

use pinyto_core::{clock::Timestamp, job::JobEntry};
use sqlx::PgConnection;

use super::super::error::Failure;

/// The columns of an [`EntryRow`](crate::row::job::EntryRow), of a table named `e`.
macro_rules! entry_columns {
    () => {
        "e.cause, e.document_id, e.schedule, e.planned_at, e.due_at, e.held_by, e.attempts,
         e.lease, e.started_at, e.parked, e.failure_kind, e.failure_message, e.failure_line,
         e.failed_at"
    };
}
pub(in super::super) use entry_columns;

const WRITE: &str = "
    UPDATE pinyto.job_entries SET planned_at = $2, due_at = $3, attempts = $4, lease = $5,
        started_at = $6, parked = $7, failure_kind = $8, failure_message = $9, failure_line = $10,
        failed_at = $11, held_by = $12
    WHERE id = $1";

/// Writes back what the rules of the core may have changed.
pub(super) async fn write(db: &mut PgConnection, id: i64, entry: &JobEntry) -> Result<(), Failure> {
    let failure = entry.failure.as_ref();
    let error = failure.map(|failure| &failure.error);
    let lease = entry.lease.as_ref();
    sqlx::query(WRITE)
        .bind(id)
        .bind(entry.planned_at.unix_millis())
        .bind(entry.due_at.map(Timestamp::unix_millis))
        .bind(i64::from(entry.attempts))
        .bind(lease.map(|lease| lease.as_bytes().as_slice()))
        .bind(entry.started_at.map(Timestamp::unix_millis))
        .bind(entry.parked)
        .bind(error.map(|error| error.kind()))
        .bind(error.map(|error| error.message()))
        .bind(error.and_then(|error| error.line()).map(i64::from))
        .bind(failure.map(|failure| failure.at.unix_millis()))
        .bind(entry.held_by.as_ref().map(|run| run.as_bytes().as_slice()))
        .execute(db)
        .await?;
    Ok(())
}
