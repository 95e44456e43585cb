//! The tasks that go on though nobody waits for them any more.

use tokio::{sync::watch, task::JoinHandle};

/// Counts those that have not ended.
pub(crate) struct Tasks(watch::Sender<usize>);

/// One of them; ends by being dropped, so also by a panic.
struct Running(watch::Sender<usize>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Spawns one.
    pub(crate) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let running = Running::begin(&self.0);
        tokio::spawn(async move {
            let _running = running;
            work.await
        })
    }

    /// How many have not ended.
    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until none is left.
    pub(crate) async fn ended(&self) {
        // The sender is here, so there is no error.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Running {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_task_counts_until_it_ends_however_it_ends() {
        let (tasks, go) = (Tasks::new(), Arc::new(Notify::new()));
        tasks.ended().await;
        let waiting = tasks.spawn({
            let go = go.clone();
            async move { go.notified().await }
        });
        let aborted = tasks.spawn(std::future::pending::<()>());
        assert_eq!(tasks.count(), 2);
        aborted.abort();
        go.notify_one();
        tasks.ended().await;
        assert_eq!(tasks.count(), 0);
        assert!(waiting.await.is_ok() && aborted.await.is_err());
    }
}
