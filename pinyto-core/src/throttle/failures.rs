//! What one process has seen of failed tries.

use std::{hash::Hash, time::Duration};

use quick_cache::unsync::Cache;

use super::FailureQuota;
use crate::clock::Timestamp;

/// Which tries stand against somebody.
#[derive(Clone, Copy)]
pub(super) enum Tries {
    /// Those that have failed.
    Failed,
    /// Those that still run as well, as if they had failed.
    FailedOrRunning,
}

/// Somebody has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) wait: Duration,
    /// Whether this is the first time since the last try that was let through.
    pub(super) is_news: bool,
}

impl Refusal {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            wait: self.wait.max(other.wait),
            is_news: self.is_news || other.is_news,
        }
    }
}

/// How many accounts, and how many addresses, are kept in mind. Every failure costs the server a
/// computation of a millisecond or more, so that nobody makes it forget quickly.
const MAX_KEPT: usize = 20_000;

/// Failures by key. Who owes more than the burst has to wait.
pub(super) struct Failures<K> {
    quota: FailureQuota,
    debts: Cache<K, Debt>,
}

#[derive(Clone, Copy)]
struct Debt {
    /// The moment when all tries are paid for: each one that is not forgiven adds an interval (the
    /// generic cell rate algorithm, ITU-T I.371).
    paid_at: Timestamp,
    /// How many of them still run.
    running: u32,
    /// Whether anybody was refused since the last one began.
    refused: bool,
}

impl<K: Hash + Eq + Clone> Failures<K> {
    pub(super) fn new(quota: FailureQuota) -> Self {
        Self {
            quota,
            debts: Cache::new(MAX_KEPT),
        }
    }

    pub(super) fn check(&mut self, tries: Tries, key: &K, now: Timestamp) -> Result<(), Refusal> {
        let Some(mut debt) = self.debts.get_mut(key) else {
            return Ok(());
        };
        let free = match tries {
            Tries::Failed => self.quota.price().saturating_mul(debt.running),
            Tries::FailedOrRunning => Duration::ZERO,
        };
        let owed = self.quota.owed(debt.paid_at, now);
        debt.paid_at = now.saturating_add(owed).min(debt.paid_at);
        let wait = owed.saturating_sub(self.quota.credit().saturating_add(free));
        if wait.is_zero() {
            return Ok(());
        }
        let is_news = !debt.refused;
        debt.refused = true;
        Err(Refusal { wait, is_news })
    }

    /// Counts a try that has failed, or one that runs.
    pub(super) fn count(&mut self, key: &K, now: Timestamp, running: u32) {
        let before = self.debts.get(key).copied();
        let owed = before.map_or(Duration::ZERO, |debt| self.quota.owed(debt.paid_at, now));
        let debt = Debt {
            paid_at: now.saturating_add(owed.saturating_add(self.quota.price())),
            running: before
                .map_or(0, |debt| debt.running)
                .saturating_add(running),
            refused: false,
        };
        self.debts.insert(key.clone(), debt);
    }

    pub(super) fn end(&mut self, key: &K, forgiven: bool) {
        if let Some(mut debt) = self.debts.get_mut(key) {
            debt.running = debt.running.saturating_sub(1);
            if forgiven {
                debt.paid_at = debt.paid_at.saturating_sub(self.quota.price());
            }
        }
    }

    /// Takes over what all servers together know, if that is more.
    pub(super) fn learn(&mut self, key: &K, paid_at: Timestamp, now: Timestamp) {
        if paid_at <= now {
            return;
        }
        let known = self.debts.get(key).copied().unwrap_or(Debt {
            paid_at,
            running: 0,
            refused: false,
        });
        // What runs here is known nowhere else.
        let running = self.quota.price().saturating_mul(known.running);
        let paid_at = known.paid_at.max(paid_at.saturating_add(running));
        self.debts.insert(key.clone(), Debt { paid_at, ..known });
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const BURST: u32 = 3;
    const INTERVAL: Duration = Duration::from_secs(30);

    fn failures() -> Failures<&'static str> {
        Failures::new(FailureQuota {
            burst: NonZeroU32::new(BURST).unwrap(),
            interval: INTERVAL,
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1000)
    }

    fn wait(
        failures: &mut Failures<&'static str>,
        key: &&'static str,
        now: Timestamp,
    ) -> Option<Duration> {
        failures
            .check(Tries::Failed, key, now)
            .err()
            .map(|refusal| refusal.wait)
    }

    /// How many tries are let through at this moment, if all fail.
    fn tries(failures: &mut Failures<&'static str>, now: Timestamp) -> usize {
        std::iter::repeat_n("hugo", 100)
            .take_while(|key| {
                let free = failures.check(Tries::Failed, key, now).is_ok();
                if free {
                    failures.count(key, now, 0);
                }
                free
            })
            .count()
    }

    #[test]
    fn a_burst_may_fail_and_then_one_per_interval() {
        let mut failures = failures();
        assert_eq!(tries(&mut failures, at(0)), 3);
        assert_eq!(wait(&mut failures, &"hugo", at(0)), Some(INTERVAL));
        assert_eq!(
            wait(&mut failures, &"hugo", at(29)),
            Some(Duration::from_secs(1))
        );
        assert_eq!(wait(&mut failures, &"erna", at(0)), None);
        for second in [30, 60, 90] {
            assert_eq!(tries(&mut failures, at(second - 1)), 0);
            assert_eq!(tries(&mut failures, at(second)), 1);
        }
        assert_eq!(tries(&mut failures, at(150)), 2);
        assert_eq!(tries(&mut failures, at(1000)), 3, "but never more");
    }

    #[test]
    fn a_failure_that_was_none_is_taken_back() {
        let mut failures = failures();
        for _ in 0..10 {
            failures.count(&"hugo", at(0), 1);
            failures.end(&"hugo", true);
        }
        assert_eq!(tries(&mut failures, at(0)), 3);
        failures.end(&"erna", true);
        assert_eq!(wait(&mut failures, &"erna", at(0)), None);
    }

    #[test]
    fn a_try_that_runs_stands_against_the_next_one_that_would_run() {
        let mut failures = failures();
        for _ in 0..BURST {
            let allowed = failures.check(Tries::FailedOrRunning, &"hugo", at(0));
            assert_eq!(allowed, Ok(()));
            failures.count(&"hugo", at(0), 1);
        }
        let run = |failures: &mut Failures<_>| {
            let checked = failures.check(Tries::FailedOrRunning, &"hugo", at(0));
            checked.is_ok()
        };
        assert!(!run(&mut failures));
        assert_eq!(wait(&mut failures, &"hugo", at(0)), None, "it may queue");
        failures.end(&"hugo", true);
        assert!(run(&mut failures));
        failures.end(&"hugo", false);
        failures.end(&"hugo", false);
        assert_eq!(tries(&mut failures, at(0)), 1);
    }

    #[test]
    fn a_refusal_is_news_once_between_two_tries() {
        let mut failures = failures();
        for second in [0, 30] {
            while failures.check(Tries::Failed, &"hugo", at(second)).is_ok() {
                failures.count(&"hugo", at(second), 0);
            }
            let again = failures
                .check(Tries::Failed, &"hugo", at(second + 29))
                .unwrap_err();
            assert!(!again.is_news, "the loop's last one was");
        }
        failures.count(&"hugo", at(60), 0);
        let mut news = |key, second| {
            failures
                .check(Tries::Failed, &key, at(second))
                .err()
                .map(|no| no.is_news)
        };
        assert_eq!(news("hugo", 60), Some(true));
        assert_eq!(news("hugo", 61), Some(false));
        assert_eq!(news("erna", 61), None);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_long() {
        let mut failures = failures();
        assert_eq!(tries(&mut failures, at(1_000_000)), 3);
        let told = wait(&mut failures, &"hugo", at(0)).unwrap();
        assert_eq!(told, INTERVAL * (BURST + 1));
        assert_eq!(
            wait(&mut failures, &"hugo", at(0).saturating_add(told)),
            None
        );
    }

    #[test]
    fn what_others_have_seen_counts_as_if_it_was_seen_here() {
        let mut failures = failures();
        failures.count(&"hugo", at(0), 1);
        failures.learn(&"hugo", at(60), at(0));
        assert_eq!(wait(&mut failures, &"hugo", at(0)), None, "the third runs");
        failures.end(&"hugo", false);
        assert_eq!(wait(&mut failures, &"hugo", at(0)), Some(INTERVAL));
        failures.learn(&"hugo", at(30), at(0));
        assert_eq!(wait(&mut failures, &"hugo", at(0)), Some(INTERVAL));
        failures.learn(&"erna", at(90), at(0));
        assert_eq!(wait(&mut failures, &"erna", at(0)), Some(INTERVAL));
        failures.learn(&"udo", at(0), at(0));
        assert_eq!(tries(&mut failures, at(90)), 3);
    }
}
