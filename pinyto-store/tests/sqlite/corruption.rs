//! Rows that nobody of us has written.

use pinyto_core::{
    document::{Replacement, Scope},
    job::{Claim, LeaseId},
    key::KeyState,
    query::Query,
    store::{Store, StoreError},
    testing::given,
};
use pinyto_store::sqlite::SqliteStore;
use serde_json::{Value, json};

use super::Place;

/// Searches, in the order of identifiers.
async fn searched(store: &SqliteStore, scope: Scope, query: Value) -> Result<(), StoreError> {
    let search = given::search(&query, None);
    let searched = store
        .documents()
        .search(scope, &search, given::NO_SCAN_LIMITS)
        .await;
    searched.map(drop)
}

/// Breaks what `sql` breaks in a database with everything in it, then reads.
async fn broken(sql: &'static str) -> Vec<String> {
    let place = Place::new();
    let store = place.store().await;
    let ann = given::account(&store, "ann", 1).await.user;
    let key = given::first_key(&store, &ann).await;
    let session = given::session(&store, &ann, key, 1).await;
    let notes = given::assembly(&store, &ann, "Notes").await;
    given::installed(&store, &ann, &notes).await;
    let document = given::document(1, &notes, "text".into());
    given::stored(&store, &ann, &document).await;
    // Somebody whose rows are whole, whatever happens to the first.
    let bob = given::user(&store, "bob", 2).await;
    let bobs_key = given::first_key(&store, &bob).await;
    let bobs = given::session(&store, &bob, bobs_key, 2).await;
    place.meddle(sql).await;

    let hash = given::hash_of(1);
    let everything = Scope::all_of(ann.id);
    let replacement = Replacement {
        fields: document.fields.clone(),
        time: None,
        at: given::at(1),
        max_bytes: None,
    };
    let (found, bobs_found) = tokio::join!(
        store.sessions().find(session.id),
        store.sessions().find(bobs.id)
    );
    assert_eq!(bobs_found.unwrap(), Some(bobs), "{sql}");
    let (listed, bobs_listed) = tokio::join!(store.keys().list(ann.id), store.keys().list(bob.id));
    assert_eq!(bobs_listed.unwrap().len(), 1, "{sql}");
    [
        found.map(drop),
        listed.map(drop),
        store
            .sessions()
            .find_by_token(&session.token_hash)
            .await
            .map(drop),
        store.keys().matching(&ann.name, &hash).await.map(drop),
        store
            .keys()
            .set_state(ann.id.into(), &hash, KeyState::Active, given::at(0))
            .await
            .map(drop),
        store.keyserver().find(&ann.name).await.map(drop),
        store.users().usage(ann.id).await.map(drop),
        store.assemblies().find(&notes).await.map(drop),
        store.assemblies().list_of_author(ann.id).await.map(drop),
        store
            .documents()
            .find(everything, document.id)
            .await
            .map(drop),
        searched(&store, everything, json!({"data": "text"})).await,
        searched(&store, everything, json!({"type": "test"})).await,
        searched(&store, everything, json!({})).await,
        store
            .documents()
            .save(everything, document.id, &replacement)
            .await
            .map(drop),
    ]
    .into_iter()
    .filter_map(|result| match result {
        Ok(()) => None,
        Err(StoreError::Corrupt { place, detail }) => {
            assert!(!detail.is_empty(), "{sql}");
            Some(place)
        }
        Err(other) => panic!("{sql}: {other:?}"),
    })
    .collect()
}

#[tokio::test]
async fn a_bad_row_is_named_by_table_and_column_and_bothers_nobody_else() {
    for (sql, place) in [
        (
            "UPDATE pinyto_users SET name = 'no name' WHERE name = 'ann'",
            "pinyto_users.name",
        ),
        (
            "UPDATE pinyto_users SET bytes = -1 WHERE name = 'ann'",
            "pinyto_users.bytes",
        ),
        (
            "UPDATE pinyto_users SET cpu_nanos = -1",
            "pinyto_users.cpu_nanos",
        ),
        (
            "UPDATE pinyto_keys SET modulus = x'03' WHERE id = 1",
            "pinyto_keys.modulus",
        ),
        (
            "UPDATE pinyto_keys SET exponent = -3 WHERE id = 1",
            "pinyto_keys.exponent",
        ),
        (
            "UPDATE pinyto_keys SET fingerprint = substr(fingerprint, 1, 63) || 'x' WHERE id = 1",
            "pinyto_keys.fingerprint",
        ),
        (
            "UPDATE pinyto_keys SET label = char(7) WHERE id = 1",
            "pinyto_keys.label",
        ),
        (
            "PRAGMA ignore_check_constraints = ON;
             UPDATE pinyto_sessions SET token_hash = x'00' WHERE id = 1",
            "pinyto_sessions.token_hash",
        ),
        (
            "UPDATE pinyto_assemblies SET description = char(0)",
            "pinyto_assemblies",
        ),
        (
            "UPDATE pinyto_functions SET name = ''",
            "pinyto_functions.name",
        ),
        ("UPDATE pinyto_jobs SET name = '/'", "pinyto_jobs.name"),
        (
            "UPDATE pinyto_jobs SET schedule = 99999999999",
            "pinyto_jobs.schedule",
        ),
        (
            "UPDATE pinyto_documents SET assembly = 'Notes'",
            "pinyto_documents.assembly",
        ),
        (
            "UPDATE pinyto_documents SET body = x'ff00'",
            "pinyto_documents.body",
        ),
        (
            "UPDATE pinyto_documents SET body = jsonb('[1]')",
            "pinyto_documents.body",
        ),
        (
            "UPDATE pinyto_indexes SET path = '.'",
            "pinyto_indexes.path",
        ),
        (
            "INSERT INTO pinyto_assembly_indexes VALUES (1, 0, '$')",
            "pinyto_assembly_indexes.path",
        ),
    ] {
        let places = broken(sql).await;
        assert!(
            places.iter().any(|named| named == place),
            "{sql}: {places:?}"
        );
        assert!(
            places.iter().all(|named| named == place),
            "{sql}: {places:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_table_is_an_inconsistency_and_no_panic() {
    let place = Place::new();
    let store = place.store().await;
    place.meddle("DROP TABLE pinyto_documents").await;
    let ann = given::user(&store, "ann", 1).await;
    let query = Query::default();
    let count = store
        .documents()
        .count(Scope::all_of(ann.id), &query, given::NO_SCAN_LIMITS)
        .await;
    assert!(
        matches!(count, Err(StoreError::Corrupt { .. })),
        "{count:?}"
    );
}

#[tokio::test]
async fn a_job_that_cannot_be_read_stops_no_other() {
    let place = Place::new();
    let store = place.store().await;
    let ann = given::user(&store, "ann", 1).await;
    let bob = given::user(&store, "bob", 2).await;
    let notes = given::assembly(&store, &ann, "Notes").await;
    given::installed(&store, &ann, &notes).await;
    given::installed(&store, &bob, &notes).await;
    let claim = |second, n| Claim {
        lease: LeaseId::from_bytes([n; 16]),
        now: given::at(second),
        until: given::at(second + 60),
        limit: 9,
    };
    place
        .meddle("UPDATE pinyto_job_entries SET schedule = 99999999999 WHERE user_id = 1")
        .await;
    let jobs = store.jobs();
    let claimed = jobs.claim_due(&claim(0, 1)).await.unwrap();
    let users: Vec<_> = claimed.into_iter().map(|job| job.user).collect();
    assert_eq!(users, [bob]);
    // It is tried again now and then; meanwhile somebody may have mended it.
    assert_eq!(jobs.claim_due(&claim(1, 2)).await.unwrap(), []);
    place
        .meddle("UPDATE pinyto_job_entries SET schedule = 5 WHERE user_id = 1")
        .await;
    let claimed = jobs.claim_due(&claim(3600, 3)).await.unwrap();
    assert!(claimed.iter().any(|job| job.user == ann), "{claimed:?}");
}
