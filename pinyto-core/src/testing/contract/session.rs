use std::sync::Arc;

use super::race;
use crate::{
    id::{KeyId, SessionId},
    key::KeyState,
    session::{NewSession, ReplaceOutcome, Session},
    store::Store,
    testing::given,
    user::User,
};

/// A user with one key.
async fn hugo(store: &dyn Store) -> (User, KeyId) {
    let hugo = given::user(store, "hugo", 1).await;
    let key = given::first_key(store, &hugo).await;
    (hugo, key)
}

async fn set_active(store: &dyn Store, user: &User, n: u64, active: bool) {
    let change = store
        .keys()
        .set_state(
            user.id.into(),
            &given::hash_of(n),
            KeyState::from_active(active),
            given::at(0),
        )
        .await;
    let change = change.unwrap();
    assert!(
        matches!(change, crate::key::KeyChange::Done(_)),
        "{change:?}"
    );
}

async fn is_gone(store: &dyn Store, session: &Session) -> bool {
    let by_id = store.sessions().find(session.id).await.unwrap();
    let by_token = store.sessions().find_by_token(&session.token_hash).await;
    let by_token = by_token.unwrap();
    assert_eq!(by_id, by_token);
    by_id.is_none()
}

pub async fn an_opened_session_is_found_by_its_id_and_its_token(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let new = NewSession {
        user: hugo.id,
        key,
        token_hash: given::token_hash(1),
        at: given::at(5),
    };
    let ReplaceOutcome::Opened(id) = store.sessions().replace(&new).await.unwrap() else {
        panic!("the key is active");
    };
    let expected = Session {
        id,
        user: hugo,
        key,
        token_hash: given::token_hash(1),
        created_at: given::at(5),
        last_used_at: given::at(5),
    };
    let by_id = store.sessions().find(id).await.unwrap();
    assert_eq!(by_id, Some(expected.clone()));
    let by_token = store.sessions().find_by_token(&new.token_hash).await;
    assert_eq!(by_token.unwrap(), Some(expected));
    let other = store.sessions().find_by_token(&given::token_hash(2)).await;
    assert_eq!(other.unwrap(), None);
    let other = SessionId::new(id.get() + 1000);
    assert_eq!(store.sessions().find(other).await.unwrap(), None);
}

pub async fn opening_a_session_is_noted_as_use_of_its_key(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    given::key(&*store, &hugo, 2).await;
    given::session(&*store, &hugo, key, 1).await;
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys[0].last_used_at, Some(given::at(0)));
    assert_eq!(keys[1].last_used_at, None);
}

pub async fn a_second_session_of_a_key_ends_the_first(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let first = given::session(&*store, &hugo, key, 1).await;
    let second = given::session(&*store, &hugo, key, 2).await;
    assert_ne!(first.id, second.id, "identifiers are never given twice");
    assert!(is_gone(&*store, &first).await);
    assert!(!is_gone(&*store, &second).await);
}

pub async fn sessions_of_different_keys_live_side_by_side(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let other_key = given::key(&*store, &hugo, 2).await;
    let erna = given::user(&*store, "erna", 1).await;
    let erna_key = given::first_key(&*store, &erna).await;
    let first = given::session(&*store, &hugo, key, 1).await;
    let second = given::session(&*store, &hugo, other_key, 2).await;
    let hers = given::session(&*store, &erna, erna_key, 3).await;
    given::session(&*store, &hugo, key, 4).await;
    assert!(is_gone(&*store, &first).await);
    assert!(!is_gone(&*store, &second).await);
    assert!(!is_gone(&*store, &hers).await);
    assert_eq!(hers.user, erna);
}

pub async fn a_key_that_is_not_active_or_not_there_opens_no_session(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store).await;
    let key = given::key(&*store, &hugo, 2).await;
    set_active(&*store, &hugo, 2, false).await;
    let missing = KeyId::new(key.get() + 1000);
    let erna = given::user(&*store, "erna", 3).await;
    let hers = given::first_key(&*store, &erna).await;
    for (key, token) in [(key, 1), (missing, 2), (hers, 3)] {
        let new = NewSession {
            user: hugo.id,
            key,
            token_hash: given::token_hash(token),
            at: given::at(1),
        };
        let outcome = store.sessions().replace(&new).await.unwrap();
        assert_eq!(outcome, ReplaceOutcome::KeyNotActive);
        let found = store.sessions().find_by_token(&new.token_hash).await;
        assert_eq!(found.unwrap(), None);
    }
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys[1].last_used_at, None, "nothing was changed");
}

pub async fn deactivating_a_key_ends_its_session_for_good(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let other_key = given::key(&*store, &hugo, 2).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    let other = given::session(&*store, &hugo, other_key, 2).await;
    set_active(&*store, &hugo, 1, false).await;
    assert!(is_gone(&*store, &session).await);
    assert!(!is_gone(&*store, &other).await);
    set_active(&*store, &hugo, 1, true).await;
    assert!(is_gone(&*store, &session).await);
    let next = given::session(&*store, &hugo, key, 3).await;
    assert_ne!(next.id, session.id);
}

pub async fn activating_an_active_key_leaves_its_session_alone(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    set_active(&*store, &hugo, 1, true).await;
    assert!(!is_gone(&*store, &session).await);
}

pub async fn deleting_a_key_ends_its_session(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let other_key = given::key(&*store, &hugo, 2).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    let other = given::session(&*store, &hugo, other_key, 2).await;
    let deleted = store
        .keys()
        .delete(hugo.id.into(), &given::hash_of(2), given::at(0))
        .await;
    assert!(matches!(deleted, Ok(crate::key::KeyChange::Done(_))));
    assert!(is_gone(&*store, &other).await);
    assert!(!is_gone(&*store, &session).await);
}

pub async fn a_session_ends_once_and_alone(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let other_key = given::key(&*store, &hugo, 2).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    let other = given::session(&*store, &hugo, other_key, 2).await;
    let erna = given::user(&*store, "erna", 3).await;
    assert!(!store.sessions().end(erna.id, session.id).await.unwrap());
    assert!(!is_gone(&*store, &session).await);
    assert!(store.sessions().end(hugo.id, session.id).await.unwrap());
    assert!(is_gone(&*store, &session).await);
    assert!(!store.sessions().end(hugo.id, session.id).await.unwrap());
    assert!(!is_gone(&*store, &other).await);
}

pub async fn identifiers_of_ended_sessions_are_never_given_again(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let mut seen = Vec::new();
    for n in 0..5 {
        let session = given::session(&*store, &hugo, key, n).await;
        assert!(!seen.contains(&session.id));
        seen.push(session.id);
        assert!(store.sessions().end(hugo.id, session.id).await.unwrap());
    }
}

pub async fn renewing_notes_the_use_of_session_and_key(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let other_key = given::key(&*store, &hugo, 2).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    let other = given::session(&*store, &hugo, other_key, 2).await;
    store
        .sessions()
        .renew(hugo.id, session.id, given::at(60))
        .await
        .unwrap();
    let find = async |id| store.sessions().find(id).await.unwrap();
    let renewed = Session {
        last_used_at: given::at(60),
        ..session
    };
    assert_eq!(find(renewed.id).await, Some(renewed));
    assert_eq!(find(other.id).await, Some(other));
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys[0].last_used_at, Some(given::at(60)));
    assert_eq!(keys[1].last_used_at, Some(given::at(0)));
}

pub async fn renewing_never_sets_the_last_use_back(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    // Nor does anybody else renew it.
    let erna = given::user(&*store, "erna", 3).await;
    let renewed = store.sessions().renew(erna.id, session.id, given::at(90));
    renewed.await.unwrap();
    for second in [60, 30] {
        let renewed = store
            .sessions()
            .renew(hugo.id, session.id, given::at(second))
            .await;
        renewed.unwrap();
    }
    let found = store.sessions().find(session.id).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, given::at(60));
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys[0].last_used_at, Some(given::at(60)));
}

pub async fn renewing_an_ended_session_does_nothing(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let session = given::session(&*store, &hugo, key, 1).await;
    assert!(store.sessions().end(hugo.id, session.id).await.unwrap());
    store
        .sessions()
        .renew(hugo.id, session.id, given::at(60))
        .await
        .unwrap();
    assert!(is_gone(&*store, &session).await);
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(keys[0].last_used_at, Some(given::at(0)));
}

pub async fn sessions_last_used_before_a_moment_are_ended_and_counted(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    let mut sessions = vec![given::session(&*store, &hugo, key, 0).await];
    for n in 1..4 {
        let key = given::key(&*store, &hugo, n + 1).await;
        let session = given::session(&*store, &hugo, key, n).await;
        let at = given::at(i64::try_from(n).unwrap());
        store
            .sessions()
            .renew(hugo.id, session.id, at)
            .await
            .unwrap();
        sessions.push(session);
    }
    // Last used at 0, 1, 2 and 3 seconds.
    let sweep = async |second| {
        let ended = store.sessions().end_unused_since(given::at(second)).await;
        ended.unwrap()
    };
    assert_eq!(sweep(0).await, 0);
    assert_eq!(sweep(2).await, 2);
    let mut gone = Vec::new();
    for session in &sessions {
        gone.push(is_gone(&*store, session).await);
    }
    assert_eq!(gone, [true, true, false, false]);
    assert_eq!(sweep(2).await, 0);
    assert_eq!(sweep(1000).await, 2);
}

pub async fn of_sessions_opened_at_once_with_one_key_one_lives(store: Arc<dyn Store>) {
    let (hugo, key) = hugo(&*store).await;
    for round in 0..5 {
        let outcomes = race((0..6).map(|n| {
            let store = store.clone();
            let new = NewSession {
                user: hugo.id,
                key,
                token_hash: given::token_hash(round * 10 + n),
                at: given::at(1),
            };
            async move { store.sessions().replace(&new).await.unwrap() }
        }))
        .await;
        let mut living = 0;
        for (outcome, n) in outcomes.iter().zip(0..) {
            let ReplaceOutcome::Opened(id) = outcome else {
                panic!("the key is active");
            };
            let by_id = store.sessions().find(*id).await.unwrap();
            let token = given::token_hash(round * 10 + n);
            let by_token = store.sessions().find_by_token(&token).await.unwrap();
            assert_eq!(by_id, by_token);
            living += usize::from(by_id.is_some());
        }
        assert_eq!(living, 1);
    }
}

pub async fn a_key_deactivated_while_sessions_are_opened_has_none(store: Arc<dyn Store>) {
    let (hugo, _) = hugo(&*store).await;
    let key = given::key(&*store, &hugo, 2).await;
    for round in 0..5 {
        race((0..5).map(|n| {
            let (store, hugo) = (store.clone(), hugo.clone());
            let new = NewSession {
                user: hugo.id,
                key,
                token_hash: given::token_hash(round * 10 + n),
                at: given::at(1),
            };
            async move {
                if n == 2 {
                    set_active(&*store, &hugo, 2, false).await;
                } else {
                    store.sessions().replace(&new).await.unwrap();
                }
            }
        }))
        .await;
        for n in 0..5 {
            let token = given::token_hash(round * 10 + n);
            let found = store.sessions().find_by_token(&token).await.unwrap();
            assert_eq!(found, None);
        }
        set_active(&*store, &hugo, 2, true).await;
    }
}
