//! Several stores on one file, as several processes would have them.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{
    FailureQuota,
    document::InsertOutcome,
    job::{Claim, Completion, LeaseId},
    key::{KeyChange, KeyState},
    store::{Store, StoreError},
    testing::given,
    throttle::{Attempt, Subject},
};
use pinyto_store::sqlite::{SqliteOptions, SqliteStore};
use sqlx::{Connection as _, SqliteConnection};
use tokio::task::JoinSet;

use super::Place;

#[tokio::test]
async fn what_one_store_ends_no_other_finds_any_more() {
    let place = Place::new();
    let (one, other) = (place.store().await, place.store().await);
    let ann = given::user(&one, "ann", 1).await;
    given::key(&one, &ann, 2).await;
    let key = given::first_key(&one, &ann).await;
    for round in 0..20 {
        let session = given::session(&one, &ann, key, round).await;
        assert_eq!(
            other.sessions().find(session.id).await.unwrap(),
            Some(session.clone())
        );
        assert!(one.sessions().end(ann.id, session.id).await.unwrap());
        assert_eq!(other.sessions().find(session.id).await.unwrap(), None);
        assert_eq!(
            other
                .sessions()
                .find_by_token(&session.token_hash)
                .await
                .unwrap(),
            None
        );

        let session = given::session(&one, &ann, key, 100 + round).await;
        let successor = given::session(&other, &ann, key, 200 + round).await;
        assert_eq!(one.sessions().find(session.id).await.unwrap(), None);
        let off = other
            .keys()
            .set_state(
                ann.id.into(),
                &given::hash_of(1),
                KeyState::Inactive,
                given::at(0),
            )
            .await;
        assert!(matches!(off.unwrap(), KeyChange::Done(_)));
        assert_eq!(one.sessions().find(successor.id).await.unwrap(), None);
        assert!(!one.keys().list(ann.id).await.unwrap()[0].active);
        other
            .keys()
            .set_state(
                ann.id.into(),
                &given::hash_of(1),
                KeyState::Active,
                given::at(0),
            )
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_that_write_at_once_wait_for_each_other() {
    let place = Place::new();
    let stores = [Arc::new(place.store().await), Arc::new(place.store().await)];
    let ann = given::user(stores[0].as_ref(), "ann", 1).await;
    let notes = given::assembly(stores[0].as_ref(), &ann, "Notes").await;
    given::installed(stores[0].as_ref(), &ann, &notes).await;
    let mut writers = JoinSet::new();
    for n in 0..400 {
        let store = Arc::clone(&stores[n % 2]);
        let document = given::document(n as u64, &notes, n.into());
        let user = ann.id;
        writers.spawn(async move {
            let entry = given::entry(&document);
            store.documents().insert(user, &entry).await
        });
    }
    for inserted in writers.join_all().await {
        assert_eq!(inserted.unwrap(), InsertOutcome::Inserted);
    }
    for store in stores {
        assert_eq!(given::document_count(store.as_ref(), &ann).await, 400);
    }
}

#[tokio::test]
async fn who_holds_the_lock_too_long_makes_writes_unavailable_but_not_reads() {
    let place = Place::new();
    let options = SqliteOptions::new(place.url()).busy_timeout(Duration::from_millis(100));
    let store = SqliteStore::open(options).await.unwrap();
    given::user(&store, "ann", 1).await;
    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();

    let started = Instant::now();
    let (bob, cyd) = (given::new_user("bob", 2), given::new_user("cyd", 3));
    let (bob, cyd) = tokio::join!(store.users().register(&bob), store.users().register(&cyd));
    assert!(
        matches!(bob, Err(StoreError::Unavailable { .. })),
        "{bob:?}"
    );
    assert!(
        matches!(cyd, Err(StoreError::Unavailable { .. })),
        "{cyd:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(8));
    assert!(
        store
            .users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .is_some()
    );

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    given::user(&store, "bob", 2).await;
}

#[tokio::test]
async fn a_lock_that_is_held_fails_all_who_wait_for_it_at_once() {
    let place = Place::new();
    let (patience, busy) = (Duration::from_millis(1000), Duration::from_millis(300));
    let options = SqliteOptions::new(place.url())
        .busy_timeout(busy)
        .patience(patience);
    let store = Arc::new(SqliteStore::open(options).await.unwrap());
    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let mut writers = JoinSet::new();
    for n in 0..50_u64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            // Half of them at once, the others while those wait.
            tokio::time::sleep(Duration::from_millis(20) * u32::try_from(n / 25 * n).unwrap())
                .await;
            let started = Instant::now();
            let written = store.users().register(&given::new_user("ann", n)).await;
            (written, started.elapsed())
        });
    }
    for (written, took) in writers.join_all().await {
        assert!(
            matches!(written, Err(StoreError::Unavailable { .. })),
            "{written:?}"
        );
        assert!(
            took < patience + busy + Duration::from_secs(4),
            "each would wait for all before it: {took:?}"
        );
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    given::user(store.as_ref(), "ann", 1).await;
}

#[tokio::test]
async fn a_caller_who_waited_too_long_is_told_so_and_nothing_is_written() {
    let place = Place::new();
    let options = SqliteOptions::new(place.url())
        .busy_timeout(Duration::from_millis(400))
        .patience(Duration::from_millis(50));
    let store = Arc::new(SqliteStore::open(options).await.unwrap());
    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let register = |name: &'static str| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.users().register(&given::new_user(name, 1)).await })
    };
    let first = register("ann");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = register("bob");
    tokio::time::sleep(Duration::from_millis(100)).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    for registered in [first.await.unwrap(), late.await.unwrap()] {
        assert!(
            matches!(registered, Err(StoreError::Unavailable { .. })),
            "{registered:?}"
        );
    }
    assert!(
        store
            .users()
            .find(&given::name("bob"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_look_up_after_a_commit_finds_what_was_before_it() {
    let place = Place::new();
    let (one, other) = (place.store().await, place.store().await);
    let ann = given::user(&one, "ann", 1).await;
    let key = given::first_key(&one, &ann).await;
    let session = given::session(&one, &ann, key, 1).await.id;
    for minute in 1..=300 {
        let at = given::at(1_000_000 + minute);
        // Remembered by both stores, before.
        for store in [&one, &other] {
            store.sessions().find(session).await.unwrap();
            store.keys().list(ann.id).await.unwrap();
        }
        let writer = if minute % 2 == 0 { &one } else { &other };
        writer.sessions().renew(ann.id, session, at).await.unwrap();
        for store in [&one, &other] {
            let found = store.sessions().find(session).await.unwrap().unwrap();
            assert_eq!(found.last_used_at, at);
            assert_eq!(
                store.keys().list(ann.id).await.unwrap()[0].last_used_at,
                Some(at)
            );
        }
    }
}

#[tokio::test]
async fn of_jobs_that_are_due_each_is_claimed_by_one_store() {
    let place = Place::new();
    let stores = [place.store().await, place.store().await];
    let stores = stores.map(Arc::new);
    let ann = given::user(&*stores[0], "ann", 1).await;
    let notes = given::assembly(&*stores[0], &ann, "Notes").await;
    for n in 2..22 {
        let user = given::user(&*stores[0], &format!("user{n}"), n).await;
        given::installed(&*stores[0], &user, &notes).await;
    }
    let mut claims = JoinSet::new();
    for n in 0..16_u8 {
        let store = stores[usize::from(n % 2)].clone();
        claims.spawn(async move {
            let claim = Claim {
                lease: LeaseId::from_bytes([n; 16]),
                now: given::at(0),
                until: given::at(60),
                limit: 2,
            };
            store.jobs().claim_due(&claim).await.unwrap()
        });
    }
    let claimed = claims.join_all().await.concat();
    let entries: HashSet<_> = claimed.iter().map(|job| job.lease.entry).collect();
    assert_eq!((claimed.len(), entries.len()), (20, 20));
    // What one store has claimed another can't complete without the lease, and can with it.
    let (jobs, lease) = (stores[1].jobs(), claimed[0].lease);
    let completed = jobs.complete(lease, &Completion::Succeeded, given::at(1));
    assert!(completed.await.unwrap());
    let again = stores[0].jobs();
    let again = again.complete(lease, &Completion::Succeeded, given::at(1));
    assert!(!again.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_tries_at_two_stores_count_together() {
    let place = Place::new();
    let stores = [place.store().await, place.store().await];
    let stores = stores.map(Arc::new);
    let quota = FailureQuota::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(30));
    let attempt = move |failed| Attempt {
        subjects: vec![(Subject::from_bytes([1; 16]), quota)],
        failed,
        at: given::at(0),
    };
    let mut tries = JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&stores[n % 2]);
        tries.spawn(async move { store.failures().settle(&attempt(true)).await });
    }
    let settled = tries.join_all().await;
    let allowed = settled
        .iter()
        .filter(|one| one.as_ref().unwrap().is_allowed);
    assert_eq!(allowed.count(), 10);
    for store in stores {
        let success = store.failures().settle(&attempt(false)).await.unwrap();
        assert!(!success.is_allowed);
        store.close().await;
    }
    let restarted = place.store().await;
    let success = restarted.failures().settle(&attempt(false)).await.unwrap();
    assert!(!success.is_allowed);
    assert_eq!(success.paid_at, [given::at(300)]);
}
