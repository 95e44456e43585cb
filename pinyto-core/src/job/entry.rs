use std::time::Duration;

use super::{Hold, LeaseId, Trigger};
use crate::{
    assembly::Schedule,
    clock::Timestamp,
    randomness::{Randomness, RandomnessUnavailable},
    run::{RunError, RunId},
};

/// How often a run is tried.
pub const MAX_ATTEMPTS: u32 = 5;

/// The pause after the first try that failed; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// Why the last try failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFailure {
    /// What went wrong.
    pub error: RunError,
    /// When.
    pub at: Timestamp,
}

impl JobFailure {
    /// What went wrong, and when.
    #[must_use]
    pub const fn new(error: RunError, at: Timestamp) -> Self {
        Self { error, at }
    }
}

/// What became of a claimed run. What it means for an entry is [`JobEntry::complete`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion {
    /// It ran to its end.
    Succeeded,
    /// It failed.
    Failed {
        /// Why.
        error: RunError,
        /// When to try again; `None` after the last try.
        retry_at: Option<Timestamp>,
    },
    /// It was not run, or not to its end, for reasons that are not its own. Counts as no try.
    PutBack {
        /// When to try again.
        until: Timestamp,
    },
}

/// When something is to be run, and what became of it so far: the part of an entry that rules
/// change. The rules are methods here; a store reads an entry, applies one of them and writes it
/// back, all in one transaction. It makes what it has read of [`JobEntry::new`], field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobEntry {
    /// Why.
    pub trigger: Trigger,
    /// How often. 0 for everything but [`Trigger::Schedule`].
    pub schedule: Schedule,
    /// The time it is (or was last) to run by schedule or request, whatever tries follow.
    pub planned_at: Timestamp,
    /// From when on it can be claimed: when it is due or, while a lease is on it or it is held,
    /// when that expires. `None` if it is parked or done once and for all.
    pub due_at: Option<Timestamp>,
    /// The run that queued it and has not ended yet, as far as is known.
    pub held_by: Option<RunId>,
    /// How many tries the present run has had, or has begun.
    pub attempts: u32,
    /// The lease on it, also one that has expired.
    pub lease: Option<LeaseId>,
    /// When the lease was given.
    pub started_at: Option<Timestamp>,
    /// Whether all tries have failed and none is planned.
    pub parked: bool,
    /// Why the last try failed.
    pub failure: Option<JobFailure>,
}

impl JobEntry {
    /// A new entry, due at `at`.
    #[must_use]
    pub const fn new(trigger: Trigger, schedule: Schedule, at: Timestamp) -> Self {
        Self {
            trigger,
            schedule,
            planned_at: at,
            due_at: Some(at),
            held_by: None,
            attempts: 0,
            lease: None,
            started_at: None,
            parked: false,
            failure: None,
        }
    }

    /// The new entry, to be claimed only after the run that queues it.
    #[must_use]
    pub const fn held(mut self, hold: Option<Hold>) -> Self {
        if let Some(Hold { by, until }) = hold {
            self.held_by = Some(by);
            self.due_at = Some(until);
        }
        self
    }

    /// Makes it due at `now` if `run` holds it, which has ended; says whether it did.
    pub fn release(&mut self, run: RunId, now: Timestamp) -> bool {
        let is_held = self.held_by == Some(run);
        if is_held {
            self.held_by = None;
            self.due_at = self.due_at.map(|due| due.min(now));
        }
        is_held
    }

    /// Whether it can be claimed, others of the same job aside.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }

    /// Whether somebody holds a lease on it that has not expired.
    #[must_use]
    pub fn is_running(&self, now: Timestamp) -> bool {
        self.lease.is_some() && !self.is_due(now)
    }

    /// When its run began that was lost with its server, if it is due because of that.
    #[must_use]
    pub fn lost(&self, now: Timestamp) -> Option<Timestamp> {
        let is_lost = self.lease.is_some() && self.is_due(now);
        self.started_at.filter(|_| is_lost)
    }

    /// Gives the lease, which expires at `until`, on an entry that is due; says whether it is to
    /// be run. It isn't if the former holder died in the last try: then it is given up.
    pub fn claim(&mut self, lease: LeaseId, now: Timestamp, until: Timestamp) -> bool {
        self.held_by = None;
        if self.lease.take().is_some() {
            self.failure = Some(JobFailure {
                error: RunError::lost(),
                at: now,
            });
            if self.attempts >= MAX_ATTEMPTS {
                self.give_up(now);
                return false;
            }
        }
        self.lease = Some(lease);
        self.started_at = Some(now);
        self.due_at = Some(until);
        self.attempts = self.attempts.saturating_add(1);
        true
    }

    /// Ends a claimed run; says whether the entry stays (or is deleted, with its document).
    pub fn complete(&mut self, completion: &Completion, now: Timestamp) -> bool {
        self.lease = None;
        self.started_at = None;
        match completion {
            Completion::Succeeded => {
                self.attempts = 0;
                self.failure = None;
                self.plan_next(now);
                return self.trigger == Trigger::Schedule;
            }
            Completion::Failed { error, retry_at } => {
                self.failure = Some(JobFailure {
                    error: error.clone(),
                    at: now,
                });
                match retry_at {
                    Some(_) => self.due_at = *retry_at,
                    None => self.give_up(now),
                }
            }
            Completion::PutBack { until } => {
                self.attempts = self.attempts.saturating_sub(1);
                self.due_at = Some(*until);
            }
        }
        true
    }

    /// Lets a parked entry run at `at`, as if for the first time.
    pub fn revive(&mut self, at: Timestamp) {
        if self.parked {
            self.parked = false;
            self.attempts = 0;
            self.planned_at = at;
            self.due_at = Some(at);
        }
    }

    /// Lets a queued entry that waits run at `at` at the latest, also if it pauses after a
    /// failure; says whether it is one. Its tries go on counting. One that is held stays so.
    pub fn hasten(&mut self, at: Timestamp) -> bool {
        let waits = self.trigger != Trigger::Schedule && !self.is_running(at);
        match self.due_at {
            Some(due) if waits => {
                if self.held_by.is_none() {
                    self.due_at = Some(due.min(at));
                }
                true
            }
            _ => false,
        }
    }

    /// Takes over another schedule at `at`. What is planned stays, but a job with a schedule runs
    /// one interval after `at` at the latest. Tries that are under way go on.
    pub fn reschedule(&mut self, schedule: Schedule, at: Timestamp) {
        self.schedule = schedule;
        if schedule.minutes() == 0 || self.attempts > 0 && !self.parked {
            return;
        }
        let latest = at.saturating_add(interval(schedule));
        let planned = self.due_at.map_or(latest, |due| due.min(latest));
        self.parked = false;
        self.attempts = 0;
        self.planned_at = planned;
        self.due_at = Some(planned);
    }

    fn give_up(&mut self, now: Timestamp) {
        self.started_at = None;
        if self.schedule.minutes() > 0 {
            self.attempts = 0;
        } else {
            self.parked = true;
        }
        self.plan_next(now);
    }

    fn plan_next(&mut self, now: Timestamp) {
        self.due_at = next_planned(self.planned_at, self.schedule, now);
        if let Some(next) = self.due_at {
            self.planned_at = next;
        }
    }
}

fn interval(schedule: Schedule) -> Duration {
    Duration::from_secs(u64::from(schedule.minutes()) * 60)
}

/// The first time after `now` in the rhythm that `planned` belongs to; `None` if there is no next
/// one. Never more than one interval away, not even after the clock was set back.
fn next_planned(planned: Timestamp, schedule: Schedule, now: Timestamp) -> Option<Timestamp> {
    let interval = interval(schedule).as_millis();
    if interval == 0 {
        return None;
    }
    let since = now.saturating_since(planned).as_millis();
    let wait = if planned > now {
        interval
    } else {
        interval - since % interval
    };
    // The longest interval is ten years.
    Some(now.saturating_add(Duration::from_millis(
        u64::try_from(wait).unwrap_or(u64::MAX),
    )))
}

/// How long to wait after the try number `attempt` has failed: 1, 4, 16 ... minutes, times
/// something between a half and one and a half, so that what failed together doesn't come back
/// together. `None` after the last try.
pub(super) fn retry_pause(
    attempt: u32,
    randomness: &dyn Randomness,
) -> Result<Option<Duration>, RandomnessUnavailable> {
    if attempt >= MAX_ATTEMPTS {
        return Ok(None);
    }
    let mut dice = [0; 2];
    randomness.fill(&mut dice)?;
    let jitter = 0.5 + f64::from(u16::from_be_bytes(dice)) / f64::from(u16::MAX);
    let pause = FIRST_PAUSE * 4_u32.pow(attempt.saturating_sub(1));
    Ok(Some(pause.mul_f64(jitter)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::randomness::OsRandomness;

    fn moment(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1000)
    }

    fn minutes(minutes: u64) -> Schedule {
        Schedule::from_minutes(minutes).unwrap()
    }

    proptest! {
        #[test]
        fn the_next_time_is_the_first_of_the_rhythm_that_has_not_passed(
            planned in 0..10_000_000_000_i64, late in 0..10_000_000_000_i64, every in 1..1_000_000_u64,
        ) {
            let now = planned + late;
            let at = Timestamp::from_unix_millis;
            let next = next_planned(at(planned), minutes(every), at(now)).unwrap().unix_millis();
            let interval = i64::try_from(every * 60_000).unwrap();
            prop_assert!(now < next && next <= now + interval);
            prop_assert_eq!((next - planned) % interval, 0);
        }

        #[test]
        fn however_wrong_the_clock_is_the_next_time_is_within_an_interval(
            planned: i64, now: i64, every in 1..=u64::from(Schedule::MAX_MINUTES),
        ) {
            let at = Timestamp::from_unix_millis;
            let next = next_planned(at(planned), minutes(every), at(now)).unwrap();
            prop_assert!(next >= at(now));
            let most = std::time::Duration::from_secs(every * 60);
            prop_assert!(next.saturating_since(at(now)) <= most);
        }
    }

    #[test]
    fn pauses_grow_and_differ_and_end() {
        let pause = |attempt| retry_pause(attempt, &OsRandomness).unwrap();
        for (attempt, middle) in [(1, 60), (2, 240), (3, 960), (4, 3840)] {
            let middle = Duration::from_secs(middle);
            let pauses: Vec<_> = (0..20).filter_map(|_| pause(attempt)).collect();
            assert_eq!(pauses.len(), 20);
            assert!(
                pauses
                    .iter()
                    .all(|p| *p >= middle / 2 && *p <= middle * 3 / 2)
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
        assert_eq!(pause(MAX_ATTEMPTS), None);
    }

    #[test]
    fn a_claim_of_what_somebody_lost_counts_his_try() {
        let mut entry = JobEntry::new(Trigger::RunNow, Schedule::default(), moment(0));
        let lease = |n| LeaseId::from_bytes([n; 16]);
        assert!(entry.claim(lease(1), moment(0), moment(60)));
        assert!(entry.is_running(moment(59)) && !entry.is_running(moment(60)));
        assert!(entry.claim(lease(2), moment(60), moment(120)));
        assert_eq!((entry.attempts, entry.lease), (2, Some(lease(2))));
    }
}
