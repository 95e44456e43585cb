//! Runs that are asked for.

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{DocumentId, QueuedJob},
    id::UserId,
    job::{EnqueueOutcome, Hold, JobRef},
    run::RunId,
};
use sqlx::PgConnection;

use super::super::{Intent, error::Failure, lock::Lock};

/// The assembly, if the user has it installed, whether it has the job, and how many runs are queued
/// for her.
const KEY: &str = "
    SELECT a.id, EXISTS (SELECT 1 FROM pinyto.jobs WHERE assembly_id = a.id AND name = $4),
           (SELECT count(*) FROM pinyto.job_entries WHERE user_id = $3 AND cause <> 'schedule')
    FROM pinyto.users u JOIN pinyto.assemblies a ON a.author_id = u.id AND a.name = $2
    JOIN pinyto.installations i ON i.assembly_id = a.id AND i.user_id = $3
    WHERE u.name = $1";

/// The assembly of a job that the user can queue, and how many runs she has queued.
async fn assembly_of(
    db: &mut PgConnection,
    user: UserId,
    job: &JobRef,
) -> Result<Result<(i64, usize), EnqueueOutcome>, Failure> {
    let found: Option<(i64, bool, i64)> = sqlx::query_as(KEY)
        .bind(job.assembly.author.as_str())
        .bind(job.assembly.name.as_str())
        .bind(user.get())
        .bind(job.name.as_str())
        .fetch_optional(db)
        .await?;
    Ok(match found {
        None => Err(EnqueueOutcome::NotInstalled),
        Some((_, false, _)) => Err(EnqueueOutcome::UnknownJob),
        Some((assembly, true, queued)) => {
            Ok((assembly, usize::try_from(queued).unwrap_or(usize::MAX)))
        }
    })
}

const INSERT: &str = "
    INSERT INTO pinyto.job_entries
        (user_id, assembly_id, job, cause, document_id, schedule, planned_at, due_at, held_by)
    VALUES ($1, $2, $3, CASE WHEN $4::bytea IS NULL THEN 'run_now' ELSE 'document' END, $4, 0,
            $5, coalesce($6, $5), $7)";

async fn insert(
    db: &mut PgConnection,
    (user, assembly, job): (UserId, i64, &JobRef),
    document: Option<DocumentId>,
    at: Timestamp,
    hold: Option<Hold>,
) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(user.get())
        .bind(assembly)
        .bind(job.name.as_str())
        .bind(document.as_ref().map(|id| id.as_bytes().as_slice()))
        .bind(at.unix_millis())
        .bind(hold.map(|hold| hold.until.unix_millis()))
        .bind(hold.as_ref().map(|hold| hold.by.as_bytes().as_slice()))
        .execute(db)
        .await?;
    Ok(())
}

/// Why a run can't be queued for the user, if it can't. She has to be locked.
pub(in super::super) async fn refusal(
    db: &mut PgConnection,
    user: UserId,
    job: &JobRef,
    limit: usize,
) -> Result<Option<EnqueueOutcome>, Failure> {
    Ok(match assembly_of(db, user, job).await? {
        Err(outcome) => Some(outcome),
        Ok((_, queued)) => (queued >= limit).then_some(EnqueueOutcome::LimitReached),
    })
}

/// Queues a run for a document that the user has stored in this transaction, after [`refusal`]
/// has found nothing against it.
pub(in super::super) async fn enqueue(
    db: &mut PgConnection,
    user: UserId,
    document: DocumentId,
    QueuedJob { job, hold, .. }: &QueuedJob,
    at: Timestamp,
) -> Result<(), Failure> {
    let id = Some(document);
    match assembly_of(db, user, job).await? {
        Ok((assembly, _)) => insert(db, (user, assembly, job), id, at, *hold).await,
        Err(_) => Ok(()),
    }
}

pub(super) struct RunNow {
    pub(super) user: UserId,
    pub(super) job: JobRef,
    pub(super) limit: usize,
    pub(super) at: Timestamp,
}

/// [`JobEntry::revive`](pinyto_core::job::JobEntry::revive).
const REVIVE: &str = "
    UPDATE pinyto.job_entries SET parked = false, attempts = 0, planned_at = $4, due_at = $4
    WHERE user_id = $1 AND assembly_id = $2 AND job = $3 AND parked";

/// [`JobEntry::hasten`](pinyto_core::job::JobEntry::hasten).
const HASTEN: &str = "
    UPDATE pinyto.job_entries
    SET due_at = CASE WHEN held_by IS NULL THEN least(due_at, $4) ELSE due_at END
    WHERE user_id = $1 AND assembly_id = $2 AND job = $3 AND cause <> 'schedule'
      AND due_at IS NOT NULL AND (lease IS NULL OR due_at <= $4)";

#[async_trait]
impl Intent for RunNow {
    type Outcome = EnqueueOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<EnqueueOutcome, Failure> {
        let (assembly, queued) = match assembly_of(db, self.user, &self.job).await? {
            Ok(found) => found,
            Err(outcome) => return Ok(outcome),
        };
        let mut is_there = false;
        for statement in [REVIVE, HASTEN] {
            let changed = sqlx::query(statement)
                .bind(self.user.get())
                .bind(assembly)
                .bind(self.job.name.as_str())
                .bind(self.at.unix_millis())
                .execute(&mut *db)
                .await?;
            is_there |= changed.rows_affected() > 0;
        }
        if is_there {
            return Ok(EnqueueOutcome::Queued);
        }
        if queued >= self.limit {
            return Ok(EnqueueOutcome::LimitReached);
        }
        let key = (self.user, assembly, &self.job);
        insert(db, key, None, self.at, None).await?;
        Ok(EnqueueOutcome::Queued)
    }
}

pub(super) struct Release {
    pub(super) user: UserId,
    pub(super) run: RunId,
    pub(super) now: Timestamp,
}

/// [`JobEntry::release`](pinyto_core::job::JobEntry::release).
const RELEASE: &str = "
    WITH owner AS MATERIALIZED (
        SELECT id FROM pinyto.users WHERE id = $1 FOR NO KEY UPDATE)
    UPDATE pinyto.job_entries e SET held_by = NULL, due_at = least(e.due_at, $3)
    FROM owner WHERE e.user_id = owner.id AND e.held_by = $2";

#[async_trait]
impl Intent for Release {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let released = sqlx::query(RELEASE)
            .bind(self.user.get())
            .bind(self.run.as_bytes().as_slice())
            .bind(self.now.unix_millis())
            .execute(db)
            .await?;
        Ok(released.rows_affected() > 0)
    }
}
