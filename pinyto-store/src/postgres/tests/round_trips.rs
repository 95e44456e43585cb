//! How often a call waits for the server: counted on the wire, between the store and PostgreSQL.

use std::{num::NonZeroU32, time::Duration};

use pinyto_core::{
    FailureQuota,
    assembly::AssemblyRepository,
    document::{DocumentRepository, NewEntry, Scope},
    job::{Claim, JobRepository, LeaseId},
    key::{KeyRepository, KeyState},
    keyserver::KeyserverRepository,
    run::{RunRepository, RunRetention},
    session::SessionRepository,
    testing::{given, keys},
    throttle::{Attempt, FailureRepository, Subject},
    user::UserRepository,
};
use pinyto_postgres_cluster::RoundTrips;
use serde_json::json;

use super::{
    super::{PostgresOptions, PostgresStore},
    settled,
};

const QUOTA: FailureQuota =
    FailureQuota::new(NonZeroU32::MIN.saturating_add(9), Duration::from_secs(30));

/// Each call is made twice, since each statement has to be prepared once per connection; the second
/// one is counted.
#[tokio::test]
async fn calls_wait_for_the_server_as_seldom_as_they_can() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    let Some(counter) = RoundTrips::counted(database.url()) else {
        return; // A server elsewhere, which nobody stands in front of.
    };
    // One connection for everything.
    let store = PostgresStore::open(PostgresOptions::new(counter.url()).one_connection()).await;
    let store = store.unwrap();
    let ann = given::account(&store, "ann", 1).await.user;
    let key = given::first_key(&store, &ann).await;
    let session = given::session(&store, &ann, key, 1).await;
    let notes = given::assembly(&store, &ann, "Notes").await;
    given::installed(&store, &ann, &notes).await;
    let (scope, limits) = (Scope::all_of(ann.id), given::NO_SCAN_LIMITS);
    let function = given::function_name("search");
    let entry = |n| NewEntry {
        max_bytes: Some(1_000_000),
        ..given::entry(&given::document(n, &notes, json!(n)))
    };
    let search = given::search(&json!({"type": "test"}), None);
    let by_data = given::search(&json!({"data": 1}), None);
    let batch = |n| {
        let mut batch = given::batch(vec![given::run(n, ann.id, "ann/Notes")], Vec::new());
        batch.id.number = n;
        batch
    };
    let claim = |n: u8| Claim {
        lease: LeaseId::from_bytes([n; 16]),
        now: given::at(10),
        until: given::at(20),
        limit: 1,
    };
    let attempt = |n: u64, failed| Attempt {
        subjects: [1, 2]
            .map(|kind| u128::from(n) << 64 | kind)
            .map(|subject| (Subject::from_bytes(subject.to_be_bytes()), QUOTA))
            .to_vec(),
        failed,
        at: given::at(0),
    };
    let fingerprint = keys::openpgp(1).fingerprint();
    let mut counted = Vec::new();
    for round in 0..2 {
        counted.clear();
        macro_rules! count {
            ($name:literal, $call:expr) => {
                // The task that keeps indexes asks, too, when there may be something to do.
                settled(&store).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
                counted.push(($name, counter.of(async { $call.await.unwrap() }).await))
            };
        }
        count!("sessions.find", SessionRepository::find(&store, session.id));
        count!(
            "sessions.find_by_token",
            store.find_by_token(&session.token_hash)
        );
        count!(
            "sessions.renew",
            store.renew(ann.id, session.id, given::at(5))
        );
        count!("keys.list", store.list(ann.id));
        count!(
            "keys.matching",
            store.matching(&ann.name, &given::hash_of(1))
        );
        count!(
            "keys.set_state",
            store.set_state(
                ann.id.into(),
                &given::hash_of(1),
                KeyState::Active,
                given::at(0)
            )
        );
        count!("keys.find_openpgp", store.find_openpgp(&fingerprint));
        let (token, end) = (given::login_token(round), given::at(9));
        count!("sessions.spend", store.spend(&token, end));
        count!("sessions.forget_spent", store.forget_spent(given::at(0)));
        count!("users.usage", store.usage(ann.id));
        count!("users.find", UserRepository::find(&store, &ann.name));
        count!(
            "keyserver.find",
            KeyserverRepository::find(&store, &ann.name)
        );
        count!(
            "keyserver.set_password_login",
            store.set_password_login(ann.id.into(), true, given::at(0))
        );
        count!("assemblies.find", AssemblyRepository::find(&store, &notes));
        count!(
            "assemblies.find_function",
            store.find_function(ann.id, &notes, &function)
        );
        count!(
            "documents.insert",
            DocumentRepository::insert(&store, ann.id, &entry(round))
        );
        let id = given::document_id(round);
        count!(
            "documents.find",
            DocumentRepository::find(&store, scope, id)
        );
        count!(
            "documents.search",
            DocumentRepository::search(&store, scope, &search, limits)
        );
        count!(
            "documents.search unindexed",
            DocumentRepository::search(&store, scope, &by_data, limits)
        );
        count!(
            "documents.count",
            DocumentRepository::count(&store, scope, &search.query, limits)
        );
        count!("documents.remove", store.remove(scope, id, given::at(9)));
        count!(
            "runs.record",
            store.record(&batch(round + 1), RunRetention::default(), given::at(9))
        );
        count!("jobs.next_due", store.next_due());
        count!(
            "jobs.claim_due",
            store.claim_due(&claim(u8::try_from(round).unwrap()))
        );
        count!("failures.settle", store.settle(&attempt(round, true)));
        count!(
            "failures.settle a success",
            store.settle(&attempt(round, false))
        );
        count!("assemblies.uninstall", store.uninstall(ann.id, &notes));
        count!(
            "assemblies.install",
            store.install(ann.id, &notes, 9, given::at(0))
        );
    }
    let expected = [
        ("sessions.find", 1),
        ("sessions.find_by_token", 1),
        ("sessions.renew", 1),
        ("keys.list", 1),
        ("keys.matching", 1),
        ("keys.set_state", 4),
        ("keys.find_openpgp", 1),
        ("sessions.spend", 1),
        ("sessions.forget_spent", 1),
        ("users.usage", 1),
        ("users.find", 1),
        ("keyserver.find", 1),
        ("keyserver.set_password_login", 4),
        ("assemblies.find", 1),
        ("assemblies.find_function", 1),
        // The first one after something was installed asks what there is.
        ("documents.insert", 2),
        ("documents.find", 1),
        ("documents.search", 3),
        ("documents.search unindexed", 3),
        ("documents.count", 3),
        ("documents.remove", 4),
        ("runs.record", 7),
        ("jobs.next_due", 1),
        ("jobs.claim_due", 12),
        ("failures.settle", 1),
        ("failures.settle a success", 1),
        ("assemblies.uninstall", 4),
        ("assemblies.install", 7),
    ];
    assert_eq!(counted, expected);
    // And once more, with nothing installed in between.
    let documents: &dyn DocumentRepository = &store;
    documents.insert(ann.id, &entry(90)).await.unwrap();
    settled(&store).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let entry = entry(91);
    let once_more = counter.of(documents.insert(ann.id, &entry)).await;
    assert_eq!(once_more, 1);
    store.close().await;
}
