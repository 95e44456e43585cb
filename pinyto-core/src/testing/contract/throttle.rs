use std::{num::NonZeroU32, sync::Arc, time::Duration};

use super::race;
use crate::{
    FailureQuota,
    clock::Timestamp,
    store::Store,
    testing::given,
    throttle::{Attempt, Settled, Subject},
};

/// Three at once, then one in 30 seconds.
const QUOTA: FailureQuota = FailureQuota {
    burst: NonZeroU32::MIN.saturating_add(2),
    interval: Duration::from_secs(30),
};

/// More generous: nine at once, then one in ten seconds.
const WIDE: FailureQuota = FailureQuota {
    burst: NonZeroU32::MIN.saturating_add(8),
    interval: Duration::from_secs(10),
};

/// A subject that has its group for itself.
fn subject(n: u16) -> Subject {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Subject::from_bytes(bytes)
}

/// One of many in a group.
fn crowded(n: u8) -> Subject {
    let mut bytes = [0; 16];
    bytes[15] = n;
    Subject::from_bytes(bytes)
}

fn attempt(subjects: &[(Subject, FailureQuota)], second: i64, failed: bool) -> Attempt {
    Attempt {
        subjects: subjects.to_vec(),
        failed,
        at: given::at(second),
    }
}

async fn settle(store: &dyn Store, attempt: &Attempt) -> Settled {
    store.failures().settle(attempt).await.unwrap()
}

/// Fails once; whether that may be told.
async fn fails(store: &dyn Store, subject: Subject, second: i64) -> bool {
    let attempt = attempt(&[(subject, QUOTA)], second, true);
    settle(store, &attempt).await.is_allowed
}

/// Succeeds; whether that may be told.
async fn succeeds(store: &dyn Store, subject: Subject, second: i64) -> bool {
    let attempt = attempt(&[(subject, QUOTA)], second, false);
    settle(store, &attempt).await.is_allowed
}

/// How many tries are allowed at this moment, if all fail.
async fn tries(store: &dyn Store, subject: Subject, second: i64) -> usize {
    let mut allowed = 0;
    while allowed < 100 && fails(store, subject, second).await {
        allowed += 1;
    }
    allowed
}

/// How many subjects the store remembers; forgets them.
async fn remembered(store: &dyn Store) -> u64 {
    let end = Timestamp::from_unix_millis(i64::MAX);
    store.failures().forget_paid(end).await.unwrap()
}

pub async fn a_burst_may_fail_and_then_one_per_interval(store: Arc<dyn Store>) {
    let (one, other) = (subject(1), subject(2));
    assert_eq!(tries(&*store, one, 0).await, 3);
    for second in [30, 60, 90] {
        assert_eq!(tries(&*store, one, second - 1).await, 0);
        assert_eq!(tries(&*store, one, second).await, 1);
    }
    assert_eq!(tries(&*store, one, 150).await, 2);
    assert_eq!(tries(&*store, one, 1000).await, 3, "but never more");
    assert_eq!(tries(&*store, other, 0).await, 3);
}

pub async fn a_settled_try_tells_when_all_failures_are_paid_for(store: Arc<dyn Store>) {
    let (one, other) = (subject(1), subject(2));
    let both = |second, failed| attempt(&[(other, WIDE), (one, QUOTA)], second, failed);
    let settled = |is_allowed, seconds: [i64; 2]| Settled {
        is_allowed,
        paid_at: seconds.map(given::at).to_vec(),
    };
    let expected = [
        (both(0, false), settled(true, [0, 0])),
        (both(0, true), settled(true, [10, 30])),
        (both(5, true), settled(true, [20, 60])),
        (both(15, false), settled(true, [20, 60])),
        (both(25, true), settled(true, [35, 90])),
        (both(26, true), settled(false, [35, 90])),
        (both(27, false), settled(false, [35, 90])),
        (both(40, false), settled(true, [40, 90])),
    ];
    for (attempt, expected) in expected {
        assert_eq!(settle(&*store, &attempt).await, expected, "{attempt:?}");
    }
}

pub async fn a_try_that_succeeds_costs_nothing(store: Arc<dyn Store>) {
    for _ in 0..10 {
        assert!(succeeds(&*store, subject(1), 0).await);
    }
    assert!(fails(&*store, subject(1), 0).await);
    for _ in 0..10 {
        assert!(succeeds(&*store, subject(1), 0).await);
    }
    assert_eq!(tries(&*store, subject(1), 0).await, 2);
}

pub async fn who_has_failed_too_often_may_not_succeed_either(store: Arc<dyn Store>) {
    assert_eq!(tries(&*store, subject(1), 0).await, 3);
    assert!(!succeeds(&*store, subject(1), 29).await);
    assert!(succeeds(&*store, subject(1), 30).await);
    assert!(fails(&*store, subject(1), 30).await);
    assert!(!succeeds(&*store, subject(1), 30).await);
}

pub async fn a_try_that_is_refused_counts_for_nobody(store: Arc<dyn Store>) {
    for (one, other) in [(subject(1), subject(2)), (subject(4), subject(3))] {
        assert_eq!(tries(&*store, one, 0).await, 3);
        for failed in [true, false] {
            let both = attempt(&[(one, QUOTA), (other, QUOTA)], 0, failed);
            let settled = settle(&*store, &both).await;
            assert!(!settled.is_allowed);
            assert_eq!(settled.paid_at, [given::at(90), given::at(0)]);
        }
        assert_eq!(tries(&*store, other, 0).await, 3);
        assert_eq!(tries(&*store, one, 30).await, 1);
    }
}

pub async fn of_failures_at_once_no_more_are_told_than_a_burst(store: Arc<dyn Store>) {
    for round in 0..10 {
        let settled = race((0..12).map(|n| {
            let store = store.clone();
            // One account, from many addresses.
            let mut subjects = [(subject(round), WIDE), (subject(1000 + n), QUOTA)];
            subjects.rotate_left(usize::from(n % 2));
            let attempt = attempt(&subjects, 0, true);
            async move { settle(&*store, &attempt).await.is_allowed }
        }))
        .await;
        let allowed = settled.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(allowed, 9);
        assert!(!succeeds(&*store, subject(round), 0).await);
        remembered(&*store).await;
    }
}

pub async fn successes_at_once_are_all_told(store: Arc<dyn Store>) {
    for round in 0..10 {
        let settled = race((0..12).map(|n| {
            let store = store.clone();
            let mut subjects = [(subject(round), QUOTA), (subject(1000), WIDE)];
            subjects.rotate_left(n % 2);
            let attempt = attempt(&subjects, 0, false);
            async move { settle(&*store, &attempt).await.is_allowed }
        }))
        .await;
        assert_eq!(settled, [true; 12]);
    }
    assert_eq!(tries(&*store, subject(1000), 0).await, 3);
}

pub async fn a_clock_set_back_locks_nobody_out_for_long(store: Arc<dyn Store>) {
    assert_eq!(tries(&*store, subject(1), 1_000_000).await, 3);
    let both = attempt(&[(subject(1), QUOTA), (subject(2), WIDE)], 0, true);
    let settled = settle(&*store, &both).await;
    assert!(!settled.is_allowed);
    // Twice the burst.
    assert_eq!(settled.paid_at, [given::at(180), given::at(0)]);
    assert_eq!(tries(&*store, subject(1), 119).await, 0);
    assert_eq!(tries(&*store, subject(1), 120).await, 1);
}

pub async fn quotas_of_any_size_can_be_kept(store: Arc<dyn Store>) {
    let largest = FailureQuota {
        burst: NonZeroU32::MAX,
        interval: Duration::MAX,
    };
    let least = FailureQuota {
        burst: NonZeroU32::MIN,
        interval: Duration::ZERO,
    };
    for (n, quota, again) in [(1, largest, true), (2, least, false)] {
        let attempt = attempt(&[(subject(n), quota)], 0, true);
        assert!(settle(&*store, &attempt).await.is_allowed);
        assert_eq!(settle(&*store, &attempt).await.is_allowed, again);
    }
    let later = attempt(&[(subject(2), least)], 1, true);
    assert!(settle(&*store, &later).await.is_allowed);
}

pub async fn who_owes_nothing_any_more_is_forgotten(store: Arc<dyn Store>) {
    for n in 0..3 {
        for _ in 0..=n {
            assert!(fails(&*store, subject(n), 0).await);
        }
    }
    // They owe 30, 60 and 90 seconds.
    let forget = async |second| store.failures().forget_paid(given::at(second)).await;
    assert_eq!(forget(29).await.unwrap(), 0);
    assert_eq!(forget(60).await.unwrap(), 2);
    assert_eq!(forget(60).await.unwrap(), 0);
    assert!(!fails(&*store, subject(2), 29).await);
    assert_eq!(remembered(&*store).await, 1);
}

pub async fn of_a_group_those_who_owe_least_are_forgotten(store: Arc<dyn Store>) {
    for n in 0..100 {
        assert!(fails(&*store, crowded(n), 0).await);
        if n == 20 {
            assert!(fails(&*store, crowded(n), 0).await);
            assert!(fails(&*store, crowded(n), 0).await);
        }
    }
    assert!(fails(&*store, subject(1), 0).await);
    assert!(!fails(&*store, crowded(20), 0).await, "it owes most");
    let kept = Subject::MAX_PER_GROUP as u64 + 1;
    assert_eq!(remembered(&*store).await, kept);
    // With the next that is written of a group those leave that owe nothing.
    for n in 0..5 {
        assert!(fails(&*store, crowded(n), 0).await);
    }
    assert!(fails(&*store, crowded(5), 40).await);
    assert_eq!(remembered(&*store).await, 1);
}
