//! Entries come and go with the assemblies. Whom they belong to is locked.

use pinyto_core::{assembly::Job, clock::Timestamp, id::UserId};
use sqlx::PgConnection;

use super::super::error::Failure;

const PLAN: &str = "
    INSERT INTO pinyto.job_entries
        (user_id, assembly_id, job, cause, schedule, planned_at, due_at)
    SELECT $1, $2, j.name, 'schedule', j.schedule, $3, $3
    FROM pinyto.jobs j WHERE j.assembly_id = $2 ORDER BY j.position";

/// Plans the jobs of an assembly that the user has just installed.
pub(in super::super) async fn plan(
    db: &mut PgConnection,
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
const REVIVE_CHANGED: &str = "
    UPDATE pinyto.job_entries e SET parked = false, attempts = 0, planned_at = $4, due_at = $4
    FROM unnest($2::text[], $3::text[]) AS new (name, code)
    LEFT JOIN pinyto.jobs old ON old.assembly_id = $1 AND old.name = new.name
    WHERE e.assembly_id = $1 AND e.parked AND e.job = new.name
        AND old.code IS DISTINCT FROM new.code";

/// Gives the parked jobs of an assembly another chance whose code is about to be replaced by
/// other code: to be called while the old jobs are there.
pub(in super::super) async fn revive_changed(
    db: &mut PgConnection,
    assembly: i64,
    jobs: &[Job],
    at: Timestamp,
) -> Result<(), Failure> {
    let (names, codes): (Vec<&str>, Vec<&str>) = jobs
        .iter()
        .map(|job| (job.name.as_str(), job.code.as_str()))
        .unzip();
    sqlx::query(REVIVE_CHANGED)
        .bind(assembly)
        .bind(names)
        .bind(codes)
        .bind(at.unix_millis())
        .execute(db)
        .await?;
    Ok(())
}

const DROP: &str = "
    DELETE FROM pinyto.job_entries e WHERE e.assembly_id = $1 AND NOT EXISTS (
        SELECT 1 FROM pinyto.jobs j WHERE j.assembly_id = $1 AND j.name = e.job)";

/// [`JobEntry::reschedule`](pinyto_core::job::JobEntry::reschedule) for all users at once: first
/// whatever has another schedule takes it over, then those it concerns.
const RESCHEDULE: &str = "
    UPDATE pinyto.job_entries e SET
        schedule = changed.schedule,
        planned_at = CASE WHEN changed.moves THEN changed.planned ELSE e.planned_at END,
        due_at = CASE WHEN changed.moves THEN changed.planned ELSE e.due_at END,
        parked = e.parked AND NOT changed.moves,
        attempts = CASE WHEN changed.moves THEN 0 ELSE e.attempts END
    FROM (
        SELECT e.id, j.schedule, j.schedule > 0 AND (e.attempts = 0 OR e.parked) AS moves,
               least(e.due_at, $2 + j.schedule * 60000) AS planned
        FROM pinyto.jobs j
        JOIN pinyto.job_entries e ON e.assembly_id = $1 AND e.job = j.name
        WHERE j.assembly_id = $1 AND e.cause = 'schedule' AND e.schedule <> j.schedule) changed
    WHERE e.id = changed.id";

const ADD: &str = "
    INSERT INTO pinyto.job_entries
        (user_id, assembly_id, job, cause, schedule, planned_at, due_at)
    SELECT i.user_id, $1, j.name, 'schedule', j.schedule, $2, $2
    FROM pinyto.installations i JOIN pinyto.jobs j ON j.assembly_id = $1
    WHERE i.assembly_id = $1 AND NOT EXISTS (
        SELECT 1 FROM pinyto.job_entries e
        WHERE e.user_id = i.user_id AND e.assembly_id = $1 AND e.job = j.name
          AND e.cause = 'schedule')
    ORDER BY i.user_id, j.position";

/// Brings what is planned in line with an assembly that was just saved.
pub(in super::super) async fn replan(
    db: &mut PgConnection,
    assembly: i64,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query(DROP).bind(assembly).execute(&mut *db).await?;
    for statement in [RESCHEDULE, ADD] {
        sqlx::query(statement)
            .bind(assembly)
            .bind(at.unix_millis())
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}
