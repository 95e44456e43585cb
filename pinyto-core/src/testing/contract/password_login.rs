//! Whether a password opens its account.

use std::sync::Arc;

use super::{
    key::deactivate,
    keyserver::{change, find},
    race,
};
use crate::{
    key::KeyChange,
    keyserver::{ChangePasswordOutcome, PasswordLoginOutcome},
    session::{Actor, NewSession, ReplaceOutcome},
    store::Store,
    testing::given,
    user::User,
};

async fn set(
    store: &dyn Store,
    actor: impl Into<Actor>,
    allowed: bool,
    second: i64,
) -> PasswordLoginOutcome {
    let (actor, at) = (actor.into(), given::at(second));
    let set = store.keyserver().set_password_login(actor, allowed, at);
    set.await.unwrap()
}

async fn is_allowed(store: &dyn Store, name: &str) -> bool {
    let account = find(store, name).await.unwrap();
    let keys = store.keys().list(account.user.id).await.unwrap();
    let key = keys.iter().find(|key| key.id == account.key).unwrap();
    assert_eq!(account.active, key.active);
    account.active
}

async fn count_of_active(store: &dyn Store, user: &User) -> usize {
    let keys = store.keys().list(user.id).await.unwrap();
    keys.iter().filter(|key| key.active).count()
}

pub async fn a_forbidden_password_opens_nothing_until_it_is_allowed_again(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    given::key(&*store, &account.user, 2).await;
    given::account(&*store, "erna", 1).await;
    let hugo = account.user.id;
    assert!(is_allowed(&*store, "hugo").await);
    let open = async |n| {
        let new = NewSession {
            user: hugo,
            key: account.key,
            token_hash: given::token_hash(n),
            at: given::at(1),
        };
        let opened = store.sessions().replace(&new).await.unwrap();
        matches!(opened, ReplaceOutcome::Opened(_))
    };
    for (n, allowed) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
        let outcome = set(&*store, hugo, allowed, 0).await;
        assert_eq!(outcome, PasswordLoginOutcome::Done);
        assert_eq!(is_allowed(&*store, "hugo").await, allowed);
        assert_eq!(open(n).await, allowed);
        let found = find(&*store, "hugo").await.unwrap();
        assert_eq!(found.key, account.key);
        assert_eq!(found.password_hash, account.password_hash);
        assert_eq!(found.sealed_key, account.sealed_key);
        assert!(is_allowed(&*store, "erna").await, "hers is hers");
    }
}

pub async fn forbidding_ends_the_session_of_the_accounts_key_alone(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let device = given::key(&*store, &account.user, 2).await;
    let other = given::account(&*store, "erna", 1).await;
    let by_password = given::session(&*store, &account.user, account.key, 1).await;
    let by_device = given::session(&*store, &account.user, device, 2).await;
    let hers = given::session(&*store, &other.user, other.key, 3).await;
    let find = async |session| store.sessions().find(session).await.unwrap();
    let outcome = set(&*store, &by_password, true, 0).await;
    assert_eq!(outcome, PasswordLoginOutcome::Done);
    assert_eq!(find(by_password.id).await.as_ref(), Some(&by_password));
    let outcome = set(&*store, &by_password, false, 0).await;
    assert_eq!(outcome, PasswordLoginOutcome::OwnSession);
    assert_eq!(find(by_password.id).await.as_ref(), Some(&by_password));
    assert!(is_allowed(&*store, "hugo").await);
    let outcome = set(&*store, &by_device, false, 0).await;
    assert_eq!(outcome, PasswordLoginOutcome::Done);
    assert_eq!(find(by_password.id).await, None);
    let by_token = store.sessions().find_by_token(&by_password.token_hash);
    assert_eq!(by_token.await.unwrap(), None);
    let outcome = set(&*store, &by_device, true, 0).await;
    assert_eq!(outcome, PasswordLoginOutcome::Done);
    assert_eq!(find(by_password.id).await, None, "it ended for good");
    assert_eq!(find(by_device.id).await, Some(by_device));
    assert_eq!(find(hers.id).await, Some(hers));
}

pub async fn without_account_no_password_is_forbidden_or_allowed(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::key(&*store, &hugo, 2).await;
    for allowed in [false, true] {
        let outcome = set(&*store, hugo.id, allowed, 0).await;
        assert_eq!(outcome, PasswordLoginOutcome::NoAccount);
    }
    assert_eq!(count_of_active(&*store, &hugo).await, 2);
}

pub async fn a_password_that_alone_opens_the_account_is_not_forbidden(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let session = given::session(&*store, &account.user, account.key, 1).await;
    let refused = PasswordLoginOutcome::LastActive;
    assert_eq!(set(&*store, &session, false, 0).await, refused);
    given::key(&*store, &account.user, 2).await;
    let off = deactivate(&*store, &account.user, 2).await;
    assert!(matches!(off, KeyChange::Done(_)));
    assert_eq!(set(&*store, &session, false, 0).await, refused);
    assert!(is_allowed(&*store, "hugo").await);
    let lives = store.sessions().find(session.id).await.unwrap();
    assert_eq!(lives.as_ref(), Some(&session));
    let allowed = set(&*store, &session, true, 0).await;
    assert_eq!(allowed, PasswordLoginOutcome::Done, "which changes nothing");

    let device = given::key(&*store, &account.user, 3).await;
    let by_device = given::session(&*store, &account.user, device, 2).await;
    let outcome = set(&*store, &by_device, false, 0).await;
    assert_eq!(outcome, PasswordLoginOutcome::Done);
    // Forbidden, it is no way into the account.
    let last = deactivate(&*store, &account.user, 3).await;
    assert_eq!(last, KeyChange::LastActive);
    let again = set(&*store, account.user.id, false, 0).await;
    assert_eq!(again, PasswordLoginOutcome::Done, "which changes nothing");
}

pub async fn a_key_that_has_expired_is_no_reason_to_forbid_the_password(store: Arc<dyn Store>) {
    let hugo = given::account(&*store, "hugo", 1).await.user;
    given::added(&*store, &hugo, &given::openpgp_key(1, Some(100))).await;
    let refused = PasswordLoginOutcome::LastActive;
    for second in [100, 101, 1_000_000] {
        assert_eq!(set(&*store, hugo.id, false, second).await, refused);
        assert!(is_allowed(&*store, "hugo").await);
    }
    let outcome = set(&*store, hugo.id, false, 99).await;
    assert_eq!(outcome, PasswordLoginOutcome::Done);
    given::added(&*store, &hugo, &given::openpgp_key(2, None)).await;
    for allowed in [true, false] {
        let outcome = set(&*store, hugo.id, allowed, 1_000_000).await;
        assert_eq!(outcome, PasswordLoginOutcome::Done);
    }
}

pub async fn an_ended_session_forbids_and_allows_nothing(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let device = given::key(&*store, &account.user, 2).await;
    let ended = given::session(&*store, &account.user, device, 1).await;
    assert!(
        store
            .sessions()
            .end(account.user.id, ended.id)
            .await
            .unwrap()
    );
    let erna = given::user(&*store, "erna", 9).await;
    let hers = given::session(&*store, &erna, given::first_key(&*store, &erna).await, 2).await;
    let foreign = Actor {
        user: account.user.id,
        session: Some(hers.id),
    };
    for before in [true, false] {
        set(&*store, account.user.id, before, 0).await;
        for actor in [Actor::from(&ended), foreign] {
            let outcome = set(&*store, actor, !before, 0).await;
            assert_eq!(outcome, PasswordLoginOutcome::SessionEnded);
            assert_eq!(is_allowed(&*store, "hugo").await, before);
        }
    }
}

pub async fn a_new_password_stays_forbidden(store: Arc<dyn Store>) {
    let account = given::account(&*store, "hugo", 1).await;
    let device = given::key(&*store, &account.user, 2).await;
    let session = given::session(&*store, &account.user, device, 1).await;
    for (n, allowed) in [(3, false), (4, true), (5, true), (6, false)] {
        set(&*store, &session, allowed, 0).await;
        let changed = change(&*store, &account.user, session.id, n).await;
        assert_eq!(changed, ChangePasswordOutcome::Changed);
        assert_eq!(is_allowed(&*store, "hugo").await, allowed);
        let found = find(&*store, "hugo").await.unwrap();
        assert_eq!(found.password_hash, given::credentials(n).password_hash);
        let keys = store.keys().list(account.user.id).await.unwrap();
        assert!(keys[0].id == device && keys[0].active && keys.len() == 2);
    }
}

pub async fn a_password_forbidden_while_other_keys_go_leaves_one_way_in(store: Arc<dyn Store>) {
    for round in 0..5 {
        let name = format!("racer{round}");
        let hugo = given::account(&*store, &name, 1).await.user;
        given::key(&*store, &hugo, 2).await;
        given::key(&*store, &hugo, 3).await;
        let refusals = race((1..4).map(|n| {
            let (store, hugo) = (store.clone(), hugo.clone());
            async move {
                if n == 1 {
                    set(&*store, hugo.id, false, 0).await == PasswordLoginOutcome::LastActive
                } else {
                    deactivate(&*store, &hugo, n).await == KeyChange::LastActive
                }
            }
        }))
        .await;
        assert_eq!(refusals.iter().filter(|refused| **refused).count(), 1);
        assert_eq!(count_of_active(&*store, &hugo).await, 1);
    }
}

pub async fn a_password_changed_while_it_is_forbidden_is_forbidden(store: Arc<dyn Store>) {
    for round in 0..5 {
        let name = format!("racer{round}");
        let account = given::account(&*store, &name, 1).await;
        let device = given::key(&*store, &account.user, 2).await;
        let session = given::session(&*store, &account.user, device, round).await;
        race((0..3).map(|n| {
            let (store, user, session) = (store.clone(), account.user.clone(), session.clone());
            async move {
                if n == 1 {
                    let outcome = set(&*store, &session, false, 0).await;
                    assert_eq!(outcome, PasswordLoginOutcome::Done);
                } else {
                    let changed = change(&*store, &user, session.id, 10 + n).await;
                    assert_eq!(changed, ChangePasswordOutcome::Changed);
                }
            }
        }))
        .await;
        assert!(!is_allowed(&*store, &name).await);
        assert_eq!(count_of_active(&*store, &account.user).await, 1);
    }
}
