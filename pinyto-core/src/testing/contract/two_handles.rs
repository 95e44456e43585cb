//! What holds however many handles there are on one store's data, as of several servers.

use std::{collections::HashSet, sync::Arc};

use serde_json::json;

use super::{
    job::{claim, hugo as hugo_with_jobs},
    race,
};
use crate::{
    assembly::InstallOutcome,
    document::{InsertOutcome, NewEntry},
    session::{NewSession, ReplaceOutcome},
    store::Store,
    testing::given,
    user::RegisterOutcome,
};

/// Each of the handles by turns.
fn by_turns(
    one: &Arc<dyn Store>,
    other: &Arc<dyn Store>,
) -> impl Iterator<Item = Arc<dyn Store>> + use<> {
    [one.clone(), other.clone()].into_iter().cycle()
}

pub async fn what_one_handle_has_written_the_other_reads_at_once(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let hugo = given::user(&*one, "hugo", 1).await;
    let found = other.users().find(&hugo.name).await.unwrap();
    assert_eq!(found, Some(hugo.clone()));
    let key = given::first_key(&*other, &hugo).await;
    for round in 0..20 {
        // What is remembered of the session must not outlive it.
        let (opens, ends) = match round % 2 {
            0 => (&one, &other),
            _ => (&other, &one),
        };
        let session = given::session(&**opens, &hugo, key, round).await;
        for store in [opens, ends] {
            let found = store.sessions().find(session.id).await.unwrap();
            assert_eq!(found.as_ref(), Some(&session));
        }
        assert!(ends.sessions().end(hugo.id, session.id).await.unwrap());
        for store in [opens, ends] {
            assert_eq!(store.sessions().find(session.id).await.unwrap(), None);
        }
    }
}

pub async fn of_registrations_on_two_handles_for_one_name_exactly_one_wins(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    for round in 0..5 {
        let name = format!("racer{round}");
        let outcomes = race((0..8).zip(by_turns(&one, &other)).map(|(n, store)| {
            let new = given::new_user(&name, n);
            async move { store.users().register(&new).await.unwrap() }
        }))
        .await;
        let won = |outcome: &RegisterOutcome| matches!(outcome, RegisterOutcome::Registered(_));
        let winner = outcomes.iter().position(won).unwrap();
        assert_eq!(outcomes.iter().filter(|o| won(o)).count(), 1);
        let RegisterOutcome::Registered(user) = &outcomes[winner] else {
            panic!("it has won");
        };
        for store in [&one, &other] {
            let keys = store.keys().list(user.id).await.unwrap();
            assert_eq!(keys.len(), 1, "the losers leave no key");
            let expected = given::new_key(winner as u64).material;
            assert_eq!(keys[0].material, expected);
        }
    }
}

pub async fn of_sessions_opened_on_two_handles_with_one_key_one_lives(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let hugo = given::user(&*one, "hugo", 1).await;
    let key = given::first_key(&*one, &hugo).await;
    for round in 0..5 {
        let outcomes = race((0..6).zip(by_turns(&one, &other)).map(|(n, store)| {
            let new = NewSession {
                user: hugo.id,
                key,
                token_hash: given::token_hash(round * 10 + n),
                at: given::at(1),
            };
            async move { store.sessions().replace(&new).await.unwrap() }
        }))
        .await;
        for store in [&one, &other] {
            let mut living = 0;
            for outcome in &outcomes {
                let ReplaceOutcome::Opened(id) = outcome else {
                    panic!("the key is active");
                };
                let found = store.sessions().find(*id).await.unwrap();
                living += usize::from(found.is_some());
            }
            assert_eq!(living, 1);
        }
    }
}

pub async fn of_claims_on_two_handles_each_entry_goes_to_one(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let jobs: Vec<String> = (0..30).map(|n| format!("job{n}")).collect();
    let jobs: Vec<_> = jobs.iter().map(|name| (name.as_str(), "", 60)).collect();
    let (_, notes) = hugo_with_jobs(&*one, &jobs).await;
    let erna = given::user(&*other, "erna", 2).await;
    given::installed(&*other, &erna, &notes).await;
    let claimed = race(
        (0..8)
            .zip(by_turns(&one, &other))
            .map(|(n, store)| async move {
                let mut claimed = Vec::new();
                for round in 0..4 {
                    claimed.extend(claim(&*store, n * 4 + round, 0, 2).await);
                }
                claimed
            }),
    )
    .await;
    let mut claimed: Vec<_> = claimed.into_iter().flatten().collect();
    // A store may have skipped what others held just then.
    for (lease, store) in (32..=u8::MAX).zip(by_turns(&one, &other)) {
        match claim(&*store, lease, 0, 2).await {
            nothing_due if nothing_due.is_empty() => break,
            rest => claimed.extend(rest),
        }
    }
    let entries: Vec<_> = claimed.iter().map(|job| job.lease.entry).collect();
    assert_eq!(entries.len(), 60);
    assert_eq!(entries.iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn assemblies_installed_on_two_handles_stop_at_the_limit(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let hugo = given::user(&*one, "hugo", 1).await;
    let mut assemblies = Vec::new();
    for n in 0..6 {
        assemblies.push(given::assembly(&*one, &hugo, &format!("A{n}")).await);
    }
    let stores = by_turns(&one, &other);
    let outcomes = race(assemblies.into_iter().zip(stores).map(|(assembly, store)| {
        let (user, at) = (hugo.id, given::at(1));
        async move {
            let installed = store.assemblies().install(user, &assembly, 2, at).await;
            installed.unwrap()
        }
    }))
    .await;
    let refused = InstallOutcome::LimitReached;
    assert_eq!(outcomes.iter().filter(|o| **o == refused).count(), 4);
    for store in [&one, &other] {
        let installed = store.assemblies().list_installed(hugo.id).await.unwrap();
        assert_eq!(installed.len(), 2);
    }
}

pub async fn documents_stored_on_two_handles_stop_at_the_bytes_allowed(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let hugo = given::user(&*one, "hugo", 1).await;
    let notes = given::assembly(&*one, &hugo, "Notes").await;
    given::installed(&*one, &hugo, &notes).await;
    let size = given::document(0, &notes, json!(1)).size();
    let outcomes = race((0..20).zip(by_turns(&one, &other)).map(|(n, store)| {
        let entry = NewEntry {
            max_bytes: Some(7 * size),
            ..given::entry(&given::document(n, &notes, json!(1)))
        };
        let user = hugo.id;
        async move { store.documents().insert(user, &entry).await.unwrap() }
    }))
    .await;
    let inserted = |outcome: &&InsertOutcome| **outcome == InsertOutcome::Inserted;
    assert_eq!(outcomes.iter().filter(inserted).count(), 7);
    for store in [&one, &other] {
        assert_eq!(given::document_count(&**store, &hugo).await, 7);
        let usage = store.users().usage(hugo.id).await.unwrap().unwrap();
        assert_eq!(usage.bytes, 7 * size);
    }
}
