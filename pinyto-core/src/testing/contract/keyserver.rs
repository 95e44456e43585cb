use std::sync::Arc;

use super::race;
use crate::{
    id::SessionId,
    key::{KeyChange, KeyState},
    keyserver::{Account, ChangePasswordOutcome},
    store::Store,
    testing::given,
    user::{RegisterOutcome, User},
};

pub(super) async fn find(store: &dyn Store, name: &str) -> Option<Account> {
    store.keyserver().find(&given::name(name)).await.unwrap()
}

/// The account's credentials are those of [`given::credentials`]`(n)`, its key included.
async fn has_credentials(store: &dyn Store, account: &Account, n: u64) -> bool {
    let expected = given::credentials(n);
    let keys = store.keys().list(account.user.id).await.unwrap();
    let key = keys.iter().find(|key| key.id == account.key);
    account.password_hash == expected.password_hash
        && account.sealed_key == expected.sealed_key
        && key.is_some_and(|key| key.material == expected.key.material && key.active)
}

pub(super) async fn change(
    store: &dyn Store,
    user: &User,
    session: SessionId,
    n: u64,
) -> ChangePasswordOutcome {
    let credentials = given::credentials(n);
    let changed = store
        .keyserver()
        .change_password(user.id, session, &credentials, given::at(9))
        .await;
    changed.unwrap()
}

pub async fn an_account_is_a_user_with_a_key_and_a_password(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let user = store.users().find(&given::name("hugo")).await.unwrap();
    assert_eq!(user.as_ref(), Some(&account.user));
    assert!(account.active);
    assert!(has_credentials(&*store, &account, 1).await);
    let keys = store.keys().list(account.user.id).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].created_at, given::at(0));
    let usage = store.users().usage(account.user.id).await.unwrap();
    assert_eq!(usage, Some(crate::usage::Usage::new(given::at(0))));
}

pub async fn an_account_is_found_by_exactly_its_name(store: Arc<dyn Store>) {
    given::account(&*store, "hugo", 1).await;
    given::user(&*store, "erna", 2).await;
    for other in ["Hugo", "erna", "nobody"] {
        assert!(find(&*store, other).await.is_none(), "{other}");
    }
}

pub async fn a_taken_name_gets_no_account(store: Arc<dyn Store>) {
    let erna = given::user(&*store, "erna", 1).await;
    let hugo = given::account(&*store, "hugo", 2).await;
    let bot = store
        .users()
        .ensure_keyless(&given::name("bot"), given::at(0))
        .await;
    bot.unwrap();
    for name in ["erna", "hugo", "bot"] {
        let new = given::credentials(3);
        let outcome = store
            .keyserver()
            .register(
                &given::new_user(name, 3),
                &new.password_hash,
                &new.sealed_key,
            )
            .await;
        assert_eq!(outcome.unwrap(), RegisterOutcome::NameTaken, "{name}");
    }
    assert!(find(&*store, "erna").await.is_none());
    assert!(find(&*store, "bot").await.is_none());
    assert_eq!(store.keys().list(erna.id).await.unwrap().len(), 1);
    let unchanged = find(&*store, "hugo").await.unwrap();
    assert_eq!(unchanged.key, hugo.key);
    assert!(has_credentials(&*store, &unchanged, 2).await);
}

pub async fn a_new_password_brings_a_new_key_and_moves_the_session_to_it(store: Arc<dyn Store>) {
    let old = given::account(&*store, "hugo", 1).await;
    let session = given::session(&*store, &old.user, old.key, 1).await;
    let outcome = change(&*store, &old.user, session.id, 2).await;
    assert_eq!(outcome, ChangePasswordOutcome::Changed);
    let new = find(&*store, "hugo").await.unwrap();
    assert_ne!(new.key, old.key);
    assert!(has_credentials(&*store, &new, 2).await);
    let keys = store.keys().list(old.user.id).await.unwrap();
    assert_eq!(keys.len(), 1, "the old key is gone");
    assert_eq!(keys[0].created_at, given::at(9));
    let moved = store.sessions().find(session.id).await.unwrap().unwrap();
    assert_eq!(moved.key, new.key);
    assert_eq!(moved.token_hash, session.token_hash);
    assert_eq!(moved.user, session.user);
    let by_token = store.sessions().find_by_token(&session.token_hash).await;
    assert_eq!(by_token.unwrap(), Some(moved));
}

pub async fn a_session_moved_to_a_new_key_is_that_keys_one_session(store: Arc<dyn Store>) {
    let old = given::account(&*store, "hugo", 1).await;
    let session = given::session(&*store, &old.user, old.key, 1).await;
    change(&*store, &old.user, session.id, 2).await;
    let account = find(&*store, "hugo").await.unwrap();
    let next = given::session(&*store, &account.user, account.key, 2).await;
    let find = async |id| store.sessions().find(id).await.unwrap();
    assert_eq!(find(session.id).await, None);
    assert_eq!(find(next.id).await, Some(next));
}

pub async fn a_new_password_leaves_keys_and_sessions_of_devices_alone(store: Arc<dyn Store>) {
    let old = given::account(&*store, "hugo", 1).await;
    let device = given::key(&*store, &old.user, 5).await;
    let by_password = given::session(&*store, &old.user, old.key, 1).await;
    let by_device = given::session(&*store, &old.user, device, 2).await;
    change(&*store, &old.user, by_device.id, 2).await;
    let find = async |id| store.sessions().find(id).await.unwrap();
    assert_eq!(find(by_device.id).await, Some(by_device));
    assert_eq!(find(by_password.id).await, None, "it was the old key's");
    let keys = store.keys().list(old.user.id).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].id, device);
    assert!(keys[0].active);
}

pub async fn without_account_no_password_is_changed(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let key = given::first_key(&*store, &hugo).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    let outcome = change(&*store, &hugo, session.id, 2).await;
    assert_eq!(outcome, ChangePasswordOutcome::NoAccount);
    assert_eq!(store.keys().list(hugo.id).await.unwrap().len(), 1);
    let found = store.sessions().find(session.id).await.unwrap();
    assert_eq!(found, Some(session));
}

pub async fn deleting_its_key_deletes_the_account(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let refused = store
        .keys()
        .delete(account.user.id.into(), &given::hash_of(1), given::at(0))
        .await;
    assert_eq!(refused.unwrap(), KeyChange::LastActive);
    assert!(find(&*store, "hugo").await.is_some());
    let device = given::key(&*store, &account.user, 2).await;
    let session = given::session(&*store, &account.user, device, 1).await;
    let deleted = store
        .keys()
        .delete(account.user.id.into(), &given::hash_of(1), given::at(0))
        .await;
    assert!(matches!(deleted, Ok(KeyChange::Done(_))));
    assert!(find(&*store, "hugo").await.is_none());
    let user = store.users().find(&account.user.name).await.unwrap();
    assert_eq!(user, Some(account.user.clone()), "the user stays");
    let outcome = change(&*store, &account.user, session.id, 3).await;
    assert_eq!(outcome, ChangePasswordOutcome::NoAccount);
}

pub async fn other_changes_of_keys_leave_the_account_alone(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    given::key(&*store, &account.user, 2).await;
    let other = given::account(&*store, "erna", 1).await;
    let (keys, user) = (store.keys(), account.user.id);
    keys.set_state(
        user.into(),
        &given::hash_of(1),
        KeyState::Inactive,
        given::at(0),
    )
    .await
    .unwrap();
    keys.set_state(
        user.into(),
        &given::hash_of(1),
        KeyState::Active,
        given::at(0),
    )
    .await
    .unwrap();
    keys.delete(user.into(), &given::hash_of(2), given::at(0))
        .await
        .unwrap();
    for (name, key) in [("hugo", account.key), ("erna", other.key)] {
        let found = find(&*store, name).await.unwrap();
        assert_eq!(found.key, key);
        assert!(has_credentials(&*store, &found, 1).await);
    }
}

pub async fn rehashing_replaces_hash_and_sealed_key_only(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let other = given::account(&*store, "erna", 2).await;
    let new = given::credentials(3);
    let (hash, sealed) = (&new.password_hash, &new.sealed_key);
    let rehash = async |user, old| {
        let replaced = store.keyserver().rehash(user, old, hash, sealed).await;
        replaced.unwrap()
    };
    assert!(!rehash(account.user.id, &other.password_hash).await);
    assert!(rehash(account.user.id, &account.password_hash).await);
    assert!(!rehash(account.user.id, &account.password_hash).await);
    let found = find(&*store, "hugo").await.unwrap();
    assert_eq!(found.key, account.key);
    assert_eq!(found.password_hash, *hash);
    assert_eq!(found.sealed_key, *sealed);
    let untouched = find(&*store, "erna").await.unwrap();
    assert!(has_credentials(&*store, &untouched, 2).await);
    let device = given::user(&*store, "udo", 4).await;
    assert!(!rehash(device.id, &account.password_hash).await);
    assert!(find(&*store, "udo").await.is_none());
}

pub async fn of_passwords_changed_at_once_one_is_in_force_with_its_key(store: Arc<dyn Store>) {
    for round in 0..3 {
        let name = format!("racer{round}");
        let account = given::account(&*store, &name, 1).await;
        let device = given::key(&*store, &account.user, 2).await;
        let session = given::session(&*store, &account.user, account.key, round).await;
        let outcomes = race((10..15).map(|n| {
            let (store, user, session) = (store.clone(), account.user.clone(), session.id);
            async move { change(&*store, &user, session, n).await }
        }))
        .await;
        let changed = ChangePasswordOutcome::Changed;
        assert!(outcomes.iter().all(|outcome| *outcome == changed));
        let last = find(&*store, &name).await.unwrap();
        let mut in_force = 0;
        for n in 10..15 {
            in_force += usize::from(has_credentials(&*store, &last, n).await);
        }
        assert_eq!(in_force, 1);
        let keys = store.keys().list(account.user.id).await.unwrap();
        let keys: Vec<_> = keys.iter().map(|key| key.id).collect();
        assert_eq!(keys, [device, last.key]);
        let moved = store.sessions().find(session.id).await.unwrap();
        assert_eq!(moved.unwrap().key, last.key);
    }
}

pub async fn rehashing_never_brings_an_old_password_back(store: Arc<dyn Store>) {
    for round in 0..5 {
        let name = format!("racer{round}");
        let account = given::account(&*store, &name, 1).await;
        let session = given::session(&*store, &account.user, account.key, round).await;
        race((0..2).map(|n| {
            let (store, account) = (store.clone(), account.clone());
            async move {
                if n == 0 {
                    change(&*store, &account.user, session.id, 2).await;
                } else {
                    let (user, old) = (account.user.id, &account.password_hash);
                    let new = given::credentials(3);
                    let (hash, sealed) = (&new.password_hash, &new.sealed_key);
                    let rehashed = store.keyserver().rehash(user, old, hash, sealed).await;
                    rehashed.unwrap();
                }
            }
        }))
        .await;
        let last = find(&*store, &name).await.unwrap();
        assert!(has_credentials(&*store, &last, 2).await);
    }
}

pub async fn an_ended_session_changes_no_password(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let session = given::session(&*store, &account.user, account.key, 1).await;
    assert!(
        store
            .sessions()
            .end(account.user.id, session.id)
            .await
            .unwrap()
    );
    let erna = given::user(&*store, "erna", 9).await;
    let key = given::first_key(&*store, &erna).await;
    let hers = given::session(&*store, &erna, key, 2).await;
    for refused in [session.id, hers.id] {
        let outcome = change(&*store, &account.user, refused, 2).await;
        assert_eq!(outcome, ChangePasswordOutcome::SessionEnded);
        let kept = find(&*store, "hugo").await.unwrap();
        assert!(has_credentials(&*store, &kept, 1).await);
        let keys = store.keys().list(account.user.id).await.unwrap();
        assert_eq!(keys.len(), 1);
    }
}
