use std::sync::Arc;

use super::job::{claim, claim_one, complete, hugo, job, run_now, runs, states};
use crate::{
    assembly::AssemblyRef,
    document::{InsertOutcome, QueuedJob},
    job::{Completion, EnqueueOutcome, Hold, Trigger},
    store::Store,
    testing::given,
    user::User,
};

/// When what [`queue`] queues becomes due by itself.
const UNTIL: i64 = 100;

/// Lets the run `run` queue `hugo/Notes/tidy` with the document `n`, at 0.
async fn queue(store: &dyn Store, hugo: &User, notes: &AssemblyRef, n: u64, run: u64) {
    let document = given::document(n, notes, "a wish".into());
    let wanted = QueuedJob {
        job: job(notes, "tidy"),
        limit: 9,
        hold: Some(Hold {
            by: given::run_id(run),
            until: given::at(UNTIL),
        }),
    };
    let queued = given::queued_with(store, hugo, &document, wanted).await;
    assert_eq!(queued, InsertOutcome::Inserted);
}

async fn release(store: &dyn Store, user: &User, run: u64, second: i64) -> bool {
    let (jobs, run, now) = (store.jobs(), given::run_id(run), given::at(second));
    jobs.release(user.id, run, now).await.unwrap()
}

/// Hugo, whose job `tidy` was run as planned.
async fn given_hugo(store: &dyn Store) -> (User, AssemblyRef) {
    let (hugo, notes) = hugo(store, &[("tidy", "", 0)]).await;
    assert!(runs(store, 0).await.is_some());
    (hugo, notes)
}

pub async fn what_a_run_queues_can_be_claimed_when_that_has_ended(store: Arc<dyn Store>) {
    let (hugo, notes) = given_hugo(&*store).await;
    let erna = given::user(&*store, "erna", 2).await;
    queue(&*store, &hugo, &notes, 1, 7).await;
    assert_eq!(claim(&*store, 1, UNTIL - 1, 9).await, []);
    let due = store.jobs().next_due().await.unwrap();
    assert_eq!(due, Some(given::at(UNTIL)));
    for (user, run) in [(&hugo, 8), (&erna, 7)] {
        assert!(!release(&*store, user, run, 50).await, "it isn't theirs");
    }
    assert_eq!(claim(&*store, 2, UNTIL - 1, 9).await, []);
    assert!(release(&*store, &hugo, 7, 50).await);
    assert_eq!(claim(&*store, 3, 49, 9).await, []);
    let claimed = claim_one(&*store, 4, 50).await.unwrap();
    assert_eq!((claimed.attempt, claimed.planned_at), (1, given::at(0)));
    assert!(matches!(claimed.trigger, Trigger::Document(_)));
    assert!(!release(&*store, &hugo, 7, 51).await);
    assert!(complete(&*store, &claimed, &Completion::Succeeded, 52).await);
    assert_eq!(given::document_count(&*store, &hugo).await, 0);
}

pub async fn a_run_releases_all_that_it_queued_and_nothing_else(store: Arc<dyn Store>) {
    let (hugo, notes) = given_hugo(&*store).await;
    for (n, run) in [(1, 7), (2, 8), (3, 7)] {
        queue(&*store, &hugo, &notes, n, run).await;
    }
    assert!(release(&*store, &hugo, 7, 1).await);
    assert!(runs(&*store, 1).await.is_some());
    assert!(runs(&*store, 1).await.is_some());
    assert_eq!(runs(&*store, UNTIL - 1).await, None);
    assert!(release(&*store, &hugo, 8, 2).await);
    assert!(runs(&*store, UNTIL - 1).await.is_some());
}

pub async fn what_a_lost_run_queued_becomes_due_by_itself(store: Arc<dyn Store>) {
    let (hugo, notes) = given_hugo(&*store).await;
    queue(&*store, &hugo, &notes, 1, 7).await;
    assert_eq!(claim(&*store, 1, UNTIL - 1, 9).await, []);
    let claimed = claim_one(&*store, 2, UNTIL).await.unwrap();
    // It was not lost, after all.
    assert!(!release(&*store, &hugo, 7, UNTIL + 1).await);
    assert_eq!(claim(&*store, 3, UNTIL + 2, 9).await, []);
    assert!(complete(&*store, &claimed, &Completion::Succeeded, UNTIL + 3).await);
}

pub async fn a_job_wanted_now_still_waits_for_the_run_that_queued_it(store: Arc<dyn Store>) {
    let (hugo, notes) = given_hugo(&*store).await;
    queue(&*store, &hugo, &notes, 1, 7).await;
    let tidy = job(&notes, "tidy");
    let wanted = run_now(&*store, hugo.id, &tidy).await;
    assert_eq!(wanted, EnqueueOutcome::Queued);
    assert_eq!(
        states(&*store, &hugo, 1).await.len(),
        2,
        "nothing was added"
    );
    assert_eq!(claim(&*store, 1, UNTIL - 1, 9).await, []);
    assert!(release(&*store, &hugo, 7, 1).await);
    assert!(runs(&*store, 1).await.is_some());
}

pub async fn what_a_run_queued_goes_with_its_document(store: Arc<dyn Store>) {
    let (hugo, notes) = given_hugo(&*store).await;
    queue(&*store, &hugo, &notes, 1, 7).await;
    let documents = store.documents();
    let (all, id) = (
        crate::document::Scope::all_of(hugo.id),
        given::document(1, &notes, 0.into()).id,
    );
    assert!(documents.remove(all, id, given::at(1)).await.unwrap());
    assert!(!release(&*store, &hugo, 7, 2).await);
    assert_eq!(store.jobs().next_due().await.unwrap(), None);
    assert_eq!(claim(&*store, 1, UNTIL, 9).await, []);
}
