//! Activating, deactivating and deleting keys.

use std::sync::Arc;

use super::{
    key::{deactivate, delete, done, ids, with_colliding_keys},
    race,
};
use crate::{
    key::{AddKeyOutcome, KeyChange, KeyHash, KeyState, NewKey},
    session::Actor,
    store::Store,
    testing::{given, keys},
};

pub async fn an_ambiguous_hash_changes_no_key(store: Arc<dyn Store>) {
    let hugo = with_colliding_keys(&*store, "hugo").await;
    let before = store.keys().list(hugo.id).await.unwrap();
    let short = given::key_hash(keys::COLLIDING_HASH);
    for active in [false, true] {
        let change = store
            .keys()
            .set_state(
                hugo.id.into(),
                &short,
                KeyState::from_active(active),
                given::at(0),
            )
            .await;
        assert_eq!(change.unwrap(), KeyChange::Ambiguous);
    }
    let change = store
        .keys()
        .delete(hugo.id.into(), &short, given::at(0))
        .await
        .unwrap();
    assert_eq!(change, KeyChange::Ambiguous);
    assert_eq!(store.keys().list(hugo.id).await.unwrap(), before);
    let [one, _] = keys::colliding();
    let full = KeyHash::from(one.fingerprint());
    let deleted = done(
        store
            .keys()
            .delete(hugo.id.into(), &full, given::at(0))
            .await
            .unwrap(),
    );
    assert_eq!(deleted.material, one);
    let now_clear = store
        .keys()
        .set_state(hugo.id.into(), &short, KeyState::Inactive, given::at(0))
        .await;
    done(now_clear.unwrap());
}

pub async fn nobody_changes_a_key_of_another_user(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::key(&*store, &hugo, 2).await;
    let erna = given::user(&*store, "erna", 3).await;
    given::key(&*store, &erna, 4).await;
    let before = store.keys().list(hugo.id).await.unwrap();
    for n in [1, 2] {
        assert_eq!(deactivate(&*store, &erna, n).await, KeyChange::NotFound);
        assert_eq!(delete(&*store, &erna, n).await, KeyChange::NotFound);
    }
    assert_eq!(store.keys().list(hugo.id).await.unwrap(), before);
    // The same key of both: only one's own is meant.
    given::key(&*store, &erna, 1).await;
    done(delete(&*store, &erna, 1).await);
    assert_eq!(store.keys().list(hugo.id).await.unwrap(), before);
}

pub async fn an_ended_session_changes_no_key(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::key(&*store, &hugo, 2).await;
    let first = given::first_key(&*store, &hugo).await;
    let session = given::session(&*store, &hugo, first, 1).await;
    let actor = Actor::from(&session);
    let attempt = async |n, actor: Actor| {
        let (new, hash) = (given::new_key(n), given::hash_of(2));
        let keys = store.keys();
        let added = keys.add(actor, &new, 9, given::at(1)).await.unwrap();
        let set = keys
            .set_state(actor, &hash, KeyState::Inactive, given::at(0))
            .await
            .unwrap();
        let reset = keys
            .set_state(actor, &hash, KeyState::Active, given::at(0))
            .await
            .unwrap();
        let gone = keys
            .delete(actor, &given::hash_of(n), given::at(0))
            .await
            .unwrap();
        (added, [set, reset, gone])
    };
    let (added, changes) = attempt(3, actor).await;
    assert!(matches!(added, AddKeyOutcome::Added(_)), "{added:?}");
    for change in changes {
        done(change);
    }

    let before = store.keys().list(hugo.id).await.unwrap();
    assert!(store.sessions().end(hugo.id, session.id).await.unwrap());
    let erna = given::user(&*store, "erna", 4).await;
    let key = given::first_key(&*store, &erna).await;
    let hers = given::session(&*store, &erna, key, 2).await;
    let foreign = Actor {
        user: hugo.id,
        session: Some(hers.id),
    };
    for refused in [actor, foreign] {
        let (added, changes) = attempt(3, refused).await;
        assert_eq!(added, AddKeyOutcome::SessionEnded);
        assert_eq!(changes, [const { KeyChange::SessionEnded }; 3]);
        assert_eq!(store.keys().list(hugo.id).await.unwrap(), before);
    }
}

pub async fn deactivating_and_activating_tell_the_key_as_it_was(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::key(&*store, &hugo, 2).await;
    let set = async |active| {
        let change = store
            .keys()
            .set_state(
                hugo.id.into(),
                &given::hash_of(2),
                KeyState::from_active(active),
                given::at(0),
            )
            .await;
        done(change.unwrap()).active
    };
    assert!(set(false).await);
    assert!(!set(false).await);
    assert!(!set(true).await);
    assert!(set(true).await);
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert!(keys.iter().all(|key| key.active));
}

pub async fn a_deleted_key_is_gone_and_can_come_back_as_another(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let id = given::key(&*store, &hugo, 2).await;
    assert_eq!(done(delete(&*store, &hugo, 2).await).id, id);
    assert_eq!(delete(&*store, &hugo, 2).await, KeyChange::NotFound);
    let found = store.keys().matching(&hugo.name, &given::hash_of(2)).await;
    assert_eq!(found.unwrap(), []);
    let again = given::key(&*store, &hugo, 2).await;
    assert_ne!(again, id, "identifiers are never given twice");
    let other = given::key(&*store, &hugo, 3).await;
    assert!(other != id && other != again);
}

pub async fn the_last_active_key_stays(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::key(&*store, &erna, 3).await;
    let refused = KeyChange::LastActive;
    assert_eq!(deactivate(&*store, &hugo, 1).await, refused);
    assert_eq!(delete(&*store, &hugo, 1).await, refused);
    given::key(&*store, &hugo, 4).await;
    done(deactivate(&*store, &hugo, 4).await);
    assert_eq!(
        deactivate(&*store, &hugo, 1).await,
        refused,
        "inactive keys and those of others don't help"
    );
    assert_eq!(delete(&*store, &hugo, 1).await, refused);
    let active = store
        .keys()
        .set_state(
            hugo.id.into(),
            &given::hash_of(1),
            KeyState::Active,
            given::at(0),
        )
        .await;
    done(active.unwrap());
    done(deactivate(&*store, &hugo, 4).await);
    done(delete(&*store, &hugo, 4).await);
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert!(keys.len() == 1 && keys[0].active);
}

pub async fn a_refused_change_leaves_the_session_alone(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let key = given::first_key(&*store, &hugo).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    assert_eq!(deactivate(&*store, &hugo, 1).await, KeyChange::LastActive);
    assert_eq!(delete(&*store, &hugo, 1).await, KeyChange::LastActive);
    let found = store.sessions().find(session.id).await.unwrap();
    assert_eq!(found, Some(session));
}

pub async fn of_many_keys_deactivated_at_once_one_stays_active(store: Arc<dyn Store>) {
    for round in 0..5 {
        let hugo = given::user(&*store, &format!("racer{round}"), 0).await;
        for n in 1..4 {
            given::key(&*store, &hugo, n).await;
        }
        let changes = race((0..4).map(|n| {
            let (store, hugo) = (store.clone(), hugo.clone());
            async move { deactivate(&*store, &hugo, n).await }
        }))
        .await;
        let refused = KeyChange::LastActive;
        assert_eq!(changes.iter().filter(|c| **c == refused).count(), 1);
        let keys = store.keys().list(hugo.id).await.unwrap();
        assert_eq!(keys.iter().filter(|key| key.active).count(), 1);
    }
}

pub async fn of_many_keys_deactivated_and_deleted_at_once_one_stays_active(store: Arc<dyn Store>) {
    for round in 0..5 {
        let hugo = given::user(&*store, &format!("racer{round}"), 0).await;
        for n in 1..6 {
            given::key(&*store, &hugo, n).await;
        }
        race((0..6).map(|n| {
            let (store, hugo) = (store.clone(), hugo.clone());
            async move {
                if n % 2 == 0 {
                    deactivate(&*store, &hugo, n).await
                } else {
                    delete(&*store, &hugo, n).await
                }
            }
        }))
        .await;
        let keys = store.keys().list(hugo.id).await.unwrap();
        assert_eq!(keys.iter().filter(|key| key.active).count(), 1, "{keys:?}");
    }
}

pub async fn colliding_keys_of_different_users_are_not_confused(store: Arc<dyn Store>) {
    let [one, other] = keys::colliding();
    let mut users = Vec::new();
    for (name, public_key) in [("hugo", &one), ("erna", &other)] {
        let user = given::user(&*store, name, 1).await;
        let new = NewKey {
            material: public_key.clone().into(),
            label: None,
        };
        let added = store
            .keys()
            .add(user.id.into(), &new, 10, given::at(1))
            .await;
        assert!(matches!(added, Ok(AddKeyOutcome::Added(_))));
        users.push(user);
    }
    let short = given::key_hash(keys::COLLIDING_HASH);
    let found = store.keys().matching(&users[1].name, &short).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1.material, other);
    let deleted = done(
        store
            .keys()
            .delete(users[0].id.into(), &short, given::at(0))
            .await
            .unwrap(),
    );
    assert_eq!(deleted.material, one);
    assert_eq!(
        ids(&*store, &users[1]).await.len(),
        2,
        "hers is still there"
    );
}
