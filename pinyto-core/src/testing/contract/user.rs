use std::{sync::Arc, time::Duration};

use super::race;
use crate::{
    store::Store,
    testing::given,
    usage::Usage,
    user::{NewUser, RegisterOutcome},
};

pub async fn a_registered_user_is_found_by_exactly_her_name(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    assert_eq!(hugo.name, given::name("hugo"));
    let find = async |text| store.users().find(&given::name(text)).await.unwrap();
    assert_eq!(find("hugo").await, Some(hugo));
    for other in ["Hugo", "hug", "hugo_", "_ugo", "h_go"] {
        assert_eq!(find(other).await, None, "{other}");
    }
}

pub async fn names_that_differ_in_case_only_belong_to_different_users(store: Arc<dyn Store>) {
    let lower = given::user(&*store, "hugo", 1).await;
    let upper = given::user(&*store, "HUGO", 2).await;
    assert_ne!(lower.id, upper.id);
    let found = store.users().find(&given::name("HUGO")).await.unwrap();
    assert_eq!(found, Some(upper));
}

pub async fn a_registration_brings_the_first_key_active(store: Arc<dyn Store>) {
    let new = NewUser {
        at: given::at(7),
        ..given::new_user("hugo", 1)
    };
    let RegisterOutcome::Registered(hugo) = store.users().register(&new).await.unwrap() else {
        panic!("the name is free");
    };
    let keys = store.keys().list(hugo.id).await.unwrap();
    let [key] = keys.as_slice() else {
        panic!("one key, not {keys:?}");
    };
    assert_eq!(key.user, hugo.id);
    assert_eq!(key.material, new.key.material);
    assert!(key.active);
    assert_eq!(key.created_at, given::at(7));
    assert_eq!(key.last_used_at, None);
}

pub async fn a_registration_may_bring_further_keys(store: Arc<dyn Store>) {
    let new = NewUser {
        further_keys: vec![given::new_key(2), given::new_key(3)],
        ..given::new_user("hugo", 1)
    };
    let RegisterOutcome::Registered(hugo) = store.users().register(&new).await.unwrap() else {
        panic!("the name is free");
    };
    let keys = store.keys().list(hugo.id).await.unwrap();
    let all: Vec<_> = keys.iter().map(|key| (&key.material, key.active)).collect();
    let expected = [1, 2, 3].map(given::new_key);
    let expected: Vec<_> = expected.iter().map(|key| (&key.material, true)).collect();
    assert_eq!(all, expected);
    let again = NewUser {
        further_keys: vec![given::new_key(4)],
        ..given::new_user("hugo", 5)
    };
    let again = store.users().register(&again).await;
    assert_eq!(again.unwrap(), RegisterOutcome::NameTaken);
    assert_eq!(store.keys().list(hugo.id).await.unwrap(), keys);
}

pub async fn a_taken_name_changes_nothing_for_its_owner(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let again = store.users().register(&given::new_user("hugo", 2)).await;
    assert_eq!(again.unwrap(), RegisterOutcome::NameTaken);
    assert_eq!(
        store.users().find(&hugo.name).await.unwrap(),
        Some(hugo.clone())
    );
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].material, given::new_key(1).material);
}

pub async fn different_users_may_have_the_same_key(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 1).await;
    assert_ne!(hugo.id, erna.id);
    let key = async |user| store.keys().list(user).await.unwrap()[0].clone();
    let (hers, his) = (key(erna.id).await, key(hugo.id).await);
    assert_eq!(hers.material, his.material);
    assert_ne!(hers.id, his.id);
}

pub async fn of_registrations_racing_for_one_name_exactly_one_wins(store: Arc<dyn Store>) {
    for round in 0..5 {
        let name = format!("racer{round}");
        let outcomes = race((0..8).map(|n| {
            let (store, new) = (store.clone(), given::new_user(&name, n));
            async move { store.users().register(&new).await.unwrap() }
        }))
        .await;
        let winners = || {
            outcomes
                .iter()
                .zip(0..)
                .filter_map(|(outcome, n)| match outcome {
                    RegisterOutcome::Registered(user) => Some((user, n)),
                    RegisterOutcome::NameTaken => None,
                })
        };
        assert_eq!(winners().count(), 1, "{outcomes:?}");
        let (winner, n) = winners().next().unwrap();
        let keys = store.keys().list(winner.id).await.unwrap();
        assert_eq!(keys.len(), 1, "the losers leave no key");
        assert_eq!(keys[0].material, given::new_key(n).material);
    }
}

pub async fn of_a_device_and_a_password_racing_for_one_name_exactly_one_wins(
    store: Arc<dyn Store>,
) {
    for round in 0..5 {
        let name = format!("racer{round}");
        let outcomes = race((0..6).map(|n| {
            let (store, new, made) = (
                store.clone(),
                given::new_user(&name, n),
                given::credentials(n),
            );
            async move {
                if n % 2 == 0 {
                    store.users().register(&new).await.unwrap()
                } else {
                    let (hash, sealed) = (&made.password_hash, &made.sealed_key);
                    store
                        .keyserver()
                        .register(&new, hash, sealed)
                        .await
                        .unwrap()
                }
            }
        }))
        .await;
        let won = |outcome: &RegisterOutcome| matches!(outcome, RegisterOutcome::Registered(_));
        assert_eq!(
            outcomes.iter().filter(|o| won(o)).count(),
            1,
            "{outcomes:?}"
        );
        let winner = outcomes.iter().position(won).unwrap();
        let account = store.keyserver().find(&given::name(&name)).await.unwrap();
        assert_eq!(account.is_some(), winner % 2 == 1);
    }
}

pub async fn an_author_without_key_is_made_once_and_has_none(store: Arc<dyn Store>) {
    let name = given::name("pinyto");
    let made = store.users().ensure_keyless(&name, given::at(0)).await;
    let made = made.unwrap();
    assert_eq!(made.name, name);
    let again = store.users().ensure_keyless(&name, given::at(9)).await;
    assert_eq!(again.unwrap(), made);
    assert_eq!(store.users().find(&name).await.unwrap(), Some(made.clone()));
    assert_eq!(store.keys().list(made.id).await.unwrap(), []);
    let taken = store.users().register(&given::new_user("pinyto", 1)).await;
    assert_eq!(taken.unwrap(), RegisterOutcome::NameTaken);
}

pub async fn ensuring_an_author_who_exists_leaves_her_as_she_is(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let found = store.users().ensure_keyless(&hugo.name, given::at(9)).await;
    assert_eq!(found.unwrap(), hugo);
    assert_eq!(store.keys().list(hugo.id).await.unwrap().len(), 1);
    let usage = store.users().usage(hugo.id).await.unwrap();
    assert_eq!(usage, Some(Usage::new(given::at(0))));
}

pub async fn an_author_ensured_by_many_at_once_is_one(store: Arc<dyn Store>) {
    let users = race((0..6).map(|_| {
        let store = store.clone();
        async move {
            let name = given::name("pinyto");
            let ensured = store.users().ensure_keyless(&name, given::at(0)).await;
            ensured.unwrap()
        }
    }))
    .await;
    assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
}

pub async fn usage_begins_at_zero_when_the_user_comes_into_being(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let usage = store.users().usage(hugo.id).await.unwrap();
    assert_eq!(usage, Some(Usage::new(given::at(0))));
    let nobody = crate::id::UserId::new(hugo.id.get() + 1000);
    assert_eq!(store.users().usage(nobody).await.unwrap(), None);
}

pub async fn cpu_time_adds_up_for_its_user_alone(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let book = async |user, micros| {
        let used = Duration::from_micros(micros);
        given::booked(&*store, user, used).await;
    };
    book(hugo.id, 1).await;
    book(hugo.id, 0).await;
    book(hugo.id, 3_600_000_000).await;
    let cpu_time = async |user| store.users().usage(user).await.unwrap().unwrap().cpu_time;
    assert_eq!(
        cpu_time(hugo.id).await,
        Duration::from_micros(3_600_000_001)
    );
    assert_eq!(cpu_time(erna.id).await, Duration::ZERO);
    let nobody = crate::id::UserId::new(erna.id.get() + 1000);
    book(nobody, 5).await;
    assert_eq!(store.users().usage(nobody).await.unwrap(), None);
}

pub async fn cpu_time_booked_by_many_at_once_is_exact(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    race((1..=20).map(|micros| {
        let (store, user) = (store.clone(), hugo.id);
        async move {
            let used = Duration::from_micros(micros);
            given::booked(&*store, user, used).await;
        }
    }))
    .await;
    let usage = store.users().usage(hugo.id).await.unwrap().unwrap();
    assert_eq!(usage.cpu_time, Duration::from_micros(210));
}

pub async fn a_store_that_works_answers_a_ping(store: Arc<dyn Store>) {
    store.ping().await.unwrap();
}
