//! Time as the library sees it: handed in, never asked of the operating system by a rule.
//!
//! Every moment that is stored, shown or compared with one is a [`Timestamp`] of the cloud's
//! [`Clock`]. How long something takes is measured otherwise: deadlines, pauses and periods
//! (the hourly sweep, the writing of runs, limits of calls, listeners and clients) are in tokio's
//! monotonic time, which a test pauses with `tokio::time::pause`, and what a store has worked for a
//! query is in the operating system's. Commands of `pinyto-server` that have no cloud ask
//! [`SystemClock`].

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment that an RFC 3339 text names, to the millisecond; of any time zone.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).ok().map(Self)
    }

    /// The moment `duration` later; the end of representable time if there is none.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The moment `duration` earlier; the beginning of representable time if there is none.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this is; zero if it isn't (a clock may be set back).
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds, as clients see it: `2026-03-01T12:00:00.000Z`.
///
/// Years outside 0 to 9999, which RFC 3339 can't write, show as the number of milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|moment| {
                let whole = moment.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()?;
                let (seconds, _) = whole.split_once('Z')?;
                Some(format!("{seconds}.{:03}Z", moment.millisecond()))
            });
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

/// Where the library gets the time from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339_in_utc_with_milliseconds() {
        let shown = |millis| Timestamp::from_unix_millis(millis).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(1_772_366_400_007), "2026-03-01T12:00:00.007Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(shown(i64::MAX), format!("{}ms", i64::MAX));
    }

    #[test]
    fn reads_what_it_shows_and_other_time_zones() {
        for millis in [0, -1, 1_772_366_400_007, 253_402_300_799_999] {
            let moment = Timestamp::from_unix_millis(millis);
            assert_eq!(Timestamp::parse_rfc3339(&moment.to_string()), Some(moment));
        }
        let noon = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z");
        assert_eq!(
            Timestamp::parse_rfc3339("2026-03-01T14:00:00.0009+02:00"),
            noon
        );
        for bad in ["", "2026-03-01", "2026-03-01T12:00:00", "yesterday", "5ms"] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn arithmetic_saturates_instead_of_overflowing() {
        let end = Timestamp::from_unix_millis(i64::MAX);
        assert_eq!(end.saturating_add(Duration::from_secs(1)), end);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        let early = Timestamp::from_unix_millis(5);
        assert_eq!(early.saturating_since(end), Duration::ZERO);
    }
}
