use super::{EnqueueOutcome, JobRef, JobState};
use crate::{
    Page,
    cloud::Cloud,
    error::{Error, Limited},
    session::{Session, SessionClaim},
};

/// The most jobs that one call gives.
pub const MAX_LISTED: u64 = 1000;

impl Cloud {
    /// Lets a job of the user run now: again if it is parked, otherwise once more beside its
    /// schedule. If that was asked for already and waits for its turn, nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::AssemblyNotInstalled`], [`Error::UnknownJob`], [`Error::LimitReached`] if too many
    /// runs are queued, [`Error::CodeExecutionDisabled`].
    pub async fn run_job_now(&self, session: &Session, job: &JobRef) -> Result<(), Error> {
        if self.runtime().is_none() {
            return Err(Error::CodeExecutionDisabled);
        }
        let limit = self.settings().max_queued_jobs;
        let (jobs, user) = (self.store().jobs(), session.user.id);
        match jobs.run_now(user, job, limit, self.now()).await? {
            EnqueueOutcome::Queued => {
                self.wake_scheduler();
                Ok(())
            }
            EnqueueOutcome::NotInstalled => Err(Error::AssemblyNotInstalled),
            EnqueueOutcome::UnknownJob => Err(Error::UnknownJob),
            EnqueueOutcome::LimitReached => Err(Error::LimitReached {
                things: Limited::QueuedJobs,
                limit: limit as u64,
            }),
        }
    }

    /// A page of how it stands with the user's jobs, by assembly and name; no more than
    /// [`MAX_LISTED`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_jobs(
        &self,
        session: impl Into<SessionClaim> + Send,
        page: Page,
    ) -> Result<Vec<JobState>, Error> {
        let (claim, page) = (session.into(), page.at_most(MAX_LISTED));
        let reads = self.store().reads();
        let read = reads.list_jobs(claim.id, self.now(), page).await?;
        Ok(self.admitted(claim, read).await?.1)
    }
}
