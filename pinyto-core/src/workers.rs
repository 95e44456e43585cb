//! Computations that take milliseconds and more, kept off the async threads and within bounds.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, task::spawn_blocking};

use crate::error::Error;

/// Runs at most so many computations at once and lets at most so many wait.
///
/// A thread that has finished one takes the next itself: under load no thread has to be woken for
/// it, which would cost a tenth of an RSA operation.
pub(crate) struct Workers(Arc<Queue>);

struct Queue {
    running_limit: usize,
    waiting_limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: VecDeque<Box<dyn Job>>,
}

impl Workers {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        Self(Arc::new(Queue {
            running_limit: running.max(1),
            waiting_limit: waiting,
            state: Mutex::default(),
        }))
    }

    /// Waits for a turn, runs `computation` on a blocking thread and gives its result.
    ///
    /// A dropped future gives up its place in the queue; a computation that runs is finished.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        computation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (caller, result) = oneshot::channel();
        self.0.admit(Box::new(Computation {
            computation,
            caller,
        }))?;
        match result.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Error::ShuttingDown),
        }
    }
}

impl Queue {
    fn admit(self: &Arc<Self>, job: Box<dyn Job>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.running < self.running_limit {
            state.running += 1;
            state.waiting.push_back(job);
            let queue = self.clone();
            spawn_blocking(move || queue.work());
            return Ok(());
        }
        if state.waiting.len() >= self.waiting_limit {
            state.waiting.retain(|waiting| waiting.is_wanted());
        }
        if state.waiting.len() >= self.waiting_limit {
            let retry_after = Duration::from_secs(1);
            return Err(Error::Busy { retry_after });
        }
        state.waiting.push_back(job);
        Ok(())
    }

    /// Runs what waits until nothing does.
    fn work(&self) {
        loop {
            let mut state = self.lock();
            let Some(job) = state.waiting.pop_front() else {
                state.running -= 1;
                return;
            };
            drop(state);
            job.run();
        }
    }

    /// No job runs, and so none panics, while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A computation of whatever result.
trait Job: Send {
    fn is_wanted(&self) -> bool;
    fn run(self: Box<Self>);
}

struct Computation<F, T> {
    computation: F,
    caller: oneshot::Sender<thread::Result<T>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Job for Computation<F, T> {
    fn is_wanted(&self) -> bool {
        !self.caller.is_closed()
    }

    fn run(self: Box<Self>) {
        if self.is_wanted() {
            // Nothing the computation has is used after a panic.
            let result = catch_unwind(AssertUnwindSafe(self.computation));
            // Who has hung up meanwhile doesn't need it.
            let _ = self.caller.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Occupies the one thread of `workers` until something is sent or the sender is dropped.
    async fn occupied(workers: &Arc<Workers>) -> mpsc::Sender<()> {
        let ((release, blocked), (started, begun)) = (mpsc::channel(), oneshot::channel());
        let workers = workers.clone();
        tokio::spawn(async move {
            let wait = move || {
                let _ = started.send(());
                let _: Result<(), _> = blocked.recv();
            };
            workers.run(wait).await
        });
        begun.await.unwrap();
        release
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_refuses_and_an_emptied_one_works_again() {
        let workers = Arc::new(Workers::new(1, 1));
        let release = occupied(&workers).await;
        let mut waiting = Box::pin(workers.run(|| 2));
        assert!(polled_once(&mut waiting).await.is_none());
        assert!(matches!(workers.run(|| 3).await, Err(Error::Busy { .. })));
        drop(release);
        assert_eq!(waiting.await.unwrap(), 2);
        assert_eq!(workers.run(|| 4).await.unwrap(), 4);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_hangs_up_gives_up_the_place_in_the_queue() {
        let workers = Arc::new(Workers::new(1, 1));
        let release = occupied(&workers).await;
        let (ran, has_run) = mpsc::channel();
        let mut given_up = Box::pin(workers.run(move || ran.send(())));
        assert!(polled_once(&mut given_up).await.is_none());
        drop(given_up);
        let mut waiting = Box::pin(workers.run(|| 2));
        assert!(polled_once(&mut waiting).await.is_none());
        drop(release);
        assert_eq!(waiting.await.unwrap(), 2);
        assert!(has_run.recv().is_err(), "it is not computed");
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller_and_costs_no_thread() {
        let workers = Arc::new(Workers::new(1, 1));
        for _ in 0..3 {
            let panicking = tokio::spawn({
                let workers = workers.clone();
                async move { workers.run::<()>(|| panic!("as expected")).await }
            });
            assert!(panicking.await.unwrap_err().is_panic());
        }
        assert_eq!(workers.run(|| 5).await.unwrap(), 5);
    }

    /// What the future gives if it is polled once.
    async fn polled_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
