//! Who runs what.

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::Scope,
    id::{AssemblyId, JobEntryId, UserId},
    job::{Claim, ClaimedJob, Completion, JobEntry, JobRef, Lease, Trigger},
};
use sqlx::SqliteConnection;

use super::{
    super::{
        Intent,
        assembly::hosts,
        document::Remove,
        error::{Failure, corrupt},
    },
    row::{EntryRow, NameRow, entry_columns, write},
};
use crate::row::user::user;

/// Which entries to claim: of those that are due longest, one of each job and user, by turns.
/// `?1` is now.
pub(in super::super) const CLAIMABLE: &str = "
    WITH due AS MATERIALIZED (
        SELECT e.id, e.user_id, e.assembly_id, e.job, e.due_at
        FROM pinyto_job_entries e
        WHERE e.due_at <= ?1 AND NOT EXISTS (
            SELECT 1 FROM pinyto_job_entries o INDEXED BY pinyto_running_jobs
            WHERE o.user_id = e.user_id AND o.assembly_id = e.assembly_id AND o.job = e.job
              AND o.lease IS NOT NULL AND o.due_at > ?1)
        ORDER BY e.due_at LIMIT 2000
    ),
    running AS MATERIALIZED (
        SELECT user_id, count(*) AS runs
        FROM pinyto_job_entries INDEXED BY pinyto_running_jobs
        WHERE lease IS NOT NULL AND due_at > ?1 GROUP BY user_id
    ),
    job AS (
        SELECT *, row_number() OVER (
            PARTITION BY user_id, assembly_id, job ORDER BY due_at, id) AS nth
        FROM due
    ),
    turn AS (
        SELECT id, user_id, due_at, row_number() OVER (
            PARTITION BY user_id ORDER BY due_at, id) AS nth
        FROM job WHERE nth = 1
    )
    SELECT turn.id FROM turn LEFT JOIN running ON running.user_id = turn.user_id
    LEFT JOIN pinyto_job_turns last ON last.user_id = turn.user_id
    ORDER BY nth + coalesce(runs, 0), coalesce(last.turn, 0), due_at, turn.id LIMIT ?2";

pub(in super::super) const TAKE_TURN: &str = "
    INSERT INTO pinyto_job_turns (user_id, turn)
    VALUES (?1, (SELECT coalesce(max(turn), 0) + 1 FROM pinyto_job_turns))
    ON CONFLICT (user_id) DO UPDATE SET turn = excluded.turn";

#[derive(sqlx::FromRow)]
struct DueRow {
    user_id: i64,
    user_name: String,
    assembly_id: i64,
    only_own_data: bool,
    http_hosts: Option<String>,
    code: String,
    #[sqlx(flatten)]
    name: NameRow,
    #[sqlx(flatten)]
    entry: EntryRow,
}

pub(in super::super) const DUE: &str = concat!(
    "SELECT u.id AS user_id, u.name AS user_name, a.id AS assembly_id, a.only_own_data, a.http_hosts,
            j.code,
            author.name AS author, a.name AS assembly, j.name AS job, ",
    entry_columns!(),
    " FROM pinyto_job_entries e JOIN pinyto_users u ON u.id = e.user_id
      JOIN pinyto_assemblies a ON a.id = e.assembly_id
      JOIN pinyto_users author ON author.id = a.author_id
      JOIN pinyto_jobs j ON j.assembly_id = a.id AND j.name = e.job
      WHERE e.id = ?1"
);

/// What can't be read is put off, lest it stop all others.
pub(in super::super) const PUT_OFF: &str = "
    UPDATE pinyto_job_entries SET due_at = ?2, lease = NULL, started_at = NULL WHERE id = ?1";

const PUT_OFF_MILLIS: i64 = 3_600_000;

pub(super) struct ClaimDue(pub(super) Claim);

#[async_trait]
impl Intent for ClaimDue {
    type Outcome = Vec<ClaimedJob>;

    async fn run(&self, db: &mut SqliteConnection) -> Result<Vec<ClaimedJob>, Failure> {
        let Self(claim) = self;
        let ids: Vec<(i64,)> = sqlx::query_as(CLAIMABLE)
            .bind(claim.now.unix_millis())
            .bind(i64::try_from(claim.limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *db)
            .await?;
        let mut claimed = Vec::new();
        for (id,) in ids {
            match claim_one(db, id, claim).await {
                Ok(job) => claimed.extend(job),
                Err(Failure::Corrupt(reason)) => {
                    tracing::error!(entry = id, ?reason, "a job can't be read");
                    let until = claim.now.unix_millis().saturating_add(PUT_OFF_MILLIS);
                    sqlx::query(PUT_OFF)
                        .bind(id)
                        .bind(until)
                        .execute(&mut *db)
                        .await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(claimed)
    }
}

async fn claim_one(
    db: &mut SqliteConnection,
    id: i64,
    claim: &Claim,
) -> Result<Option<ClaimedJob>, Failure> {
    let row: Option<DueRow> = sqlx::query_as(DUE)
        .bind(id)
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else {
        return Err(corrupt("pinyto_job_entries.job")("there is no such job").into());
    };
    let user = user(row.user_id, &row.user_name)?;
    let job = JobRef::try_from(row.name)?;
    let mut entry = JobEntry::try_from(row.entry)?;
    let http_hosts = hosts(row.http_hosts.as_deref())?;
    let is_to_run = entry.claim(claim.lease, claim.now, claim.until);
    write(db, id, &entry).await?;
    sqlx::query(TAKE_TURN).bind(row.user_id).execute(db).await?;
    Ok(is_to_run.then(|| ClaimedJob {
        lease: Lease {
            entry: JobEntryId::new(id),
            id: claim.lease,
        },
        user,
        assembly: AssemblyId::new(row.assembly_id),
        job,
        only_own_data: row.only_own_data,
        http_hosts,
        code: row.code,
        attempt: entry.attempts,
        trigger: entry.trigger,
        planned_at: entry.planned_at,
    }))
}

pub(super) struct Extend {
    pub(super) lease: Lease,
    pub(super) until: Timestamp,
}

pub(in super::super) const EXTEND: &str =
    "UPDATE pinyto_job_entries SET due_at = ?3 WHERE id = ?1 AND lease = ?2";

#[async_trait]
impl Intent for Extend {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let extended = sqlx::query(EXTEND)
            .bind(self.lease.entry.get())
            .bind(self.lease.id.as_bytes().as_slice())
            .bind(self.until.unix_millis())
            .execute(db)
            .await?;
        Ok(extended.rows_affected() > 0)
    }
}

pub(super) struct Complete {
    pub(super) lease: Lease,
    pub(super) completion: Completion,
    pub(super) now: Timestamp,
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    user_id: i64,
    #[sqlx(flatten)]
    entry: EntryRow,
}

pub(in super::super) const HELD: &str = concat!(
    "SELECT e.user_id, ",
    entry_columns!(),
    " FROM pinyto_job_entries e WHERE e.id = ?1 AND e.lease = ?2"
);

pub(in super::super) const DELETE: &str = "DELETE FROM pinyto_job_entries WHERE id = ?1";

#[async_trait]
impl Intent for Complete {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let id = self.lease.entry.get();
        let held: Option<HeldRow> = sqlx::query_as(HELD)
            .bind(id)
            .bind(self.lease.id.as_bytes().as_slice())
            .fetch_optional(&mut *db)
            .await?;
        let Some(held) = held else {
            return Ok(false);
        };
        let mut entry = JobEntry::try_from(held.entry)?;
        if entry.complete(&self.completion, self.now) {
            write(db, id, &entry).await?;
            return Ok(true);
        }
        sqlx::query(DELETE).bind(id).execute(&mut *db).await?;
        if let Trigger::Document(document) = entry.trigger {
            let removal = Remove {
                scope: Scope::all_of(UserId::new(held.user_id)),
                id: document,
                at: self.now,
            };
            removal.run(db).await?;
        }
        Ok(true)
    }
}
