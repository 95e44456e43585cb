mod lease;
mod plan;
mod queue;
mod row;

use async_trait::async_trait;
use pinyto_core::{
    Page,
    clock::Timestamp,
    document::Scope,
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

use super::{
    PostgresStore,
    document::{Prepared, SMALL_STORED},
    error::Failure,
    run::number,
};
use crate::row::{
    document::document_id,
    job::{EntryRow, NameRow},
};
use lease::{ClaimDue, Complete, Extend, OWNER, SetBack};
use queue::{Release, RunNow};
pub(super) use row::entry_columns;

const NEXT_DUE: &str =
    "SELECT due_at FROM pinyto.job_users WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";

#[derive(sqlx::FromRow)]
pub(super) struct StateRow {
    #[sqlx(flatten)]
    name: NameRow,
    #[sqlx(flatten)]
    entry: EntryRow,
}

/// Of `$user`'s entries, $3 after the first $2, each with its `place`.
macro_rules! jobs_of_user {
    ($user:literal) => {
        concat!(
            "SELECT row_number() OVER (ORDER BY e.assembly_id, e.job, e.id) AS place,
                    author.name AS author, a.name AS assembly, e.job, ",
            $crate::postgres::job::entry_columns!(),
            " FROM pinyto.job_entries e JOIN pinyto.assemblies a ON a.id = e.assembly_id
             JOIN pinyto.users author ON author.id = a.author_id
             WHERE e.user_id = ",
            $user,
            " ORDER BY e.assembly_id, e.job, e.id LIMIT $3 OFFSET $2"
        )
    };
}
pub(super) use jobs_of_user;

const LIST_OF_USER: &str = jobs_of_user!("$1");

pub(super) fn states(rows: Vec<StateRow>, now: Timestamp) -> Result<Vec<JobState>, StoreError> {
    let states = rows.into_iter().map(|row| {
        let (job, entry) = (JobRef::try_from(row.name)?, JobEntry::try_from(row.entry)?);
        Ok(JobState::of(job, &entry, now))
    });
    Ok(states.collect::<Result<_, Failure>>()?)
}

impl PostgresStore {
    /// Whose entry it is, and which document has queued it: both stay the same as long as it is
    /// there.
    async fn owner(&self, lease: Lease) -> Result<Option<(UserId, Option<Vec<u8>>)>, StoreError> {
        let owner = || sqlx::query_as::<_, (i64, Option<Vec<u8>>)>(OWNER).bind(lease.entry.get());
        let found = self.database.one(owner).await?;
        Ok(found.map(|(user, document)| (UserId::new(user), document)))
    }

    /// The removal of the document that has queued a job, if it is large; it is worked out before
    /// the user is locked.
    async fn removal(
        &self,
        user: UserId,
        document: Option<&[u8]>,
    ) -> Result<Option<Prepared>, StoreError> {
        let id = document.map(document_id).transpose();
        let Some(id) = id.map_err(Failure::from)? else {
            return Ok(None);
        };
        let scope = Scope::all_of(user);
        let read = || Prepared::read(&self.database, scope, id, SMALL_STORED);
        Ok(match self.database.reading(read).await? {
            Some(large) => Some(Prepared::removal(large, &self.evaluations).await?),
            None => None,
        })
    }
}

#[async_trait]
impl JobRepository for PostgresStore {
    async fn claim_due(&self, claim: &Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        self.write(SetBack(claim.now)).await?;
        self.write(ClaimDue(*claim)).await
    }

    async fn extend(&self, lease: Lease, until: Timestamp) -> Result<bool, StoreError> {
        let Some((user, _)) = self.owner(lease).await? else {
            return Ok(false);
        };
        self.write(Extend { user, lease, until }).await
    }

    async fn complete(
        &self,
        lease: Lease,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some((user, document)) = self.owner(lease).await? else {
            return Ok(false);
        };
        self.write(Complete {
            user,
            lease,
            completion: completion.clone(),
            now,
            removal: self.removal(user, document.as_deref()).await?,
            evaluations: &self.evaluations,
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let next = || sqlx::query_as::<_, (i64,)>(NEXT_DUE);
        let due = self.database.one(next).await?;
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
        let list = || {
            sqlx::query_as::<_, StateRow>(LIST_OF_USER)
                .bind(user.get())
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        states(self.database.all(list).await?, now)
    }
}
