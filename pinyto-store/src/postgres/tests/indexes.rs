//! Indexes come, are filled, and go.

use pinyto_core::{
    assembly::AssemblyRepository,
    document::{DocumentRepository, Replacement, Scope},
    testing::given,
};
use serde_json::json;

use super::{super::PostgresStore, number, rows, save, settled, store};

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
