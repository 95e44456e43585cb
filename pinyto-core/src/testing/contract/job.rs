//! What is planned, when and for whom. Leases are in `job_lease.rs`, failures in `job_failure.rs`.

use std::{sync::Arc, time::Duration};

use crate::{
    Page,
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{InsertOutcome, Scope},
    id::UserId,
    job::{Claim, ClaimedJob, Completion, EnqueueOutcome, JobRef, JobState, LeaseId, Trigger},
    store::Store,
    testing::given,
    user::User,
};

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const ALL: u64 = u64::MAX;

/// Claims under the lease `n` at [`given::at`]`(second)`.
pub(super) async fn claim(store: &dyn Store, n: u8, second: i64, limit: usize) -> Vec<ClaimedJob> {
    let now = given::at(second);
    let claim = Claim {
        lease: LeaseId::from_bytes([n; 16]),
        now,
        until: now.saturating_add(LEASE),
        limit,
    };
    store.jobs().claim_due(&claim).await.unwrap()
}

/// Claims one entry.
pub(super) async fn claim_one(store: &dyn Store, n: u8, second: i64) -> Option<ClaimedJob> {
    let mut claimed = claim(store, n, second, 1).await;
    assert!(claimed.len() <= 1);
    claimed.pop()
}

pub(super) async fn complete(
    store: &dyn Store,
    job: &ClaimedJob,
    completion: &Completion,
    second: i64,
) -> bool {
    let jobs = store.jobs();
    let completed = jobs.complete(job.lease, completion, given::at(second));
    completed.await.unwrap()
}

/// Claims an entry and completes it, at once.
pub(super) async fn runs(store: &dyn Store, second: i64) -> Option<ClaimedJob> {
    let job = claim_one(store, 0xaa, second).await?;
    assert!(complete(store, &job, &Completion::Succeeded, second).await);
    Some(job)
}

pub(super) async fn states(store: &dyn Store, user: &User, second: i64) -> Vec<JobState> {
    let jobs = store.jobs();
    let states = jobs
        .list_of_user(user.id, given::at(second), Page::first(ALL))
        .await;
    states.unwrap()
}

/// When the only entry of the user runs next.
async fn next_run(store: &dyn Store, user: &User, second: i64) -> Option<Timestamp> {
    let states = states(store, user, second).await;
    assert_eq!(states.len(), 1, "{states:?}");
    states[0].next_run
}

pub(super) async fn save(
    store: &dyn Store,
    author: &User,
    name: &str,
    jobs: &[(&str, &str, u64)],
    second: i64,
) -> AssemblyRef {
    let source = given::source_with_jobs(name, jobs);
    let (assemblies, at) = (store.assemblies(), given::at(second));
    let saved = assemblies.save(
        author.id,
        Some(source.name()),
        &source,
        given::NO_LIMITS,
        at,
    );
    saved.await.unwrap();
    AssemblyRef {
        author: author.name.clone(),
        name: source.name().clone(),
    }
}

/// A user who has written and installed `hugo/Notes` with these jobs (name, code, minutes).
pub(super) async fn hugo(store: &dyn Store, jobs: &[(&str, &str, u64)]) -> (User, AssemblyRef) {
    let hugo = given::user(store, "hugo", 1).await;
    let notes = save(store, &hugo, "Notes", jobs, 0).await;
    given::installed(store, &hugo, &notes).await;
    (hugo, notes)
}

pub(super) fn job(assembly: &AssemblyRef, name: &str) -> JobRef {
    JobRef {
        assembly: assembly.clone(),
        name: given::job_name(name),
    }
}

pub(super) async fn run_now(store: &dyn Store, user: UserId, job: &JobRef) -> EnqueueOutcome {
    let queued = store.jobs().run_now(user, job, 9, given::at(0)).await;
    queued.unwrap()
}

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 3600;

pub async fn a_job_is_due_at_once_for_whoever_installs_it(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "tidy up", 60)]).await;
    given::user(&*store, "erna", 2).await;
    let claimed = claim_one(&*store, 1, 0).await.unwrap();
    assert_eq!(claimed.user, hugo);
    assert_eq!(claimed.job, job(&notes, "tidy"));
    let assembly = store.assemblies().find(&notes).await.unwrap().unwrap();
    assert_eq!(claimed.assembly, assembly.id);
    assert_eq!(claimed.code, "tidy up");
    assert_eq!(claimed.only_own_data, assembly.source.only_own_data());
    assert_eq!(claimed.attempt, 1);
    assert_eq!(claimed.trigger, Trigger::Schedule);
    assert_eq!(claimed.planned_at, given::at(0));
    assert_eq!(claim(&*store, 2, 0, 9).await, []);
}

pub async fn nothing_is_due_before_its_time(store: Arc<dyn Store>) {
    assert_eq!(claim(&*store, 1, 0, 9).await, []);
    assert_eq!(store.jobs().next_due().await.unwrap(), None);
    hugo(&*store, &[("tidy", "", 60)]).await;
    assert_eq!(claim(&*store, 1, -1, 9).await, []);
    let due = store.jobs().next_due().await.unwrap();
    assert_eq!(due, Some(given::at(0)));
    assert_eq!(claim(&*store, 1, 0, 0).await, []);
}

pub async fn a_job_runs_in_the_rhythm_it_was_planned_in(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    assert!(runs(&*store, 5).await.is_some());
    assert_eq!(next_run(&*store, &hugo, 5).await, Some(given::at(HOUR)));
    assert_eq!(runs(&*store, HOUR - 1).await, None);
    let second = runs(&*store, HOUR + 7 * MINUTE).await.unwrap();
    assert_eq!(second.planned_at, given::at(HOUR));
    let third = runs(&*store, 2 * HOUR).await.unwrap();
    assert_eq!(third.planned_at, given::at(2 * HOUR));
}

pub async fn after_a_downtime_a_job_runs_once(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    assert!(runs(&*store, 0).await.is_some());
    let late = 100 * HOUR + 5;
    assert!(runs(&*store, late).await.is_some());
    assert_eq!(runs(&*store, late).await, None);
    let next = next_run(&*store, &hugo, late).await;
    assert_eq!(next, Some(given::at(101 * HOUR)));
}

pub async fn a_job_without_schedule_runs_once_per_installation(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("once", "", 0)]).await;
    assert!(runs(&*store, 0).await.is_some());
    assert_eq!(next_run(&*store, &hugo, 1).await, None);
    // Saving it again, even with other code, changes nothing.
    save(&*store, &hugo, "Notes", &[("once", "other", 0)], 1).await;
    assert_eq!(runs(&*store, 1000 * HOUR).await, None);
    given::installed(&*store, &hugo, &notes).await;
    assert_eq!(runs(&*store, 1000 * HOUR).await, None, "installed already");

    assert!(store.assemblies().uninstall(hugo.id, &notes).await.unwrap());
    given::installed(&*store, &hugo, &notes).await;
    assert!(runs(&*store, 0).await.is_some());
    save(&*store, &hugo, "Notes", &[("another", "", 0)], 2).await;
    let again = runs(&*store, 2).await.unwrap();
    assert_eq!(again.job, job(&notes, "another"));
    assert_eq!(runs(&*store, 1000 * HOUR).await, None);
}

pub async fn a_save_plans_what_is_new_and_forgets_what_is_gone(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("old", "", 60), ("stays", "", 60)]).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    given::user(&*store, "karl", 3).await;
    while runs(&*store, 0).await.is_some() {}
    run_now(&*store, erna.id, &job(&notes, "old")).await;
    let jobs = [("stays", "", 60), ("new", "", 30)];
    save(&*store, &hugo, "Notes", &jobs, 10).await;
    for user in [&hugo, &erna] {
        let mut states = states(&*store, user, 10).await;
        states.sort_by_key(|state| state.next_run);
        let planned = states.into_iter().map(|state| (state.job, state.next_run));
        assert_eq!(
            planned.collect::<Vec<_>>(),
            [
                (job(&notes, "new"), Some(given::at(10))),
                (job(&notes, "stays"), Some(given::at(HOUR))),
            ]
        );
    }
    assert_eq!(claim(&*store, 1, 10, 9).await.len(), 2);
}

pub async fn another_schedule_is_in_force_after_one_interval_at_the_latest(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 24 * 60)]).await;
    assert!(runs(&*store, 0).await.is_some());
    for (minutes, at, next) in [
        // Sooner than planned.
        (10, HOUR, HOUR + 10 * MINUTE),
        // Later: what is planned stays.
        (600, HOUR + 1, HOUR + 10 * MINUTE),
        // Not at all any more: that is its last run.
        (0, HOUR + 2, HOUR + 10 * MINUTE),
    ] {
        save(&*store, &hugo, "Notes", &[("tidy", "", minutes)], at).await;
        let planned = next_run(&*store, &hugo, at).await;
        assert_eq!(planned, Some(given::at(next)), "{minutes}");
    }
    assert!(runs(&*store, 2 * HOUR).await.is_some());
    assert_eq!(next_run(&*store, &hugo, 2 * HOUR).await, None);
    save(&*store, &hugo, "Notes", &[("tidy", "", 5)], 3 * HOUR).await;
    let next = next_run(&*store, &hugo, 3 * HOUR).await;
    assert_eq!(next, Some(given::at(3 * HOUR + 5 * MINUTE)));
}

pub async fn another_schedule_leaves_a_running_job_alone(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    let running = claim_one(&*store, 1, 0).await.unwrap();
    save(&*store, &hugo, "Notes", &[("tidy", "other", 7)], 1).await;
    assert_eq!(claim(&*store, 2, 2, 9).await, []);
    assert!(complete(&*store, &running, &Completion::Succeeded, 2).await);
    let next = next_run(&*store, &hugo, 2).await;
    assert_eq!(next, Some(given::at(7 * MINUTE)));
}

pub async fn a_job_follows_its_assembly_to_another_name(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "old", 60)]).await;
    let source = given::source_with_jobs("Diary", &[("tidy", "new", 60)]);
    let (assemblies, at) = (store.assemblies(), given::at(0));
    let saved = assemblies.save(hugo.id, Some(&notes.name), &source, given::NO_LIMITS, at);
    saved.await.unwrap();
    let claimed = claim_one(&*store, 1, 0).await.unwrap();
    assert_eq!(claimed.job.to_string(), "hugo/Diary/tidy");
    assert_eq!(claimed.code, "new");
}

pub async fn nothing_is_run_of_what_is_uninstalled_or_deleted(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60)]).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    run_now(&*store, erna.id, &job(&notes, "tidy")).await;
    let assemblies = store.assemblies();
    assert!(assemblies.uninstall(erna.id, &notes).await.unwrap());
    assert_eq!(states(&*store, &erna, 0).await, []);
    assert_eq!(states(&*store, &hugo, 0).await.len(), 1);
    assert!(assemblies.delete(hugo.id, &notes.name).await.unwrap());
    assert_eq!(states(&*store, &hugo, 0).await, []);
    assert_eq!(claim(&*store, 1, 0, 9).await, []);
}

pub async fn a_job_queued_by_a_document_takes_it_along_when_it_is_done(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 0)]).await;
    assert!(runs(&*store, 0).await.is_some());
    let (wish, other) = (
        given::document(1, &notes, "a wish".into()),
        given::document(2, &notes, 2.into()),
    );
    given::stored(&*store, &hugo, &other).await;
    let tidy = job(&notes, "tidy");
    let queued = given::queued(&*store, &hugo, &wish, &tidy, 9).await;
    assert_eq!(queued, InsertOutcome::Inserted);
    assert_eq!(claim(&*store, 1, -1, 9).await, []);
    let claimed = claim_one(&*store, 1, 5).await.unwrap();
    assert_eq!(claimed.trigger, Trigger::Document(wish.id));
    assert_eq!(claimed.job, tidy);
    assert!(complete(&*store, &claimed, &Completion::Succeeded, 100).await);
    let (documents, all) = (store.documents(), Scope::all_of(hugo.id));
    assert_eq!(documents.find(all, wish.id).await.unwrap(), None);
    let kept = documents.find(all, other.id).await.unwrap();
    assert_eq!(kept, Some(other.clone()));
    let usage = store.users().usage(hugo.id).await.unwrap().unwrap();
    assert_eq!(usage.bytes, other.size());
    assert_eq!(usage.calculated_at, given::at(100));
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let expected = (wish.size() + other.size()) as f64 * 100.0;
    assert!((usage.byte_seconds - expected).abs() < 1e-6);
    assert_eq!(
        states(&*store, &hugo, 100).await.len(),
        1,
        "the planned one"
    );
}

pub async fn a_job_whose_document_is_removed_is_not_run(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 0)]).await;
    assert!(runs(&*store, 0).await.is_some());
    let wish = given::document(1, &notes, "a wish".into());
    let queued = given::queued(&*store, &hugo, &wish, &job(&notes, "tidy"), 9).await;
    assert_eq!(queued, InsertOutcome::Inserted);
    let (documents, all) = (store.documents(), Scope::all_of(hugo.id));
    assert!(documents.remove(all, wish.id, given::at(1)).await.unwrap());
    assert_eq!(claim(&*store, 1, 5, 9).await, []);
    assert_eq!(states(&*store, &hugo, 5).await.len(), 1, "the planned one");
}

pub async fn what_cannot_be_queued_is_told(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 0), ("other", "", 0)]).await;
    let erna = given::user(&*store, "erna", 2).await;
    let (tidy, missing) = (job(&notes, "tidy"), job(&notes, "missing"));
    let elsewhere = job(&given::assembly_ref("hugo/Other"), "tidy");
    let enqueue = async |n, job: &JobRef| {
        let document = given::document(n, &notes, 1.into());
        given::queued(&*store, &hugo, &document, job, 2).await
    };
    for (refused, reason) in [
        (&missing, EnqueueOutcome::UnknownJob),
        (&elsewhere, EnqueueOutcome::NotInstalled),
    ] {
        let outcome = enqueue(1, refused).await;
        assert_eq!(outcome, InsertOutcome::NotQueued(reason));
    }
    assert_eq!(given::document_count(&*store, &hugo).await, 0);
    assert_eq!(
        run_now(&*store, erna.id, &tidy).await,
        EnqueueOutcome::NotInstalled
    );
    assert_eq!(
        run_now(&*store, hugo.id, &missing).await,
        EnqueueOutcome::UnknownJob
    );
    let too_many = InsertOutcome::NotQueued(EnqueueOutcome::LimitReached);
    assert_eq!(enqueue(1, &tidy).await, InsertOutcome::Inserted);
    assert_eq!(enqueue(2, &tidy).await, InsertOutcome::Inserted);
    assert_eq!(enqueue(3, &tidy).await, too_many);
    assert_eq!(given::document_count(&*store, &hugo).await, 2);
    let jobs = store.jobs();
    let other = job(&notes, "other");
    let wanted = jobs.run_now(hugo.id, &other, 2, given::at(0)).await;
    assert_eq!(wanted.unwrap(), EnqueueOutcome::LimitReached);
    assert_eq!(states(&*store, &hugo, 0).await.len(), 4);
}

pub async fn a_job_wanted_now_runs_once_more_however_often_that_is_said(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60)]).await;
    assert!(runs(&*store, 0).await.is_some());
    let tidy = job(&notes, "tidy");
    for _ in 0..3 {
        assert_eq!(
            run_now(&*store, hugo.id, &tidy).await,
            EnqueueOutcome::Queued
        );
    }
    let running = claim_one(&*store, 1, 1).await.unwrap();
    assert_eq!(running.trigger, Trigger::RunNow);
    // While it runs it can be wanted again.
    let jobs = store.jobs();
    let wanted = jobs.run_now(hugo.id, &tidy, 9, given::at(2)).await;
    assert_eq!(wanted.unwrap(), EnqueueOutcome::Queued);
    assert!(complete(&*store, &running, &Completion::Succeeded, 3).await);
    let again = runs(&*store, 3).await.unwrap();
    assert_eq!(again.trigger, Trigger::RunNow);
    assert_eq!(runs(&*store, 3).await, None);
    assert_eq!(next_run(&*store, &hugo, 3).await, Some(given::at(HOUR)));
}

pub async fn a_queued_job_wanted_now_does_not_wait_for_the_end_of_its_pause(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60)]).await;
    assert!(runs(&*store, 0).await.is_some());
    let (tidy, jobs) = (job(&notes, "tidy"), store.jobs());
    let wish = given::document(1, &notes, "a wish".into());
    for by_document in [false, true] {
        if by_document {
            given::queued(&*store, &hugo, &wish, &tidy, 9).await;
        } else {
            run_now(&*store, hugo.id, &tidy).await;
        }
        let first = claim_one(&*store, 1, 1).await.unwrap();
        let failed = Completion::Failed {
            error: crate::run::RunError::new("ValueError", "no", None),
            retry_at: Some(given::at(1000)),
        };
        assert!(complete(&*store, &first, &failed, 2).await);
        assert_eq!(claim(&*store, 2, 9, 9).await, []);
        let wanted = jobs.run_now(hugo.id, &tidy, 9, given::at(10)).await;
        assert_eq!(wanted.unwrap(), EnqueueOutcome::Queued);
        let again = claim(&*store, 3, 10, 9).await;
        assert_eq!(again.len(), 1, "no further one is queued");
        assert_eq!(again[0].lease.entry, first.lease.entry);
        assert_eq!(again[0].attempt, 2);
        assert!(complete(&*store, &again[0], &Completion::Succeeded, 11).await);
        assert_eq!(claim(&*store, 4, 12, 9).await, []);
    }
}

pub async fn a_list_tells_how_it_stands_with_each_job(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("often", "", 10), ("once", "", 0)]).await;
    let erna = given::user(&*store, "erna", 2).await;
    assert_eq!(states(&*store, &erna, 0).await, []);
    let claimed = claim(&*store, 1, 5, 9).await;
    assert_eq!(claimed.len(), 2);
    let running = states(&*store, &hugo, 6).await;
    for state in &running {
        assert_eq!(state.running_since, Some(given::at(5)));
        assert_eq!((state.next_run, state.attempts), (None, 1));
        assert_eq!(state.trigger, Trigger::Schedule);
        assert!(!state.parked && state.last_failure.is_none());
    }
    let (jobs, now) = (store.jobs(), given::at(6));
    let page = jobs
        .list_of_user(hugo.id, now, Page::first(1).after(1))
        .await
        .unwrap();
    assert_eq!(page, [running[1].clone()]);
    for job in &claimed {
        assert!(complete(&*store, job, &Completion::Succeeded, 7).await);
    }
    let done = states(&*store, &hugo, 7).await;
    let of = |name| done.iter().find(|state| state.job == job(&notes, name));
    let (often, once) = (of("often").unwrap(), of("once").unwrap());
    assert_eq!(often.schedule.minutes(), 10);
    assert_eq!(often.next_run, Some(given::at(10 * MINUTE)));
    assert_eq!(once.schedule.minutes(), 0);
    assert_eq!(once.next_run, None);
    assert_eq!((often.attempts, often.running_since), (0, None));
}
