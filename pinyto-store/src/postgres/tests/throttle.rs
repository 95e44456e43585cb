//! Failed tries, in whatever order they meet.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use pinyto_core::{
    FailureQuota,
    testing::given,
    throttle::{Attempt, FailureRepository, Subject},
};
use pinyto_postgres_cluster::Database;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::{super::PostgresStore, number, store};

const BURST: u32 = 10;

const QUOTA: FailureQuota = FailureQuota::new(
    NonZeroU32::MIN.saturating_add(BURST - 1),
    Duration::from_secs(30),
);

fn subject(n: u8) -> Subject {
    Subject::from_bytes([n; 16])
}

fn attempt(subjects: &[u8], failed: bool) -> Attempt {
    let subjects = subjects.iter().map(|n| (subject(*n), QUOTA));
    Attempt {
        subjects: subjects.collect(),
        failed,
        at: given::at(0),
    }
}

async fn deadlocks(database: &Database) -> i64 {
    let mut server = PgConnection::connect(database.url()).await.unwrap();
    let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(count)
        .fetch_one(&mut server)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_at_two_servers_count_together_and_nobody_waits_in_a_circle() {
    let Some((one, database)) = store().await else {
        return;
    };
    let before = deadlocks(&database).await;
    let other = PostgresStore::open(database.url()).await.unwrap();
    let stores = [one, Arc::new(other)];
    let generous = FailureQuota::new(NonZeroU32::MAX, QUOTA.interval);
    for round in 0..20 {
        let mut tries = JoinSet::new();
        for n in 0..40 {
            let store = Arc::clone(&stores[n % 2]);
            let mut attempt = attempt(&[100 + round], true);
            // Two addresses, on either side of the account.
            let address = subject([50, 200][n / 2 % 2]);
            attempt.subjects.insert(n / 4 % 2, (address, generous));
            tries.spawn(async move { store.settle(&attempt).await });
        }
        let settled = tries.join_all().await;
        let allowed = settled
            .iter()
            .filter(|one| one.as_ref().unwrap().is_allowed);
        assert_eq!(allowed.count(), BURST as usize, "in round {round}");
        for store in &stores {
            let success = store.settle(&attempt(&[100 + round], false)).await;
            assert!(!success.unwrap().is_allowed);
        }
    }
    for store in stores {
        store.close().await;
    }
    assert_eq!(deadlocks(&database).await, before);
}

/// Otherwise the fastest answer of many that are computed at once would be the right guess's.
#[tokio::test]
async fn a_success_waits_for_failures_that_came_before_it() {
    let Some((store, database)) = store().await else {
        return;
    };
    for is_known in [false, true] {
        let guess = [u8::from(is_known)];
        if is_known {
            store.settle(&attempt(&guess, true)).await.unwrap();
        }
        let mut server = PgConnection::connect(database.url()).await.unwrap();
        let mut failing = server.begin().await.unwrap();
        let note = "INSERT INTO pinyto.failures AS f (subject, paid_at) VALUES ($1, $2)
            ON CONFLICT (subject) DO UPDATE SET paid_at = excluded.paid_at";
        sqlx::query(note)
            .bind([u8::from(is_known); 16].as_slice())
            .bind(given::at(300).unix_millis())
            .execute(&mut *failing)
            .await
            .unwrap();
        let success = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.settle(&attempt(&guess, false)).await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!success.is_finished(), "it overtook");
        failing.commit().await.unwrap();
        let settled = success.await.unwrap().unwrap();
        assert!(!settled.is_allowed);
        assert_eq!(settled.paid_at, [given::at(300)]);
    }
    store.close().await;
}

#[tokio::test]
async fn counts_are_not_written_to_the_log() {
    let Some((store, _database)) = store().await else {
        return;
    };
    let unlogged = "SELECT count(*) FROM pg_class
        WHERE oid = 'pinyto.failures'::regclass AND relpersistence = 'u'";
    assert_eq!(number(&store, unlogged).await, 1);
    store.close().await;
}
