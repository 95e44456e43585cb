//! Runs that are asked for.

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{DocumentId, QueuedJob},
    id::UserId,
    job::{EnqueueOutcome, Hold, JobRef},
    run::RunId,
};
use sqlx::SqliteConnection;

use super::super::{Intent, error::Failure};

/// The assembly, if the user has it installed, and whether it has the job.
pub(in super::super) const KEY: &str = "
    SELECT a.id, EXISTS (SELECT 1 FROM pinyto_jobs WHERE assembly_id = a.id AND name = ?4)
    FROM pinyto_users u JOIN pinyto_assemblies a ON a.author_id = u.id AND a.name = ?2
    JOIN pinyto_installations i ON i.assembly_id = a.id AND i.user_id = ?3
    WHERE u.name = ?1";

async fn assembly_of(
    db: &mut SqliteConnection,
    user: UserId,
    job: &JobRef,
) -> Result<Result<i64, EnqueueOutcome>, Failure> {
    let found: Option<(i64, bool)> = sqlx::query_as(KEY)
        .bind(job.assembly.author.as_str())
        .bind(job.assembly.name.as_str())
        .bind(user.get())
        .bind(job.name.as_str())
        .fetch_optional(db)
        .await?;
    Ok(match found {
        None => Err(EnqueueOutcome::NotInstalled),
        Some((_, false)) => Err(EnqueueOutcome::UnknownJob),
        Some((assembly, true)) => Ok(assembly),
    })
}

pub(in super::super) const QUEUED: &str =
    "SELECT count(*) FROM pinyto_job_entries WHERE user_id = ?1 AND cause <> 'schedule'";

const INSERT: &str = "
    INSERT INTO pinyto_job_entries
        (user_id, assembly_id, job, cause, document_id, schedule, planned_at, due_at, held_by)
    VALUES (?1, ?2, ?3, iif(?4 IS NULL, 'run_now', 'document'), ?4, 0, ?5, coalesce(?6, ?5), ?7)";

/// Whether `limit` runs are queued for the user.
async fn is_full(db: &mut SqliteConnection, user: UserId, limit: usize) -> Result<bool, Failure> {
    let (queued,): (i64,) = sqlx::query_as(QUEUED)
        .bind(user.get())
        .fetch_one(db)
        .await?;
    Ok(usize::try_from(queued).unwrap_or(usize::MAX) >= limit)
}

async fn insert(
    db: &mut SqliteConnection,
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

/// Why a run can't be queued for the user, if it can't.
pub(in super::super) async fn refusal(
    db: &mut SqliteConnection,
    user: UserId,
    job: &JobRef,
    limit: usize,
) -> Result<Option<EnqueueOutcome>, Failure> {
    Ok(match assembly_of(db, user, job).await? {
        Err(outcome) => Some(outcome),
        Ok(_) => is_full(db, user, limit)
            .await?
            .then_some(EnqueueOutcome::LimitReached),
    })
}

/// Queues a run for a document that the user has stored in this transaction, after [`refusal`]
/// has found nothing against it.
pub(in super::super) async fn enqueue(
    db: &mut SqliteConnection,
    user: UserId,
    document: DocumentId,
    QueuedJob { job, hold, .. }: &QueuedJob,
    at: Timestamp,
) -> Result<(), Failure> {
    let id = Some(document);
    match assembly_of(db, user, job).await? {
        Ok(assembly) => insert(db, (user, assembly, job), id, at, *hold).await,
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
pub(in super::super) const REVIVE: &str = "
    UPDATE pinyto_job_entries SET parked = 0, attempts = 0, planned_at = ?4, due_at = ?4
    WHERE user_id = ?1 AND assembly_id = ?2 AND job = ?3 AND parked = 1";

/// [`JobEntry::hasten`](pinyto_core::job::JobEntry::hasten).
pub(in super::super) const HASTEN: &str = "
    UPDATE pinyto_job_entries SET due_at = iif(held_by IS NULL, min(due_at, ?4), due_at)
    WHERE user_id = ?1 AND assembly_id = ?2 AND job = ?3 AND cause <> 'schedule'
      AND due_at IS NOT NULL AND (lease IS NULL OR due_at <= ?4)";

#[async_trait]
impl Intent for RunNow {
    type Outcome = EnqueueOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<EnqueueOutcome, Failure> {
        let assembly = match assembly_of(db, self.user, &self.job).await? {
            Ok(assembly) => assembly,
            Err(outcome) => return Ok(outcome),
        };
        let revived = sqlx::query(REVIVE)
            .bind(self.user.get())
            .bind(assembly)
            .bind(self.job.name.as_str())
            .bind(self.at.unix_millis())
            .execute(&mut *db)
            .await?;
        let hastened = sqlx::query(HASTEN)
            .bind(self.user.get())
            .bind(assembly)
            .bind(self.job.name.as_str())
            .bind(self.at.unix_millis())
            .execute(&mut *db)
            .await?;
        if revived.rows_affected() > 0 || hastened.rows_affected() > 0 {
            return Ok(EnqueueOutcome::Queued);
        }
        if is_full(db, self.user, self.limit).await? {
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
pub(in super::super) const RELEASE: &str = "
    UPDATE pinyto_job_entries SET held_by = NULL, due_at = min(due_at, ?3)
    WHERE user_id = ?1 AND held_by = ?2";

#[async_trait]
impl Intent for Release {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let released = sqlx::query(RELEASE)
            .bind(self.user.get())
            .bind(self.run.as_bytes().as_slice())
            .bind(self.now.unix_millis())
            .execute(db)
            .await?;
        Ok(released.rows_affected() > 0)
    }
}
