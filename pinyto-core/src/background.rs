//! What an embedding program runs beside the requests, and how a cloud ends.

use std::{fmt, time::Duration};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{cloud::Cloud, restart::restarted};

/// How often what has expired is deleted. It has no effect without that.
const SWEEP_PERIOD: Duration = Duration::from_secs(3600);

/// What runs for a cloud in the background: see [`Background::run`].
#[must_use = "nothing runs until `run` is awaited"]
pub struct Background {
    cloud: Cloud,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}

/// How a cloud was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// How many calls had not ended when there was no more patience. They go on; what they have
    /// used is booked if somebody closes the cloud once more, later.
    pub unfinished: usize,
    /// Whether all runs that had gathered, and the CPU time of their users, are written.
    pub is_written: bool,
}

impl Cloud {
    /// What runs in the background, for the embedding program to spawn:
    ///
    /// ```no_run
    /// # async fn serve(cloud: pinyto_core::Cloud) {
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let background = tokio::spawn(cloud.background().run(async {
    ///     let _ = stopped.await;
    /// }));
    /// // Serve requests. Then, in this order:
    /// drop(stop);
    /// let _ = background.await;
    /// // Here a runtime is closed, so that calls which nobody waits for end.
    /// cloud.close(std::time::Duration::from_secs(5)).await;
    /// // Here the store is closed.
    /// # }
    /// ```
    pub fn background(&self) -> Background {
        Background {
            cloud: self.clone(),
        }
    }

    /// Waits for calls that have not ended, for so long, and writes the runs that have gathered.
    /// To be called when no more requests come in and [`Background::run`] has ended, before the
    /// store is closed.
    ///
    /// A call goes on when its client goes away, so that it is booked; until then a store that is
    /// closed would be missed.
    pub async fn close(&self, patience: Duration) -> Closed {
        let ended = timeout(patience, self.tasks().ended()).await;
        let unfinished = ended.map_or_else(|_| self.tasks().count(), |()| 0);
        if unfinished > 0 {
            tracing::warn!(unfinished, "calls have not ended");
        }
        Closed {
            unfinished,
            is_written: self.write_last_runs().await,
        }
    }

    /// Deletes sessions and what else has expired, again and again.
    async fn keep_sessions_swept(&self) {
        loop {
            match self.sweep_sessions().await {
                Ok(0) => {}
                Ok(ended) => tracing::info!(ended, "expired sessions deleted"),
                Err(error) => tracing::warn!(%error, "expired sessions can't be deleted now"),
            }
            sleep(SWEEP_PERIOD).await;
        }
    }

    /// Deletes old runs, again and again.
    async fn keep_runs_swept(&self) {
        loop {
            match self.sweep_runs().await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "old runs deleted"),
                Err(error) => tracing::warn!(%error, "old runs can't be deleted now"),
            }
            sleep(SWEEP_PERIOD).await;
        }
    }
}

impl Background {
    /// Runs jobs if the cloud has a runtime ([`Scheduler::run`](crate::job::Scheduler::run)), writes
    /// runs ([`Cloud::keep_runs`]), and deletes each hour what has expired
    /// ([`Cloud::sweep_sessions`], [`Cloud::sweep_runs`]), until `shutdown` is ready. Then jobs
    /// come to their end first, and what has gathered by then is written.
    ///
    /// Each of these, and each of the two sweeps for itself, survives a panic of its own, as of a
    /// store's: it is logged as an error, and after a pause of a second, or of up to a minute if
    /// that panics again and again, it goes on. The others and the jobs that run go on meanwhile.
    ///
    /// Does not refill the keyserver's stock of keys, which takes a thread:
    /// [`KeyStock::start_refill`](crate::keyserver::KeyStock::start_refill).
    ///
    /// A future that is dropped instead leaves the leases of its jobs to expire and up to a second
    /// of runs unwritten.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let cloud = &self.cloud;
        let (ended, end) = oneshot::channel::<()>();
        let jobs = async move {
            if cloud.runtime().is_some() {
                cloud.scheduler().run(shutdown).await;
            } else {
                shutdown.await;
            }
        };
        let until_shutdown = async move {
            tokio::select! {
                () = jobs => {}
                () = restarted("sweeping sessions", || cloud.keep_sessions_swept()) => {}
                () = restarted("sweeping runs", || cloud.keep_runs_swept()) => {}
            }
            drop(ended);
        };
        let runs = cloud.keep_runs(async move {
            // Ready when the other half is gone.
            let _ = end.await;
        });
        tokio::join!(until_shutdown, runs);
    }
}
