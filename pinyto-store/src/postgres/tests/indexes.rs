//! Indexes come, are filled, and go.

use std::time::{Duration, Instant};

use pinyto_core::{
    assembly::AssemblyRepository,
    document::{
        DocumentRepository, InsertOutcome, NewEntry, QueuedJob, Replacement, SaveOutcome, Scope,
        Searched,
    },
    job::JobRef,
    testing::given,
};
use serde_json::json;
use sqlx::Connection as _;
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    super::{PostgresOptions, PostgresStore},
    busy::held,
    number, rows, save, settled, store,
};

async fn indexes(store: &PostgresStore) -> Vec<String> {
    let paths = "SELECT path FROM pinyto.indexes ORDER BY path";
    let paths = rows::<(String,)>(store, paths).await;
    paths.into_iter().map(|(path,)| path).collect()
}

const ENTRIES: &str = "SELECT count(*) FROM pinyto.index_entries";

#[tokio::test]
async fn an_index_comes_with_the_first_assembly_that_names_it_and_goes_with_the_last() {
    let Some((store, _database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    save(&store, &ann, "Notes", &[]).await;
    let notes = given::assembly_ref("ann/Notes");
    given::installed(store.as_ref(), &ann, &notes).await;
    for n in 0..1_200 {
        let document = given::document(n, &notes, json!({"n": n, "tags": [n % 3, "x"]}));
        given::stored(store.as_ref(), &ann, &document).await;
    }
    settled(&store).await;
    assert_eq!(indexes(&store).await, ["type"]);
    assert_eq!(number(&store, ENTRIES).await, 1_200);

    save(&store, &ann, "Notes", &["data.n", "time", "type"]).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await, ["data.n", "type"]);
    assert_eq!(number(&store, ENTRIES).await, 2_400);

    save(&store, &ann, "Other", &["data.n", "data.tags"]).await;
    let other = given::assembly_ref("ann/Other");
    given::installed(store.as_ref(), &ann, &other).await;
    settled(&store).await;
    assert_eq!(indexes(&store).await, ["data.n", "data.tags", "type"]);
    // Of each array, its members and itself.
    assert_eq!(number(&store, ENTRIES).await, 6_000);

    save(&store, &ann, "Notes", &[]).await;
    assert!(store.uninstall(ann.id, &other).await.unwrap());
    settled(&store).await;
    assert_eq!(indexes(&store).await, ["type"]);
    assert_eq!(number(&store, ENTRIES).await, 1_200);
}

/// An insert is one statement that was begun with what the user had set up before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_complete_whatever_is_set_up_at_the_same_time() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 60;
    let Some((store, _database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    for name in ["Notes", "Other"] {
        save(&store, &ann, name, &[]).await;
    }
    let (notes, other) = (
        given::assembly_ref("ann/Notes"),
        given::assembly_ref("ann/Other"),
    );
    given::installed(store.as_ref(), &ann, &notes).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, ann, notes) = (store.clone(), ann.clone(), notes.clone());
            tokio::spawn(async move {
                for n in writer * EACH..(writer + 1) * EACH {
                    let document = given::document(n, &notes, json!({"a": n, "b": n % 7}));
                    given::stored(store.as_ref(), &ann, &document).await;
                    let scope = Scope::all_of(ann.id);
                    if n % 3 == 0 {
                        let mut fields = document.fields.clone();
                        fields.insert("data".into(), json!({"a": -1, "b": n}));
                        let new = Replacement {
                            fields,
                            time: None,
                            at: given::at(1),
                            max_bytes: None,
                        };
                        let documents: &dyn DocumentRepository = store.as_ref();
                        documents.save(scope, document.id, &new).await.unwrap();
                    } else if n % 3 == 1 {
                        store
                            .remove(scope, document.id, given::at(1))
                            .await
                            .unwrap();
                    }
                }
            })
        })
        .collect();
    for round in 0..20 {
        let paths: &[&str] = [&["data.a"][..], &["data.a", "data.b"], &[]][round % 3];
        save(&store, &ann, "Notes", paths).await;
        save(&store, &ann, "Other", &["data.b", "data.c"]).await;
        if round % 2 == 0 {
            given::installed(store.as_ref(), &ann, &other).await;
        } else {
            store.uninstall(ann.id, &other).await.unwrap();
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    save(&store, &ann, "Notes", &["data.a", "data.b"]).await;
    settled(&store).await;
    // Each document has one value at each of these paths.
    let documents = number(&store, "SELECT count(*) FROM pinyto.documents").await;
    assert_eq!(documents, i64::try_from(WRITERS * EACH).unwrap() * 2 / 3);
    let counts = "
        SELECT x.path, count(*) FROM pinyto.indexes x
        JOIN pinyto.index_entries e ON e.index_id = x.id
        JOIN pinyto.documents d ON d.user_id = x.user_id AND d.id = e.document_id
        GROUP BY x.path";
    for (path, count) in rows::<(String, i64)>(&store, counts).await {
        assert_eq!(count, documents, "{path}");
    }
    let all = number(&store, ENTRIES).await;
    let indexes = number(&store, "SELECT count(*) FROM pinyto.indexes").await;
    assert_eq!(all, documents * indexes, "entries of nothing");
}

/// Looking at large documents waits for what takes all the memory for that, and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_large_documents_locks_nobody() {
    let Some((store, _database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let jobs = given::source_with_jobs("Notes", &[("tidy", "pass", 0)]);
    let notes = given::saved(store.as_ref(), &ann, &jobs).await;
    given::installed(store.as_ref(), &ann, &notes).await;
    save(&store, &ann, "Other", &["data.a"]).await;
    let other = given::assembly_ref("ann/Other");
    given::installed(store.as_ref(), &ann, &other).await;
    let large = |n: u64| {
        let numbers: Vec<u64> = (n..n + 20_000).collect();
        given::document(n, &notes, json!({"a": n, "b": numbers}))
    };
    for n in 0..3 {
        given::stored(store.as_ref(), &ann, &large(n)).await;
    }
    settled(&store).await;
    let (begun, has_begun) = oneshot::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let evaluations = store.evaluations.clone();
    let looking = tokio::spawn(async move {
        let all = evaluations.run(usize::MAX, None, move |_| {
            begun.send(()).unwrap();
            ended.recv()
        });
        all.await.unwrap().unwrap();
    });
    has_begun.await.unwrap();
    let scope = Scope::all_of(ann.id);
    let mut changes = JoinSet::new();
    let (of_save, of_remove, of_insert, of_index) =
        (store.clone(), store.clone(), store.clone(), store.clone());
    let mut fields = large(0).fields;
    fields.insert("data".into(), json!({"a": 77}));
    let new = Replacement {
        fields,
        time: None,
        at: given::at(1),
        max_bytes: None,
    };
    changes.spawn(async move {
        let documents: &dyn DocumentRepository = of_save.as_ref();
        let saved = documents.save(scope, given::document_id(0), &new).await;
        assert_eq!(saved.unwrap(), SaveOutcome::Saved);
    });
    changes.spawn(async move {
        let removed = of_remove.remove(scope, given::document_id(1), given::at(1));
        assert!(removed.await.unwrap());
    });
    let job = NewEntry {
        job: Some(QueuedJob {
            job: JobRef {
                assembly: notes.clone(),
                name: given::job_name("tidy"),
            },
            limit: 9,
            hold: None,
        }),
        ..given::entry(&large(9))
    };
    let user = ann.id;
    changes.spawn(async move {
        let inserted = of_insert.insert(user, &job).await;
        assert_eq!(inserted.unwrap(), InsertOutcome::Inserted);
    });
    let author = ann.clone();
    changes.spawn(async move {
        save(&of_index, &author, "Other", &["data.a", "data.c"]).await;
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    // All of them wait, and nobody waits for them.
    let begun = Instant::now();
    for n in 100..110 {
        let small = given::document(n, &notes, json!({"a": n}));
        given::stored(store.as_ref(), &ann, &small).await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    let unfinished = "SELECT count(*) FROM pinyto.indexes WHERE state <> 'ready'";
    assert_eq!(number(&store, unfinished).await, 1);
    let scan = "SELECT count(*) FROM pinyto.documents";
    assert_eq!(number(&store, scan).await, 13);
    end.send(()).unwrap();
    looking.await.unwrap();
    while let Some(changed) = changes.join_next().await {
        changed.unwrap();
    }
    settled(&store).await;
    let (documents, limits) = (store.as_ref(), given::NO_SCAN_LIMITS);
    for (a, expected) in [(77, 1), (0, 0), (1, 0), (9, 1), (2, 1), (105, 1)] {
        let query = given::query(&json!({"data.a": a}));
        let found = DocumentRepository::count(documents, scope, &query, limits).await;
        let Searched::Found(count, scan) = found.unwrap() else {
            panic!("it has ended");
        };
        assert_eq!(count, expected, "{a}");
        assert!(scan.examined <= 1, "{scan:?}");
    }
    // One for each document that there is, at each of three paths.
    assert_eq!(number(&store, scan).await, 13);
    assert_eq!(number(&store, ENTRIES).await, 3 * 13);
}

/// A failover that loses commits can give an index the number of another, and a user the same number
/// of changes.
#[tokio::test]
async fn what_was_known_of_a_users_indexes_is_forgotten_when_there_are_none_such() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let notes = given::assembly(store.as_ref(), &ann, "Notes").await;
    given::installed(store.as_ref(), &ann, &notes).await;
    let insert = async |n: u64| {
        let document = given::document(n, &notes, json!({"n": n}));
        given::stored(store.as_ref(), &ann, &document).await;
    };
    insert(1).await;
    settled(&store).await;
    database
        .execute(
            "DELETE FROM pinyto.index_entries; DELETE FROM pinyto.indexes;
            INSERT INTO pinyto.indexes (user_id, path, state)
            SELECT id, 'type', 'ready' FROM pinyto.users",
        )
        .await;
    insert(2).await;
    insert(3).await;
    assert_eq!(number(&store, ENTRIES).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_busy_holds_up_the_indexes_of_no_others() {
    let Some((_, database)) = store().await else {
        return;
    };
    let options = PostgresOptions::new(database.url()).patience(Duration::from_millis(300));
    let store = PostgresStore::open(options).await.unwrap();
    let ann = given::user(&store, "ann", 1).await;
    let bob = given::user(&store, "bob", 2).await;
    for user in [&ann, &bob] {
        let notes = given::assembly(&store, user, "Notes").await;
        given::installed(&store, user, &notes).await;
    }
    settled(&store).await;
    // Ann's comes first.
    database
        .execute("UPDATE pinyto.indexes SET state = 'building', built_to = ''")
        .await;
    let holder = held(database.url(), &ann).await;
    store.indexer.wake();
    let unfinished = "SELECT count(*) FROM pinyto.indexes WHERE state <> 'ready'";
    let of_bob = async {
        while number(&store, unfinished).await != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), of_bob)
        .await
        .unwrap();
    holder.close().await.unwrap();
    settled(&store).await;
}
