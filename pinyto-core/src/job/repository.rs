use async_trait::async_trait;

use super::{ClaimedJob, Completion, JobRef, JobState, Lease, LeaseId};
use crate::{Page, clock::Timestamp, id::UserId, run::RunId, store::StoreError};

/// Who wants to run what is due.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Never used before.
    pub lease: LeaseId,
    /// What is due is due now.
    pub now: Timestamp,
    /// When the leases expire unless they are extended. After `now`.
    pub until: Timestamp,
    /// The most to be claimed.
    pub limit: usize,
}

/// What became of a job that was to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueOutcome {
    /// It runs as soon as its turn comes.
    Queued,
    /// The user has not installed the assembly (or there is none); nothing was changed.
    NotInstalled,
    /// The assembly has no such job; nothing was changed.
    UnknownJob,
    /// As many runs are queued for the user as allowed; nothing was changed.
    LimitReached,
}

/// Where it stands what is to be run, and who runs it.
///
/// Entries of scheduled jobs come and go with the assemblies: a store makes one due at once for
/// each job and user when she installs the assembly, and for each job that a save adds and each
/// user who has the assembly; a save with another schedule changes it
/// ([`JobEntry::reschedule`](super::JobEntry::reschedule)), and one with other code revives the
/// job where it is parked ([`JobEntry::revive`](super::JobEntry::revive)). All entries of a job
/// go with the installation, the assembly, or a save that doesn't list the job any more, also
/// while it runs.
#[async_trait]
pub trait JobRepository: Send + Sync {
    /// Leases entries that are due ([`JobEntry::claim`](super::JobEntry::claim)), one at the most
    /// of each job and user, and none of a job that runs for the same user. Fair between users,
    /// however much is due for one of them: the least [`Turn`](super::Turn) comes first, so each
    /// gets her first before anybody gets a second, counting those that run already, and whoever
    /// has waited longest (since she had something that could be claimed, or since her last turn)
    /// comes first. Of her jobs it is the one that can be claimed longest
    /// ([`claimable_at`](super::claimable_at)), of that job's entries the one that is due longest.
    ///
    /// What a claim costs must not grow with the entries of one user.
    ///
    /// Of several claims at once each entry goes to exactly one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn claim_due(&self, claim: &Claim) -> Result<Vec<ClaimedJob>, StoreError>;

    /// Makes the lease expire at `until`; says whether it is (still) held.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn extend(&self, lease: Lease, until: Timestamp) -> Result<bool, StoreError>;

    /// Ends a run ([`JobEntry::complete`](super::JobEntry::complete)) if the lease is held, which
    /// it then isn't any more; says whether it was. With an entry that is done goes its document,
    /// accounted for at `now`.
    ///
    /// A lease that has expired is held until somebody else claims the entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn complete(
        &self,
        lease: Lease,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// When the next entry can be claimed (or could be long ago), if there is any: the least
    /// [`claimable_at`](super::claimable_at) of all jobs and users, so an entry that has to wait
    /// because its job runs doesn't count. As cheap as finding a row.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Revives what is parked of the job and hastens what is queued of it and waits, also after a
    /// failure ([`JobEntry::hasten`](super::JobEntry::hasten)); if there is neither, queues a run,
    /// unless `limit` runs are queued for the user.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn run_now(
        &self,
        user: UserId,
        job: &JobRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<EnqueueOutcome, StoreError>;

    /// Lets what a run of the user's queued be claimed ([`JobEntry::release`]), because the run has
    /// ended; says whether there was any.
    ///
    /// [`JobEntry::release`]: super::JobEntry::release
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn release(&self, user: UserId, run: RunId, now: Timestamp) -> Result<bool, StoreError>;

    /// A page of how it stands with the user's jobs at `now`, by assembly (in the order they were
    /// made) and name, what is planned before what is queued.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_of_user(
        &self,
        user: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Vec<JobState>, StoreError>;
}
