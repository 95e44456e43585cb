//! OpenPGP keys, beside RSA keys and with an end.

use std::sync::Arc;

use super::key::{done, ids};
use crate::{
    id::KeyId,
    key::{
        AddKeyOutcome, Key, KeyChange, KeyFingerprint, KeyHash, KeyLabel, KeyState, NewKey,
        OpenPgpKey, OpenPgpParts, ProveKeyOutcome,
    },
    session::{Actor, NewSession, ReplaceOutcome},
    store::Store,
    testing::{given, keys},
    user::User,
};

fn new_key(parts: OpenPgpParts) -> NewKey {
    NewKey {
        material: OpenPgpKey::new(parts).into(),
        label: None,
    }
}

fn hash_of(key: &NewKey) -> KeyHash {
    key.material.fingerprint().into()
}

/// Whose [`keys::openpgp`]`(n)` is.
async fn owner(store: &dyn Store, n: u64) -> Option<User> {
    let fingerprint = keys::openpgp(n).fingerprint();
    let found = store.keys().find_openpgp(&fingerprint).await.unwrap();
    found.map(|(user, key)| {
        assert_eq!(key.user, user.id);
        assert!(key.active);
        assert_eq!(key.material.fingerprint(), fingerprint);
        user
    })
}

async fn set_active(
    store: &dyn Store,
    user: &User,
    key: &NewKey,
    active: bool,
    second: i64,
) -> KeyChange {
    let (user, at) = (user.id.into(), given::at(second));
    let hash = hash_of(key);
    let changed = store
        .keys()
        .set_state(user, &hash, KeyState::from_active(active), at);
    changed.await.unwrap()
}

async fn delete(store: &dyn Store, user: &User, key: &NewKey, second: i64) -> KeyChange {
    let (user, at) = (user.id.into(), given::at(second));
    let hash = hash_of(key);
    let deleted = store.keys().delete(user, &hash, at);
    deleted.await.unwrap()
}

pub async fn an_openpgp_key_comes_back_with_all_its_parts(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let v4 = keys::openpgp_parts(keys::openpgp(1).fingerprint());
    let v6 = keys::openpgp_parts(KeyFingerprint::from_bytes([0xe6; 32]));
    let user_ids = ["Jürgen \"J\" <j@example.org>", "'; -- %_\\ 📱", ""];
    let all = [
        v4,
        OpenPgpParts {
            user_ids: user_ids.map(str::to_owned).to_vec(),
            algorithm: "rsa3072, \"ü\"".to_owned(),
            expires_at: Some(given::at(100)),
            ..v6
        },
        OpenPgpParts {
            certificate: (0..=255).cycle().take(64 * 1024).collect(),
            user_ids: Vec::new(),
            algorithm: String::new(),
            expires_at: Some(given::at(-1)),
            ..keys::openpgp_parts(keys::openpgp(2).fingerprint())
        },
    ];
    for (parts, second) in all.into_iter().zip(1..) {
        let label = KeyLabel::parse("Hugos \"Schlüssel\"").unwrap();
        let new = NewKey {
            label: Some(label),
            ..new_key(parts)
        };
        let at = given::at(second);
        let added = store.keys().add(hugo.id.into(), &new, 10, at).await;
        let AddKeyOutcome::Added(id) = added.unwrap() else {
            panic!("the key is new");
        };
        let mut expected = Key {
            id,
            user: hugo.id,
            material: new.material.clone(),
            label: new.label.clone(),
            active: false,
            created_at: given::at(second),
            last_used_at: None,
        };
        let listed = store.keys().list(hugo.id).await.unwrap();
        assert_eq!(listed.last(), Some(&expected));
        prove(&*store, hugo.id, id, second + 1).await;
        expected.active = true;
        expected.last_used_at = Some(given::at(second + 1));
        let listed = store.keys().list(hugo.id).await.unwrap();
        assert_eq!(listed.last(), Some(&expected));
        let both = (hugo.clone(), expected.clone());
        let short = new.material.fingerprint().key_hash();
        let matching = store.keys().matching(&hugo.name, &short).await;
        assert_eq!(matching.unwrap(), std::slice::from_ref(&both));
        let fingerprint = new.material.fingerprint();
        let found = store.keys().find_openpgp(&fingerprint).await;
        assert_eq!(found.unwrap(), Some(both), "also after its end");
        let was = done(set_active(&*store, &hugo, &new, false, 0).await);
        assert_eq!(was, expected);
        expected.active = false;
        let was = done(delete(&*store, &hugo, &new, 0).await);
        assert_eq!(was, expected);
        assert_eq!(ids(&*store, &hugo).await.len(), 1);
    }
}

pub async fn an_openpgp_key_is_found_by_its_fingerprint_while_it_is_active(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let key = given::openpgp_key(1, None);
    assert_eq!(owner(&*store, 1).await, None);
    given::added(&*store, &hugo, &key).await;
    assert_eq!(owner(&*store, 1).await.as_ref(), Some(&hugo));
    assert_eq!(owner(&*store, 2).await, None);
    let rsa = keys::synthetic(1).fingerprint();
    assert_eq!(store.keys().find_openpgp(&rsa).await.unwrap(), None);
    done(set_active(&*store, &hugo, &key, false, 0).await);
    assert_eq!(owner(&*store, 1).await, None);
    done(set_active(&*store, &hugo, &key, true, 0).await);
    assert_eq!(owner(&*store, 1).await.as_ref(), Some(&hugo));
    done(delete(&*store, &hugo, &key, 0).await);
    assert_eq!(owner(&*store, 1).await, None);
}

/// Adds a key without a proof.
async fn add(store: &dyn Store, user: &User, key: &NewKey) -> AddKeyOutcome {
    let added = store.keys().add(user.id.into(), key, 10, given::at(1));
    added.await.unwrap()
}

async fn prove(
    store: &dyn Store,
    actor: impl Into<Actor>,
    key: KeyId,
    second: i64,
) -> ProveKeyOutcome {
    let proved = store.keys().prove(actor.into(), key, given::at(second));
    proved.await.unwrap()
}

pub async fn an_openpgp_key_opens_nothing_before_it_is_proven(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let key = given::openpgp_key(1, None);
    let AddKeyOutcome::Added(id) = add(&*store, &hugo, &key).await else {
        panic!("it is not added");
    };
    let listed = async || store.keys().list(hugo.id).await.unwrap()[1].clone();
    let unproven = listed().await;
    assert!(!unproven.active && unproven.is_unproven());
    assert_eq!(unproven.last_used_at, None);
    assert_eq!(owner(&*store, 1).await, None);
    let new = NewSession {
        user: hugo.id,
        key: id,
        token_hash: given::token_hash(1),
        at: given::at(1),
    };
    let opened = store.sessions().replace(&new).await.unwrap();
    assert_eq!(opened, ReplaceOutcome::KeyNotActive);
    let refused = set_active(&*store, &hugo, &key, true, 1).await;
    assert_eq!(refused, KeyChange::Unproven);
    let rsa = given::new_key(1);
    let last = delete(&*store, &hugo, &rsa, 1).await;
    assert_eq!(last, KeyChange::LastActive, "it is no other key");
    done(set_active(&*store, &hugo, &key, false, 1).await);
    assert_eq!(listed().await, unproven, "nothing was changed");

    let proved = prove(&*store, hugo.id, id, 7).await;
    assert_eq!(proved, ProveKeyOutcome::Proved);
    let proven = listed().await;
    assert!(proven.active && !proven.is_unproven());
    assert_eq!(proven.last_used_at, Some(given::at(7)));
    assert_eq!(owner(&*store, 1).await.as_ref(), Some(&hugo));
    let opened = store.sessions().replace(&new).await.unwrap();
    assert!(matches!(opened, ReplaceOutcome::Opened(_)));
    done(set_active(&*store, &hugo, &key, false, 8).await);
    done(set_active(&*store, &hugo, &key, true, 9).await);
    done(delete(&*store, &hugo, &rsa, 9).await);
}

pub async fn only_the_user_herself_proves_her_keys(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 1).await;
    let key = given::openpgp_key(1, None);
    let AddKeyOutcome::Added(id) = add(&*store, &hugo, &key).await else {
        panic!("it is not added");
    };
    let rsa = given::first_key(&*store, &hugo).await;
    for (user, key) in [(&erna, id), (&hugo, rsa), (&hugo, KeyId::new(0))] {
        let refused = prove(&*store, user.id, key, 1).await;
        assert_eq!(refused, ProveKeyOutcome::NotFound);
    }
    let ended = given::session(&*store, &hugo, rsa, 1).await;
    store.sessions().end(hugo.id, ended.id).await.unwrap();
    let refused = prove(&*store, &ended, id, 1).await;
    assert_eq!(refused, ProveKeyOutcome::SessionEnded);
    assert_eq!(owner(&*store, 1).await, None);
    let session = given::session(&*store, &hugo, rsa, 2).await;
    let proved = prove(&*store, &session, id, 1).await;
    assert_eq!(proved, ProveKeyOutcome::Proved);
    assert_eq!(owner(&*store, 1).await, Some(hugo));
}

pub async fn of_several_users_an_openpgp_key_is_hers_where_it_was_proven_last(
    store: Arc<dyn Store>,
) {
    let key = given::openpgp_key(1, None);
    let (mut users, mut of_users) = (Vec::new(), Vec::new());
    for name in ["hugo", "erna", "udo"] {
        let user = given::user(&*store, name, 1).await;
        match add(&*store, &user, &key).await {
            AddKeyOutcome::Added(id) => of_users.push(id),
            other => panic!("{other:?}"),
        }
        users.push(user);
    }
    let [hugo, erna, udo] = users.try_into().unwrap();
    let owner = async || owner(&*store, 1).await.map(|user| user.name);
    assert_eq!(owner().await, None, "nobody has proved it");
    prove(&*store, erna.id, of_users[1], 10).await;
    assert_eq!(owner().await, Some(erna.name.clone()));
    prove(&*store, hugo.id, of_users[0], 20).await;
    assert_eq!(owner().await, Some(hugo.name.clone()));
    prove(&*store, udo.id, of_users[2], 20).await;
    assert_eq!(owner().await, Some(udo.name.clone()), "of two the latter");
    prove(&*store, hugo.id, of_users[0], 15).await;
    assert_eq!(owner().await, Some(hugo.name.clone()), "a clock is behind");
    prove(&*store, udo.id, of_users[2], 16).await;
    assert_eq!(owner().await, Some(udo.name.clone()));
    let new = NewSession {
        user: erna.id,
        key: of_users[1],
        token_hash: given::token_hash(1),
        at: given::at(30),
    };
    let opened = match store.sessions().replace(&new).await.unwrap() {
        ReplaceOutcome::Opened(session) => session,
        other => panic!("{other:?}"),
    };
    let renewed = store.sessions().renew(erna.id, opened, given::at(35)).await;
    renewed.unwrap();
    assert_eq!(
        owner().await,
        Some(udo.name.clone()),
        "using it proves nothing"
    );
    prove(&*store, erna.id, of_users[1], 36).await;
    assert_eq!(owner().await, Some(erna.name.clone()));
    done(set_active(&*store, &erna, &key, false, 40).await);
    assert_eq!(owner().await, Some(udo.name.clone()), "hers is not active");
    done(delete(&*store, &udo, &key, 40).await);
    assert_eq!(owner().await, Some(hugo.name.clone()), "his is gone");
    add(&*store, &udo, &key).await;
    assert_eq!(
        owner().await,
        Some(hugo.name),
        "he hasn't proved the new one"
    );
    done(set_active(&*store, &erna, &key, true, 50).await);
    assert_eq!(owner().await, Some(erna.name), "her proof is not lost");
}

pub async fn an_openpgp_key_is_added_once_per_user_and_renewed_in_its_place(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 1).await;
    let key = given::openpgp_key(1, None);
    let id = given::added(&*store, &hugo, &key).await;
    let session = given::session(&*store, &hugo, id, 1).await;
    let refused = AddKeyOutcome::AlreadyRegistered;
    assert_eq!(add(&*store, &hugo, &key).await, refused);

    let description = OpenPgpParts {
        certificate: b"a newer one"[..].into(),
        user_ids: vec!["Hugo, elsewhere".to_owned()],
        ..keys::openpgp_parts(keys::openpgp(1).fingerprint())
    };
    let newer = NewKey {
        label: Some(KeyLabel::parse("newer").unwrap()),
        ..new_key(description.clone())
    };
    let shorter = new_key(OpenPgpParts {
        expires_at: Some(given::at(1000)),
        ..description
    });
    // Also where there is no room for another key.
    let renewed = store.keys().add(hugo.id.into(), &newer, 2, given::at(2));
    assert_eq!(renewed.await.unwrap(), AddKeyOutcome::Renewed(id));
    assert_eq!(add(&*store, &hugo, &newer).await, refused);
    let outlasted = add(&*store, &hugo, &shorter).await;
    assert_eq!(outlasted, AddKeyOutcome::Outlasted);
    let listed = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].material, newer.material);
    assert_eq!(listed[1].label, newer.label);
    assert!(listed[1].active);
    assert_eq!(listed[1].created_at, given::at(0));
    let lives = store.sessions().find(session.id).await.unwrap();
    assert_eq!(lives, Some(session));

    let hers = add(&*store, &erna, &key).await;
    assert!(matches!(hers, AddKeyOutcome::Added(_)));
    let listed = store.keys().list(hugo.id).await.unwrap();
    assert_eq!(listed[1].material, newer.material, "his is his");
    // What is unproven stays so.
    let AddKeyOutcome::Renewed(_) = add(&*store, &erna, &newer).await else {
        panic!("it is not renewed");
    };
    let listed = store.keys().list(erna.id).await.unwrap();
    assert!(listed[1].is_unproven() && !listed[1].active);
}

pub async fn a_hash_selects_among_keys_of_all_kinds(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let digits = keys::synthetic(1).fingerprint().to_hex();
    // Begin like the RSA key's: to the tenth digit, and as far as they are long.
    let other = if digits.ends_with('0') { "1" } else { "0" };
    let v6 = KeyFingerprint::parse(&format!("{}{}", &digits[..63], other)).unwrap();
    let v4 = KeyFingerprint::parse(&digits[..40]).unwrap();
    for fingerprint in [v4, v6] {
        let new = new_key(keys::openpgp_parts(fingerprint));
        given::added(&*store, &hugo, &new).await;
    }
    let matching = async |digits: &str| {
        let hash = given::key_hash(digits);
        let found = store.keys().matching(&hugo.name, &hash).await.unwrap();
        let found = found.into_iter().map(|(_, key)| key.material.fingerprint());
        found.collect::<Vec<_>>()
    };
    for length in [10, 39, 40, 41, 63] {
        assert_eq!(matching(&digits[..length]).await.len(), 2, "{length}");
        let (actor, hash) = (hugo.id.into(), given::key_hash(&digits[..length]));
        let changed = store
            .keys()
            .set_state(actor, &hash, KeyState::Inactive, given::at(0));
        assert_eq!(changed.await.unwrap(), KeyChange::Ambiguous, "{length}");
    }
    assert_eq!(matching(&digits).await, [keys::synthetic(1).fingerprint()]);
    assert_eq!(matching(&v6.to_hex()).await, [v6]);
    done(delete(&*store, &hugo, &new_key(keys::openpgp_parts(v6)), 0).await);
    let rsa = KeyHash::from(keys::synthetic(1).fingerprint());
    given::key(&*store, &hugo, 2).await;
    let gone = store.keys().delete(hugo.id.into(), &rsa, given::at(0));
    done(gone.await.unwrap());
    for length in [10, 40] {
        assert_eq!(matching(&digits[..length]).await, [v4], "{length}");
    }
    assert_eq!(matching(&digits[..41]).await, [], "it has no more digits");
    let found = store.keys().find_openpgp(&v4).await.unwrap();
    assert_eq!(found.unwrap().1.material.fingerprint(), v4);
}

pub async fn deactivating_and_deleting_an_openpgp_key_ends_its_session(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let rsa = given::first_key(&*store, &hugo).await;
    let by_rsa = given::session(&*store, &hugo, rsa, 1).await;
    let key = given::openpgp_key(1, Some(100));
    let id = given::added(&*store, &hugo, &key).await;
    let find = async |session| store.sessions().find(session).await.unwrap();
    let first = given::session(&*store, &hugo, id, 2).await;
    assert_eq!((first.key, &first.user), (id, &hugo));
    done(set_active(&*store, &hugo, &key, false, 0).await);
    assert_eq!(find(first.id).await, None);
    done(set_active(&*store, &hugo, &key, true, 0).await);
    let second = given::session(&*store, &hugo, id, 3).await;
    assert_eq!(find(second.id).await, Some(second.clone()));
    done(delete(&*store, &hugo, &key, 0).await);
    assert_eq!(find(second.id).await, None);
    assert_eq!(find(by_rsa.id).await, Some(by_rsa));
}

pub async fn a_key_that_has_expired_is_no_other_active_key(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let rsa = given::new_key(1);
    let session = given::session(&*store, &hugo, given::first_key(&*store, &hugo).await, 1).await;
    given::added(&*store, &hugo, &given::openpgp_key(1, Some(100))).await;
    given::added(&*store, &hugo, &given::openpgp_key(2, Some(200))).await;
    // Others' keys are nobody's business.
    let erna = given::user(&*store, "erna", 1).await;
    given::added(&*store, &erna, &given::openpgp_key(3, None)).await;
    for second in [200, 201, 1_000_000] {
        let refused = KeyChange::LastActive;
        let off = set_active(&*store, &hugo, &rsa, false, second).await;
        assert_eq!(off, refused, "{second}");
        let gone = delete(&*store, &hugo, &rsa, second).await;
        assert_eq!(gone, refused, "{second}");
    }
    let lives = store.sessions().find(session.id).await.unwrap();
    assert_eq!(lives, Some(session), "nothing was changed");
    let keys = store.keys().list(hugo.id).await.unwrap();
    assert!(keys.len() == 3 && keys.iter().all(|key| key.active));

    let last_moment = given::at(200).saturating_sub(std::time::Duration::from_millis(1));
    let (of_hugo, hash) = (hugo.id.into(), hash_of(&rsa));
    let off = store
        .keys()
        .set_state(of_hugo, &hash, KeyState::Inactive, last_moment);
    done(off.await.unwrap());
    done(set_active(&*store, &hugo, &rsa, true, 1000).await);
    done(delete(&*store, &hugo, &rsa, 199).await);
    // Neither is anything kept for the sake of what has expired: this one opens the account.
    given::added(&*store, &hugo, &given::openpgp_key(4, None)).await;
    let endless = given::openpgp_key(4, None);
    let off = set_active(&*store, &hugo, &endless, false, 200).await;
    assert_eq!(off, KeyChange::LastActive);
    done(set_active(&*store, &hugo, &endless, false, 199).await);
}

pub async fn a_key_that_has_expired_can_always_go_if_another_one_stays(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let expired = given::openpgp_key(1, Some(100));
    given::added(&*store, &hugo, &expired).await;
    done(set_active(&*store, &hugo, &expired, false, 500).await);
    done(set_active(&*store, &hugo, &expired, true, 500).await);
    done(delete(&*store, &hugo, &expired, 500).await);
    let (rsa, off) = (given::new_key(1), false);
    let last = set_active(&*store, &hugo, &rsa, off, 500).await;
    assert_eq!(last, KeyChange::LastActive);
}
