//! What goes on for as long as the program does, its own panics notwithstanding.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How long to wait after the first of several panics. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after a panic at the most; and what has gone well for so long is in order again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Work ended by a panic, which the panic hook has told of.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Does the work to its end, or to its panic. State that it shares with others has to be in order
/// whenever it could panic.
///
/// In a program that is built to abort, a panic ends that all the same.
pub(crate) async fn caught<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(Poll::Ready(Err(Panicked)), |polled| polled.map(Ok))
    })
    .await
}

/// How long to wait between a panic and the next try.
pub(crate) struct Restarts {
    /// What is tried, for the log.
    what: &'static str,
    pause: Duration,
    begun: Instant,
}

impl Restarts {
    pub(crate) fn of(what: &'static str) -> Self {
        Self {
            what,
            pause: FIRST_PAUSE,
            begun: Instant::now(),
        }
    }

    /// After a panic: tells of it, and waits.
    pub(crate) async fn pause(&mut self) {
        if self.begun.elapsed() >= LONGEST_PAUSE {
            self.pause = FIRST_PAUSE;
        }
        let (what, seconds) = (self.what, self.pause.as_secs());
        tracing::error!(what, "panicked, and begins again in {seconds} s");
        sleep(self.pause).await;
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        self.begun = Instant::now();
    }
}

/// Does the work, and after each panic begins it again.
pub(crate) async fn restarted<F>(what: &'static str, mut work: impl FnMut() -> F + Send)
where
    F: Future<Output = ()> + Send,
{
    let mut restarts = Restarts::of(what);
    while let Err(Panicked) = caught(work()).await {
        restarts.pause().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_minute_and_are_short_again_when_all_was_well() {
        let (first, begins) = (Instant::now(), Mutex::new(Vec::new()));
        let work = || async {
            let so_far = {
                let mut begins = begins.lock().unwrap();
                begins.push(first.elapsed().as_secs());
                begins.len()
            };
            match so_far {
                9 => sleep(Duration::from_secs(3600)).await,
                11 => return,
                _ => tokio::task::yield_now().await,
            }
            panic!("for the {so_far}th time");
        };
        restarted("a test", work).await;
        let begins = begins.into_inner().unwrap();
        let pauses: Vec<_> = begins.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 3601, 2]);
    }

    #[tokio::test]
    async fn work_that_doesnt_panic_gives_what_it_gives() {
        let given = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(caught(given).await.unwrap(), 7);
    }
}
