use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{Claim, ClaimedJob, Completion, Lease, LeaseId, entry::retry_pause};
use crate::{
    clock::Timestamp,
    cloud::Cloud,
    error::Error,
    restart::{Restarts, caught},
    run::{Run, RunError, RunId, RunOutcome, RunPart},
    runtime::{CodeError, CodeRuntime, Execution},
};

/// How jobs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchedulerSettings {
    /// The most jobs that this server runs at once. Default: 4.
    pub concurrent: usize,
    /// How long a lease holds: when a server dies, another takes over after this time (or twice
    /// of it, if that has just looked). Default: 60 s. At least 3 s.
    pub lease: Duration,
    /// How long to wait at the most before looking whether another server has queued something, or
    /// has died. Default: 30 s. At most as long as a lease.
    pub poll: Duration,
    /// How long running jobs may take to finish when the server shuts down. Default: 10 s.
    pub grace: Duration,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            concurrent: 4,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// How long to wait after the store has failed, or when what was due is just being claimed by
/// another server.
const RETRY: Duration = Duration::from_millis(500);

/// How long to wait before a job is tried again for which the runtime had no place.
const NO_PLACE: Duration = Duration::from_secs(10);

/// A lease has to be extended in time.
const MIN_LEASE: Duration = Duration::from_secs(3);

/// How often a completion is tried before the lease is left to expire.
const COMPLETION_TRIES: u32 = 5;

/// Runs jobs. Made by [`Cloud::scheduler`]; starts nothing by itself.
///
/// Several may run at once, in several processes, over one store: each run happens in one of them.
pub struct Scheduler {
    cloud: Cloud,
    settings: SchedulerSettings,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Cloud {
    /// What runs jobs, for the embedding program to spawn: [`Scheduler::run`].
    #[must_use]
    pub fn scheduler(&self) -> Scheduler {
        let settings = self.settings().scheduler;
        let lease = settings.lease.max(MIN_LEASE);
        Scheduler {
            settings: SchedulerSettings {
                lease,
                poll: settings.poll.min(lease),
                ..settings
            },
            cloud: self.clone(),
        }
    }
}

impl Scheduler {
    /// Runs what is due whenever it is due, until `shutdown` is ready. Then it claims nothing
    /// more, lets what runs finish for [`SchedulerSettings::grace`], and puts back what has not,
    /// so that another server takes over at once.
    ///
    /// If looking for what is due panics, as the store may, it looks again after a pause, which grows
    /// from a second to a minute; a run that panics ends alone.
    ///
    /// A future that is dropped instead leaves its leases to expire.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        let (stop, stopping) = watch::channel(false);
        let mut running = JoinSet::new();
        let mut restarts = Restarts::of("the scheduler of jobs");
        loop {
            let started = caught(self.start_due(&mut running, &stopping)).await;
            let Ok(pause) = started else {
                // Jobs that run go on, and nothing makes it look again before.
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = restarts.pause() => continue,
                }
            };
            let has_room = running.len() < self.settings.concurrent;
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = running.join_next() => note_end(ended),
                () = self.cloud.jobs_changed().notified(), if has_room => {}
                () = sleep(pause), if has_room => {}
            }
        }
        if timeout(self.settings.grace, finish(&mut running))
            .await
            .is_err()
        {
            stop.send_replace(true);
            finish(&mut running).await;
        }
    }

    /// Runs everything that is due to its end; says how many runs were claimed. What becomes due
    /// meanwhile is run, too.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store can't say what is due.
    pub async fn run_due(&self) -> Result<usize, Error> {
        let (_never, stopping) = watch::channel(false);
        let (mut count, mut running) = (0, JoinSet::new());
        loop {
            let claimed = self.claim(self.settings.concurrent - running.len()).await?;
            count += claimed.len();
            self.start(claimed, &mut running, &stopping);
            match running.join_next().await {
                Some(ended) => note_end(ended),
                None => return Ok(count),
            }
        }
    }

    /// Claims and starts what there is room for; says how long to wait if nothing happens.
    async fn start_due(
        &self,
        running: &mut JoinSet<()>,
        stopping: &watch::Receiver<bool>,
    ) -> Duration {
        let next = async {
            let claimed = self.claim(self.settings.concurrent - running.len()).await?;
            self.start(claimed, running, stopping);
            self.next_due().await
        };
        let pause = match next.await {
            Ok(Some(due)) => due.saturating_since(self.cloud.now()).max(RETRY),
            Ok(None) => self.settings.poll,
            Err(error) => {
                tracing::warn!(?error, "can't look for jobs that are due");
                RETRY * 10
            }
        };
        pause.min(self.settings.poll)
    }

    fn start(
        &self,
        claimed: Vec<ClaimedJob>,
        running: &mut JoinSet<()>,
        stopping: &watch::Receiver<bool>,
    ) {
        let Some(runtime) = self.cloud.runtime() else {
            return;
        };
        for job in claimed {
            let attempt = Attempt {
                cloud: self.cloud.clone(),
                runtime: Arc::clone(runtime),
                lease: self.settings.lease,
                job,
            };
            running.spawn(attempt.run(stopping.clone()));
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<ClaimedJob>, Error> {
        let now = self.cloud.now();
        // A look is far cheaper than a claim, which writes.
        if limit == 0 || self.next_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let claim = Claim {
            lease: LeaseId::generate(self.cloud.randomness().as_ref())?,
            now,
            until: now.saturating_add(self.settings.lease),
            limit,
        };
        Ok(self.cloud.store().jobs().claim_due(&claim).await?)
    }

    /// Without a runtime nothing is ever due.
    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        if self.cloud.runtime().is_none() {
            return Ok(None);
        }
        Ok(self.cloud.store().jobs().next_due().await?)
    }
}

async fn finish(running: &mut JoinSet<()>) {
    while let Some(ended) = running.join_next().await {
        note_end(ended);
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // Its lease expires, which counts as a try.
        tracing::error!(%error, "the run of a job broke off");
    }
}

/// One claimed run.
struct Attempt {
    cloud: Cloud,
    runtime: Arc<dyn CodeRuntime>,
    lease: Duration,
    job: ClaimedJob,
}

impl Attempt {
    async fn run(self, stopping: watch::Receiver<bool>) {
        self.note_lost_run();
        if let Err(error) = self.cloud.check_cpu_quota(self.job.user.id).await {
            let until = match error {
                Error::QuotaExceeded { reset, .. } => reset,
                _ => self.cloud.now().saturating_add(NO_PLACE),
            };
            return self.complete(&Completion::PutBack { until }).await;
        }
        let (id, started_at) = (self.cloud.new_run_id(), self.cloud.now());
        let begun = tokio::time::Instant::now();
        let Some(execution) = self.execute(id, stopping).await else {
            let until = self.cloud.now();
            return self.complete(&Completion::PutBack { until }).await;
        };
        let (outcome, completion) = match self.judge(&execution) {
            Ok(judged) => judged,
            // Not run at all.
            Err(put_back) => return self.complete(&put_back).await,
        };
        self.cloud.note_run(Run {
            duration: begun.elapsed(),
            cpu_time: execution.cpu_time,
            output: execution.output,
            ..self.run_of(id, started_at, self.job.attempt, outcome)
        });
        self.complete(&completion).await;
    }

    /// Nobody else can tell of a run whose server died. What it used is not known.
    fn note_lost_run(&self) {
        if let Some(began) = self.job.lost {
            let (id, attempt) = (self.cloud.new_run_id(), self.job.attempt.saturating_sub(1));
            let outcome = RunOutcome::Failed(RunError::lost());
            self.cloud.note_run(Run {
                duration: self.cloud.now().saturating_since(began),
                ..self.run_of(id, began, attempt, outcome)
            });
        }
    }

    /// A run that took no time and printed nothing.
    fn run_of(&self, id: RunId, began: Timestamp, attempt: u32, outcome: RunOutcome) -> Run {
        let assembly = (self.job.assembly, self.job.job.assembly.clone());
        let part = RunPart::Job(self.job.job.name.clone());
        Run {
            outcome,
            attempt,
            ..Run::new(id, self.job.user.id, assembly, part, began)
        }
    }

    /// Executes the code and holds the lease meanwhile; `None` if the server shuts down.
    ///
    /// An execution whose lease is lost goes on to its end, which its limits bring soon enough:
    /// otherwise what it has used would be nobody's, and code could bring that about.
    async fn execute(&self, run: RunId, mut stopping: watch::Receiver<bool>) -> Option<Execution> {
        let execution = self
            .cloud
            .execute_job(self.runtime.as_ref(), run, &self.job);
        let lease_lost = self.hold_lease();
        tokio::pin!(execution, lease_lost);
        let mut is_held = true;
        loop {
            tokio::select! {
                biased;
                execution = &mut execution => return Some(execution),
                _ = stopping.wait_for(|stops| *stops) => return None,
                () = &mut lease_lost, if is_held => {
                    is_held = false;
                    tracing::warn!(job = %self.job.job, "a job runs on though its lease is lost");
                }
            }
        }
    }

    /// Extends the lease again and again until it is somebody else's, the entry is gone, or the
    /// store has not answered in time.
    async fn hold_lease(&self) {
        let jobs = self.cloud.store().jobs();
        let mut held_until = self.cloud.now().saturating_add(self.lease);
        loop {
            sleep(self.lease / 3).await;
            let now = self.cloud.now();
            let until = now.saturating_add(self.lease);
            let extended = jobs.extend(self.job.lease, until);
            match timeout(held_until.saturating_since(now), extended).await {
                Ok(Ok(true)) => held_until = until,
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(?error, "can't extend the lease of a job");
                    if self.cloud.now() >= held_until {
                        return;
                    }
                }
            }
        }
    }

    /// What an execution means for the run and for the entry; the latter only if there was no
    /// run, for want of a place.
    fn judge(&self, execution: &Execution) -> Result<(RunOutcome, Completion), Completion> {
        let now = self.cloud.now();
        let error = match &execution.outcome {
            Ok(_) => return Ok((RunOutcome::Succeeded, Completion::Succeeded)),
            // After some CPU time the run had begun; then the place was lost in the middle of it.
            Err(CodeError::Busy { retry_after }) if execution.cpu_time.is_zero() => {
                let until = now.saturating_add((*retry_after).max(Duration::from_secs(1)));
                return Err(Completion::PutBack { until });
            }
            Err(CodeError::Unavailable) if execution.cpu_time.is_zero() => {
                let until = now.saturating_add(NO_PLACE);
                return Err(Completion::PutBack { until });
            }
            Err(CodeError::QuotaExceeded { reset, .. }) if execution.cpu_time.is_zero() => {
                return Err(Completion::PutBack { until: *reset });
            }
            Err(error) => RunError::from(error),
        };
        let randomness = self.cloud.randomness().as_ref();
        // Without randomness nothing else works either; then try again at once.
        let pause = retry_pause(self.job.attempt, randomness).unwrap_or(Some(Duration::ZERO));
        let completion = Completion::Failed {
            error: error.clone(),
            retry_at: pause.map(|pause| now.saturating_add(pause)),
        };
        Ok((RunOutcome::Failed(error), completion))
    }

    async fn complete(&self, completion: &Completion) {
        let (jobs, lease): (_, Lease) = (self.cloud.store().jobs(), self.job.lease);
        for attempt in 0..COMPLETION_TRIES {
            if attempt > 0 {
                sleep(RETRY * 2_u32.pow(attempt)).await;
            }
            match jobs.complete(lease, completion, self.cloud.now()).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(job = %self.job.job, "a job ended after its lease was lost");
                    return;
                }
                Err(error) => tracing::warn!(?error, "can't note the end of a job"),
            }
        }
    }
}
