//! Slowing down who guesses: failed tries are counted per account and per address, successful
//! use is not.
//!
//! They are counted twice. Each process has its own counts, which refuse a try before anything is
//! computed for it. What becomes of a try that is let through is *settled* in the store before
//! anybody learns it, so that servers that share one count together and a restart forgets
//! nothing.

mod failures;
mod local;
mod repository;
mod service;

use std::{num::NonZeroU32, time::Duration};

use crate::clock::Timestamp;

pub use repository::{Attempt, FailureRepository, Settled, Subject};

pub(crate) use local::Throttle;

/// How fast failed tries may come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThrottleSettings {
    /// Whether failed tries are counted at all. Default: yes. Only tests have a reason to say no.
    pub enabled: bool,
    /// Failed tries for one account: 10 at once, then one every 30 seconds by default.
    pub account: FailureQuota,
    /// Failed tries from one IPv4 address or IPv6 /64 network: 100 at once, then one a second by
    /// default.
    pub address: FailureQuota,
}

/// So many failed tries at once, then one every so often.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FailureQuota {
    /// How many tries may fail in a row.
    pub burst: NonZeroU32,
    /// How long it takes to earn another one. At least a millisecond.
    pub interval: Duration,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        const fn burst(count: u32) -> NonZeroU32 {
            match NonZeroU32::new(count) {
                Some(count) => count,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            enabled: true,
            account: FailureQuota {
                burst: burst(10),
                interval: Duration::from_secs(30),
            },
            address: FailureQuota {
                burst: burst(100),
                interval: Duration::from_secs(1),
            },
        }
    }
}

/// The generic cell rate algorithm (ITU-T I.371): each failed try costs an interval, and what is
/// owed is paid by time passing.
impl FailureQuota {
    /// So many failed tries at once, then one every so often.
    #[must_use]
    pub const fn new(burst: NonZeroU32, interval: Duration) -> Self {
        Self { burst, interval }
    }

    /// What a failed try costs: the interval, in whole milliseconds.
    #[must_use]
    pub fn price(&self) -> Duration {
        let millis = self.interval.as_nanos().div_ceil(1_000_000).max(1);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Who owes more than this has to wait.
    #[must_use]
    pub fn credit(&self) -> Duration {
        self.price().saturating_mul(self.burst.get() - 1)
    }

    /// More than this is never owed. What is counted without a check can exceed the burst, but
    /// never by as much again, not even after the clock was set back.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.price()
            .saturating_mul(self.burst.get().saturating_mul(2))
    }

    /// What somebody owes now who will have paid for everything at `paid_at`.
    #[must_use]
    pub fn owed(&self, paid_at: Timestamp, now: Timestamp) -> Duration {
        paid_at.saturating_since(now).min(self.limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_kept_in_whole_milliseconds() {
        let quota = FailureQuota {
            burst: NonZeroU32::MIN.saturating_add(2),
            interval: Duration::from_micros(1500),
        };
        assert_eq!(quota.price(), Duration::from_millis(2));
        assert_eq!(quota.credit(), Duration::from_millis(4));
        assert_eq!(quota.limit(), Duration::from_millis(12));
        let at = Timestamp::from_unix_millis;
        let owed = [4, 5, 6, 17, 99].map(|paid_at| quota.owed(at(paid_at), at(5)).as_millis());
        assert_eq!(owed, [0, 0, 1, 12, 12]);
    }
}
