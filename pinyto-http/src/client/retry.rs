//! What is tried again, how often, and after which pause.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::error::Error;

/// What is safe about sending a call a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It only reads, or opens a session: as often as one likes.
    Always,
    /// It changes something, at once or not at all. The server was too busy to begin if it
    /// answers 429; 503 doesn't tell (a database that goes away may have got the change).
    IfNotBegun,
    /// It runs code, which may have changed something before the server was too busy to go on.
    IfNotSent,
}

impl Repeat {
    fn allows(self, error: &Error) -> bool {
        match error {
            Error::Unreachable(_) => true,
            Error::Interrupted(_) | Error::TimedOut => self == Self::Always,
            Error::Refused(refusal) => match refusal.status() {
                // Code hasn't run where too many tries have failed.
                429 if refusal.code() == Some("throttled") => true,
                429 => self != Self::IfNotSent,
                502..=504 => self == Self::Always,
                _ => false,
            },
            _ => false,
        }
    }
}

/// How often a call is tried again, and with which pauses. Only what is safe to repeat is.
///
/// Pauses double and are random within their length, so that many clients don't come back at
/// once. What the server asks for by `Retry-After` comes on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    most: usize,
    first_pause: Duration,
    longest_pause: Duration,
}

impl Default for Retries {
    /// Up to 3 more tries, the first pause at least 200 ms, none longer than 10 seconds.
    fn default() -> Self {
        Self {
            most: 3,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl Retries {
    /// Up to `most` more tries; 0: none.
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// How long the first pause is; a random time up to as much again comes on top.
    #[must_use]
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// The longest pause. If the server asks to wait longer, its error is the result at once.
    #[must_use]
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    pub(super) fn pauses(&self) -> Pauses {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(self.most)
            .with_jitter()
            .build();
        Pauses {
            backoff,
            longest: self.longest_pause,
        }
    }
}

/// The pauses of one call.
pub(super) struct Pauses {
    backoff: ExponentialBackoff,
    longest: Duration,
}

impl Pauses {
    /// How long to wait before the call is sent again; `None`: not again.
    pub(super) fn after(&mut self, error: &Error, repeat: Repeat) -> Option<Duration> {
        if !repeat.allows(error) {
            return None;
        }
        let asked = match error {
            Error::Refused(refusal) => refusal.retry_after().unwrap_or_default(),
            _ => Duration::ZERO,
        };
        if asked > self.longest {
            return None;
        }
        let pause = self.backoff.next()?.min(self.longest);
        Some(asked.saturating_add(pause))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::error::{Refusal, Sentence};

    fn refused(status: u16, code: &str, retry_after: Option<u64>) -> Error {
        Error::Refused(Arc::new(Refusal {
            status,
            code: Some(code.to_owned()),
            message: String::new(),
            exception: None,
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    #[test]
    fn what_may_have_been_done_is_not_repeated() {
        use Repeat::{Always, IfNotBegun, IfNotSent};
        let broken = || Arc::new(Sentence("broken"));
        let all = &[Always, IfNotBegun, IfNotSent][..];
        for (error, repeated) in [
            (Error::Unreachable(broken()), all),
            (Error::UntrustedCertificate(broken()), &[]),
            (Error::Interrupted(broken()), &all[..1]),
            (Error::TimedOut, &all[..1]),
            (refused(429, "throttled", None), all),
            (refused(429, "busy", None), &all[..2]),
            (refused(429, "quota_exceeded", None), &all[..2]),
            (refused(503, "database_unavailable", None), &all[..1]),
            (refused(503, "timeout", None), &all[..1]),
            (refused(502, "", None), &all[..1]),
            (refused(500, "internal", None), &[]),
            (refused(401, "unknown_token", None), &[]),
            (refused(507, "storage_full", None), &[]),
            (Error::LoggedOut, &[]),
            (Error::AnswerTooLarge { limit: 1 }, &[]),
        ] {
            for repeat in all {
                let pause = Retries::default().pauses().after(&error, *repeat);
                assert_eq!(pause.is_some(), repeated.contains(repeat), "{error:?}");
            }
        }
    }

    #[test]
    fn pauses_grow_within_their_bounds_and_end() {
        let retries = Retries::at_most(6)
            .first_pause(Duration::from_millis(100))
            .longest_pause(Duration::from_secs(1));
        let mut pauses = retries.pauses();
        let mut least = Duration::from_millis(100);
        for _ in 0..6 {
            let pause = pauses.after(&Error::TimedOut, Repeat::Always).unwrap();
            assert!(pause >= least && pause <= (2 * least).min(retries.longest_pause));
            least = (2 * least).min(retries.longest_pause);
        }
        assert_eq!(pauses.after(&Error::TimedOut, Repeat::Always), None);
        let mut none = Retries::at_most(0).pauses();
        assert_eq!(none.after(&Error::TimedOut, Repeat::Always), None);
    }

    #[test]
    fn the_longest_pauses_that_can_be_written_are_pauses() {
        let retries = Retries::at_most(usize::MAX)
            .first_pause(Duration::MAX)
            .longest_pause(Duration::MAX);
        let mut pauses = retries.pauses();
        let busy = refused(429, "busy", Some(u64::MAX));
        for _ in 0..3 {
            assert!(pauses.after(&busy, Repeat::Always).is_some());
        }
    }

    #[test]
    fn what_the_server_asks_for_is_waited_unless_it_is_too_long() {
        let mut pauses = Retries::default().pauses();
        let pause = pauses.after(&refused(429, "busy", Some(10)), Repeat::Always);
        let pause = pause.unwrap();
        assert!(pause > Duration::from_secs(10) && pause < Duration::from_secs(11));
        let pause = pauses.after(&refused(429, "busy", Some(11)), Repeat::Always);
        assert_eq!(pause, None);
    }
}
