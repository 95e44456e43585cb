//! Work on documents that may take long: off the async threads, and within bounds of memory.

use std::sync::Arc;

use pinyto_core::{query::Watch, store::StoreError};
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
    time::Instant,
};

/// How much memory the trees of values may take that are made of large documents at the same
/// time, in KiB. One that needs more has all of it.
const MEMORY: u32 = 48 * 1024;

/// What takes so many bytes as a tree of values is read at once, where it is: that takes less
/// than a millisecond.
pub(crate) const SMALL: usize = 256 * 1024;

/// The work broke off, because the process ends.
#[derive(Debug, thiserror::Error)]
#[error("the work on a document broke off")]
pub(crate) struct Unfinished;

impl From<Unfinished> for StoreError {
    fn from(unfinished: Unfinished) -> Self {
        Self::unavailable(unfinished)
    }
}

impl From<Unfinished> for sqlx::Error {
    fn from(_: Unfinished) -> Self {
        Self::WorkerCrashed
    }
}

/// Where large documents are looked at.
#[derive(Clone)]
pub(crate) struct Evaluations {
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

impl Evaluations {
    /// At most so many at once.
    pub(crate) fn new(places: u32) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places as usize)),
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
        }
    }

    /// Waits until there is a place, and room for `memory` bytes, and does the work on a thread
    /// for it. Its watch interrupts it after the deadline, and when nobody waits for it any more;
    /// until then it keeps what it has taken.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        memory: usize,
        deadline: Option<Instant>,
        work: impl FnOnce(&mut Watch<'_>) -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let wanted = u32::try_from(memory / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.memory).acquire_many_owned(wanted.min(MEMORY));
        // Neither is ever closed.
        let room = room.await.map_err(|_| Unfinished)?;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Unfinished)?;
        let (done, result) = oneshot::channel();
        spawn_blocking(move || {
            let mut is_over =
                || done.is_closed() || deadline.is_some_and(|deadline| Instant::now() > deadline);
            let result = work(&mut Watch::new(&mut is_over));
            let _ = done.send(result);
            drop((room, place));
        });
        let result = result.await;
        result.map_err(|_| Unfinished)
    }
}
