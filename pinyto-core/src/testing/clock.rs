use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::clock::{Clock, Timestamp};

/// A clock that stands still until a test moves it. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.unix_millis())))
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now().saturating_add(duration));
    }

    /// Moves the clock to `now`, back as well.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.unix_millis(), Ordering::SeqCst);
    }
}

/// Begins on a day in 2027, when [`given::at`](super::given::at) begins as well.
impl Default for ManualClock {
    fn default() -> Self {
        Self::new(super::given::at(0))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_by_hand_only_and_with_all_its_clones() {
        let clock = ManualClock::default();
        let clone = clock.clone();
        let start = clock.now();
        clone.advance(Duration::from_millis(1500));
        assert_eq!(
            clock.now().saturating_since(start),
            Duration::from_millis(1500)
        );
        clock.set(start);
        assert_eq!(clone.now(), start);
    }
}
