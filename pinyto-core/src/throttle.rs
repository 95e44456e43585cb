//! Slowing down who guesses: failed tries are counted per account and per address, successful
//! use is not.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::unsync::Cache;

use crate::{
    audit::Event,
    clock::{Clock, Timestamp},
    cloud::Cloud,
    error::Error,
    user::UserName,
};

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

/// Whose failures count: the name that was tried (whether anybody has it or not), or none.
pub(crate) type Account<'a> = Option<&'a UserName>;

pub(crate) struct Throttle {
    enabled: bool,
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

struct Counts {
    accounts: Failures<UserName>,
    addresses: Failures<IpAddr>,
}

/// Which tries stand against somebody.
#[derive(Clone, Copy)]
enum Tries {
    /// Those that have failed.
    Failed,
    /// Those that still run as well, as if they had failed.
    FailedOrRunning,
}

/// Somebody has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    wait: Duration,
    /// Whether this is the first time since the last try that was let through.
    is_news: bool,
}

impl Refusal {
    fn and(self, other: Self) -> Self {
        Self {
            wait: self.wait.max(other.wait),
            is_news: self.is_news || other.is_news,
        }
    }
}

impl Throttle {
    pub(crate) fn new(settings: &ThrottleSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            enabled: settings.enabled,
            clock,
            counts: Mutex::new(Counts {
                accounts: Failures::new(settings.account),
                addresses: Failures::new(settings.address),
            }),
        }
    }

    fn check(&self, account: Account<'_>, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.with(|counts, now| counts.check(Tries::Failed, account, address, now))
            .unwrap_or(Ok(()))
    }

    /// Checks and counts in one go, so that of many who come at once no more get through than may
    /// fail.
    fn begin(&self, account: Account<'_>, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.with(|counts, now| {
            counts.check(Tries::FailedOrRunning, account, address, now)?;
            counts.count(account, address, now, 1);
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    fn end(&self, account: Account<'_>, address: Option<IpAddr>, forgiven: bool) {
        self.with(|counts, _| {
            if let Some(name) = account {
                counts.accounts.end(name, forgiven);
            }
            if let Some(address) = address {
                counts.addresses.end(&network(address), forgiven);
            }
        });
    }

    fn count(&self, account: Account<'_>, address: Option<IpAddr>) {
        self.with(|counts, now| counts.count(account, address, now, 0));
    }

    /// No code panics while it holds the lock.
    fn with<T>(&self, change: impl FnOnce(&mut Counts, Timestamp) -> T) -> Option<T> {
        self.enabled.then(|| {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut counts, self.clock.now())
        })
    }
}

impl Counts {
    fn check(
        &mut self,
        tries: Tries,
        account: Account<'_>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let account = account.map_or(Ok(()), |name| self.accounts.check(tries, name, now));
        let address = address.map_or(Ok(()), |address| {
            self.addresses.check(tries, &network(address), now)
        });
        match (account, address) {
            (Err(account), Err(address)) => Err(account.and(address)),
            (account, address) => account.and(address),
        }
    }

    fn count(
        &mut self,
        account: Account<'_>,
        address: Option<IpAddr>,
        now: Timestamp,
        running: u32,
    ) {
        if let Some(name) = account {
            self.accounts.count(name, now, running);
        }
        if let Some(address) = address {
            self.addresses.count(&network(address), now, running);
        }
    }
}

/// The part of an address that one party controls: a /64 of IPv6, all of IPv4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// How many accounts, and how many addresses, are kept in mind. Every failure costs the server a
/// computation of a millisecond or more, so that nobody makes it forget quickly.
const MAX_KEPT: usize = 20_000;

/// Failures by key. Who owes more than the burst has to wait.
struct Failures<K> {
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
    fn new(quota: FailureQuota) -> Self {
        let interval = quota.interval.max(Duration::from_millis(1));
        Self {
            quota: FailureQuota { interval, ..quota },
            debts: Cache::new(MAX_KEPT),
        }
    }

    fn check(&mut self, tries: Tries, key: &K, now: Timestamp) -> Result<(), Refusal> {
        let burst = self.quota.burst.get();
        let Some(mut debt) = self.debts.get_mut(key) else {
            return Ok(());
        };
        let free = match tries {
            Tries::Failed => (burst - 1).saturating_add(debt.running),
            Tries::FailedOrRunning => burst - 1,
        };
        let owed = debt.owed(self.quota, now);
        debt.paid_at = now.saturating_add(owed).min(debt.paid_at);
        let wait = owed.saturating_sub(self.quota.interval.saturating_mul(free));
        if wait.is_zero() {
            return Ok(());
        }
        let is_news = !debt.refused;
        debt.refused = true;
        Err(Refusal { wait, is_news })
    }

    /// Counts a try that has failed, or one that runs.
    fn count(&mut self, key: &K, now: Timestamp, running: u32) {
        let before = self.debts.get(key).copied();
        let owed = before.map_or(Duration::ZERO, |debt| debt.owed(self.quota, now));
        let debt = Debt {
            paid_at: now.saturating_add(owed.saturating_add(self.quota.interval)),
            running: before
                .map_or(0, |debt| debt.running)
                .saturating_add(running),
            refused: false,
        };
        self.debts.insert(key.clone(), debt);
    }

    fn end(&mut self, key: &K, forgiven: bool) {
        if let Some(mut debt) = self.debts.get_mut(key) {
            debt.running = debt.running.saturating_sub(1);
            if forgiven {
                debt.paid_at = debt.paid_at.saturating_sub(self.quota.interval);
            }
        }
    }
}

impl Debt {
    /// How long it takes until everything is paid for. What is counted without a check can exceed
    /// the burst, but never by as much again, not even after the clock was set back.
    fn owed(&self, quota: FailureQuota, now: Timestamp) -> Duration {
        let most = quota
            .interval
            .saturating_mul(quota.burst.get().saturating_mul(2));
        self.paid_at.saturating_since(now).min(most)
    }
}

/// A try that runs. It counts as failed unless it is forgiven.
#[must_use = "a try that is dropped has failed"]
pub(crate) struct Try {
    cloud: Cloud,
    account: Option<UserName>,
    forgiven: bool,
}

impl Try {
    /// Takes the try back: it was no guess.
    pub(crate) fn forgive(mut self) {
        self.forgiven = true;
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let (account, address) = (self.account.as_ref(), self.cloud.address());
        self.cloud.throttle().end(account, address, self.forgiven);
    }
}

impl Cloud {
    /// Refuses who has failed too often, before anything is done for him.
    pub(crate) fn refuse_guessing(&self, account: Account<'_>) -> Result<(), Error> {
        let checked = self.throttle().check(account, self.address());
        self.refuse(account, checked)
    }

    /// Lets a try begin that may turn out to be a guess, or refuses it.
    ///
    /// To be called when the turn at the processor has come. So tries that wait don't count, and
    /// those that run are as many as processors at most: fewer than a burst, unless there are
    /// more processors than that. Then that many good tries at once of one account can be refused
    /// as well; letting them through would let through as many guesses.
    pub(crate) fn begin_try(&self, account: Account<'_>) -> Result<Try, Error> {
        let begun = self.throttle().begin(account, self.address());
        self.refuse(account, begun)?;
        Ok(Try {
            cloud: self.clone(),
            account: account.cloned(),
            forgiven: false,
        })
    }

    /// Counts what has turned out to be a failure after all.
    pub(crate) fn count_failure(&self, account: Account<'_>) {
        self.throttle().count(account, self.address());
    }

    /// Logs only the first of the requests that are refused in a row: they cost the sender
    /// nothing, so he could fill the log.
    fn refuse(&self, account: Account<'_>, decision: Result<(), Refusal>) -> Result<(), Error> {
        decision.map_err(|Refusal { wait, is_news }| {
            if is_news {
                self.audit(Event::Throttled, account, None);
            }
            Error::Throttled { retry_after: wait }
        })
    }
}

#[cfg(test)]
mod tests {
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
    fn an_ipv6_network_counts_as_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
