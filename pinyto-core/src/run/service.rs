use std::{future::Future, panic::resume_unwind, sync::Arc, time::Duration};

use tokio::{
    sync::OwnedMutexGuard,
    task::JoinError,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

use super::{AuthorRun, Run, RunBatch, RunId, without_nul};
use crate::{
    Page,
    assembly::{AssemblyName, AssemblyRef},
    cloud::Cloud,
    error::Error,
    id::UserId,
    quota::hour_of,
    restart::restarted,
    session::SessionClaim,
};

/// The most runs that one call gives.
pub const MAX_LISTED: u64 = 100;

/// How long a run waits at the most until [`Cloud::keep_runs`] begins to write it, unless the store
/// is slower than that with what was there before.
const PERIOD: Duration = Duration::from_secs(1);

/// How often what has come during the last writing is written, too, at the end.
const LAST_TRIES: usize = 3;

/// How long [`Cloud::flush_runs`] waits for users who are busy at the most, all together.
const WAITS: Duration = Duration::from_secs(5);

/// How long who reads waits at the most for runs to be written.
const READERS_PATIENCE: Duration = Duration::from_millis(250);

impl Cloud {
    /// Notes a run that has ended: it will be recorded, and its CPU time booked to its user.
    pub(crate) fn note_run(&self, mut run: Run) {
        run.output.text = without_nul(run.output.text);
        let hour = hour_of(self.now());
        self.quota_counts().note(run.user, hour, run.cpu_time);
        self.run_log().note(run, hour);
    }

    /// Books CPU time that was used for the user outside of a run.
    pub(crate) fn book(&self, user: UserId, used: Duration) {
        let hour = hour_of(self.now());
        self.quota_counts().note(user, hour, used);
        self.run_log().book(user, hour, used);
    }

    /// The identifier of a run that begins now.
    pub(crate) fn new_run_id(&self) -> RunId {
        RunId::new(self.document_ids().next(self.now()))
    }

    /// Writes the runs and the CPU time that have gathered. Dropping the future doesn't stop it.
    ///
    /// Runs are gathered because writing each on its own would cost more than many a call. What
    /// has gathered is lost if the process is killed; call this at the end, and let
    /// [`Cloud::keep_runs`] call it in between.
    ///
    /// Users who are busy (see [`RunRepository::record`](super::RunRepository::record)) are waited
    /// for, some seconds at the most. What can't be written then waits for the next call.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store failed; then they wait for the next call.
    pub async fn flush_runs(&self) -> Result<(), Error> {
        self.flush_free().await?;
        if self.run_log().to_wait_for() > 0 {
            self.flush_busy().await?;
            // Of who has very many runs some are left.
            self.flush_free().await?;
        }
        Ok(())
    }

    /// Writes all that waits for nobody now.
    async fn flush_free(&self) -> Result<(), Error> {
        self.try_free().await.map_err(|_| Error::ShuttingDown)?
    }

    /// The same, and says if that panicked.
    async fn try_free(&self) -> Result<Result<(), Error>, JoinError> {
        let log = self.run_log();
        if let Ok(_nobody_writes) = log.writing.try_lock()
            && log.is_written()
        {
            return Ok(Ok(()));
        }
        let cloud = self.clone();
        in_a_task(async move {
            let turn = cloud.run_log().writing.clone().lock_owned().await;
            cloud.write_free(turn).await
        })
        .await
    }

    /// Tries once for each user who has to be waited for to write what is hers.
    async fn flush_busy(&self) -> Result<(), Error> {
        self.try_busy().await.map_err(|_| Error::ShuttingDown)?
    }

    /// The same, and says if that panicked.
    async fn try_busy(&self) -> Result<Result<(), Error>, JoinError> {
        let cloud = self.clone();
        in_a_task(async move {
            let log = cloud.run_log();
            let _turn = log.waiting.lock().await;
            let until = Instant::now() + WAITS;
            for _ in 0..log.to_wait_for() {
                if Instant::now() < until
                    && let Some(batch) = log.take_of_next()
                {
                    cloud.write(batch).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Before something is read that runs change: what is there already is shown in any case, and
    /// soon. One user whose runs can't be written holds up no others.
    pub(crate) async fn try_flush(&self) {
        let log = self.run_log();
        let failures = log.failures();
        let flush = async {
            let turn = log.writing.clone().lock_owned().await;
            // Who has just failed would fail again.
            if log.is_written() || log.failures() != failures {
                return Ok(());
            }
            let cloud = self.clone();
            let written = in_a_task(async move { cloud.write_free(turn).await });
            written.await.map_err(|_| Error::ShuttingDown)?
        };
        if let Ok(Err(error)) = timeout(READERS_PATIENCE, flush).await {
            tracing::warn!(?error, "can't write runs and CPU time");
        }
    }

    /// Writes all that waits for nobody now.
    async fn write_free(&self, _turn: OwnedMutexGuard<()>) -> Result<(), Error> {
        let log = self.run_log();
        let mut round = log.round();
        while let Some(batch) = log.next(&mut round) {
            self.write(batch).await?;
        }
        Ok(())
    }

    /// To be called in a task: what was taken out of the log must not get lost with a caller.
    async fn write(&self, batch: Arc<RunBatch>) -> Result<(), Error> {
        let log = self.run_log();
        let (retention, now) = (self.settings().run_retention, self.now());
        let recorded = self.store().runs().record(&batch, retention, now).await;
        let recorded = recorded.inspect_err(|_| log.failed())?;
        log.written(batch, &recorded.kept_back);
        for booked in recorded.figures {
            self.correct_usage(booked, now);
        }
        Ok(())
    }

    /// Writes runs whenever enough have gathered, at least every second, until `shutdown` is
    /// ready, and then what is left. For the embedding program to spawn.
    ///
    /// If writing panics, as the store may, it begins again after a pause, which grows from a second to
    /// a minute. Nothing of what was to be written is lost by that, unless too much gathers.
    pub async fn keep_runs(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            biased;
            () = shutdown => {}
            () = restarted("writing runs", || self.keep_free()) => {}
            () = restarted("writing runs of busy users", || self.keep_busy()) => {}
        }
        self.write_last_runs().await;
    }

    /// Writes what is left, also what comes meanwhile, and says whether it is all written.
    pub(crate) async fn write_last_runs(&self) -> bool {
        let log = self.run_log();
        for _ in 0..LAST_TRIES {
            if !told(self.flush_runs().await) || log.is_written() {
                break;
            }
        }
        let (is_written, users) = (log.is_written(), log.to_wait_for());
        if !is_written {
            tracing::warn!("the last runs and their CPU time are not written");
        }
        if users > 0 {
            tracing::warn!(users, "runs and CPU time of busy users are not written");
        }
        is_written && users == 0
    }

    /// What waits for nobody, again and again.
    async fn keep_free(&self) {
        let log = self.run_log();
        let mut periods = interval_at(Instant::now() + PERIOD, PERIOD);
        periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = log.enough.notified() => {}
                _ = periods.tick() => {}
            }
            // While the store works more may come than one batch takes.
            while told(with_its_panic(self.try_free().await)) && log.has_enough() {}
        }
    }

    /// What waits for busy users, again and again.
    async fn keep_busy(&self) {
        loop {
            sleep(PERIOD).await;
            if self.run_log().to_wait_for() > 0 {
                told(with_its_panic(self.try_busy().await));
            }
        }
    }

    /// How many runs were lost since the start because they could not be written in time. Their
    /// CPU time was not.
    #[must_use]
    pub fn dropped_runs(&self) -> u64 {
        self.run_log().dropped()
    }

    /// A page of the runs for the user, newest first, no more than [`MAX_LISTED`]; if `assembly` is
    /// given only those of what was called that when it ran.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_runs(
        &self,
        session: impl Into<SessionClaim> + Send,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, Error> {
        let (claim, page) = (session.into(), page.at_most(MAX_LISTED));
        self.try_flush().await;
        let reads = self.store().reads();
        let read = reads.list_runs(claim.id, assembly, page).await?;
        Ok(self.admitted(claim, read).await?.1)
    }

    /// One run for the user.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRun`] if there is none (any more), or it was for somebody else;
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn find_run(
        &self,
        session: impl Into<SessionClaim> + Send,
        run: RunId,
    ) -> Result<Run, Error> {
        let claim = session.into();
        self.try_flush().await;
        let read = self.store().reads().find_run(claim.id, run).await?;
        let (_, found) = self.admitted(claim, read).await?;
        found.ok_or(Error::UnknownRun)
    }

    /// A page of the runs of an assembly of the user's, whoever they were for, newest first; no more
    /// than [`MAX_LISTED`]. Shows what an author needs, and nothing of other users' data: see [`AuthorRun`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAssembly`] if she has written no assembly of that name;
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_runs_of_own_assembly(
        &self,
        session: impl Into<SessionClaim> + Send,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<Vec<AuthorRun>, Error> {
        let (claim, page) = (session.into(), page.at_most(MAX_LISTED));
        self.try_flush().await;
        let reads = self.store().reads();
        let read = reads.runs_of_own_assembly(claim.id, assembly, page);
        let (session, found) = self.admitted(claim, read.await?).await?;
        let found = found.ok_or(Error::UnknownAssembly)?.into_iter();
        let author = session.user.id;
        Ok(found.map(|run| AuthorRun::of(run, author)).collect())
    }

    /// Deletes the runs that are older than [`Settings::run_retention`](crate::Settings) allows;
    /// says how many. Those of users who run something go by themselves; call this now and then
    /// for the others.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store failed.
    pub async fn sweep_runs(&self) -> Result<u64, Error> {
        let moment = self
            .now()
            .saturating_sub(self.settings().run_retention.max_age);
        Ok(self.store().runs().sweep(moment).await?)
    }
}

/// Does it also if nobody waits for it any more.
async fn in_a_task(
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<Result<(), Error>, JoinError> {
    tokio::spawn(work).await
}

/// What a task has done. Panics as it did.
fn with_its_panic(done: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    done.unwrap_or_else(|ended| match ended.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(Error::ShuttingDown),
    })
}

/// Whether it was written.
fn told(written: Result<(), Error>) -> bool {
    let told = written.inspect_err(|error| tracing::warn!(?error, "can't write runs and CPU time"));
    told.is_ok()
}
