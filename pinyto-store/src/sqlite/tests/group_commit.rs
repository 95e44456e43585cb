//! Writes that share a transaction, and what happens when one of them fails.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    store::{Store as _, StoreError},
    testing::given,
    user::{RegisterOutcome, UserRepository as _},
};
use sqlx::SqliteConnection;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    super::{SqliteStore, error::Failure, pool::Readers, writer::Intent},
    store,
};

/// Runs some SQL.
struct Sql(String);

#[async_trait]
impl Intent for Sql {
    type Outcome = u64;

    async fn run(&self, db: &mut SqliteConnection) -> Result<u64, Failure> {
        let result = sqlx::query(sqlx::AssertSqlSafe(self.0.clone())).execute(db);
        Ok(result.await?.rows_affected())
    }
}

fn sql(text: impl Into<String>) -> Sql {
    Sql(text.into())
}

/// Adds a row, and says how many rows had been committed before its transaction.
struct Add(Arc<Readers>);

const COUNT: &str = "SELECT count(*) FROM numbers";

#[async_trait]
impl Intent for Add {
    type Outcome = i64;

    async fn run(&self, db: &mut SqliteConnection) -> Result<i64, Failure> {
        sqlx::query("INSERT INTO numbers DEFAULT VALUES")
            .execute(db)
            .await?;
        let committed = self.0.all_or_error::<(i64,)>(sqlx::query_as(COUNT)).await?;
        Ok(committed[0].0)
    }
}

async fn count(store: &SqliteStore) -> i64 {
    let count = store.readers.one::<(i64,)>(sqlx::query_as(COUNT)).await;
    count.unwrap().unwrap().0
}

async fn with_numbers() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let (store, directory) = store(|options| options).await;
    let create = sql("CREATE TABLE numbers (number INTEGER PRIMARY KEY) STRICT");
    store.write(create).await.unwrap();
    (store, directory)
}

/// Holds up the writer until told to go on, so that a queue forms.
struct HoldUp {
    begun: Notify,
    go_on: Notify,
}

#[async_trait]
impl Intent for Arc<HoldUp> {
    type Outcome = ();

    async fn run(&self, _: &mut SqliteConnection) -> Result<(), Failure> {
        self.begun.notify_one();
        self.go_on.notified().await;
        // Longer than a group takes others on board.
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(())
    }
}

async fn hold_up(store: &Arc<SqliteStore>) -> Arc<HoldUp> {
    let hold_up = Arc::new(HoldUp {
        begun: Notify::new(),
        go_on: Notify::new(),
    });
    let (held, writer) = (Arc::clone(&hold_up), Arc::clone(store));
    tokio::spawn(async move { writer.write(held).await });
    hold_up.begun.notified().await;
    hold_up
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writers_share_a_few_commits() {
    let (store, _directory) = with_numbers().await;
    let mut writers = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.write(Add(Arc::clone(&store.readers))).await.unwrap() });
    }
    let seen: HashSet<_> = writers.join_all().await.into_iter().collect();
    assert!(seen.len() <= 25, "{} commits", seen.len());
    assert_eq!(count(&store).await, 100);
}

#[tokio::test]
async fn what_has_queued_up_is_one_commit_up_to_the_limit() {
    let (store, _directory) = with_numbers().await;
    let held = hold_up(&store).await;
    let add = || store.write(Add(Arc::clone(&store.readers)));
    let adding = async { tokio::join!(add(), add(), add()) };
    let (first, second, third) = tokio::join!(adding, async { held.go_on.notify_one() }).0;
    assert_eq!([first.unwrap(), second.unwrap(), third.unwrap()], [0, 0, 0]);

    let (store, _directory) = super::store(|options| options.max_group(1)).await;
    store
        .write(sql("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
        .await
        .unwrap();
    let add = || store.write(Add(Arc::clone(&store.readers)));
    let (first, second) = tokio::join!(add(), add());
    assert_eq!([first.unwrap(), second.unwrap()], [0, 1]);
}

#[tokio::test]
async fn a_lone_write_is_not_held_back() {
    let (store, _directory) = with_numbers().await;
    let writes = async {
        for _ in 0..20 {
            store
                .write(sql("INSERT INTO numbers DEFAULT VALUES"))
                .await
                .unwrap();
        }
    };
    timeout(Duration::from_secs(20), writes).await.unwrap();
}

#[tokio::test]
async fn one_who_fails_does_not_fail_those_beside_it() {
    let (store, _directory) = with_numbers().await;
    let held = hold_up(&store).await;
    let insert = |number: u8| store.write(sql(format!("INSERT INTO numbers VALUES ({number})")));
    let writes = async {
        tokio::join!(
            insert(1),
            insert(2),
            // Writes, then fails: what it wrote must go.
            store.write(sql(
                "INSERT INTO numbers VALUES (66); INSERT INTO numbers VALUES (66)"
            )),
            insert(3),
            store.write(sql("INSERT INTO nowhere VALUES (1)")),
            insert(4),
        )
    };
    let (first, second, twice, third, nowhere, fourth) =
        tokio::join!(writes, async { held.go_on.notify_one() }).0;
    for good in [first, second, third, fourth] {
        assert_eq!(good.unwrap(), 1);
    }
    assert!(matches!(twice, Err(StoreError::Corrupt { .. })));
    assert!(matches!(nowhere, Err(StoreError::Corrupt { .. })));
    assert_eq!(count(&store).await, 4);
}

#[tokio::test]
async fn an_outcome_that_changes_nothing_is_no_failure_of_its_group() {
    let (store, _directory) = store(|options| options).await;
    let (store, runs) = (&store, Arc::new(AtomicUsize::new(0)));
    store.register(&given::new_user("ann", 1)).await.unwrap();
    let held = hold_up(store).await;
    let (taken, free) = (given::new_user("ann", 2), given::new_user("bob", 3));
    let writes = async {
        tokio::join!(
            store.write(Counted(Arc::clone(&runs))),
            store.register(&taken),
            store.register(&free)
        )
    };
    let (_, taken, free) = tokio::join!(writes, async { held.go_on.notify_one() }).0;
    assert_eq!(taken.unwrap(), RegisterOutcome::NameTaken);
    assert!(matches!(free.unwrap(), RegisterOutcome::Registered(_)));
    assert_eq!(runs.load(Ordering::Relaxed), 1, "nothing ran again");
}

/// Counts how often it runs.
struct Counted(Arc<AtomicUsize>);

#[async_trait]
impl Intent for Counted {
    type Outcome = ();

    async fn run(&self, _: &mut SqliteConnection) -> Result<(), Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn callers_who_hang_up_disturb_nobody() {
    let (store, _directory) = with_numbers().await;
    let held = hold_up(&store).await;
    let insert = |number: u8| {
        let (store, (sent, queued)) = (Arc::clone(&store), oneshot::channel());
        let task = tokio::spawn(async move {
            let write = store.write(sql(format!("INSERT INTO numbers VALUES ({number})")));
            let _ = sent.send(());
            write.await
        });
        (task, queued)
    };
    let (gone, queued) = insert(1);
    let (stays, stays_queued) = insert(2);
    queued.await.unwrap();
    stays_queued.await.unwrap();
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    held.go_on.notify_one();
    assert_eq!(stays.await.unwrap().unwrap(), 1);
    assert_eq!(
        count(&store).await,
        1,
        "who hung up before the start gets nothing done"
    );
}

#[tokio::test]
async fn a_full_disk_is_reported_and_recovered_from_when_there_is_room_again() {
    let (store, _directory) = store(|options| options).await;
    let (users, store) = (&store, &store);
    users.register(&given::new_user("before", 1)).await.unwrap();
    let pages = "PRAGMA max_page_count";
    store.write(sql(format!("{pages} = 1"))).await.unwrap();
    let registered =
        |name: &'static str| async move { users.register(&given::new_user(name, 2)).await };
    // Fill what is left in the last pages.
    let mut stored = 0;
    while registered(["a", "b", "c", "d", "e", "f", "g", "h"][stored])
        .await
        .is_ok()
    {
        stored += 1;
    }
    let (one, other) = tokio::join!(registered("one"), registered("other"));
    for refused in [one, other] {
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{refused:?}"
        );
    }
    // Reading goes on, and so does writing that needs no room.
    assert!(users.find(&given::name("before")).await.unwrap().is_some());
    assert!(users.find(&given::name("one")).await.unwrap().is_none());
    store
        .write(sql("UPDATE pinyto_users SET bytes = 1"))
        .await
        .unwrap();

    store.write(sql(format!("{pages} = 100000"))).await.unwrap();
    assert!(matches!(
        registered("one").await,
        Ok(RegisterOutcome::Registered(_))
    ));
    let check = sqlx::query_as::<_, (String,)>("PRAGMA integrity_check");
    assert_eq!(
        store.readers.all(check).await.unwrap(),
        [("ok".to_owned(),)]
    );
}

#[tokio::test]
async fn a_broken_connection_is_replaced() {
    let (store, _directory) = with_numbers().await;
    // An open transaction nobody knows of is as good as broken: BEGIN fails.
    store.write(sql("COMMIT; BEGIN")).await.unwrap();
    store.write(sql("COMMIT")).await.unwrap_err();
    store
        .write(sql("INSERT INTO numbers DEFAULT VALUES"))
        .await
        .unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_vanished_file_is_not_replaced_by_an_empty_one() {
    let (store, directory) = with_numbers().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    // As above.
    store.write(sql("COMMIT; BEGIN")).await.unwrap();
    store.write(sql("COMMIT")).await.unwrap_err();
    for _ in 0..2 {
        let written = store.write(sql("INSERT INTO numbers DEFAULT VALUES")).await;
        assert!(
            matches!(written, Err(StoreError::Unavailable { .. })),
            "{written:?}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn closing_finishes_what_is_queued_and_refuses_what_comes_later() {
    let (store, directory) = with_numbers().await;
    let held = hold_up(&store).await;
    let insert = || store.write(sql("INSERT INTO numbers DEFAULT VALUES"));
    let ends = async {
        held.go_on.notify_one();
        store.close().await;
    };
    let (first, second, ()) = tokio::join!(insert(), insert(), ends);
    assert_eq!([first.unwrap(), second.unwrap()], [1, 1]);
    assert!(matches!(
        insert().await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(matches!(
        store.ping().await,
        Err(StoreError::Unavailable { .. })
    ));
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(
        files.len(),
        1,
        "the log went into the database file: {files:?}"
    );
}
