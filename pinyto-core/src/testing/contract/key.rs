use std::sync::Arc;

use super::race;
use crate::{
    id::KeyId,
    key::{
        AddKeyOutcome, Key, KeyChange, KeyHash, KeyLabel, KeyMaterial, KeyState, NewKey, PublicKey,
    },
    store::Store,
    testing::{given, keys},
    user::User,
};

pub(super) fn done(change: KeyChange) -> Key {
    match change {
        KeyChange::Done(key) => *key,
        refused => panic!("refused: {refused:?}"),
    }
}

pub(super) async fn deactivate(store: &dyn Store, user: &User, n: u64) -> KeyChange {
    let change = store
        .keys()
        .set_state(
            user.id.into(),
            &given::hash_of(n),
            KeyState::Inactive,
            given::at(0),
        )
        .await;
    change.unwrap()
}

pub(super) async fn delete(store: &dyn Store, user: &User, n: u64) -> KeyChange {
    store
        .keys()
        .delete(user.id.into(), &given::hash_of(n), given::at(0))
        .await
        .unwrap()
}

pub(super) async fn ids(store: &dyn Store, user: &User) -> Vec<KeyId> {
    let keys = store.keys().list(user.id).await.unwrap();
    keys.iter().map(|key| key.id).collect()
}

pub async fn keys_are_listed_in_the_order_they_were_added(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 50).await;
    let mut added = ids(&*store, &hugo).await;
    // Neither fingerprints nor clocks decide.
    for n in [7, 3, 99, 1] {
        let at = given::at(-i64::try_from(n).unwrap());
        let outcome = store
            .keys()
            .add(hugo.id.into(), &given::new_key(n), 10, at)
            .await;
        let AddKeyOutcome::Added(id) = outcome.unwrap() else {
            panic!("the key is new");
        };
        added.push(id);
    }
    assert_eq!(ids(&*store, &hugo).await, added);
    let nobody = User {
        id: crate::id::UserId::new(hugo.id.get() + 1000),
        ..hugo
    };
    assert_eq!(ids(&*store, &nobody).await, []);
}

pub async fn a_key_comes_back_exactly_as_it_was_added(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let largest = vec![0xff; PublicKey::MAX_BITS / 8];
    let public_keys = [
        PublicKey::from_parts(&largest, (1 << 33) - 1).unwrap(),
        PublicKey::from_parts(&largest, 3).unwrap(),
        keys::synthetic(u64::MAX),
    ];
    let labels = [Some("Ernas\u{a0}\"Händi\" '; -- %_\\ 📱"), Some(" "), None];
    for ((public_key, label), second) in public_keys.into_iter().zip(labels).zip(1..) {
        let new = NewKey {
            material: public_key.into(),
            label: label.map(|label| KeyLabel::parse(label).unwrap()),
        };
        let outcome = store
            .keys()
            .add(hugo.id.into(), &new, 10, given::at(second))
            .await;
        let AddKeyOutcome::Added(id) = outcome.unwrap() else {
            panic!("the key is new");
        };
        let keys = store.keys().list(hugo.id).await.unwrap();
        let expected = Key {
            id,
            user: hugo.id,
            material: new.material,
            label: new.label,
            active: true,
            created_at: given::at(second),
            last_used_at: None,
        };
        assert_eq!(keys.last(), Some(&expected));
    }
}

pub async fn a_key_is_added_once_per_user(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::user(&*store, "erna", 2).await;
    let add = async |n| {
        let added = store
            .keys()
            .add(hugo.id.into(), &given::new_key(n), 10, given::at(1))
            .await;
        added.unwrap()
    };
    assert_eq!(add(1).await, AddKeyOutcome::AlreadyRegistered);
    assert!(
        matches!(add(2).await, AddKeyOutcome::Added(_)),
        "that another user has it is nobody's business"
    );
    assert_eq!(add(2).await, AddKeyOutcome::AlreadyRegistered);
    done(deactivate(&*store, &hugo, 2).await);
    assert_eq!(add(2).await, AddKeyOutcome::AlreadyRegistered);
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(!keys[1].active, "nothing was changed");
}

pub async fn keys_of_one_full_fingerprint_are_one_key(store: Arc<dyn Store>) {
    let [one, other] = keys::of_one_fingerprint();
    let hugo = given::user(&*store, "hugo", 1).await;
    let add = async |public_key| {
        let (material, label) = (KeyMaterial::from(public_key), None);
        let new = NewKey { material, label };
        let added = store
            .keys()
            .add(hugo.id.into(), &new, 10, given::at(1))
            .await;
        added.unwrap()
    };
    assert!(matches!(add(one).await, AddKeyOutcome::Added(_)));
    assert_eq!(add(other).await, AddKeyOutcome::AlreadyRegistered);
}

pub async fn no_more_keys_are_added_than_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::user(&*store, "erna", 2).await;
    let add = async |n, limit| {
        let added = store
            .keys()
            .add(hugo.id.into(), &given::new_key(n), limit, given::at(1))
            .await;
        added.unwrap()
    };
    assert!(matches!(add(3, 2).await, AddKeyOutcome::Added(_)));
    assert_eq!(add(4, 2).await, AddKeyOutcome::LimitReached);
    assert_eq!(ids(&*store, &hugo).await.len(), 2);
    done(deactivate(&*store, &hugo, 3).await);
    assert_eq!(
        add(4, 2).await,
        AddKeyOutcome::LimitReached,
        "inactive keys count"
    );
    done(delete(&*store, &hugo, 3).await);
    assert!(matches!(add(4, 2).await, AddKeyOutcome::Added(_)));
}

pub async fn keys_added_by_many_at_once_stop_at_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 0).await;
    let outcomes = race((1..=8).map(|n| {
        let (store, user) = (store.clone(), hugo.id);
        async move {
            let added = store
                .keys()
                .add(user.into(), &given::new_key(n), 4, given::at(1))
                .await;
            added.unwrap()
        }
    }))
    .await;
    let refused = AddKeyOutcome::LimitReached;
    assert_eq!(outcomes.iter().filter(|o| **o == refused).count(), 5);
    assert_eq!(ids(&*store, &hugo).await.len(), 4);
}

pub async fn one_key_added_by_many_at_once_is_there_once(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 0).await;
    let outcomes = race((0..8).map(|_| {
        let (store, user) = (store.clone(), hugo.id);
        async move {
            let added = store
                .keys()
                .add(user.into(), &given::new_key(1), 99, given::at(1))
                .await;
            added.unwrap()
        }
    }))
    .await;
    let refused = AddKeyOutcome::AlreadyRegistered;
    assert_eq!(outcomes.iter().filter(|o| **o == refused).count(), 7);
    assert_eq!(ids(&*store, &hugo).await.len(), 2);
}

pub async fn a_hash_of_any_length_selects_a_key_of_the_named_user(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::key(&*store, &hugo, 2).await;
    let erna = given::user(&*store, "erna", 1).await;
    let digits = keys::synthetic(1).fingerprint().to_hex();
    for length in 10..=64 {
        let hash = given::key_hash(&digits[..length]);
        let found = store.keys().matching(&erna.name, &hash).await.unwrap();
        let [(user, key)] = found.as_slice() else {
            panic!("one key, not {found:?}");
        };
        assert_eq!((user, key.user), (&erna, erna.id));
        assert_eq!(key.material, keys::synthetic(1));
    }
}

pub async fn a_hash_selects_inactive_keys_too(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::key(&*store, &hugo, 2).await;
    done(deactivate(&*store, &hugo, 2).await);
    let found = store.keys().matching(&hugo.name, &given::hash_of(2)).await;
    let found = found.unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].1.active);
}

pub async fn a_hash_that_fits_no_key_of_the_named_user_selects_none(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::user(&*store, "erna", 2).await;
    let matching = async |name: &str, hash: &KeyHash| {
        let found = store.keys().matching(&given::name(name), hash).await;
        found.unwrap()
    };
    assert_eq!(matching("nobody", &given::hash_of(1)).await, []);
    assert_eq!(matching("hugo", &given::hash_of(2)).await, []);
    let digits = keys::synthetic(1).fingerprint().to_hex();
    for at in [0, 9, 10, 63] {
        let mut wrong = digits.clone();
        let digit = if &wrong[at..=at] == "0" { "1" } else { "0" };
        wrong.replace_range(at..=at, digit);
        assert_eq!(matching("hugo", &given::key_hash(&wrong)).await, [], "{at}");
    }
    assert_eq!(ids(&*store, &hugo).await.len(), 1);
}

/// A user with the two colliding keys and a third one.
pub(super) async fn with_colliding_keys(store: &dyn Store, name: &str) -> User {
    let hugo = given::user(store, name, 1).await;
    for public_key in keys::colliding() {
        let new = NewKey {
            material: public_key.into(),
            label: None,
        };
        let added = store
            .keys()
            .add(hugo.id.into(), &new, 10, given::at(1))
            .await;
        assert!(matches!(added, Ok(AddKeyOutcome::Added(_))));
    }
    hugo
}

pub async fn a_hash_that_fits_two_keys_of_a_user_selects_both(store: Arc<dyn Store>) {
    let hugo = with_colliding_keys(&*store, "hugo").await;
    let short = given::key_hash(keys::COLLIDING_HASH);
    let both = store.keys().matching(&hugo.name, &short).await.unwrap();
    let found: Vec<_> = both.iter().map(|(_, key)| &key.material).collect();
    assert_eq!(found.len(), 2);
    assert!(
        keys::colliding()
            .iter()
            .all(|key| found.iter().any(|found| *found == key))
    );
    for key in keys::colliding() {
        let longer = given::key_hash(&key.fingerprint().to_hex()[..12]);
        let one = store.keys().matching(&hugo.name, &longer).await.unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].1.material, key);
    }
}
