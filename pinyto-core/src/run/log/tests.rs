use std::{
    pin::pin,
    task::{Context, Waker},
};

use super::{
    gathered::{CHANCES, MAX_BATCH, MAX_BYTES, MAX_RUNS},
    *,
};
use crate::{run::CpuBooking, testing::given};

const ANN: UserId = UserId::new(1);
const BOB: UserId = UserId::new(2);
const CID: UserId = UserId::new(3);

fn new() -> RunLog {
    RunLog::new([0, 1].map(|n| WriterId::from_bytes([n; 12])))
}

/// Notes a run that used 20 ms.
fn note(log: &RunLog, n: u64, user: UserId) {
    log.note(
        Run {
            cpu_time: Duration::from_millis(20),
            ..given::run(n, user, "hugo/Notes")
        },
        7,
    );
}

fn millis(log: &RunLog, user: UserId) -> u128 {
    log.unwritten(user, 7).as_millis()
}

fn written(log: &RunLog, batch: Arc<RunBatch>, kept_back: &[UserId]) {
    log.written(batch, &kept_back.iter().copied().collect());
}

/// Takes a batch that keeps these users back.
fn kept_back(log: &RunLog, users: &[UserId]) {
    let batch = log.take().unwrap();
    assert!(!batch.waits);
    written(log, batch, users);
}

fn ids(batch: &RunBatch) -> Vec<(UserId, crate::run::RunId)> {
    batch.runs.iter().map(|run| (run.user, run.id)).collect()
}

fn users(batch: &RunBatch) -> BTreeSet<UserId> {
    let of_runs = batch.runs.iter().map(|run| run.user);
    let of_cpu = batch.cpu.iter().map(|booking| booking.user);
    of_runs.chain(of_cpu).collect()
}

#[test]
fn when_too_many_wait_the_oldest_runs_go_but_no_cpu_time() {
    let log = new();
    for n in 0..MAX_RUNS + 3 {
        note(&log, n as u64, ANN);
    }
    assert_eq!(log.dropped(), 3);
    let batch = log.take().unwrap();
    assert_eq!(batch.runs.len(), MAX_BATCH);
    assert_eq!(batch.runs[0].id, given::run_id(3));
    let used = Duration::from_millis(20 * (MAX_RUNS as u64 + 3));
    let booking = CpuBooking {
        user: ANN,
        hour: 7,
        used,
    };
    assert_eq!(batch.cpu, [booking]);
    assert_eq!(log.unwritten(ANN, 7), used);
    written(&log, batch, &[]);
    assert_eq!(log.unwritten(ANN, 7), Duration::ZERO);
    let next = log.take().unwrap();
    assert_eq!(next.runs[0].id, given::run_id(3 + MAX_BATCH as u64));
    assert_eq!((next.id.number, next.cpu.len()), (2, 0));
}

#[test]
fn a_batch_stays_as_it_is_until_it_is_written() {
    let log = new();
    note(&log, 1, ANN);
    let first = log.take().unwrap();
    note(&log, 2, ANN);
    let again = log.take().unwrap();
    assert_eq!((again.id, &again.cpu), (first.id, &first.cpu));
    assert_eq!(again.runs, first.runs);
    assert_eq!(millis(&log, ANN), 40);
    written(&log, again, &[]);
    let next = log.take().unwrap();
    assert_ne!(next.id, first.id);
    assert_eq!(next.runs[0].id, given::run_id(2));
    assert!(!log.is_written());
    written(&log, next, &[]);
    assert!(log.is_written());
    assert!(log.take().is_none());
}

#[test]
fn long_outputs_that_wait_are_bounded_together() {
    let log = new();
    for n in 0..20 {
        let mut run = given::run(n, ANN, "hugo/Notes");
        run.output.text = "x".repeat(MAX_BYTES / 10);
        log.note(run, 0);
    }
    assert_eq!(log.dropped(), 10);
    let batch = log.take().unwrap();
    assert_eq!(batch.runs[0].id, given::run_id(10));
    // What is taken back counts again.
    for n in 20..25 {
        let mut run = given::run(n, BOB, "hugo/Notes");
        run.output.text = "x".repeat(MAX_BYTES / 10);
        log.note(run, 0);
    }
    assert_eq!(log.dropped(), 10);
    written(&log, batch, &[ANN]);
    assert_eq!(log.dropped(), 15);
}

#[test]
fn what_is_kept_back_is_in_the_next_batches_and_then_in_one_that_waits() {
    let log = new();
    note(&log, 1, ANN);
    note(&log, 2, BOB);
    for n in 0..CHANCES {
        assert!(log.take_of_next().is_none());
        let batch = log.take().unwrap();
        assert_eq!(batch.id.number, u64::from(n) + 1);
        // While it is out.
        note(&log, 10 + u64::from(n), ANN);
        assert_eq!(millis(&log, ANN), 40 + 20 * u128::from(n));
        written(&log, batch, &[ANN]);
        assert_eq!(millis(&log, ANN), 40 + 20 * u128::from(n));
        assert_eq!(millis(&log, BOB), 0);
    }
    assert!(log.is_written() && log.take().is_none());
    assert_eq!(log.to_wait_for(), 1);
    let batch = log.take_of_next().unwrap();
    assert!(batch.waits);
    assert_eq!(
        ids(&batch),
        [1, 10, 11, 12].map(|n| (ANN, given::run_id(n)))
    );
    assert_eq!(batch.cpu[0].used, Duration::from_millis(80));
    // Neither what waits nor what comes now gets among the others'.
    note(&log, 20, ANN);
    note(&log, 21, BOB);
    assert_eq!(millis(&log, ANN), 100);
    let other = log.take().unwrap();
    assert_ne!(other.id.writer, batch.id.writer);
    assert_eq!(users(&other), BTreeSet::from([BOB]));
    written(&log, other, &[]);
    let again = log.take_of_next().unwrap();
    assert_eq!((again.id, &again.runs), (batch.id, &batch.runs));
    drop(batch);
    written(&log, again, &[ANN]);
    assert_eq!(millis(&log, ANN), 100);
    assert!(log.take().is_none());
    let batch = log.take_of_next().unwrap();
    assert_eq!(
        ids(&batch),
        [1, 10, 11, 12, 20].map(|n| (ANN, given::run_id(n)))
    );
    note(&log, 22, ANN);
    written(&log, batch, &[]);
    // She begins anew.
    assert_eq!((log.to_wait_for(), millis(&log, ANN)), (0, 20));
    let batch = log.take().unwrap();
    assert_eq!(ids(&batch), [(ANN, given::run_id(22))]);
    written(&log, batch, &[]);
    assert!(log.is_written() && log.state.lock().unwrap().gathered.is_untouched());
}

#[test]
fn users_are_waited_for_in_turn() {
    let log = new();
    for user in [ANN, BOB, CID] {
        note(&log, 1, user);
    }
    for _ in 0..CHANCES {
        kept_back(&log, &[ANN, BOB, CID]);
    }
    for user in [ANN, BOB, CID, ANN, BOB, CID] {
        assert_eq!(log.to_wait_for(), 3);
        let batch = log.take_of_next().unwrap();
        assert_eq!(users(&batch), BTreeSet::from([user]));
        assert_eq!(log.to_wait_for(), 3);
        written(&log, batch, &[user]);
    }
}

#[test]
fn the_runs_of_a_busy_user_never_fill_the_batches_of_others() {
    let log = new();
    for n in 0..1000 {
        note(&log, n, ANN);
    }
    kept_back(&log, &[ANN]);
    for n in 0..600 {
        note(&log, n, BOB);
    }
    let batch = log.take().unwrap();
    assert_eq!(batch.runs.len(), MAX_BATCH);
    let of_bob = |batch: &RunBatch| batch.runs.iter().filter(|run| run.user == BOB).count();
    assert_eq!(of_bob(&batch), MAX_BATCH / 2);
    written(&log, batch, &[ANN]);
    kept_back(&log, &[ANN]);
    let batch = log.take().unwrap();
    assert_eq!((of_bob(&batch), batch.runs.len()), (88, 88));
    written(&log, batch, &[]);
    // Of hers, as many as go into one, in order.
    let batch = log.take_of_next().unwrap();
    let first: Vec<_> = (0..MAX_BATCH as u64).map(given::run_id).collect();
    let these: Vec<_> = batch.runs.iter().map(|run| run.id).collect();
    assert_eq!(these, first);
    assert_eq!(batch.cpu[0].used, Duration::from_millis(20_000));
    written(&log, batch, &[]);
    let batch = log.take().unwrap();
    assert_eq!(batch.runs[0].id, given::run_id(MAX_BATCH as u64));
}

#[test]
fn of_too_many_those_kept_back_are_dropped_first_but_no_cpu_time() {
    let log = new();
    for n in 0..300 {
        note(&log, n, ANN);
    }
    note(&log, 1, CID);
    kept_back(&log, &[ANN, CID]);
    for n in 0..MAX_RUNS as u64 {
        note(&log, n, BOB);
    }
    assert_eq!(log.dropped(), 301);
    assert_eq!(millis(&log, ANN), 6000);
    assert_eq!(millis(&log, CID), 20);
    let batch = log.take().unwrap();
    assert_eq!(users(&batch), BTreeSet::from([ANN, BOB, CID]));
    assert!(batch.runs.iter().all(|run| run.user == BOB));
    written(&log, batch, &[]);
    assert_eq!(millis(&log, ANN), 0);
    // The one who has most of them loses them first.
    let log = new();
    for n in 0..9 {
        note(&log, n, ANN);
    }
    note(&log, 1, CID);
    kept_back(&log, &[ANN, CID]);
    for n in 0..MAX_RUNS as u64 - 2 {
        note(&log, n, BOB);
    }
    assert_eq!(log.dropped(), 8);
    let batch = log.take().unwrap();
    assert_eq!(
        ids(&batch)[..2],
        [(ANN, given::run_id(8)), (CID, given::run_id(1))]
    );
}

/// How many runs each batch of a round has, while one comes during each, and whom each keeps back.
fn written_in_a_round(log: &RunLog, kept_back: &[UserId]) -> Vec<usize> {
    let mut round = log.round();
    let mut batches = Vec::new();
    while let Some(batch) = log.next(&mut round) {
        batches.push(batch.runs.len());
        note(log, 9000, ANN);
        written(log, batch, kept_back);
    }
    batches
}

#[test]
fn a_round_writes_what_was_there_and_not_what_comes_meanwhile() {
    for count in [0, 1, 255, 256, 257, 512, 513, 1500] {
        let log = new();
        for n in 0..count {
            note(&log, n, ANN);
        }
        let sum: usize = written_in_a_round(&log, &[]).into_iter().sum();
        let count = usize::try_from(count).unwrap();
        assert!(sum >= count);
        assert!(sum <= count + count.div_ceil(256), "{sum}");
    }
    let log = new();
    note(&log, 1, ANN);
    log.take().unwrap();
    note(&log, 2, ANN);
    assert_eq!(
        written_in_a_round(&log, &[]),
        [1, 2],
        "it may not have been written"
    );
}

#[test]
fn a_round_tries_what_is_kept_back_a_few_times_and_ends_whoever_is_busy_then() {
    let log = new();
    for n in 0..700 {
        note(&log, n, BOB);
    }
    kept_back(&log, &[BOB]);
    let sum: usize = written_in_a_round(&log, &[]).into_iter().sum();
    assert!(sum >= 700, "{sum}");

    let log = new();
    note(&log, 1, BOB);
    // In the first batch, and again as long as he has chances.
    assert_eq!(written_in_a_round(&log, &[BOB]).len(), CHANCES as usize);
    assert_eq!(log.to_wait_for(), 1);

    let log = new();
    note(&log, 0, UserId::new(100));
    let mut whose = log.round();
    let mut batches = 0_u32;
    while let Some(batch) = log.next(&mut whose) {
        batches += 1;
        // Each batch meets another who is busy.
        note(&log, batches.into(), UserId::new(100 + i64::from(batches)));
        written(
            &log,
            batch.clone(),
            &users(&batch).into_iter().collect::<Vec<_>>(),
        );
        assert!(batches < 99, "it never ends");
    }
    assert_eq!(batches, 1 + CHANCES);
}

#[test]
fn who_writes_is_told_once_when_enough_has_gathered_be_it_of_runs_or_of_texts() {
    let told = |log: &RunLog| {
        let mut context = Context::from_waker(Waker::noop());
        pin!(log.enough.notified()).poll(&mut context).is_ready()
    };
    let log = new();
    for n in 0..255 {
        note(&log, n, ANN);
        assert!(!told(&log));
    }
    note(&log, 255, ANN);
    assert!(told(&log) && log.has_enough());
    note(&log, 256, ANN);
    assert!(!told(&log), "he knows");

    let log = new();
    let mut run = given::run(1, ANN, "hugo/Notes");
    run.output.text = "x".repeat(MAX_BYTES / 8);
    log.note(run.clone(), 7);
    assert!(!told(&log));
    log.note(run.clone(), 7);
    assert!(told(&log) && log.has_enough());
    assert_eq!(log.dropped(), 0);

    // Whoever is busy, and prints much, doesn't have others' runs written one by one.
    kept_back(&log, &[ANN]);
    assert!(!log.has_enough());
    note(&log, 2, BOB);
    log.note(run, 7);
    assert!(!told(&log) && !log.has_enough());
    kept_back(&log, &[ANN, BOB]);
    kept_back(&log, &[]);
    assert!(log.take().is_none());
}
