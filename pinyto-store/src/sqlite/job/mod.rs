mod lease;
mod plan;
mod queue;
mod row;

use async_trait::async_trait;
use pinyto_core::{
    Page,
    clock::Timestamp,
    id::UserId,
    job::{
        Claim, ClaimedJob, Completion, EnqueueOutcome, JobEntry, JobRef, JobRepository, JobState,
        Lease,
    },
    run::RunId,
    store::StoreError,
};

pub(super) use plan::{plan, replan, revive_changed};
pub(super) use queue::{enqueue, refusal};
#[cfg(test)]
pub(super) use {
    lease::{
        DELETE, DUE, EXTEND, FIRST, HELD, PUT_OFF, RUNNING, SET_BACK, TAKE_TURN, WAITING, WAITS,
    },
    plan::{PLAN, REPLAN, REVIVE_CHANGED},
    queue::{HASTEN, KEY, QUEUED, RELEASE, REVIVE},
    row::WRITE,
};

use super::{SqliteStore, error::Corrupt};
use lease::{ClaimDue, Complete, Extend};
use queue::{Release, RunNow};
use row::entry_columns;

use crate::row::job::{EntryRow, NameRow};

pub(super) const NEXT_DUE: &str =
    "SELECT due_at FROM pinyto_job_users WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";

#[derive(sqlx::FromRow)]
struct StateRow {
    #[sqlx(flatten)]
    name: NameRow,
    #[sqlx(flatten)]
    entry: EntryRow,
}

pub(super) const LIST_OF_USER: &str = concat!(
    "SELECT author.name AS author, a.name AS assembly, e.job, ",
    entry_columns!(),
    " FROM pinyto_job_entries e CROSS JOIN pinyto_assemblies a ON a.id = e.assembly_id
      CROSS JOIN pinyto_users author ON author.id = a.author_id
      WHERE e.user_id = ?1 ORDER BY e.assembly_id, e.job, e.id LIMIT ?3 + 0 OFFSET ?2"
);

#[async_trait]
impl JobRepository for SqliteStore {
    async fn claim_due(&self, claim: &Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        self.write(ClaimDue(*claim)).await
    }

    async fn extend(&self, lease: Lease, until: Timestamp) -> Result<bool, StoreError> {
        self.write(Extend { lease, until }).await
    }

    async fn complete(
        &self,
        lease: Lease,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let completion = completion.clone();
        self.write(Complete {
            lease,
            completion,
            now,
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let due = self
            .readers
            .one(sqlx::query_as::<_, (i64,)>(NEXT_DUE))
            .await?;
        Ok(due.map(|(due,)| Timestamp::from_unix_millis(due)))
    }

    async fn run_now(
        &self,
        user: UserId,
        job: &JobRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<EnqueueOutcome, StoreError> {
        let job = job.clone();
        self.write(RunNow {
            user,
            job,
            limit,
            at,
        })
        .await
    }

    async fn release(&self, user: UserId, run: RunId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(Release { user, run, now }).await
    }

    async fn list_of_user(
        &self,
        user: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Vec<JobState>, StoreError> {
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let query = sqlx::query_as::<_, StateRow>(LIST_OF_USER)
            .bind(user.get())
            .bind(number(page.skip))
            .bind(number(page.count));
        let rows = self.readers.all(query).await?;
        let states = rows.into_iter().map(|row| {
            let (job, entry) = (JobRef::try_from(row.name)?, JobEntry::try_from(row.entry)?);
            Ok(JobState::of(job, &entry, now))
        });
        Ok(states.collect::<Result<_, Corrupt>>()?)
    }
}
