//! What is tried again, and what is not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    document::{DocumentRepository, InsertOutcome, Scope},
    key::{KeyRepository, KeyState},
    session::SessionRepository,
    store::StoreError,
    testing::given,
    user::UserRepository,
};
use pinyto_postgres_cluster::Instance;
use sqlx::PgConnection;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};

use super::{
    super::{PostgresOptions, PostgresStore, error::Failure, lock::Lock, pool::Intent},
    number, settled, store,
    trouble::{entry, is_unavailable, with_notes},
};

/// Runs a statement in its first tries, then another one.
struct Provoke {
    statement: &'static str,
    how_often: u32,
    tries: Arc<AtomicU32>,
}

#[async_trait]
impl Intent for Provoke {
    type Outcome = u32;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(Vec::new())
    }

    async fn run(&self, db: &mut PgConnection) -> Result<u32, Failure> {
        let tries = self.tries.fetch_add(1, Ordering::SeqCst) + 1;
        let statement = if tries <= self.how_often {
            self.statement
        } else {
            "SELECT 1"
        };
        sqlx::raw_sql(statement).execute(db).await?;
        Ok(tries)
    }
}

#[tokio::test]
async fn each_kind_of_trouble_is_tried_again_as_often_as_it_makes_sense() {
    let Some((_, database)) = store().await else {
        return;
    };
    let options = PostgresOptions::new(database.url()).patience(Duration::from_secs(2));
    let store = PostgresStore::open(options).await.unwrap();
    macro_rules! raise {
        ($code:literal) => {
            concat!(
                "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '",
                $code,
                "'; END $$"
            )
        };
    }
    let provoke = async |statement, how_often| {
        let tries = Arc::new(AtomicU32::new(0));
        let provoked = store.database.write(Provoke {
            statement,
            how_often,
            tries: Arc::clone(&tries),
        });
        (provoked.await, tries.load(Ordering::SeqCst))
    };
    const LOST: &str = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)";
    const READ_ONLY: &str =
        "SET LOCAL transaction_read_only = on; UPDATE pinyto.users SET bytes = bytes";
    for again in [
        raise!("40001"),
        raise!("40P01"),
        raise!("55P03"),
        raise!("08006"),
        raise!("0A000"),
        raise!("26000"),
        LOST,
        READ_ONLY,
    ] {
        let (outcome, tries) = provoke(again, 1).await;
        assert_eq!((outcome.unwrap(), tries), (2, 2), "{again}");
        let (outcome, tries) = provoke(again, 99).await;
        assert!(is_unavailable(&outcome), "{again}: {outcome:?}");
        assert_eq!(tries, 5, "{again}");
    }
    for once in [
        raise!("57014"),
        raise!("53100"),
        raise!("42501"),
        "SET LOCAL statement_timeout = 50; SELECT pg_sleep(1)",
    ] {
        let (outcome, tries) = provoke(once, 99).await;
        assert!(is_unavailable(&outcome), "{once}: {outcome:?}");
        assert_eq!(tries, 1, "{once}");
    }
    for corrupt in [
        "SELECT * FROM pinyto.nothing",
        raise!("23505"),
        raise!("XX001"),
    ] {
        let (outcome, tries) = provoke(corrupt, 99).await;
        assert!(
            matches!(outcome, Err(StoreError::Corrupt { .. })),
            "{corrupt}: {outcome:?}"
        );
        assert_eq!(tries, 1, "{corrupt}");
    }
}

/// Ends the connection while it commits, the first time.
const DIES_IN_COMMIT: &str = "
    CREATE SEQUENCE public.commits;
    CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('public.commits') = 1 THEN
            PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1);
        END IF;
        RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER die AFTER UPDATE OR INSERT ON pinyto.keys
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.die();
    CREATE CONSTRAINT TRIGGER die AFTER INSERT ON pinyto.documents
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.die()";

#[tokio::test]
async fn a_commit_that_nobody_knows_the_fate_of_is_never_told_as_done_and_not_repeated() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let store = PostgresStore::open(server.url("postgres")).await.unwrap();
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    given::key(&store, &ann, 2).await;
    server.execute(DIES_IN_COMMIT).await;
    let hash = given::hash_of(2);
    let changed = store
        .set_state(ann.id.into(), &hash, KeyState::Inactive, given::at(0))
        .await;
    assert!(is_unavailable(&changed), "{changed:?}");
    let commits = "SELECT last_value FROM public.commits";
    assert_eq!(number(&store, commits).await, 1);
    // An insert can be repeated.
    server
        .execute("SELECT setval('public.commits', 1, false)")
        .await;
    let inserted = store.insert(ann.id, &entry(1, &notes)).await;
    assert_eq!(inserted.unwrap(), InsertOutcome::Inserted);
    assert_eq!(number(&store, commits).await, 2);
    assert_eq!(given::document_count(&store, &ann).await, 1);
}

/// Stands between the store and the server and, when told to, lets a question through and cuts off
/// the answer.
async fn severing(server: std::net::SocketAddr) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let severs = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&severs);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let (mut from_server, mut to_server) =
                    TcpStream::connect(server).await.unwrap().into_split();
                let (mut from_client, mut to_client) = client.into_split();
                tokio::spawn(async move {
                    let _ = copy(&mut from_client, &mut to_server).await;
                });
                let mut answer = vec![0; 65536];
                while let Ok(length) = from_server.read(&mut answer).await {
                    // By now it has been done.
                    if length == 0 || told.swap(false, Ordering::SeqCst) {
                        break;
                    }
                    let _ = to_client.write_all(&answer[..length]).await;
                }
            });
        }
    });
    (port, severs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_whose_acknowledgement_gets_lost_is_stored_and_charged_once() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let (port, severs) = severing(server.address()).await;
    let url = format!("postgres://pinyto@127.0.0.1:{port}/postgres?sslmode=disable");
    let store = PostgresStore::open(PostgresOptions::new(url).one_connection()).await;
    let store = store.unwrap();
    let (ann, notes) = with_notes(&store, "ann", 1).await;
    settled(&store).await;
    for n in 0..4 {
        store.insert(ann.id, &entry(n, &notes)).await.unwrap();
        let one = store.usage(ann.id).await.unwrap().unwrap().bytes / (n + 1);
        severs.store(n % 2 == 1, Ordering::SeqCst);
        let again = entry(n + 100, &notes);
        let inserted = store.insert(ann.id, &again).await;
        assert_eq!(inserted.unwrap(), InsertOutcome::Inserted);
        assert!(!severs.load(Ordering::SeqCst));
        assert!(
            store
                .remove(Scope::all_of(ann.id), again.document.id, given::at(1))
                .await
                .unwrap()
        );
        let usage = store.usage(ann.id).await.unwrap().unwrap();
        assert_eq!(usage.bytes / (n + 1), one);
        assert_eq!(given::document_count(&store, &ann).await, n + 1);
    }
}

/// The second try finds what the first one has noted: a login fails, and none succeeds twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_token_whose_acknowledgement_gets_lost_counts_as_spent() {
    let Some(server) = Instance::start().await else {
        return;
    };
    let (port, severs) = severing(server.address()).await;
    let url = format!("postgres://pinyto@127.0.0.1:{port}/postgres?sslmode=disable");
    let store = PostgresStore::open(PostgresOptions::new(url).one_connection()).await;
    let store = store.unwrap();
    let end = given::at(100);
    let mut lost = 0;
    for n in 0..20 {
        // Prepares the statement on a new connection.
        let other = given::login_token(1000 + n);
        assert!(store.spend(&other, end).await.unwrap());
        // The pool asks whether a connection that comes back is alive. If it still does then, that
        // answer gets lost instead.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let token = given::login_token(n);
        severs.store(true, Ordering::SeqCst);
        let first = store.spend(&token, end).await.unwrap();
        lost += u32::from(!first);
        assert!(!store.spend(&token, end).await.unwrap());
    }
    assert!(lost > 0);
}
