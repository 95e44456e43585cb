use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;

use super::{Run, RunId, WriterId};
use crate::{
    Page,
    assembly::{AssemblyName, AssemblyRef},
    clock::Timestamp,
    id::UserId,
    store::StoreError,
};

/// Names a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Who writes it.
    pub writer: WriterId,
    /// The how many-th of his it is, from 1. He writes one after the other, and again the one of
    /// which he doesn't know whether it was written.
    pub number: u64,
}

/// For how long a store remembers which batch of a writer was his last.
pub const WRITER_MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is recorded in one go.
#[derive(Clone, Debug)]
pub struct RunBatch {
    /// Its name.
    pub id: BatchId,
    /// The runs, those of each user oldest first.
    pub runs: Vec<Run>,
    /// CPU time to be added to what the users have used, one entry per user and hour.
    pub cpu: Vec<CpuBooking>,
    /// Whether to wait for a user who is busy, in line with others and about a second at the most.
    /// All of such a batch is of one user: who waits keeps nobody else busy.
    pub waits: bool,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// The figures of the users in [`RunBatch::cpu`], as they are now.
    pub figures: Vec<HourUsage>,
    /// The users of the batch of whom nothing was recorded, because they were busy. What is theirs
    /// has to come again, in another batch.
    pub kept_back: BTreeSet<UserId>,
}

impl Recorded {
    /// All of the batch, with the figures of its users.
    #[must_use]
    pub const fn new(figures: Vec<HourUsage>) -> Self {
        Self {
            figures,
            kept_back: BTreeSet::new(),
        }
    }
}

/// CPU time that a user has used within one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuBooking {
    /// Who.
    pub user: UserId,
    /// When: hours since the Unix epoch.
    pub hour: i64,
    /// How much.
    pub used: Duration,
}

/// What a user has used within an hour, as far as it is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourUsage {
    /// Who.
    pub user: UserId,
    /// Hours since the Unix epoch: the last one that anything was booked for.
    pub hour: i64,
    /// The CPU time used within that hour.
    pub used: Duration,
}

/// How many runs are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunRetention {
    /// The most runs of one user. Default: 1000.
    pub per_user: usize,
    /// How old they get. Default: 30 days.
    pub max_age: Duration,
}

impl RunRetention {
    /// So many runs of one user, none older than that.
    #[must_use]
    pub const fn new(per_user: usize, max_age: Duration) -> Self {
        Self { per_user, max_age }
    }
}

impl Default for RunRetention {
    fn default() -> Self {
        Self {
            per_user: 1000,
            max_age: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Where runs are kept, and what is booked with them.
#[async_trait]
pub trait RunRepository: Send + Sync {
    /// Records the batch: keeps its runs, adds its CPU time to the users' usage and to what they
    /// have used within the hour. In a store where who changes something of a user's keeps others
    /// from doing so meanwhile, a user can be busy: then all of what is hers is kept back, unless
    /// the batch [waits](RunBatch::waits) for her with success, and the rest is recorded as a
    /// whole. Who is busy must not keep others' runs from being recorded, nor escape forever. Of each user who gets a run, only the newest
    /// `retention.per_user` stay, and none that began `retention.max_age` before `now`. Users
    /// who are gone meanwhile are skipped.
    ///
    /// A booking for an hour before the one that the user's figure is of adds to the usage only;
    /// one for a later hour begins the figure anew.
    ///
    /// A batch changes nothing if it was recorded already, or one of its writer with a higher
    /// number was: so one whose commit seemed to fail can be recorded again, and the same is told
    /// to be kept back as the first time. Which batch was the last of a writer, and what it kept
    /// back, is remembered for [`WRITER_MEMORY`] (by the times `now` of the batches).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn record(
        &self,
        batch: &RunBatch,
        retention: RunRetention,
        now: Timestamp,
    ) -> Result<Recorded, StoreError>;

    /// What the user has used within the last hour that anything was booked for; `None` if
    /// nothing ever was, or there is no such user.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn hour_usage(&self, user: UserId) -> Result<Option<HourUsage>, StoreError>;

    /// The run, if it is one of the user's.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(&self, user: UserId, run: RunId) -> Result<Option<Run>, StoreError>;

    /// A page of the user's runs, newest first; if `assembly` is given only those of what was called
    /// that when it ran.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_of_user(
        &self,
        user: UserId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, StoreError>;

    /// The runs of the author's assembly of that name (also from the time when it was called
    /// otherwise), whoever they were for, newest first; `None` if she has no such assembly.
    /// What the author gets to see of them is decided by
    /// [`AuthorRun::of`](super::AuthorRun::of).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_of_author(
        &self,
        author: UserId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<Option<Vec<Run>>, StoreError>;

    /// Deletes all runs that began before `moment`; says how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn sweep(&self, moment: Timestamp) -> Result<u64, StoreError>;
}
