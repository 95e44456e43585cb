//! From one database to another and back.

use pinyto_core::{
    Page,
    document::{Scope, Searched},
    job::JobState,
    query::Query,
    store::Store,
    testing::{given, keys},
    usage::Usage,
    user::User,
};
use pinyto_store::backup::{self, RestoreOptions};
use serde_json::json;

use super::{
    filled::{DOCUMENTS, claim, document, fill},
    places::{MOMENT, Place},
};

async fn user(store: &dyn Store, name: &str) -> User {
    store
        .users()
        .find(&given::name(name))
        .await
        .unwrap()
        .unwrap()
}

async fn usage(store: &dyn Store, name: &str) -> Usage {
    let user = user(store, name).await;
    store.users().usage(user.id).await.unwrap().unwrap()
}

/// All lines but the first, which says of which database the backup is, and the checksum.
fn content(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8(file.to_owned()).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split("\"sha256\"").next().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_from_sqlite_to_postgresql_and_back() {
    let Some(postgres) = Place::postgres().await else {
        return;
    };
    let places = [Place::sqlite(), postgres, Place::sqlite()];
    let first = places[0].open().await;
    fill(&*first.store()).await;
    first.close().await;

    let (mut file, summary) = places[0].backup().await.unwrap();
    let content_before = content(&file);
    assert_eq!(summary.bytes, file.len() as u64);
    assert_eq!(summary.count("documents"), DOCUMENTS + 3);
    for table in &summary.rows {
        assert!(table.1 > 0, "{} is not tested", table.0);
    }
    for place in &places[1..] {
        let restored = place.restore(&file).await.unwrap();
        assert_eq!(restored.rows, summary.rows);
        file = place.backup().await.unwrap().0;
        let differs = content(&file)
            .into_iter()
            .zip(&content_before)
            .find(|(after, before)| after != *before);
        assert_eq!(differs, None);
        assert_eq!(content(&file).len(), content_before.len());
    }
    let derived = "SELECT user_id * 1000000 + due_at % 1000000 FROM pinyto_claimable_jobs
                   WHERE due_at < 1800004000000 ORDER BY user_id, assembly_id, job";
    let expected = places[0].numbers(derived).await;
    assert!(!expected.is_empty());
    for place in &places[1..] {
        assert_eq!(place.numbers(derived).await, expected);
    }
    // Nobody who reads it needs a database.
    let options = RestoreOptions::default();
    let verified = backup::verify(file.as_slice(), &options, &mut |_| ()).await;
    assert_eq!(verified.unwrap().rows, summary.rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_answers_as_before_and_goes_on() {
    for place in Place::all().await {
        let original = Place::sqlite();
        let open = original.open().await;
        let before = open.store();
        fill(&*before).await;
        open.indexed().await;
        let (file, _) = original.backup().await.unwrap();
        place.restore(&file).await.unwrap();
        let restored = place.open().await;
        let after = restored.store();
        restored.indexed().await;

        // Who she is, and what she has used by a moment to come.
        let (ann, later) = (user(&*before, "ann").await, given::at(99_999));
        assert_eq!(user(&*after, "ann").await, ann);
        for name in ["ann", "bob", "gone"] {
            let (old, new) = (usage(&*before, name).await, usage(&*after, name).await);
            assert_eq!(old, new);
            let bits = |usage: Usage| usage.at(later).byte_seconds.to_bits();
            assert_eq!(bits(old), bits(new));
        }
        let (old, new) = (before.keys().list(ann.id), after.keys().list(ann.id));
        assert_eq!(old.await.unwrap(), new.await.unwrap());
        let fingerprint = keys::openpgp(1).fingerprint();
        let (owner, _) = after
            .keys()
            .find_openpgp(&fingerprint)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(owner, ann);
        // Who was logged in still is.
        for n in [1, 2, 3] {
            let token = given::token_hash(n);
            let found = after.sessions().find_by_token(&token).await.unwrap();
            let old = before.sessions().find_by_token(&token).await.unwrap();
            assert!(found.is_some());
            assert_eq!(found, old);
        }
        let bob = given::name("bob");
        let (old, new) = (before.keyserver().find(&bob), after.keyserver().find(&bob));
        let (old, new) = (old.await.unwrap().unwrap(), new.await.unwrap().unwrap());
        assert_eq!((old.user, old.key), (new.user, new.key));

        // Documents, by index and without.
        let all = Scope::all_of(ann.id);
        for n in [0, 7, DOCUMENTS - 1] {
            let found = after.documents().find(all, given::document_id(n)).await;
            assert_eq!(found.unwrap(), Some(document(n)));
        }
        for wanted in [
            json!({}),
            json!({"data.group": 3}),
            json!({"data.half": 2.5}),
        ] {
            let query = Query::parse(&wanted).unwrap();
            let count = |store: std::sync::Arc<dyn Store>| {
                let query = query.clone();
                async move {
                    let documents = store.documents();
                    let limits = given::NO_SCAN_LIMITS;
                    match documents.count(all, &query, limits).await.unwrap() {
                        Searched::Found(count, scan) => (count, scan.examined),
                        Searched::TooMuch(limit, _) => panic!("{limit:?}"),
                    }
                }
            };
            assert_eq!(count(after.clone()).await, count(before.clone()).await);
        }

        // Jobs: what ran when the backup was made counts as lost; the rest is as it was.
        let now = given::at(MOMENT + 1);
        let states = |store: std::sync::Arc<dyn Store>| async move {
            store
                .jobs()
                .list_of_user(ann.id, now, Page::first(99))
                .await
                .unwrap()
        };
        let shown = |states: Vec<JobState>| -> Vec<_> {
            let names = states.into_iter();
            names
                .map(|state| (state.job, state.trigger, state.attempts, state.last_failure))
                .collect()
        };
        assert_eq!(
            shown(states(after.clone()).await),
            shown(states(before.clone()).await)
        );
        let claimed = claim(&*after, 9, now, 99).await;
        let lost: Vec<_> = claimed.iter().filter(|job| job.lost.is_some()).collect();
        assert_eq!(lost.len(), 1, "{claimed:?}");

        // New ones are really new.
        let newcomer = given::user(&*after, "new", 20).await;
        assert_eq!(newcomer.id.get(), 4);
        let notes = given::assembly_ref("ann/Notes");
        given::installed(&*after, &newcomer, &notes).await;
        given::stored(&*after, &newcomer, &document(1)).await;
        given::stored(&*after, &ann, &document(DOCUMENTS + 1)).await;
        let fresh = given::assembly(&*after, &ann, "Fresh").await;
        let fresh = after.assemblies().find(&fresh).await.unwrap().unwrap();
        // The number of an assembly that is gone would give its documents to another.
        let numbers = place
            .numbers("SELECT max(assembly_id) FROM pinyto_documents")
            .await;
        assert!(fresh.id.get() > numbers[0], "{fresh:?}");
        assert!(fresh.id.get() > 3, "{fresh:?}");
        restored.close().await;
        open.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_can_be_left_out() {
    let original = Place::sqlite();
    let open = original.open().await;
    fill(&*open.store()).await;
    let (file, _) = original.backup().await.unwrap();
    for place in Place::all().await {
        let options = RestoreOptions::default().end_sessions(true);
        place.restore_with(&file, &options).await.unwrap();
        let restored = place.open().await;
        let sessions = restored.store();
        let found = sessions
            .sessions()
            .find_by_token(&given::token_hash(1))
            .await;
        assert_eq!(found.unwrap(), None);
        restored.close().await;
    }
    open.close().await;
}
