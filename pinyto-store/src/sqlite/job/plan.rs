//! Entries come and go with the assemblies.

use pinyto_core::{clock::Timestamp, id::UserId};
use sqlx::SqliteConnection;

use super::super::error::Failure;

pub(in super::super) const PLAN: &str = "
    INSERT INTO pinyto_job_entries
        (user_id, assembly_id, job, cause, schedule, planned_at, due_at)
    SELECT ?1, ?2, j.name, 'schedule', j.schedule, ?3, ?3
    FROM pinyto_jobs j WHERE j.assembly_id = ?2";

/// Plans the jobs of an assembly that the user has just installed.
pub(in super::super) async fn plan(
    db: &mut SqliteConnection,
    user: UserId,
    assembly: i64,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query(PLAN)
        .bind(user.get())
        .bind(assembly)
        .bind(at.unix_millis())
        .execute(db)
        .await?;
    Ok(())
}

/// [`JobEntry::revive`](pinyto_core::job::JobEntry::revive) for the jobs whose code differs.
pub(in super::super) const REVIVE_CHANGED: &str = "
    UPDATE pinyto_job_entries SET parked = 0, attempts = 0, planned_at = ?3, due_at = ?3
    WHERE assembly_id = ?1 AND parked = 1 AND job IN (
        SELECT value ->> 'name' FROM json_each(?2) wanted
        LEFT JOIN pinyto_jobs old ON old.assembly_id = ?1 AND old.name = value ->> 'name'
        WHERE old.code IS NOT value ->> 'code')";

/// Gives the parked jobs of an assembly another chance whose code is about to be replaced by
/// other code: to be called while the old jobs are there. `jobs` is a JSON array of the new ones.
pub(in super::super) async fn revive_changed(
    db: &mut SqliteConnection,
    assembly: i64,
    jobs: &str,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query(REVIVE_CHANGED)
        .bind(assembly)
        .bind(jobs)
        .bind(at.unix_millis())
        .execute(db)
        .await?;
    Ok(())
}

/// The second statement is [`JobEntry::reschedule`](pinyto_core::job::JobEntry::reschedule) for
/// all users at once: first whatever has another schedule takes it over, then those it concerns.
pub(in super::super) const REPLAN: &str = "
    DELETE FROM pinyto_job_entries WHERE assembly_id = ?1 AND NOT EXISTS (
        SELECT 1 FROM pinyto_jobs j
        WHERE j.assembly_id = ?1 AND j.name = pinyto_job_entries.job);
    UPDATE pinyto_job_entries SET
        schedule = changed.schedule,
        planned_at = iif(changed.moves, changed.planned, planned_at),
        due_at = iif(changed.moves, changed.planned, due_at),
        parked = iif(changed.moves, 0, parked),
        attempts = iif(changed.moves, 0, attempts)
    FROM (
        SELECT e.id, j.schedule,
               j.schedule > 0 AND (e.attempts = 0 OR e.parked = 1) AS moves,
               min(coalesce(e.due_at, ?2 + j.schedule * 60000), ?2 + j.schedule * 60000) AS planned
        FROM pinyto_jobs j
        JOIN pinyto_job_entries e ON e.assembly_id = ?1 AND e.job = j.name
        WHERE j.assembly_id = ?1 AND e.cause = 'schedule' AND e.schedule <> j.schedule
    ) changed
    WHERE pinyto_job_entries.id = changed.id;
    INSERT INTO pinyto_job_entries
        (user_id, assembly_id, job, cause, schedule, planned_at, due_at)
    SELECT i.user_id, ?1, j.name, 'schedule', j.schedule, ?2, ?2
    FROM pinyto_installations i JOIN pinyto_jobs j ON j.assembly_id = ?1
    WHERE i.assembly_id = ?1 AND NOT EXISTS (
        SELECT 1 FROM pinyto_job_entries e
        WHERE e.user_id = i.user_id AND e.assembly_id = ?1 AND e.job = j.name
          AND e.cause = 'schedule')";

/// Brings what is planned in line with an assembly that was just saved.
pub(in super::super) async fn replan(
    db: &mut SqliteConnection,
    assembly: i64,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query(REPLAN)
        .bind(assembly)
        .bind(at.unix_millis())
        .execute(db)
        .await?;
    Ok(())
}
