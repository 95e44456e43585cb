//! What is done with documents in one call or operation, and what that costs.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a change of a document costs, about: changes are committed many at a time, so nobody can
/// say what one of them took. (The SQLite store makes 18,000 a second on two processors.)
pub(super) const WRITE: Duration = Duration::from_micros(100);

/// What finding a document by its identifier costs, about: look-ups share queries.
pub(super) const LOOK_UP: Duration = Duration::from_micros(30);

/// What reading or writing costs beside that for each byte, in nanoseconds.
const PER_BYTE: u64 = 20;

/// What it costs to read or write so many bytes, about.
pub(super) const fn per_byte(bytes: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(PER_BYTE))
}

/// The most notes of one call.
const MAX_NOTES: usize = 8;

/// What has been done so far.
#[derive(Default)]
pub(crate) struct Tally {
    /// Time the store worked for that.
    pub(crate) work: Duration,
    /// What the author had better know.
    pub(crate) notes: Vec<String>,
    /// Whether a job was queued.
    pub(crate) queued_job: bool,
}

/// A [`Tally`] that grows.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Tally>);

impl Ledger {
    /// Nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time the store has worked.
    pub(super) fn work(&self) -> Duration {
        self.lock().work
    }

    pub(super) fn book(&self, work: Duration) {
        let mut tally = self.lock();
        tally.work = tally.work.saturating_add(work);
    }

    /// Begins to book work of which nobody knows yet how long it takes.
    pub(super) fn begin(&self, at_most: Duration) -> Booking<'_> {
        Booking {
            ledger: self,
            begun: Instant::now(),
            at_most,
            work: None,
        }
    }

    pub(super) fn note_queued_job(&self) {
        self.lock().queued_job = true;
    }

    /// Keeps a note, once.
    pub(super) fn note(&self, note: String) {
        let mut tally = self.lock();
        if tally.notes.len() < MAX_NOTES && !tally.notes.contains(&note) {
            tally.notes.push(note);
        }
    }

    pub(super) fn close(self) -> Tally {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Books the work it is told of; if it isn't, all the time that passes until it is dropped: nobody
/// learns what was done for a query that fails once it has begun, or is no longer waited for.
pub(super) struct Booking<'a> {
    ledger: &'a Ledger,
    begun: Instant,
    at_most: Duration,
    work: Option<Duration>,
}

impl Booking<'_> {
    pub(super) fn settle(mut self, work: Duration) {
        self.work = Some(work);
    }

    /// Books the time that has passed, but no more than this.
    pub(super) fn settle_at_most(mut self, work: Duration) {
        self.at_most = self.at_most.min(work);
    }
}

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        let passed = self.begun.elapsed().min(self.at_most);
        self.ledger.book(self.work.unwrap_or(passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_booked_whatever_becomes_of_it() {
        let ledger = Ledger::default();
        ledger.begin(Duration::MAX).settle(Duration::from_secs(3));
        assert_eq!(ledger.work(), Duration::from_secs(3));
        let booking = ledger.begin(Duration::MAX);
        let begun = booking.begun;
        drop(booking);
        let booked = ledger.work() - Duration::from_secs(3);
        assert!(booked > Duration::ZERO && booked <= begun.elapsed());
        drop(ledger.begin(Duration::ZERO));
        assert_eq!(ledger.work(), Duration::from_secs(3) + booked);
    }
}
