//! What happens when the database is restarted, fails over, is full, slow, or not to be written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use pinyto_core::{
    assembly::AssemblyRef,
    document::{DocumentRepository, InsertOutcome, NewEntry, Scope},
    key::{KeyChange, KeyRepository, KeyState},
    session::{NewSession, ReplaceOutcome, SessionRepository},
    store::{Store, StoreError},
    testing::given,
    user::{RegisterOutcome, User, UserRepository},
};
use pinyto_postgres_cluster::Instance;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use super::{
    super::{PostgresOptions, PostgresStore},
    store,
};

const QUICK: Duration = Duration::from_millis(400);

pub(super) fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { .. }))
}

async fn reason(store: &PostgresStore) -> Option<&'static str> {
    match store.ping().await {
        Ok(()) => None,
        Err(StoreError::NotReady { reason }) => Some(reason),
        Err(error) => panic!("{error:?}"),
    }
}

pub(super) fn entry(n: u64, assembly: &AssemblyRef) -> NewEntry {
    given::entry(&given::document(n, assembly, json!({"n": n})))
}

pub(super) async fn with_notes(store: &PostgresStore, name: &str, n: u64) -> (User, AssemblyRef) {
    let user = given::user(store, name, n).await;
    let notes = given::assembly(store, &user, "Notes").await;
    given::installed(store, &user, &notes).await;
    (user, notes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_no_call_fails_however_many_connections_were_lost() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let store = PostgresStore::open(server.url("postgres")).await.unwrap();
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    let key = given::first_key(&store, &ann).await;
    for round in 0..3 {
        // As many connections as there may be.
        let busy = (0..10).map(|_| {
            store
                .database
                .one(|| sqlx::query_as::<_, (i32,)>("SELECT 1 FROM pg_sleep(0.2)"))
        });
        for waited in join_all(busy).await {
            waited.unwrap();
        }
        server.restart_immediately().await;
        let (entries, name) = (
            [entry(2 * round, &notes), entry(2 * round + 1, &notes)],
            format!("user{round}"),
        );
        let session = NewSession {
            user: ann.id,
            key,
            token_hash: given::token_hash(round),
            at: given::at(1),
        };
        let (new, hash) = (given::new_user(&name, 9), given::hash_of(1));
        // What is one statement, what is a transaction, what only reads.
        let (first, second, registered, opened, changed, keys, usage) = tokio::join!(
            store.insert(ann.id, &entries[0]),
            store.insert(ann.id, &entries[1]),
            store.register(&new),
            store.replace(&session),
            store.set_state(ann.id.into(), &hash, KeyState::Active, given::at(0)),
            store.list(ann.id),
            store.usage(ann.id),
        );
        assert_eq!(
            [first.unwrap(), second.unwrap()],
            [InsertOutcome::Inserted; 2]
        );
        assert!(
            matches!(registered, Ok(RegisterOutcome::Registered(_))),
            "{registered:?}"
        );
        assert!(
            matches!(opened, Ok(ReplaceOutcome::Opened(_))),
            "{opened:?}"
        );
        assert!(matches!(changed, Ok(KeyChange::Done(_))), "{changed:?}");
        assert_eq!(keys.unwrap().len(), 1);
        assert!(usage.unwrap().is_some());
        store.ping().await.unwrap();
    }
    assert_eq!(given::document_count(&store, &ann).await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_however_often_the_server_is_killed() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let store = Arc::new(PostgresStore::open(server.url("postgres")).await.unwrap());
    let until = Instant::now() + Duration::from_secs(6);
    let mut writers = JoinSet::new();
    for writer in 0..6_u64 {
        let store = Arc::clone(&store);
        let (user, notes) = with_notes(&store, &format!("user{writer}"), writer).await;
        writers.spawn(async move {
            let (mut acknowledged, mut failed) = (Vec::new(), 0_u64);
            for n in 0.. {
                if Instant::now() > until {
                    break;
                }
                let entry = entry(n, &notes);
                match store.insert(user.id, &entry).await {
                    Ok(InsertOutcome::Inserted) => acknowledged.push(entry.document),
                    Ok(other) => panic!("{other:?}"),
                    Err(StoreError::Unavailable { .. }) => failed += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            (user, acknowledged, failed)
        });
    }
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(900)).await;
        server.restart_immediately().await;
    }
    let mut all = 0;
    while let Some(written) = writers.join_next().await {
        let (user, acknowledged, failed) = written.unwrap();
        all += acknowledged.len();
        let scope = Scope::all_of(user.id);
        for document in &acknowledged {
            let found = DocumentRepository::find(store.as_ref(), scope, document.id).await;
            assert_eq!(found.unwrap().as_ref(), Some(document));
        }
        // Each counts once, those whose acknowledgement got lost included.
        let there = given::document_count(store.as_ref(), &user).await;
        assert!(there >= acknowledged.len() as u64 && there <= acknowledged.len() as u64 + failed);
        let usage = store.usage(user.id).await.unwrap().unwrap();
        let stored = "SELECT coalesce(sum(size), 0)::bigint FROM pinyto.documents WHERE user_id = ";
        let sum = format!("{stored}{}", user.id.get());
        let (sum,): (i64,) = store
            .database
            .one(|| sqlx::query_as(AssertSqlSafe(sum.clone())))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(usage.bytes, u64::try_from(sum).unwrap());
    }
    assert!(all > 50, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_to_be_written_is_unavailable_until_it_is() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let options = PostgresOptions::new(server.url("postgres")).patience(QUICK);
    let store = PostgresStore::open(options).await.unwrap();
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    server
        .execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        .await;
    server.restart_immediately().await;
    let begun = Instant::now();
    let inserted = store.insert(ann.id, &entry(1, &notes)).await;
    assert!(is_unavailable(&inserted), "{inserted:?}");
    let listed = store.list(ann.id).await;
    assert!(
        is_unavailable(&listed),
        "what is read may be old: {listed:?}"
    );
    assert!(begun.elapsed() < QUICK * 25, "{:?}", begun.elapsed());
    assert_eq!(
        reason(&store).await,
        Some("it can only be read, not written")
    );
    server
        .execute(
            "BEGIN READ WRITE;
            ALTER DATABASE postgres SET default_transaction_read_only = off; COMMIT",
        )
        .await;
    assert_eq!(reason(&store).await, None);
    store.insert(ann.id, &entry(1, &notes)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_waited_for_and_told_of() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let options = PostgresOptions::new(server.url("postgres")).patience(QUICK);
    let impatient = PostgresStore::open(options).await.unwrap();
    let store = PostgresStore::open(server.url("postgres")).await.unwrap();
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    server.stop_immediately();
    let inserted = impatient.insert(ann.id, &entry(1, &notes)).await;
    assert!(is_unavailable(&inserted), "{inserted:?}");
    assert_eq!(reason(&impatient).await, Some("it can't be reached"));
    let patient = entry(2, &notes);
    let patient = store.insert(ann.id, &patient);
    let back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.start_again().await;
    };
    let (inserted, ()) = tokio::join!(patient, back);
    assert_eq!(inserted.unwrap(), InsertOutcome::Inserted);
    assert_eq!(reason(&impatient).await, None);
    impatient.insert(ann.id, &entry(3, &notes)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_servers_the_one_that_can_be_written_is_used() {
    let Some(primary) = Instance::start().await else {
        return;
    };
    let standby = primary.synchronous_standby().await;
    let (first, second) = (standby.address(), primary.address());
    let url =
        format!("postgres://pinyto@{first},{second}/postgres?target_session_attrs=read-write");
    let store = PostgresStore::open(url).await.unwrap();
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    for n in 0..20 {
        store.insert(ann.id, &entry(n, &notes)).await.unwrap();
    }
    primary.kill();
    let waiting = entry(20, &notes);
    let waiting = store.insert(ann.id, &waiting);
    let failover = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        standby.promote().await;
        standby
            .execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            .await;
        standby.execute("SELECT pg_reload_conf()").await;
    };
    let (inserted, ()) = tokio::join!(waiting, failover);
    assert_eq!(inserted.unwrap(), InsertOutcome::Inserted);
    assert_eq!(given::document_count(&store, &ann).await, 21);
    store.ping().await.unwrap();
    // From now on without waiting (for ten seconds, which is what it would be).
    let begun = Instant::now();
    store.insert(ann.id, &entry(21, &notes)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn who_finds_all_connections_taken_waits_for_one_and_no_longer_than_he_may() {
    let Some((_, database)) = store().await else {
        return;
    };
    let options = PostgresOptions::new(database.url())
        .connections(4)
        .patience(QUICK);
    let store = PostgresStore::open(options).await.unwrap();
    let ann = given::user(&store, "ann", 1).await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(store.database.connections().get().await.unwrap());
    }
    let begun = Instant::now();
    let listed = store.list(ann.id).await;
    assert!(is_unavailable(&listed), "{listed:?}");
    assert!(begun.elapsed() < QUICK * 15, "{:?}", begun.elapsed());
    assert_eq!(reason(&store).await, Some("no connection to it is free"));
    taken.pop();
    assert_eq!(store.list(ann.id).await.unwrap().len(), 1);
    assert_eq!(reason(&store).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_more_connections_is_waited_for() {
    let Some(server) = Instance::start().await else {
        return;
    };
    server
        .execute("CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app")
        .await;
    let url = server.url("postgres").replace("pinyto@", "app@");
    let store = PostgresStore::open(PostgresOptions::new(url.as_str()).patience(QUICK));
    let store = store.await.unwrap();
    let ann = given::user(&store, "ann", 1).await;
    server.execute("ALTER ROLE app CONNECTION LIMIT 0").await;
    // In another transaction: until the first is committed, they would come back.
    server
        .execute(
            "SELECT pg_terminate_backend(pid, 9999) FROM pg_stat_activity WHERE usename = 'app'",
        )
        .await;
    let listed = store.list(ann.id).await;
    assert!(is_unavailable(&listed), "{listed:?}");
    assert_eq!(reason(&store).await, Some("it takes no more connections"));
    server.execute("ALTER ROLE app CONNECTION LIMIT 10").await;
    assert_eq!(store.list(ann.id).await.unwrap().len(), 1);
    assert_eq!(reason(&store).await, None);
}

#[tokio::test]
async fn the_greatest_patience_is_no_trouble() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    let options = PostgresOptions::new(database.url())
        .patience(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX);
    let store = PostgresStore::open(options).await.unwrap();
    given::user(&store, "hugo", 1).await;
    assert!(store.ping().await.is_ok());
}
