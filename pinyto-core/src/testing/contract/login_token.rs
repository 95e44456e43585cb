//! Login tokens, which may be shown once.

use std::sync::Arc;

use super::race;
use crate::{store::Store, testing::given};

async fn spend(store: &dyn Store, n: u64, expires: i64) -> bool {
    let (token, expires_at) = (given::login_token(n), given::at(expires));
    store.sessions().spend(&token, expires_at).await.unwrap()
}

async fn forget(store: &dyn Store, now: i64) -> u64 {
    store.sessions().forget_spent(given::at(now)).await.unwrap()
}

pub async fn a_login_token_is_spent_once(store: Arc<dyn Store>) {
    assert!(spend(&*store, 1, 100).await);
    assert!(!spend(&*store, 1, 100).await);
    assert!(spend(&*store, 2, 100).await, "another one");
    assert!(
        !spend(&*store, 1, 5).await,
        "whatever its end is said to be"
    );
    assert!(!spend(&*store, 1, 500).await);
    assert_eq!(forget(&*store, 100).await, 0);
    assert!(!spend(&*store, 1, 100).await);
    assert!(!spend(&*store, 2, 100).await);
}

pub async fn expired_login_tokens_are_forgotten_and_counted(store: Arc<dyn Store>) {
    for (n, expires) in [(1, 10), (2, 20), (3, 30)] {
        assert!(spend(&*store, n, expires).await);
    }
    // Which doesn't put off its end.
    assert!(!spend(&*store, 1, 1000).await);
    assert_eq!(forget(&*store, 10).await, 0, "at its end it may be shown");
    assert_eq!(forget(&*store, 11).await, 1);
    assert_eq!(forget(&*store, 11).await, 0);
    assert!(
        !spend(&*store, 2, 20).await,
        "it has not been forgotten yet"
    );
    assert_eq!(forget(&*store, 1000).await, 2);
    assert!(spend(&*store, 1, 2000).await, "nothing is known of it");
    assert!(!spend(&*store, 1, 2000).await);
}

pub async fn of_those_who_spend_a_login_token_at_once_one_is_first(store: Arc<dyn Store>) {
    for round in 0..5 {
        let firsts = race((0..8).map(|_| {
            let store = store.clone();
            async move { spend(&*store, round, 100).await }
        }))
        .await;
        assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
    }
}

pub async fn forgetting_login_tokens_leaves_those_that_are_spent_meanwhile(store: Arc<dyn Store>) {
    for n in 0..20 {
        assert!(spend(&*store, n, 10).await);
    }
    let results = race((0..8).map(|task| {
        let store = store.clone();
        async move {
            if task % 2 == 0 {
                forget(&*store, 50).await
            } else {
                assert!(spend(&*store, 100 + task, 100).await);
                0
            }
        }
    }))
    .await;
    let forgotten: u64 = results.iter().sum();
    assert_eq!(forgotten + forget(&*store, 50).await, 20, "each once");
    for task in [1, 3, 5, 7] {
        assert!(!spend(&*store, 100 + task, 100).await);
    }
}
