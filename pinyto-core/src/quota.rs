//! What a user may use of the server within a time.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::unsync::Cache;

use crate::{clock::Timestamp, cloud::Cloud, error::Error, id::UserId, run::HourUsage};

/// What each user may use. `None`: as much as she likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quotas {
    /// CPU time of her calls and jobs within an hour by the clock (UTC), all servers together.
    /// What runs already when it is used up runs to its end; what waits for its turn then is not
    /// begun. So more is used by as much as runs at once for one user at the most, each of it
    /// bounded by [`CodeLimits::cpu_time`](crate::runtime::CodeLimits); and what another server
    /// has booked counts after a minute at the latest. Default: none.
    pub cpu_per_hour: Option<Duration>,
    /// Calls of functions within a minute by the clock, on each server. Default: none.
    pub calls_per_minute: Option<u32>,
    /// Bytes of her documents (see [`crate::document::Document::size`]). Default: none.
    pub bytes: Option<u64>,
}

/// One of the [`Quotas`], and how much of it there is. `Display` names it for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quota {
    /// [`Quotas::calls_per_minute`].
    CallsPerMinute(u32),
    /// [`Quotas::cpu_per_hour`].
    CpuPerHour(Duration),
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallsPerMinute(calls) => write!(f, "{calls} calls per minute"),
            Self::CpuPerHour(time) => write!(f, "{} s of CPU time per hour", time.as_secs_f64()),
        }
    }
}

/// How many users' counts are kept in mind. Who is forgotten begins her minute anew; her hour is
/// read from the store.
const MAX_KEPT: usize = 50_000;

/// How old a figure from the store gets before it is read again, because another server may have
/// booked something.
const FRESH: Duration = Duration::from_secs(60);

/// What users have used within the present minute and hour.
pub(crate) struct QuotaCounts(Mutex<Cache<UserId, Count>>);

#[derive(Clone, Copy, Default)]
struct Count {
    minute: i64,
    calls: u32,
    cpu: Option<CpuCount>,
}

#[derive(Clone, Copy)]
struct CpuCount {
    hour: i64,
    /// What is booked, and what this server will book.
    used: Duration,
    read_at: Timestamp,
}

impl QuotaCounts {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Cache::new(MAX_KEPT)))
    }

    /// Notes CPU time that will be booked.
    pub(crate) fn note(&self, user: UserId, hour: i64, used: Duration) {
        self.change(user, |count| {
            if let Some(cpu) = &mut count.cpu {
                *cpu = cpu.at(hour);
                cpu.used = cpu.used.saturating_add(used);
            }
        });
    }

    /// Takes over a figure from the store.
    pub(crate) fn correct(&self, booked: HourUsage, unwritten: Duration, now: Timestamp) {
        self.change(booked.user, |count| {
            count.cpu = Some(CpuCount {
                hour: booked.hour,
                used: booked.used.saturating_add(unwritten),
                read_at: now,
            });
        });
    }

    /// The CPU time used within `hour`, if it is known well enough.
    fn cpu(&self, user: UserId, hour: i64, now: Timestamp) -> Option<Duration> {
        let cpu = self.lock().get(&user)?.cpu?;
        (now.saturating_since(cpu.read_at) < FRESH).then(|| cpu.at(hour).used)
    }

    /// Counts a call, unless `limit` were counted within the minute; says whether it was.
    fn count_call(&self, user: UserId, minute: i64, limit: u32) -> bool {
        let mut counts = self.lock();
        let mut count = counts.get(&user).copied().unwrap_or_default();
        if count.minute != minute {
            (count.minute, count.calls) = (minute, 0);
        }
        if count.calls >= limit {
            return false;
        }
        count.calls += 1;
        counts.insert(user, count);
        true
    }

    fn change(&self, user: UserId, change: impl FnOnce(&mut Count)) {
        let mut counts = self.lock();
        let mut count = counts.get(&user).copied().unwrap_or_default();
        change(&mut count);
        counts.insert(user, count);
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Cache<UserId, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CpuCount {
    /// The count in `hour`: nothing yet if that is a later one.
    fn at(self, hour: i64) -> Self {
        if hour > self.hour {
            Self {
                hour,
                used: Duration::ZERO,
                ..self
            }
        } else {
            self
        }
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// The hour by the clock, counted from the Unix epoch.
pub(crate) fn hour_of(now: Timestamp) -> i64 {
    now.unix_seconds().div_euclid(HOUR)
}

fn exceeded(limit: Quota, period: i64, now: Timestamp) -> Error {
    let next = now.unix_seconds().div_euclid(period).saturating_add(1);
    let reset = Timestamp::from_unix_millis(next.saturating_mul(period).saturating_mul(1000));
    Error::QuotaExceeded {
        limit,
        reset,
        retry_after: reset.saturating_since(now),
    }
}

impl Cloud {
    /// Lets a call of a function begin and counts it, unless the user is over one of her quotas.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`].
    pub(crate) async fn check_quota(&self, user: UserId) -> Result<(), Error> {
        self.check_cpu_quota(user).await?;
        let Some(limit) = self.settings().quotas.calls_per_minute else {
            return Ok(());
        };
        let now = self.now();
        let minute = now.unix_seconds().div_euclid(MINUTE);
        if self.quota_counts().count_call(user, minute, limit) {
            Ok(())
        } else {
            Err(exceeded(Quota::CallsPerMinute(limit), MINUTE, now))
        }
    }

    /// Refuses who has used up her CPU time of this hour.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`].
    pub(crate) async fn check_cpu_quota(&self, user: UserId) -> Result<(), Error> {
        let Some(limit) = self.settings().quotas.cpu_per_hour else {
            return Ok(());
        };
        let now = self.now();
        let hour = hour_of(now);
        let used = match self.quota_counts().cpu(user, hour, now) {
            Some(used) => used,
            None => self.read_hour_usage(user, hour, now).await?,
        };
        if used < limit {
            return Ok(());
        }
        Err(exceeded(Quota::CpuPerHour(limit), HOUR, now))
    }

    /// Takes over a figure that the store has given. One of a former hour says that nothing is
    /// booked for this one; what is not written counts all the same.
    pub(crate) fn correct_usage(&self, booked: HourUsage, now: Timestamp) {
        let hour = hour_of(now);
        let figure = match booked.hour < hour {
            true => HourUsage {
                hour,
                used: Duration::ZERO,
                ..booked
            },
            false => booked,
        };
        let unwritten = self.run_log().unwritten(figure.user, figure.hour);
        self.quota_counts().correct(figure, unwritten, now);
    }

    async fn read_hour_usage(
        &self,
        user: UserId,
        hour: i64,
        now: Timestamp,
    ) -> Result<Duration, Error> {
        // Before that: what is written meanwhile is counted twice for a moment rather than never.
        let unwritten = self.run_log().unwritten(user, hour);
        let booked = self.store().runs().hour_usage(user).await?;
        let booked = booked
            .filter(|booked| booked.hour >= hour)
            .map_or(Duration::ZERO, |booked| booked.used);
        let figure = HourUsage {
            user,
            hour,
            used: booked,
        };
        self.quota_counts().correct(figure, unwritten, now);
        Ok(booked.saturating_add(unwritten))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Settings,
        challenge::ServerKey,
        clock::Clock as _,
        memory::MemoryStore,
        testing::{ManualClock, given, rsa::Toy},
    };

    async fn cloud(quotas: Quotas) -> (Cloud, ManualClock, UserId) {
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
        let hugo = given::user(&*store, "hugo", 1).await.id;
        let settings = Settings {
            quotas,
            ..Settings::default()
        };
        let server_key = ServerKey::generate(Toy::new()).unwrap();
        let cloud = Cloud::builder(store, server_key)
            .clock(Arc::new(clock.clone()))
            .settings(settings)
            .build()
            .unwrap();
        (cloud, clock, hugo)
    }

    fn run(n: u64, user: UserId, cpu_time: Duration) -> crate::run::Run {
        crate::run::Run {
            cpu_time,
            ..given::run(n, user, "hugo/Notes")
        }
    }

    #[tokio::test]
    async fn calls_are_counted_by_the_minute_and_refused_with_the_time_there_are_more() {
        let quotas = Quotas {
            calls_per_minute: Some(2),
            ..Quotas::default()
        };
        let (cloud, clock, hugo) = cloud(quotas).await;
        clock.advance(Duration::from_secs(50));
        for _ in 0..2 {
            cloud.check_quota(hugo).await.unwrap();
        }
        let refused = cloud.check_quota(hugo).await.unwrap_err();
        assert_eq!(refused.code(), "quota_exceeded");
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(10)));
        assert_eq!(
            refused.to_string(),
            "You have used up your 2 calls per minute. There is more at 2027-01-15T08:01:00.000Z."
        );
        cloud.check_quota(UserId::new(99)).await.unwrap();
        clock.advance(Duration::from_secs(10));
        cloud.check_quota(hugo).await.unwrap();
    }

    #[tokio::test]
    async fn cpu_time_counts_for_its_hour_written_or_not() {
        let quotas = Quotas {
            cpu_per_hour: Some(Duration::from_millis(100)),
            ..Quotas::default()
        };
        let (cloud, clock, hugo) = cloud(quotas).await;
        cloud.check_quota(hugo).await.unwrap();
        cloud.note_run(run(1, hugo, Duration::from_millis(60)));
        cloud.check_quota(hugo).await.unwrap();
        cloud.flush_runs().await.unwrap();
        cloud.check_quota(hugo).await.unwrap();
        cloud.note_run(run(2, hugo, Duration::from_millis(40)));
        let refused = cloud.check_quota(hugo).await.unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(3600)));
        cloud.flush_runs().await.unwrap();
        assert!(cloud.check_quota(hugo).await.is_err());
        clock.advance(Duration::from_secs(3599));
        assert!(cloud.check_quota(hugo).await.is_err(), "read again");
        clock.advance(Duration::from_secs(1));
        cloud.check_quota(hugo).await.unwrap();
        let usage = cloud.store().users().usage(hugo).await.unwrap().unwrap();
        assert_eq!(usage.cpu_time, Duration::from_millis(100));
    }

    #[tokio::test]
    async fn what_other_servers_have_booked_counts_soon() {
        let quotas = Quotas {
            cpu_per_hour: Some(Duration::from_millis(100)),
            ..Quotas::default()
        };
        let (cloud, clock, hugo) = cloud(quotas).await;
        cloud.check_quota(hugo).await.unwrap();
        let booked = crate::run::CpuBooking {
            user: hugo,
            hour: hour_of(clock.now()),
            used: Duration::from_millis(99),
        };
        let batch = given::batch(Vec::new(), vec![booked]);
        let runs = cloud.store().runs();
        let recorded = runs.record(&batch, Default::default(), clock.now());
        recorded.await.unwrap();
        cloud.note_run(run(1, hugo, Duration::from_millis(1)));
        cloud.check_quota(hugo).await.unwrap();
        cloud.flush_runs().await.unwrap();
        assert!(cloud.check_quota(hugo).await.is_err());
    }

    #[tokio::test]
    async fn a_figure_of_a_former_hour_gives_nothing_back() {
        let quotas = Quotas {
            cpu_per_hour: Some(Duration::from_millis(100)),
            ..Quotas::default()
        };
        let (cloud, clock, hugo) = cloud(quotas).await;
        clock.advance(Duration::from_secs(3600));
        cloud.note_run(run(1, hugo, Duration::from_millis(100)));
        assert!(cloud.check_quota(hugo).await.is_err());
        // As of a user whose runs of this hour are kept back.
        let former = HourUsage {
            user: hugo,
            hour: hour_of(clock.now()) - 1,
            used: Duration::from_millis(1),
        };
        cloud.correct_usage(former, clock.now());
        assert!(cloud.check_quota(hugo).await.is_err());
    }
}
