//! Who runs what.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::Scope,
    id::UserId,
    job::{Claim, ClaimedJob, Completion, JobEntry, Lease, Trigger, Turn},
};
use sqlx::SqliteConnection;

use super::{
    super::{
        Intent,
        document::Remove,
        error::{Failure, corrupt},
    },
    row::{entry_columns, write},
};
use crate::row::job::{DueRow, EntryRow, TurnRow};

/// How many jobs run for each user who has any. `?1` is now.
pub(in super::super) const RUNNING: &str = "
    SELECT user_id, count(*) FROM pinyto_job_entries INDEXED BY pinyto_running_jobs
    WHERE lease IS NOT NULL AND due_at > ?1 GROUP BY user_id";

/// Turns that lie ahead, because a clock was wrong.
pub(in super::super) const SET_BACK: &str =
    "UPDATE pinyto_job_users SET turn_at = ?1 WHERE turn_at > ?1";

/// The users who have waited longest, with their numbers in the [`Turn`].
pub(in super::super) const WAITING: &str = "
    SELECT user_id, since, turn FROM pinyto_job_users INDEXED BY pinyto_job_users_by_wait
    WHERE since <= ?1 ORDER BY since, turn, user_id LIMIT ?2 + 0";

/// The same of one user, if something of hers can be claimed.
pub(in super::super) const WAITS: &str =
    "SELECT user_id, since, turn FROM pinyto_job_users WHERE user_id = ?2 AND since <= ?1";

/// The entry of a user that is claimed first.
pub(in super::super) const FIRST: &str = "
    SELECT (SELECT e.id FROM pinyto_job_entries e INDEXED BY pinyto_due_jobs
            WHERE e.user_id = c.user_id AND e.assembly_id = c.assembly_id AND e.job = c.job
              AND e.due_at IS NOT NULL ORDER BY e.due_at, e.id LIMIT 1)
    FROM pinyto_claimable_jobs c WHERE c.user_id = ?1 AND c.due_at <= ?2
    ORDER BY c.due_at, c.assembly_id, c.job LIMIT 1";

pub(in super::super) const TAKE_TURN: &str = "
    UPDATE pinyto_job_users
    SET turn_at = ?2, turn = (SELECT max(turn) + 1 FROM pinyto_job_users) WHERE user_id = ?1";

pub(in super::super) const DUE: &str = concat!(
    "SELECT e.id, u.id AS user_id, u.name AS user_name, a.id AS assembly_id, a.only_own_data, a.http_hosts,
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
        let now = claim.now.unix_millis();
        let mut turns = turns(db, claim).await?;
        let mut claimed = Vec::new();
        for _ in 0..claim.limit {
            let Some(Turn { user, running, .. }) = turns.pop_first() else {
                break;
            };
            let first: Option<(i64,)> = sqlx::query_as(FIRST)
                .bind(user.get())
                .bind(now)
                .fetch_optional(&mut *db)
                .await?;
            let Some((id,)) = first else {
                continue;
            };
            let job = claim_or_put_off(db, id, claim).await?;
            sqlx::query(TAKE_TURN)
                .bind(user.get())
                .bind(now)
                .execute(&mut *db)
                .await?;
            let again: Option<TurnRow> = sqlx::query_as(WAITS)
                .bind(now)
                .bind(user.get())
                .fetch_optional(&mut *db)
                .await?;
            let running = running + usize::from(job.is_some());
            turns.extend(again.map(|row| row.turn(running)));
            claimed.extend(job);
        }
        Ok(claimed)
    }
}

/// Those whose turn may be among the next `claim.limit`. Of the users who have waited longest
/// some may be put behind others because jobs of theirs run; so many more are looked at.
async fn turns(db: &mut SqliteConnection, claim: &Claim) -> Result<BTreeSet<Turn>, Failure> {
    let now = claim.now.unix_millis();
    let running: Vec<(i64, i64)> = sqlx::query_as(RUNNING)
        .bind(now)
        .fetch_all(&mut *db)
        .await?;
    let running: HashMap<i64, i64> = running.into_iter().collect();
    sqlx::query(SET_BACK).bind(now).execute(&mut *db).await?;
    let enough = claim.limit.saturating_add(running.len());
    let waiting: Vec<TurnRow> = sqlx::query_as(WAITING)
        .bind(now)
        .bind(i64::try_from(enough).unwrap_or(i64::MAX))
        .fetch_all(db)
        .await?;
    let turns = waiting.into_iter().map(|row| {
        let running = running.get(&row.user_id).copied().unwrap_or(0);
        row.turn(usize::try_from(running).unwrap_or(0))
    });
    Ok(turns.collect())
}

/// `None` if it isn't to be run.
async fn claim_or_put_off(
    db: &mut SqliteConnection,
    id: i64,
    claim: &Claim,
) -> Result<Option<ClaimedJob>, Failure> {
    match claim_one(db, id, claim).await {
        Err(Failure::Corrupt(reason)) => {
            tracing::error!(entry = id, ?reason, "a job can't be read");
            let until = claim.now.unix_millis().saturating_add(PUT_OFF_MILLIS);
            sqlx::query(PUT_OFF)
                .bind(id)
                .bind(until)
                .execute(db)
                .await?;
            Ok(None)
        }
        claimed => claimed,
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
    let (entry, claimed) = row.claimed(claim)?;
    write(db, id, &entry).await?;
    Ok(claimed)
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
