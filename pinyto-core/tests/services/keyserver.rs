//! Accounts with a password: login, change, and what is kept of them.

use std::sync::Arc;

use pinyto_core::{
    Cloud, Error,
    challenge::{RequestToken, ServerKey},
    crypto::RsaBackend,
    keyserver::{Account, HashCost, Password},
    memory::MemoryStore,
    testing::{
        given, keys,
        rsa::{Counting, Toy},
    },
};

use crate::support::{World, code, full_hash, new_key, password, settings};

const OLD: &str = "correct horse";
const NEW: &str = "battery staple";

async fn register(world: &World, name: &str) -> Result<(), Error> {
    let name = given::name(name);
    let registered = world.cloud.keyserver_register(name, password(OLD)).await;
    registered.map(drop)
}

async fn login(cloud: &Cloud, name: &str, text: &str) -> Result<RequestToken, Error> {
    let attempt = Password::attempt(text);
    cloud
        .keyserver_authenticate(&given::name(name), attempt)
        .await
}

async fn account(world: &World, name: &str) -> Account {
    let found = world.store().keyserver().find(&given::name(name)).await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn a_password_gives_a_token_that_is_ready_for_requests() {
    let world = World::real();
    register(&world, "hugo").await.unwrap();
    let signed = world.rsa.signed();
    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    assert_eq!(world.rsa.signed() - signed, 1, "the challenge was posed");
    let decrypted = world.rsa.decrypted();
    let session = world.cloud.session(&token).await.unwrap();
    assert_eq!(session.user.name, given::name("hugo"));
    assert_eq!(
        world.rsa.decrypted(),
        decrypted,
        "the server has just made that token itself"
    );
    let listed = world.cloud.list_keys(&session).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].current);
    assert_eq!(listed[0].key.material.as_rsa().unwrap().bits(), 4096);
}

#[tokio::test]
async fn the_same_password_from_another_keyboard_is_the_same() {
    let world = World::toy();
    let composed = password("caf\u{e9}s & \u{fb01}sh");
    world
        .cloud
        .keyserver_register(given::name("hugo"), composed)
        .await
        .unwrap();
    let decomposed = login(&world.cloud, "hugo", "cafe\u{301}s & fish").await;
    assert_eq!(code(decomposed), "ok");
}

#[tokio::test]
async fn unknown_account_wrong_password_and_deactivated_key_get_the_same_answer() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    register(&world, "erna").await.unwrap();
    world.user("udo").await;
    let token = login(&world.cloud, "erna", OLD).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let device = world.device();
    let new = new_key(device.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let hash = full_hash(
        world.cloud.list_keys(&session).await.unwrap()[0]
            .key
            .material
            .as_rsa()
            .unwrap(),
    );
    world.cloud.deactivate_key(&session, &hash).await.unwrap();

    let mut texts = Vec::new();
    for (name, attempt) in [
        ("hugo", NEW),
        ("hugo", ""),
        ("nobody", OLD),
        ("udo", OLD),
        ("erna", OLD),
    ] {
        let error = login(&world.cloud, name, attempt).await.unwrap_err();
        assert_eq!(error.code(), "wrong_password", "{name}");
        texts.push(error.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[tokio::test]
async fn a_taken_or_reserved_name_is_refused_and_leaves_nothing_behind() {
    let world = World::toy();
    let device = world.user("udo").await;
    register(&world, "hugo").await.unwrap();
    let generated = world.rsa.generated();
    for (name, expected) in [
        ("udo", "user_name_taken"),
        ("hugo", "user_name_taken"),
        ("Keyserver", "reserved_user_name"),
    ] {
        assert_eq!(code(register(&world, name).await), expected, "{name}");
    }
    assert_eq!(world.rsa.generated(), generated, "no key pair was wasted");
    let taken = world.register("hugo", &device).await;
    assert_eq!(code(taken), "user_name_taken");
    assert_eq!(
        code(login(&world.cloud, "udo", OLD).await),
        "wrong_password"
    );
    assert_eq!(code(world.login("udo", &device).await), "ok");
}

#[tokio::test]
async fn a_new_password_brings_a_fresh_key_pair_and_the_session_in_use_lives_on() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let before = world.cloud.list_keys(&session).await.unwrap();
    let changed = world.cloud.change_password(&session, password(NEW)).await;
    changed.unwrap();

    let session = world.cloud.session(&token).await.unwrap();
    let after = world.cloud.list_keys(&session).await.unwrap();
    assert_eq!(after.len(), 1, "the old key is gone");
    assert!(after[0].current);
    assert_ne!(after[0].key.material, before[0].key.material);
    assert_eq!(
        code(login(&world.cloud, "hugo", OLD).await),
        "wrong_password"
    );
    let old_hash = before[0].key.material.fingerprint().key_hash();
    let refused = world
        .cloud
        .authenticate(&given::name("hugo"), &old_hash)
        .await;
    assert_eq!(code(refused), "authentication_failed");

    let next = login(&world.cloud, "hugo", NEW).await.unwrap();
    assert!(!world.lives(&token).await, "replaced by the new login");
    assert!(world.lives(&next).await);
}

#[tokio::test]
async fn a_new_password_leaves_devices_alone() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let by_password = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&by_password).await.unwrap();
    let device = world.device();
    let new = new_key(device.public_key(), Some("laptop"));
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let by_device = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&by_device).await.unwrap();
    let changed = world.cloud.change_password(&session, password(NEW)).await;
    changed.unwrap();
    assert!(world.lives(&by_device).await);
    assert!(!world.lives(&by_password).await, "it was the old key's");
    let keys = world.cloud.list_keys(&session).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].key.material, *device.public_key());
    assert_eq!(keys[0].key.label, new.label);
    assert_eq!(code(login(&world.cloud, "hugo", NEW).await), "ok");
}

#[tokio::test]
async fn without_account_there_is_no_password_to_change() {
    let world = World::toy();
    let session = world.session_of_new("hugo").await;
    let generated = world.rsa.generated();
    let refused = world.cloud.change_password(&session, password(NEW)).await;
    assert_eq!(code(refused), "no_keyserver_account");
    assert_eq!(world.rsa.generated(), generated);
}

#[tokio::test]
async fn a_forbidden_password_is_answered_like_a_wrong_one_until_it_is_allowed_again() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let by_password = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&by_password).await.unwrap();
    let device = world.device();
    let new = new_key(device.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let by_device = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&by_device).await.unwrap();
    let forbidden = world.cloud.forbid_password_login(&session).await;
    assert_eq!(code(forbidden), "ok");
    assert!(!world.lives(&by_password).await, "it was opened with it");
    assert!(world.lives(&by_device).await);

    let (signed, decrypted) = (world.rsa.signed(), world.rsa.decrypted());
    let wrong = login(&world.cloud, "hugo", NEW).await.unwrap_err();
    let right = login(&world.cloud, "hugo", OLD).await.unwrap_err();
    assert_eq!(right.code(), "wrong_password");
    assert_eq!(right.to_string(), wrong.to_string());
    let work = (world.rsa.signed(), world.rsa.decrypted());
    assert_eq!(work, (signed, decrypted), "neither costs more");

    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    for (allowed, expected) in [
        (true, "ok"),
        (true, "ok"),
        (false, "wrong_password"),
        (false, "wrong_password"),
    ] {
        let set = crate::support::set_password_login(&world.cloud, &session, allowed).await;
        assert_eq!(code(set), "ok");
        assert_eq!(code(login(&world.cloud, "hugo", OLD).await), expected);
        assert!(world.lives(&token).await);
    }
}

#[tokio::test]
async fn a_new_password_of_an_account_that_forbids_it_is_forbidden() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let device = world.device();
    let new = new_key(device.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let cloud = &world.cloud;
    cloud.forbid_password_login(&session).await.unwrap();
    cloud
        .change_password(&session, password(NEW))
        .await
        .unwrap();
    for text in [OLD, NEW] {
        assert_eq!(code(login(cloud, "hugo", text).await), "wrong_password");
    }
    cloud.allow_password_login(&session).await.unwrap();
    assert_eq!(code(login(cloud, "hugo", OLD).await), "wrong_password");
    assert_eq!(code(login(cloud, "hugo", NEW).await), "ok");
}

#[tokio::test]
async fn a_password_is_forbidden_only_if_another_key_opens_the_account() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let forbid = async || code(world.cloud.forbid_password_login(&session).await);
    assert_eq!(forbid().await, "last_active_key");
    let expiring = given::openpgp_key(1, Some(100));
    given::added(&*world.store, &session.user, &expiring).await;
    world.clock.set(given::at(100));
    assert_eq!(forbid().await, "last_active_key", "it has expired");
    assert!(world.lives(&token).await);
    assert_eq!(code(login(&world.cloud, "hugo", OLD).await), "ok");
    assert_eq!(forbid().await, "unknown_token", "of the former session");

    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let device = world.device();
    let new = new_key(device.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let forbidden = world.cloud.forbid_password_login(&session).await;
    assert_eq!(
        code(forbidden),
        "password_session",
        "nothing is shown by it"
    );
    let by_device = world.login("hugo", &device).await.unwrap();
    let by_device = world.cloud.session(&by_device).await.unwrap();
    let forbidden = world.cloud.forbid_password_login(&by_device).await;
    assert_eq!(code(forbidden), "ok");
    assert!(!world.lives(&token).await);
}

#[tokio::test]
async fn without_account_there_is_no_password_to_forbid() {
    let world = World::toy();
    let session = world.session_of_new("hugo").await;
    for allowed in [false, true] {
        let refused = crate::support::set_password_login(&world.cloud, &session, allowed).await;
        assert_eq!(code(refused), "no_keyserver_account");
    }
    world.cloud.logout(&session).await.unwrap();
    let refused = world.cloud.forbid_password_login(&session).await;
    assert_eq!(code(refused), "unknown_token");
}

#[tokio::test]
async fn the_account_goes_with_its_key() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let own = full_hash(
        world.cloud.list_keys(&session).await.unwrap()[0]
            .key
            .material
            .as_rsa()
            .unwrap(),
    );
    let refused = world.cloud.delete_key(&session, &own).await;
    assert_eq!(code(refused), "last_active_key");
    let device = world.device();
    let new = new_key(device.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    world.cloud.delete_key(&session, &own).await.unwrap();
    assert!(!world.lives(&token).await);
    assert_eq!(
        code(login(&world.cloud, "hugo", OLD).await),
        "wrong_password"
    );
    assert_eq!(code(world.login("hugo", &device).await), "ok");
}

#[tokio::test]
async fn a_login_raises_the_cost_of_an_old_hash_and_the_account_stays_the_same() {
    let rsa = Counting::new(Toy::new());
    let server_key = ServerKey::generate(rsa.clone()).unwrap();
    let old = World::build(rsa, server_key.clone(), settings());
    let mut dearer = settings();
    dearer.hash_cost = HashCost::new(16, 2);
    let new = old.another_process(server_key, dearer);
    register(&old, "hugo").await.unwrap();
    let before = account(&old, "hugo").await;
    assert_eq!(code(login(&new.cloud, "hugo", NEW).await), "wrong_password");
    let unchanged = account(&old, "hugo").await;
    assert_eq!(unchanged.password_hash, before.password_hash);

    for _ in 0..2 {
        let token = login(&new.cloud, "hugo", OLD).await.unwrap();
        assert!(new.lives(&token).await);
        let after = account(&new, "hugo").await;
        assert_eq!(after.key, before.key);
        let phc = after.password_hash.as_str();
        assert!(phc.starts_with("$argon2id$v=19$m=16,t=2,p=1$"), "{phc}");
        assert_ne!(after.sealed_key, before.sealed_key);
    }
    let raised = account(&new, "hugo").await;
    login(&new.cloud, "hugo", OLD).await.unwrap();
    let same = account(&new, "hugo").await;
    assert_eq!(raised.password_hash, same.password_hash, "raised only once");
}

#[tokio::test]
async fn a_login_succeeds_though_the_cost_of_the_hash_can_not_be_raised() {
    let mut dearer = settings();
    dearer.hash_cost.passes = 2;
    let (world, store) = World::faulty(dearer);
    // Another process on the same database, where a hash costs less.
    let server_key = ServerKey::generate(world.rsa.clone()).unwrap();
    register(&world.another_process(server_key, settings()), "hugo")
        .await
        .unwrap();
    let before = account(&world, "hugo").await;
    store.rehash.set(true);
    let token = login(&world.cloud, "hugo", OLD).await.unwrap();
    assert!(world.lives(&token).await);
    let after = account(&world, "hugo").await;
    assert_eq!(after.password_hash, before.password_hash);
    store.rehash.set(false);
    login(&world.cloud, "hugo", OLD).await.unwrap();
    let raised = account(&world, "hugo").await;
    assert_ne!(raised.password_hash, before.password_hash);
}

#[tokio::test]
async fn a_login_that_fails_half_way_leaves_the_former_session_alone() {
    let (world, fault) = World::faulty_decryption();
    register(&world, "hugo").await.unwrap();
    let former = login(&world.cloud, "hugo", OLD).await.unwrap();
    fault.set(true);
    assert_eq!(code(login(&world.cloud, "hugo", OLD).await), "internal");
    assert!(world.lives(&former).await);
    fault.set(false);
    assert_eq!(code(login(&world.cloud, "hugo", OLD).await), "ok");
    assert!(!world.lives(&former).await);
}

#[test]
fn an_impossible_cost_of_hashing_is_refused_at_once() {
    for (memory_kib, passes) in [(7, 1), (8, 0), (0, 0)] {
        let mut settings = settings();
        settings.hash_cost = HashCost::new(memory_kib, passes);
        let server_key = ServerKey::generate(Toy::new()).unwrap();
        let built = Cloud::builder(Arc::new(MemoryStore::new()), server_key)
            .settings(settings)
            .build();
        assert!(matches!(built, Err(Error::InvalidHashCost)));
    }
}

/// Whether any eight bytes in a row of `secret` stand in `kept`.
fn shows(kept: &[u8], secret: &[u8]) -> bool {
    let windows: std::collections::HashSet<_> = secret.windows(8).collect();
    kept.windows(8).any(|window| windows.contains(window))
}

#[tokio::test]
async fn what_is_kept_shows_neither_password_nor_private_key() {
    let world = World::real();
    register(&world, "hugo").await.unwrap();
    let kept = account(&world, "hugo").await;
    let sealed = kept.sealed_key.as_bytes();
    // The first key that the backend makes is the first fixed one.
    let private = keys::device(0).to_pkcs8_der().unwrap();
    assert!(shows(&private, &private));
    assert!(!shows(sealed, &private));
    assert!(!shows(sealed, keys::device_pem(0).as_bytes()));
    let phc = kept.password_hash.as_str();
    assert!(phc.starts_with("$argon2id$"));
    for text in [phc, &format!("{kept:?}"), &String::from_utf8_lossy(sealed)] {
        assert!(!text.contains(OLD) && !text.contains("horse"));
    }
    // The server's key opens nothing of it either.
    let pem = pem_to_der(keys::server_pem());
    let server = world.rsa.private_key_from_pkcs8(&pem).unwrap();
    for window in sealed.windows(server.public_key().size()) {
        // Trying a few is enough: any of them costs a private operation.
        if window.as_ptr().addr() % 500 == 0 {
            assert!(server.decrypt_oaep_sha1(window).is_err());
        }
    }
}

fn pem_to_der(pem: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

#[tokio::test]
async fn who_can_write_to_the_database_still_cannot_open_the_private_key() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    let other = given::name("mallory");
    world
        .cloud
        .keyserver_register(other, password(NEW))
        .await
        .unwrap();
    let (hugo, mallory) = (
        account(&world, "hugo").await,
        account(&world, "mallory").await,
    );
    // Mallory puts the hash of her own password in the place of Hugo's.
    let (forged, sealed) = (&mallory.password_hash, &hugo.sealed_key);
    let accounts = world.store().keyserver();
    let replaced = accounts
        .rehash(hugo.user.id, &hugo.password_hash, forged, sealed)
        .await;
    assert!(replaced.unwrap());
    let opened = login(&world.cloud, "hugo", NEW).await;
    assert_eq!(code(opened), "database_inconsistent");
    // And her sealed key too: it is sealed for her name.
    let replaced = accounts
        .rehash(hugo.user.id, forged, forged, &mallory.sealed_key)
        .await;
    assert!(replaced.unwrap());
    let opened = login(&world.cloud, "hugo", NEW).await;
    assert_eq!(code(opened), "database_inconsistent");
}

#[tokio::test]
async fn equal_passwords_leave_nothing_equal() {
    let world = World::toy();
    register(&world, "hugo").await.unwrap();
    register(&world, "erna").await.unwrap();
    let (hugo, erna) = (account(&world, "hugo").await, account(&world, "erna").await);
    let tail = |account: &Account| {
        account
            .password_hash
            .as_str()
            .rsplit('$')
            .next()
            .map(str::to_owned)
    };
    assert_ne!(tail(&hugo), tail(&erna));
    assert!(!shows(
        hugo.sealed_key.as_bytes(),
        &erna.sealed_key.as_bytes()[1..]
    ));
}
