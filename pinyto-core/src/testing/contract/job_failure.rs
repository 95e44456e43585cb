use std::sync::Arc;

use super::job::{HOUR, claim, claim_one, complete, hugo, job, run_now, runs, save, states};
use crate::{
    document::{InsertOutcome, Scope},
    job::{Completion, EnqueueOutcome, JobFailure, MAX_ATTEMPTS},
    run::RunError,
    store::Store,
    testing::given,
    user::User,
};

fn error() -> RunError {
    RunError::new("ValueError", "\"no\" such\nthing", Some(3))
}

fn failed(retry_at: Option<i64>) -> Completion {
    Completion::Failed {
        error: error(),
        retry_at: retry_at.map(given::at),
    }
}

/// Claims what is due at `second` and lets it fail for the last time.
async fn give_up(store: &dyn Store, second: i64) {
    let job = claim_one(store, 9, second).await.unwrap();
    assert!(complete(store, &job, &failed(None), second).await);
}

/// Of the only entry.
async fn state(store: &dyn Store, user: &User, second: i64) -> crate::job::JobState {
    let mut states = states(store, user, second).await;
    assert_eq!(states.len(), 1, "{states:?}");
    states.remove(0)
}

pub async fn a_failed_run_is_tried_again_when_its_pause_is_over(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    let first = claim_one(&*store, 1, 0).await.unwrap();
    assert!(complete(&*store, &first, &failed(Some(100)), 5).await);
    let waits = state(&*store, &hugo, 6).await;
    assert_eq!(waits.next_run, Some(given::at(100)));
    assert_eq!(waits.attempts, 1);
    assert!(!waits.parked);
    let failure = JobFailure {
        error: error(),
        at: given::at(5),
    };
    assert_eq!(waits.last_failure, Some(failure));
    assert_eq!(claim(&*store, 2, 99, 9).await, []);
    let second = claim_one(&*store, 2, 100).await.unwrap();
    assert_eq!((second.attempt, second.planned_at), (2, given::at(0)));
    assert!(complete(&*store, &second, &Completion::Succeeded, 101).await);
    let done = state(&*store, &hugo, 101).await;
    assert_eq!(done.next_run, Some(given::at(HOUR)));
    assert_eq!((done.attempts, done.last_failure), (0, None));
}

pub async fn a_scheduled_job_goes_on_after_its_last_try(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    give_up(&*store, 3 * HOUR + 1).await;
    let goes_on = state(&*store, &hugo, 3 * HOUR + 1).await;
    assert_eq!(goes_on.next_run, Some(given::at(4 * HOUR)));
    assert_eq!((goes_on.attempts, goes_on.parked), (0, false));
    assert_eq!(goes_on.last_failure.unwrap().error, error());
    let next = claim_one(&*store, 1, 4 * HOUR).await.unwrap();
    assert_eq!(next.attempt, 1);
}

pub async fn everything_else_is_parked_until_it_is_wanted_now(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("once", "", 0)]).await;
    give_up(&*store, 0).await;
    let parked = state(&*store, &hugo, 1).await;
    assert_eq!((parked.next_run, parked.parked), (None, true));
    assert_eq!(parked.last_failure.unwrap().error, error());
    assert_eq!(claim(&*store, 2, 1000 * HOUR, 9).await, []);
    assert_eq!(store.jobs().next_due().await.unwrap(), None);

    let once = job(&notes, "once");
    assert_eq!(
        run_now(&*store, hugo.id, &once).await,
        EnqueueOutcome::Queued
    );
    let again = claim_one(&*store, 3, 0).await.unwrap();
    assert_eq!(again.attempt, 1);
    assert!(complete(&*store, &again, &Completion::Succeeded, 1).await);
    let done = state(&*store, &hugo, 1).await;
    assert_eq!((done.next_run, done.parked), (None, false));

    // What was wanted now is parked as well.
    run_now(&*store, hugo.id, &once).await;
    give_up(&*store, 2).await;
    assert!(states(&*store, &hugo, 2).await.iter().any(|s| s.parked));
    run_now(&*store, hugo.id, &once).await;
    assert!(runs(&*store, 3).await.is_some());
    assert!(!state(&*store, &hugo, 3).await.parked);
}

pub async fn other_code_gives_a_parked_job_another_chance(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("once", "bad", 0), ("twin", "bad", 0)]).await;
    give_up(&*store, 0).await;
    give_up(&*store, 0).await;
    let same = [("twin", "bad", 0), ("once", "bad", 0)];
    save(&*store, &hugo, "Notes", &same, 1).await;
    assert_eq!(claim(&*store, 1, 1000 * HOUR, 9).await, []);
    let better = [("once", "good", 0), ("twin", "bad", 0)];
    save(&*store, &hugo, "Notes", &better, 50).await;
    assert_eq!(claim(&*store, 1, 49, 9).await, []);
    let again = claim(&*store, 2, 50, 9).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].code, "good");
    assert_eq!((again[0].attempt, again[0].planned_at), (1, given::at(50)));
}

pub async fn a_failing_job_keeps_its_document(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 0)]).await;
    assert!(runs(&*store, 0).await.is_some());
    let wish = given::document(1, &notes, "a wish".into());
    let queued = given::queued(&*store, &hugo, &wish, &job(&notes, "tidy"), 9).await;
    assert_eq!(queued, InsertOutcome::Inserted);
    let first = claim_one(&*store, 1, 0).await.unwrap();
    assert!(complete(&*store, &first, &failed(Some(10)), 1).await);
    give_up(&*store, 10).await;
    let all = Scope::all_of(hugo.id);
    let found = store.documents().find(all, wish.id).await.unwrap();
    assert_eq!(found, Some(wish));
    assert!(states(&*store, &hugo, 11).await.iter().any(|s| s.parked));
}

pub async fn what_is_put_back_counts_as_no_try(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    for n in 0..10 {
        let job = claim_one(&*store, n, i64::from(n)).await.unwrap();
        assert_eq!((job.attempt, job.planned_at), (1, given::at(0)));
        let until = given::at(i64::from(n) + 1);
        assert!(complete(&*store, &job, &Completion::PutBack { until }, 0).await);
    }
    let state = state(&*store, &hugo, 9).await;
    assert_eq!(state.next_run, Some(given::at(10)));
    assert_eq!((state.attempts, state.last_failure), (0, None));
}

pub async fn a_run_that_takes_its_server_along_each_time_is_given_up(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("once", "", 0)]).await;
    for n in 0..MAX_ATTEMPTS {
        let lease = u8::try_from(n).unwrap();
        let job = claim_one(&*store, lease, i64::from(n) * 100).await.unwrap();
        assert_eq!(job.attempt, n + 1);
    }
    assert_eq!(claim(&*store, 99, HOUR, 9).await, []);
    let state = state(&*store, &hugo, HOUR).await;
    assert!(state.parked);
    assert_eq!(state.running_since, None);
    assert_eq!(state.last_failure.unwrap().error.kind(), "lost");
}
