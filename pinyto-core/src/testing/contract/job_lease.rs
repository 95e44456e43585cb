use std::{collections::HashSet, sync::Arc};

use super::{
    job::{HOUR, LEASE, claim, claim_one, complete, hugo, job, run_now, runs, save, states},
    race,
};
use crate::{
    job::{Completion, EnqueueOutcome, Trigger},
    store::Store,
    testing::given,
};

pub async fn of_claims_at_once_each_entry_goes_to_one(store: Arc<dyn Store>) {
    let jobs: Vec<String> = (0..30).map(|n| format!("job{n}")).collect();
    let jobs: Vec<_> = jobs.iter().map(|name| (name.as_str(), "", 60)).collect();
    let (_, notes) = hugo(&*store, &jobs).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    let claimed = race((0..8).map(|n| {
        let store = store.clone();
        async move {
            let mut claimed = Vec::new();
            for round in 0..4 {
                claimed.extend(claim(&*store, n * 4 + round, 0, 2).await);
            }
            claimed
        }
    }))
    .await;
    let entries: Vec<_> = claimed
        .iter()
        .flatten()
        .map(|job| job.lease.entry)
        .collect();
    assert_eq!(entries.len(), 60);
    assert_eq!(entries.iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn an_expired_lease_is_taken_over_and_its_holder_refused(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store, &[("tidy", "", 60)]).await;
    let first = claim_one(&*store, 1, 0).await.unwrap();
    let due = store.jobs().next_due().await.unwrap();
    assert_eq!(due, Some(given::at(60)));
    assert_eq!(claim(&*store, 2, 59, 9).await, []);
    let second = claim_one(&*store, 2, 60).await.unwrap();
    assert_eq!(second.lease.entry, first.lease.entry);
    assert_eq!(second.attempt, 2, "the lost run was a try");
    assert_eq!((first.lost, second.lost), (None, Some(given::at(0))));

    assert!(!complete(&*store, &first, &Completion::Succeeded, 61).await);
    let jobs = store.jobs();
    assert!(!jobs.extend(first.lease, given::at(999)).await.unwrap());
    let state = states(&*store, &hugo, 61).await.remove(0);
    assert_eq!(state.running_since, Some(given::at(60)));
    assert_eq!(state.last_failure.unwrap().error.kind(), "lost");
    assert!(complete(&*store, &second, &Completion::Succeeded, 62).await);
    let state = states(&*store, &hugo, 62).await.remove(0);
    assert_eq!(state.next_run, Some(given::at(HOUR)));
    assert_eq!(state.last_failure, None);
}

pub async fn an_extended_lease_is_not_taken_over(store: Arc<dyn Store>) {
    hugo(&*store, &[("tidy", "", 60)]).await;
    let job = claim_one(&*store, 1, 0).await.unwrap();
    let until = given::at(50).saturating_add(LEASE);
    assert!(store.jobs().extend(job.lease, until).await.unwrap());
    assert_eq!(claim(&*store, 2, 109, 9).await, []);
    assert!(claim_one(&*store, 2, 110).await.is_some());
}

pub async fn a_lease_that_has_expired_is_held_until_somebody_claims(store: Arc<dyn Store>) {
    hugo(&*store, &[("tidy", "", 60)]).await;
    let job = claim_one(&*store, 1, 0).await.unwrap();
    let jobs = store.jobs();
    assert!(jobs.extend(job.lease, given::at(500)).await.unwrap());
    assert!(complete(&*store, &job, &Completion::Succeeded, 1000).await);
}

pub async fn a_run_is_completed_once(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60)]).await;
    let first = claim_one(&*store, 1, 0).await.unwrap();
    assert!(complete(&*store, &first, &Completion::Succeeded, 1).await);
    let put_back = Completion::PutBack {
        until: given::at(2),
    };
    for again in [&Completion::Succeeded, &put_back] {
        assert!(!complete(&*store, &first, again, 2).await);
    }
    let jobs = store.jobs();
    assert!(!jobs.extend(first.lease, given::at(999)).await.unwrap());
    assert_eq!(runs(&*store, 3).await, None);
    // Nor is an entry that is gone.
    run_now(&*store, hugo.id, &job(&notes, "tidy")).await;
    let queued = runs(&*store, 4).await.unwrap();
    assert_eq!(queued.trigger, Trigger::RunNow);
    assert!(!complete(&*store, &queued, &Completion::Succeeded, 4).await);
}

pub async fn of_completions_at_once_one_counts(store: Arc<dyn Store>) {
    hugo(&*store, &[("tidy", "", 60)]).await;
    let job = claim_one(&*store, 1, 0).await.unwrap();
    let completed = race((0..6).map(|_| {
        let (store, job) = (store.clone(), job.clone());
        async move { complete(&*store, &job, &Completion::Succeeded, 1).await }
    }))
    .await;
    assert_eq!(completed.iter().filter(|counts| **counts).count(), 1);
}

pub async fn one_job_never_runs_twice_at_once_for_one_user(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60), ("other", "", 60)]).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    run_now(&*store, hugo.id, &job(&notes, "tidy")).await;
    // Both of hugo's are due; one is claimed, and erna's, and other jobs.
    let claimed = claim(&*store, 1, 0, 9).await;
    assert_eq!(claimed.len(), 4);
    assert_eq!(claim(&*store, 2, 1, 9).await, []);
    let due = store.jobs().next_due().await.unwrap();
    assert_eq!(due, Some(given::at(60)), "what must wait is not due");
    let running = claimed
        .iter()
        .find(|claimed| claimed.user == hugo && claimed.job == job(&notes, "tidy"));
    assert!(complete(&*store, running.unwrap(), &Completion::Succeeded, 2).await);
    let due = store.jobs().next_due().await.unwrap();
    assert_eq!(due, Some(given::at(0)));
    let next = claim(&*store, 3, 2, 9).await;
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].job, job(&notes, "tidy"));
    assert_ne!(next[0].lease.entry, running.unwrap().lease.entry);
}

pub async fn each_user_has_her_turn_before_anybody_has_two(store: Arc<dyn Store>) {
    let jobs: Vec<String> = (0..10).map(|n| format!("job{n}")).collect();
    let jobs: Vec<_> = jobs.iter().map(|name| (name.as_str(), "", 60)).collect();
    let (hugo, _) = hugo(&*store, &jobs).await;
    let small = save(
        &*store,
        &hugo,
        "Small",
        &[("one", "", 60), ("two", "", 60)],
        0,
    )
    .await;
    let erna = given::user(&*store, "erna", 2).await;
    let karl = given::user(&*store, "karl", 3).await;
    given::installed(&*store, &erna, &small).await;
    given::installed(&*store, &karl, &small).await;
    let users = |claimed: &[crate::job::ClaimedJob]| {
        let mut users: Vec<_> = claimed.iter().map(|job| job.user.id).collect();
        users.sort();
        users
    };
    let claimed = claim(&*store, 1, 0, 3).await;
    assert_eq!(users(&claimed), [hugo.id, erna.id, karl.id]);
    // One of each runs; two of hugo's ended meanwhile, so it is his turn first.
    for job in claimed.iter().filter(|job| job.user == hugo) {
        assert!(complete(&*store, job, &Completion::Succeeded, 0).await);
    }
    assert_eq!(users(&claim(&*store, 2, 0, 1).await), [hugo.id]);
    assert_eq!(
        users(&claim(&*store, 3, 0, 3).await),
        [hugo.id, erna.id, karl.id]
    );
}

pub async fn who_had_her_last_turn_longest_ago_has_the_next(store: Arc<dyn Store>) {
    let jobs = [("a", "", 60), ("b", "", 60), ("c", "", 60)];
    let (hugo, notes) = hugo(&*store, &jobs).await;
    let erna = given::user(&*store, "erna", 2).await;
    let karl = given::user(&*store, "karl", 3).await;
    for user in [&erna, &karl] {
        let assemblies = store.assemblies();
        let installed = assemblies.install(user.id, &notes, 9, given::at(1));
        installed.await.unwrap();
    }
    let mut turns = Vec::new();
    while let Some(job) = runs(&*store, 2).await {
        turns.push(job.user.id);
    }
    let round = [hugo.id, erna.id, karl.id];
    assert_eq!(turns, [round, round, round].concat());
}

pub async fn however_much_is_due_for_one_user_the_others_have_their_turns(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let jobs: Vec<String> = (0..100).map(|n| format!("job{n}")).collect();
    let jobs: Vec<_> = jobs.iter().map(|name| (name.as_str(), "", 60)).collect();
    for n in 0..50 {
        let many = save(&*store, &hugo, &format!("Many{n}"), &jobs, 0).await;
        given::installed(&*store, &hugo, &many).await;
    }
    let small = save(&*store, &hugo, "Small", &[("one", "", 60)], 0).await;
    let mut others = Vec::new();
    for n in 0..10 {
        let other = given::user(&*store, &format!("other{n}"), 2 + n).await;
        let assemblies = store.assemblies();
        let installed = assemblies.install(other.id, &small, 9, given::at(1)).await;
        installed.unwrap();
        others.push(other.id);
    }
    let hugo = hugo.id;
    let mut turns = Vec::new();
    for lease in 0..4 {
        let claimed = claim(&*store, lease, 10, 4).await;
        turns.push(claimed.iter().map(|job| job.user.id).collect::<Vec<_>>());
        // What hugo runs, runs on.
        for job in claimed.iter().filter(|job| job.user.id != hugo) {
            assert!(complete(&*store, job, &Completion::Succeeded, 10).await);
        }
    }
    assert_eq!(turns[0], [&[hugo], &others[..3]].concat());
    assert_eq!(turns[1], others[3..7]);
    assert_eq!(turns[2], [&others[7..], &[hugo]].concat());
    assert_eq!(turns[3], [hugo; 4]);
    let due = store.jobs().next_due().await.unwrap();
    assert_eq!(due, Some(given::at(0)));
}

pub async fn whoever_waits_longest_comes_first(store: Arc<dyn Store>) {
    let jobs = [("a", "", 60), ("b", "", 60), ("c", "", 60)];
    let (hugo, notes) = hugo(&*store, &jobs).await;
    let mut users = vec![hugo.id];
    for (n, name) in [(2, "erna"), (3, "karl")] {
        let user = given::user(&*store, name, n).await;
        let (assemblies, at) = (store.assemblies(), given::at(10 * n64(n)));
        assemblies.install(user.id, &notes, 9, at).await.unwrap();
        users.push(user.id);
    }
    let [hugo, erna, karl] = users[..] else {
        panic!("{users:?}");
    };
    // Hugo since 0, then since 15; erna since 20, karl since 30.
    for (second, expected) in [(15, hugo), (40, hugo), (41, erna), (42, karl), (43, hugo)] {
        assert_eq!(runs(&*store, second).await.unwrap().user.id, expected);
    }
    assert_eq!(runs(&*store, 44).await.unwrap().user.id, erna);
    // The clock is set back: nobody waits for it to be as late as it was.
    assert_eq!(runs(&*store, 35).await.unwrap().user.id, karl);
    assert_eq!(runs(&*store, 36).await.unwrap().user.id, erna);
    assert_eq!(runs(&*store, 37).await.unwrap().user.id, karl);
    assert_eq!(runs(&*store, 38).await, None);
}

fn n64(n: u64) -> i64 {
    i64::try_from(n).unwrap()
}

pub async fn uninstalling_while_a_job_runs_takes_its_lease_away(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60)]).await;
    let running = claim_one(&*store, 1, 0).await.unwrap();
    let assemblies = store.assemblies();
    assert!(assemblies.uninstall(hugo.id, &notes).await.unwrap());
    let jobs = store.jobs();
    assert!(!jobs.extend(running.lease, given::at(99)).await.unwrap());
    given::installed(&*store, &hugo, &notes).await;
    assert!(!complete(&*store, &running, &Completion::Succeeded, 1).await);
    let again = claim_one(&*store, 2, 1).await.unwrap();
    assert_ne!(again.lease.entry, running.lease.entry);
    assert_eq!(again.attempt, 1);
}

pub async fn a_job_that_a_save_drops_while_it_runs_takes_its_lease_away(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[("tidy", "", 60)]).await;
    let running = claim_one(&*store, 1, 0).await.unwrap();
    save(&*store, &hugo, "Notes", &[("other", "", 0)], 1).await;
    assert!(!complete(&*store, &running, &Completion::Succeeded, 1).await);
    let unknown = run_now(&*store, hugo.id, &job(&notes, "tidy")).await;
    assert_eq!(unknown, EnqueueOutcome::UnknownJob);
}
