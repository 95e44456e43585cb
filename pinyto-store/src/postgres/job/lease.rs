//! Who runs what.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::Scope,
    id::UserId,
    job::{Claim, ClaimedJob, Completion, JobEntry, Lease, Trigger, Turn},
};
use sqlx::PgConnection;

use super::{
    super::{
        Intent,
        document::{Prepared, Remove},
        error::Failure,
        lock::Lock,
    },
    row::{entry_columns, write},
};
use crate::{
    query::evaluation::Evaluations,
    row::{
        corrupt,
        job::{DueRow, EntryRow, TurnRow},
    },
};

pub(super) struct SetBack(pub(super) Timestamp);

/// Turns that lie ahead, because a clock was wrong. Waits for nobody.
const SET_BACK: &str = "
    UPDATE pinyto.job_users SET turn_at = $1 WHERE user_id IN (
        SELECT user_id FROM pinyto.job_users WHERE turn_at > $1 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Intent for SetBack {
    type Outcome = ();

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<(), Failure> {
        sqlx::query(SET_BACK)
            .bind(self.0.unix_millis())
            .execute(db)
            .await?;
        Ok(())
    }
}

/// How many jobs run for each user who has any. `$1` is now.
const RUNNING: &str = "
    SELECT user_id, count(*) FROM pinyto.job_entries
    WHERE lease IS NOT NULL AND due_at > $1 GROUP BY user_id";

/// The users who have waited longest, with their numbers in the [`Turn`].
const WAITING: &str = "
    SELECT user_id, since, turn FROM pinyto.job_users
    WHERE since <= $1 ORDER BY since, turn, user_id LIMIT $2";

/// Locks users, in the order of their numbers, but for those whose data is being changed: nobody's
/// jobs wait for that.
const LOCK: &str = "
    SELECT id FROM pinyto.users WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";

/// How many users more than there are to be claimed for, because some may be locked.
const SPARE: usize = 32;

/// The same of some users, if something of theirs can be claimed.
const WAIT: &str = "
    SELECT user_id, since, turn FROM pinyto.job_users WHERE user_id = ANY($2) AND since <= $1";

/// The entry of a user ($1) that is claimed first, at $2.
const FIRST: &str = "
    SELECT (SELECT e.id FROM pinyto.job_entries e
            WHERE e.user_id = c.user_id AND e.assembly_id = c.assembly_id AND e.job = c.job
              AND e.due_at IS NOT NULL ORDER BY e.due_at, e.id LIMIT 1)
    FROM pinyto.claimable_jobs c WHERE c.user_id = $1 AND c.due_at <= $2
    ORDER BY c.due_at, c.assembly_id, c.job LIMIT 1";

const TAKE_TURN: &str = "
    UPDATE pinyto.job_users SET turn_at = $2, turn = nextval('pinyto.turns') WHERE user_id = $1";

const DUE: &str = concat!(
    "SELECT e.id, u.id AS user_id, u.name AS user_name, a.id AS assembly_id, a.only_own_data,
            a.http_hosts, j.code, author.name AS author, a.name AS assembly, j.name AS job, ",
    entry_columns!(),
    " FROM pinyto.job_entries e JOIN pinyto.users u ON u.id = e.user_id
      JOIN pinyto.assemblies a ON a.id = e.assembly_id
      JOIN pinyto.users author ON author.id = a.author_id
      JOIN pinyto.jobs j ON j.assembly_id = a.id AND j.name = e.job
      WHERE e.id = $1"
);

/// What can't be read is put off, lest it stop all others.
const PUT_OFF: &str = "
    UPDATE pinyto.job_entries SET due_at = $2, lease = NULL, started_at = NULL WHERE id = $1";

const PUT_OFF_MILLIS: i64 = 3_600_000;

pub(super) struct ClaimDue(pub(super) Claim);

#[async_trait]
impl Intent for ClaimDue {
    type Outcome = Vec<ClaimedJob>;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::Claims])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Vec<ClaimedJob>, Failure> {
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
            let again: Option<TurnRow> = sqlx::query_as(WAIT)
                .bind(now)
                .bind([user.get()])
                .fetch_optional(&mut *db)
                .await?;
            let running = running + usize::from(job.is_some());
            turns.extend(again.map(|row| row.turn(running)));
            claimed.extend(job);
        }
        Ok(claimed)
    }
}

/// Those whose turn is among the next `claim.limit`, locked. Of the users who have waited longest
/// some may be put behind others because jobs of theirs run; so many more are looked at.
async fn turns(db: &mut PgConnection, claim: &Claim) -> Result<BTreeSet<Turn>, Failure> {
    let now = claim.now.unix_millis();
    let running: Vec<(i64, i64)> = sqlx::query_as(RUNNING)
        .bind(now)
        .fetch_all(&mut *db)
        .await?;
    let running: HashMap<i64, i64> = running.into_iter().collect();
    let turn = |row: &TurnRow| {
        let running = running.get(&row.user_id).copied().unwrap_or(0);
        row.turn(usize::try_from(running).unwrap_or(0))
    };
    let wanted = claim.limit.saturating_add(SPARE);
    let enough = wanted.saturating_add(running.len());
    let waiting: Vec<TurnRow> = sqlx::query_as(WAITING)
        .bind(now)
        .bind(i64::try_from(enough).unwrap_or(i64::MAX))
        .fetch_all(&mut *db)
        .await?;
    let waiting: BTreeSet<Turn> = waiting.iter().map(turn).collect();
    let next = waiting.iter().take(wanted);
    let next: Vec<i64> = next.map(|turn| turn.user.get()).collect();
    if next.is_empty() {
        return Ok(BTreeSet::new());
    }
    let locked: Vec<(i64,)> = sqlx::query_as(LOCK)
        .bind(next.as_slice())
        .fetch_all(&mut *db)
        .await?;
    let locked: Vec<i64> = locked.into_iter().map(|(user,)| user).collect();
    // As it stands now that nobody can change it.
    let waiting: Vec<TurnRow> = sqlx::query_as(WAIT)
        .bind(now)
        .bind(locked)
        .fetch_all(db)
        .await?;
    Ok(waiting.iter().map(turn).collect())
}

/// `None` if it isn't to be run.
async fn claim_or_put_off(
    db: &mut PgConnection,
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
    db: &mut PgConnection,
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
    pub(super) user: UserId,
    pub(super) lease: Lease,
    pub(super) until: Timestamp,
}

const EXTEND: &str = "
    WITH owner AS MATERIALIZED (
        SELECT id FROM pinyto.users WHERE id = $4 FOR NO KEY UPDATE)
    UPDATE pinyto.job_entries e SET due_at = $3
    FROM owner WHERE e.user_id = owner.id AND e.id = $1 AND e.lease = $2";

#[async_trait]
impl Intent for Extend {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let extended = sqlx::query(EXTEND)
            .bind(self.lease.entry.get())
            .bind(self.lease.id.as_bytes().as_slice())
            .bind(self.until.unix_millis())
            .bind(self.user.get())
            .execute(db)
            .await?;
        Ok(extended.rows_affected() > 0)
    }
}

/// Whose entry it is, and which document has queued it.
pub(super) const OWNER: &str = "SELECT user_id, document_id FROM pinyto.job_entries WHERE id = $1";

pub(super) struct Complete<'a> {
    pub(super) user: UserId,
    pub(super) lease: Lease,
    pub(super) completion: Completion,
    pub(super) now: Timestamp,
    pub(super) removal: Option<Prepared>,
    pub(super) evaluations: &'a Evaluations,
}

const HELD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM pinyto.job_entries e WHERE e.id = $1 AND e.lease = $2"
);

const DELETE: &str = "DELETE FROM pinyto.job_entries WHERE id = $1";

#[async_trait]
impl Intent for Complete<'_> {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let id = self.lease.entry.get();
        let held: Option<EntryRow> = sqlx::query_as(HELD)
            .bind(id)
            .bind(self.lease.id.as_bytes().as_slice())
            .fetch_optional(&mut *db)
            .await?;
        let Some(held) = held else {
            return Ok(false);
        };
        let mut entry = JobEntry::try_from(held)?;
        if entry.complete(&self.completion, self.now) {
            write(db, id, &entry).await?;
            return Ok(true);
        }
        sqlx::query(DELETE).bind(id).execute(&mut *db).await?;
        if let Trigger::Document(document) = entry.trigger {
            let removal = Remove {
                scope: Scope::all_of(self.user),
                id: document,
                at: self.now,
                prepared: self.removal.as_ref(),
                largest: i64::MAX,
                evaluations: self.evaluations,
            };
            removal.run(db).await?;
        }
        Ok(true)
    }
}
