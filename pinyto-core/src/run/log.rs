//! What waits to be written.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{BatchId, CpuBooking, Run, RunBatch, RunOutcome, WriterId};
use crate::id::UserId;

/// The most runs that wait to be written; when there are more, the oldest are dropped.
const MAX_RUNS: usize = 4096;

/// The most bytes that their texts take together.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// So many are worth writing at once.
const ENOUGH: usize = 256;

/// The most that are written in one transaction.
const MAX_BATCH: usize = 512;

/// Gathers runs and CPU time until they are written.
///
/// Runs may be dropped when nobody writes them, CPU time never is: of it there is one figure per
/// user who did something. A batch that was taken is written as it is until the store has said
/// that it did: if a commit seems to fail nobody knows whether it was one.
pub(crate) struct RunLog {
    writer: WriterId,
    gathered: Mutex<Gathered>,
    dropped: AtomicU64,
    /// How often writing has failed.
    failures: AtomicU64,
    /// Held by who writes.
    pub(super) writing: Arc<AsyncMutex<()>>,
    /// Told when enough has gathered.
    pub(super) enough: Notify,
}

#[derive(Default)]
struct Gathered {
    runs: VecDeque<Run>,
    bytes: usize,
    cpu: HashMap<(UserId, i64), Duration>,
    /// What was taken, until it is known to be written.
    taken: Option<Arc<RunBatch>>,
    /// How many batches were.
    batches: u64,
}

impl RunLog {
    pub(crate) fn new(writer: WriterId) -> Self {
        Self {
            writer,
            gathered: Mutex::default(),
            dropped: AtomicU64::new(0),
            writing: Arc::default(),
            failures: AtomicU64::new(0),
            enough: Notify::new(),
        }
    }

    /// Notes a run and the CPU time it used in `hour`. Cheap, never waits for anybody's I/O.
    pub(super) fn note(&self, run: Run, hour: i64) {
        let mut gathered = self.lock();
        gathered.book(run.user, hour, run.cpu_time);
        gathered.bytes += bytes(&run);
        gathered.runs.push_back(run);
        self.drop_surplus(&mut gathered);
        if gathered.runs.len() >= ENOUGH {
            self.enough.notify_one();
        }
    }

    /// Notes CPU time that belongs to no run.
    pub(super) fn book(&self, user: UserId, hour: i64, used: Duration) {
        self.lock().book(user, hour, used);
    }

    /// CPU time of the user in `hour` that is not written yet.
    pub(crate) fn unwritten(&self, user: UserId, hour: i64) -> Duration {
        let gathered = self.lock();
        let waits = gathered.cpu.get(&(user, hour)).copied();
        let taken = gathered.taken.iter().flat_map(|batch| &batch.cpu);
        let taken = taken.filter(|booking| (booking.user, booking.hour) == (user, hour));
        taken.fold(waits.unwrap_or_default(), |sum, booking| {
            sum.saturating_add(booking.used)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        let gathered = self.lock();
        gathered.runs.is_empty() && gathered.cpu.is_empty() && gathered.taken.is_none()
    }

    /// What is to be written in one go, the oldest first: the same batch until it is
    /// [written](Self::written).
    pub(super) fn take(&self) -> Arc<RunBatch> {
        let mut gathered = self.lock();
        if let Some(unsure) = &gathered.taken {
            return unsure.clone();
        }
        let count = gathered.runs.len().min(MAX_BATCH);
        let runs: Vec<Run> = gathered.runs.drain(..count).collect();
        gathered.bytes -= runs.iter().map(bytes).sum::<usize>();
        let cpu = gathered.cpu.drain();
        let cpu = cpu.map(|((user, hour), used)| CpuBooking { user, hour, used });
        let cpu = cpu.collect();
        gathered.batches += 1;
        let id = BatchId {
            writer: self.writer,
            number: gathered.batches,
        };
        gathered
            .taken
            .insert(Arc::new(RunBatch { id, runs, cpu }))
            .clone()
    }

    /// Forgets the batch that was taken: the store has it.
    pub(super) fn written(&self) {
        self.lock().taken = None;
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
        while gathered.runs.len() > MAX_RUNS || gathered.bytes > MAX_BYTES {
            let Some(oldest) = gathered.runs.pop_front() else {
                return;
            };
            gathered.bytes -= bytes(&oldest);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn book(&mut self, user: UserId, hour: i64, used: Duration) {
        if !used.is_zero() {
            let sum = self.cpu.entry((user, hour)).or_default();
            *sum = sum.saturating_add(used);
        }
    }
}

/// What the texts of a run take.
fn bytes(run: &Run) -> usize {
    let message = match &run.outcome {
        RunOutcome::Succeeded => 0,
        RunOutcome::Failed(error) => error.message().len(),
    };
    run.output.text.len() + message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    #[test]
    fn when_too_many_wait_the_oldest_runs_go_but_no_cpu_time() {
        let log = RunLog::new(WriterId::from_bytes([0; 12]));
        let ann = UserId::new(1);
        for n in 0..MAX_RUNS + 3 {
            let mut run = given::run(n as u64, ann, "hugo/Notes");
            run.cpu_time = Duration::from_millis(1);
            log.note(run, 7);
        }
        assert_eq!(log.dropped(), 3);
        let batch = log.take();
        assert_eq!(batch.runs.len(), MAX_BATCH);
        assert_eq!(batch.runs[0].id, given::run_id(3));
        let used = Duration::from_millis(MAX_RUNS as u64 + 3);
        assert_eq!(
            batch.cpu,
            [CpuBooking {
                user: ann,
                hour: 7,
                used
            }]
        );
        assert_eq!(log.unwritten(ann, 7), used);
        log.written();
        assert_eq!(log.unwritten(ann, 7), Duration::ZERO);
        let next = log.take();
        assert_eq!(next.runs[0].id, given::run_id(3 + MAX_BATCH as u64));
        assert_eq!((next.id.number, next.cpu.len()), (2, 0));
    }

    #[test]
    fn a_batch_stays_as_it_is_until_it_is_written() {
        let log = RunLog::new(WriterId::from_bytes([0; 12]));
        let ann = UserId::new(1);
        log.note(given::run(1, ann, "hugo/Notes"), 7);
        let first = log.take();
        log.note(given::run(2, ann, "hugo/Notes"), 7);
        let again = log.take();
        assert_eq!((again.id, &again.cpu), (first.id, &first.cpu));
        assert_eq!(again.runs, first.runs);
        assert_eq!(log.unwritten(ann, 7), Duration::from_millis(14));
        log.written();
        let next = log.take();
        assert_ne!(next.id, first.id);
        assert_eq!(next.runs[0].id, given::run_id(2));
        assert!(!log.is_empty());
        log.written();
        assert!(log.is_empty());
    }

    #[test]
    fn long_outputs_that_wait_are_bounded_together() {
        let log = RunLog::new(WriterId::from_bytes([0; 12]));
        for n in 0..20 {
            let mut run = given::run(n, UserId::new(1), "hugo/Notes");
            run.output.text = "x".repeat(MAX_BYTES / 10);
            log.note(run, 0);
        }
        assert_eq!(log.dropped(), 10);
        assert_eq!(log.take().runs[0].id, given::run_id(10));
        log.written();
        assert!(log.is_empty());
    }
}
