//! What waits to be written.

mod gathered;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{BatchId, Run, RunBatch, WriterId};
use crate::id::UserId;
use gathered::{CHANCES, Content, Gathered};

/// Gathers runs and CPU time until they are written.
///
/// Runs may be dropped when nobody writes them, CPU time never is: of it there is one figure per
/// user who did something. A batch that was taken is written as it is until the store has said
/// that it did: if a commit seems to fail nobody knows whether it was one.
///
/// What a batch kept back because its user was busy is in the next ones, too. When it was kept back
/// a few times, a batch of its own waits for its user: so nobody escapes being booked by being busy
/// all the time. Such batches have a writer of their own, and others don't wait for them.
pub(crate) struct RunLog {
    state: Mutex<State>,
    dropped: AtomicU64,
    /// How often writing has failed.
    failures: AtomicU64,
    /// Held by who writes batches that wait for nobody.
    pub(super) writing: Arc<AsyncMutex<()>>,
    /// Held by who writes batches that wait for their user.
    pub(super) waiting: Arc<AsyncMutex<()>>,
    /// Told when enough has gathered.
    pub(super) enough: Notify,
}

struct State {
    gathered: Gathered,
    of_many: Writer,
    /// Its batches wait.
    of_one: Writer,
}

/// How much somebody writes who has begun to: what was there then, and what is kept back of it as
/// often as that may happen. What comes meanwhile is for the next one: under load there is always
/// some, and batches are to be large.
pub(super) struct Round {
    batches: usize,
    /// How many batches there may be for what was kept back.
    again: u32,
}

/// Numbers batches.
struct Writer {
    id: WriterId,
    /// How many batches there were.
    batches: u64,
    /// The last one, until it is known to be written.
    taken: Option<Arc<RunBatch>>,
}

impl Writer {
    const fn new(id: WriterId) -> Self {
        Self {
            id,
            batches: 0,
            taken: None,
        }
    }

    fn take(&mut self, content: Content, waits: bool) -> Arc<RunBatch> {
        self.batches += 1;
        let batch = Arc::new(RunBatch {
            id: BatchId {
                writer: self.id,
                number: self.batches,
            },
            runs: content.runs,
            cpu: content.cpu,
            waits,
        });
        self.taken.insert(batch).clone()
    }
}

impl RunLog {
    /// One writer for batches of many users, the other one for those that wait for one.
    pub(crate) fn new([of_many, of_one]: [WriterId; 2]) -> Self {
        Self {
            state: Mutex::new(State {
                gathered: Gathered::default(),
                of_many: Writer::new(of_many),
                of_one: Writer::new(of_one),
            }),
            dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            writing: Arc::default(),
            waiting: Arc::default(),
            enough: Notify::new(),
        }
    }

    /// Notes a run and the CPU time it used in `hour`. Cheap, never waits for anybody's I/O.
    pub(super) fn note(&self, run: Run, hour: i64) {
        let mut state = self.lock();
        let gathered = &mut state.gathered;
        let had_enough = gathered.has_enough();
        gathered.book(run.user, hour, run.cpu_time);
        gathered.add(run);
        self.drop_surplus(gathered);
        // Told once: who is told looks himself whether there is more.
        if gathered.has_enough() && !had_enough {
            self.enough.notify_one();
        }
    }

    /// Notes CPU time that belongs to no run.
    pub(super) fn book(&self, user: UserId, hour: i64, used: Duration) {
        self.lock().gathered.book(user, hour, used);
    }

    /// CPU time of the user in `hour` that is not written yet.
    pub(crate) fn unwritten(&self, user: UserId, hour: i64) -> Duration {
        let state = self.lock();
        let taken = [&state.of_many, &state.of_one];
        let taken = taken.into_iter().filter_map(|writer| writer.taken.as_ref());
        let taken = taken.flat_map(|batch| &batch.cpu);
        let taken = taken.filter(|booking| (booking.user, booking.hour) == (user, hour));
        taken.fold(state.gathered.cpu(user, hour), |sum, booking| {
            sum.saturating_add(booking.used)
        })
    }

    /// Whether everything is written but what waits for busy users.
    pub(super) fn is_written(&self) -> bool {
        let state = self.lock();
        state.of_many.taken.is_none() && !state.gathered.has_some()
    }

    /// Whether enough has gathered to be worth writing.
    pub(super) fn has_enough(&self) -> bool {
        self.lock().gathered.has_enough()
    }

    /// Begins to write what waits for nobody now.
    pub(super) fn round(&self) -> Round {
        let state = self.lock();
        let unsure = usize::from(state.of_many.taken.is_some());
        Round {
            batches: unsure + state.gathered.batches(),
            again: CHANCES,
        }
    }

    /// The next batch of the round.
    pub(super) fn next(&self, round: &mut Round) -> Option<Arc<RunBatch>> {
        if let Some(left) = round.batches.checked_sub(1) {
            round.batches = left;
        } else if self.lock().gathered.has_some_again() {
            round.again = round.again.checked_sub(1)?;
        } else {
            return None;
        }
        self.take()
    }

    /// How many users there are for whom a batch has to wait.
    pub(crate) fn to_wait_for(&self) -> usize {
        let state = self.lock();
        state.gathered.to_wait_for() + usize::from(state.of_one.taken.is_some())
    }

    /// What is to be written next without waiting for anybody, if there is something: the same
    /// batch until it is [written](Self::written).
    fn take(&self) -> Option<Arc<RunBatch>> {
        let mut state = self.lock();
        if let Some(unsure) = &state.of_many.taken {
            return Some(unsure.clone());
        }
        let some = state.gathered.has_some();
        let content = some.then(|| state.gathered.take())?;
        Some(state.of_many.take(content, false))
    }

    /// What is to be written of the next user who has to be waited for, if there is one: the same
    /// batch until it is [written](Self::written).
    pub(super) fn take_of_next(&self) -> Option<Arc<RunBatch>> {
        let mut state = self.lock();
        if let Some(unsure) = &state.of_one.taken {
            return Some(unsure.clone());
        }
        let content = state.gathered.take_of_next()?;
        Some(state.of_one.take(content, true))
    }

    /// Forgets the batch that was taken, but for what was kept back: the store has the rest.
    pub(super) fn written(&self, batch: Arc<RunBatch>, kept_back: &BTreeSet<UserId>) {
        let mut state = self.lock();
        let writer = if batch.waits {
            &mut state.of_one
        } else {
            &mut state.of_many
        };
        writer.taken = None;
        let RunBatch { runs, cpu, .. } = Arc::unwrap_or_clone(batch);
        state.gathered.settle(Content { runs, cpu }, kept_back);
        self.drop_surplus(&mut state.gathered);
    }

    /// Notes that writing has failed.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often writing has failed so far.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many runs were dropped so far because too many waited.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_surplus(&self, gathered: &mut Gathered) {
        self.dropped
            .fetch_add(gathered.drop_surplus(), Ordering::Relaxed);
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
