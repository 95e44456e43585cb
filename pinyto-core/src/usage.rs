//! Metering: what a user has used so far.

use std::time::Duration;

use crate::clock::Timestamp;

/// What a user has used: CPU time of her calls and jobs, and storage integrated over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// CPU time of the user's calls and jobs.
    pub cpu_time: Duration,
    /// Stored bytes times the seconds they were stored, up to [`Usage::calculated_at`].
    pub byte_seconds: f64,
    /// Bytes of the documents stored now (see [`crate::document::Document::size`]).
    pub bytes: u64,
    /// When the figures were brought up to date.
    pub calculated_at: Timestamp,
}

impl Usage {
    /// The usage of somebody who comes into being at `at`.
    #[must_use]
    pub const fn new(at: Timestamp) -> Self {
        Self {
            cpu_time: Duration::ZERO,
            byte_seconds: 0.0,
            bytes: 0,
            calculated_at: at,
        }
    }

    /// The same usage brought up to `now`: what is stored counts for the time that has passed.
    /// A clock that was set back adds nothing.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let elapsed = now.saturating_since(self.calculated_at);
        Self {
            // Above 2^53 bytes (9 PB) the conversion rounds; so does the sum.
            #[allow(clippy::cast_precision_loss)]
            byte_seconds: self.byte_seconds + self.bytes as f64 * elapsed.as_secs_f64(),
            calculated_at: now.max(self.calculated_at),
            ..self
        }
    }

    /// The usage after `added` bytes came and `removed` bytes went at `now`.
    #[must_use]
    pub fn with_storage_changed(self, now: Timestamp, added: u64, removed: u64) -> Self {
        let usage = self.at(now);
        Self {
            bytes: usage.bytes.saturating_add(added).saturating_sub(removed),
            ..usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_counted_for_exactly_the_time_it_is_kept() {
        let second = |s: i64| Timestamp::from_unix_millis(s * 1000);
        let usage = Usage::new(second(100))
            .with_storage_changed(second(110), 50, 0)
            .with_storage_changed(second(120), 30, 0)
            .with_storage_changed(second(130), 0, 80);
        assert_eq!(usage.bytes, 0);
        assert!((usage.byte_seconds - (50.0 * 10.0 + 80.0 * 10.0)).abs() < 1e-9);
        assert!((usage.at(second(500)).byte_seconds - usage.byte_seconds).abs() < 1e-9);
        assert_eq!(
            usage.at(second(1)).calculated_at,
            second(130),
            "the clock was set back"
        );
    }
}
