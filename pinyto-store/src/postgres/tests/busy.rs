//! Whoever keeps her row busy keeps nobody else waiting, and is booked nevertheless.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pinyto_core::{
    Page,
    document::{DocumentRepository, InsertOutcome},
    job::JobRepository,
    key::KeyRepository,
    run::{CpuBooking, HourUsage, Recorded, RunBatch, RunId, RunRepository, RunRetention},
    session::{NewSession, SessionRepository},
    testing::given,
    user::User,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::{
    super::{PostgresOptions, PostgresStore},
    number, settled, store,
    trouble::{entry, with_notes},
};

/// Holds the user's row until it is [let go](let_go).
pub(super) async fn held(url: &str, user: &User) -> PgConnection {
    let mut holder = PgConnection::connect(url).await.unwrap();
    let lock = format!(
        "BEGIN; SELECT 1 FROM pinyto.users WHERE id = {} FOR UPDATE",
        user.id.get()
    );
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut holder)
        .await
        .unwrap();
    holder
}

/// Nobody holds the row when it returns.
pub(super) async fn let_go(mut holder: PgConnection) {
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    holder.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_user_that_wait_leave_connections_to_the_others() {
    let Some((_, database)) = store().await else {
        return;
    };
    let options = PostgresOptions::new(database.url()).connections(4);
    let store = Arc::new(PostgresStore::open(options).await.unwrap());
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    let (bob, _) = with_notes(&store, "bob", 2).await;
    given::installed(store.as_ref(), &bob, &notes).await;
    settled(&store).await;
    let holder = held(database.url(), &ann).await;
    let mut waiting = JoinSet::new();
    for n in 0..12 {
        let (store, user, entry) = (Arc::clone(&store), ann.id, entry(n, &notes));
        waiting.spawn(async move { store.insert(user, &entry).await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    store.insert(bob.id, &entry(1, &notes)).await.unwrap();
    assert_eq!(store.list(ann.id).await.unwrap().len(), 1);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(given::document_count(store.as_ref(), &ann).await, 0);
    let_go(holder).await;
    while let Some(inserted) = waiting.join_next().await {
        assert_eq!(inserted.unwrap().unwrap(), InsertOutcome::Inserted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_logouts_and_ends_of_runs_of_one_user_that_wait_leave_connections_to_the_others() {
    let Some((_, database)) = store().await else {
        return;
    };
    let options = PostgresOptions::new(database.url()).connections(4);
    let store = Arc::new(PostgresStore::open(options).await.unwrap());
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let bob = given::user(store.as_ref(), "bob", 2).await;
    let key = given::first_key(store.as_ref(), &ann).await;
    let living = given::session(store.as_ref(), &ann, key, 1).await;
    let bobs = given::first_key(store.as_ref(), &bob).await;
    settled(&store).await;
    let holder = held(database.url(), &ann).await;
    let mut waiting = JoinSet::new();
    for n in 0..12 {
        let (store, user, session) = (Arc::clone(&store), ann.clone(), living.id);
        waiting.spawn(async move {
            match n % 4 {
                0 => {
                    let session = NewSession {
                        user: user.id,
                        key,
                        token_hash: given::token_hash(10 + n),
                        at: given::at(5),
                    };
                    store.replace(&session).await.map(drop)
                }
                1 => store.end(user.id, session).await.map(drop),
                2 => {
                    let released = store.release(user.id, given::run_id(n), given::at(5));
                    released.await.map(drop)
                }
                _ => store.renew(user.id, session, given::at(5)).await,
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let hers = given::session(store.as_ref(), &bob, bobs, 2).await;
    store.renew(bob.id, hers.id, given::at(9)).await.unwrap();
    given::user(store.as_ref(), "cid", 3).await;
    assert!(store.end(bob.id, hers.id).await.unwrap());
    // Those of hers that wait do it for 10 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "{begun:?}");
    assert!(waiting.try_join_next().is_none());
    let_go(holder).await;
    while let Some(done) = waiting.join_next().await {
        done.unwrap().unwrap();
    }
}

/// A run of each user's, and 5 ms of CPU time.
fn batch(users: &[&User]) -> RunBatch {
    let runs = users.iter().zip(1..);
    let runs = runs.map(|(user, n)| given::run(n, user.id, "ann/Notes"));
    let cpu = users.iter().map(|user| CpuBooking {
        user: user.id,
        hour: 7,
        used: Duration::from_millis(5),
    });
    given::batch(runs.collect(), cpu.collect())
}

async fn record(store: &PostgresStore, batch: &RunBatch) -> Recorded {
    let recorded = store.record(batch, RunRetention::default(), given::at(9));
    recorded.await.unwrap()
}

/// Her runs, and what is booked for her.
async fn recorded_of(store: &PostgresStore, user: &User) -> (Vec<RunId>, u128) {
    let runs = RunRepository::list_of_user(store, user.id, None, Page::first(9)).await;
    let runs = runs.unwrap();
    let usage = store.hour_usage(user.id).await.unwrap();
    let millis = usage.map_or(0, |usage| usage.used.as_millis());
    (runs.into_iter().map(|run| run.id).collect(), millis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_busy_user_are_kept_back_and_those_of_others_are_not() {
    let Some((store, database)) = store().await else {
        return;
    };
    let other_server = PostgresStore::open(database.url()).await.unwrap();
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let bob = given::user(store.as_ref(), "bob", 2).await;
    let cid = given::user(store.as_ref(), "cid", 3).await;
    settled(&store).await;
    let holder = held(database.url(), &bob).await;
    let all = batch(&[&ann, &bob, &cid]);
    let busy = BTreeSet::from([bob.id]);
    let first = record(&store, &all).await;
    assert_eq!(first.kept_back, busy);
    let figure = |user: &User| HourUsage {
        user: user.id,
        hour: 7,
        used: Duration::from_millis(5),
    };
    assert_eq!(first.figures, [figure(&ann), figure(&cid)]);
    for (user, run) in [(&ann, 1), (&cid, 3)] {
        let found = recorded_of(&other_server, user).await;
        assert_eq!(found, (vec![given::run_id(run)], 5));
    }
    assert_eq!(recorded_of(&other_server, &bob).await, (Vec::new(), 0));
    // As if the answer had got lost: the same once more, also when nobody is busy any more.
    assert_eq!(record(&store, &all).await, first);
    let_go(holder).await;
    assert_eq!(record(&store, &all).await, first);
    assert_eq!(recorded_of(&other_server, &bob).await, (Vec::new(), 0));
    let mut hers = all.clone();
    hers.id.number += 1;
    hers.runs.retain(|run| run.user == bob.id);
    hers.cpu.retain(|cpu| cpu.user == bob.id);
    for _ in 0..2 {
        let recorded = record(&store, &hers).await;
        assert_eq!((recorded.kept_back.len(), recorded.figures.len()), (0, 1));
        let found = recorded_of(&other_server, &bob).await;
        assert_eq!(found, (vec![given::run_id(2)], 5));
    }
    other_server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_waits_comes_about_when_its_user_is_free_or_ends_without_having_done_anything()
{
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    settled(&store).await;
    let holder = held(database.url(), &ann).await;
    let mut hers = batch(&[&ann]);
    hers.waits = true;
    let begun = Instant::now();
    let in_vain = record(&store, &hers).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "it waited");
    assert_eq!(in_vain.kept_back, BTreeSet::from([ann.id]));
    assert_eq!(recorded_of(&store, &ann).await, (Vec::new(), 0));
    hers.id.number += 1;
    let waiting = tokio::spawn({
        let (store, hers) = (Arc::clone(&store), hers.clone());
        async move { record(&store, &hers).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock'";
    while number(&store, waits).await == 0 {
        assert!(!waiting.is_finished(), "it waits");
    }
    let_go(holder).await;
    assert_eq!(waiting.await.unwrap().kept_back, BTreeSet::new());
    let done = (vec![given::run_id(1)], 5);
    assert_eq!(recorded_of(&store, &ann).await, done);
    // It comes again, and she is busy once more.
    let holder = held(database.url(), &ann).await;
    assert_eq!(record(&store, &hers).await.kept_back, BTreeSet::new());
    let_go(holder).await;
    assert_eq!(recorded_of(&store, &ann).await, done);
}

/// Locks the user's row as soon as somebody else gives it up, all the time.
async fn keep_busy(url: &str, user: &User, ends: Arc<AtomicBool>) {
    let mut db = PgConnection::connect(url).await.unwrap();
    let lock = format!(
        "BEGIN; UPDATE pinyto.users SET bytes = bytes WHERE id = {}; SELECT pg_sleep(0.02); COMMIT",
        user.id.get()
    );
    while !ends.load(Ordering::SeqCst) {
        let held = sqlx::raw_sql(AssertSqlSafe(lock.clone())).execute(&mut db);
        held.await.unwrap();
    }
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_busy_all_the_time_is_booked_nevertheless() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let ends = Arc::<AtomicBool>::default();
    let mut busy = JoinSet::new();
    for _ in 0..3 {
        let (url, ann, ends) = (database.url().to_owned(), ann.clone(), Arc::clone(&ends));
        busy.spawn(async move { keep_busy(&url, &ann, ends).await });
    }
    let is_busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock'";
    while number(&store, is_busy).await < 2 {}
    let mut hers = batch(&[&ann]);
    let mut tries = 0;
    hers.waits = true;
    while !record(&store, &hers).await.kept_back.is_empty() {
        hers.id.number += 1;
        tries += 1;
        assert!(tries < 20, "she escapes");
    }
    assert_eq!(recorded_of(&store, &ann).await, (vec![given::run_id(1)], 5));
    ends.store(true, Ordering::SeqCst);
    busy.join_all().await;
}
