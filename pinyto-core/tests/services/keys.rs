//! The keys of a user, seen from her sessions.

use pinyto_core::{
    challenge::{DeviceKey, RequestToken},
    session::Session,
    testing::{given, keys},
};

use crate::support::{RENEWAL, World, code, full_hash, new_key, settings};

/// A user with two devices, both logged in.
async fn two_devices(world: &World) -> [(DeviceKey, RequestToken, Session); 2] {
    let laptop = world.user("hugo").await;
    let token = world.login("hugo", &laptop).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let phone = world.device();
    let new = new_key(phone.public_key(), Some("phone"));
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let phone_token = world.login("hugo", &phone).await.unwrap();
    let phone_session = world.cloud.session(&phone_token).await.unwrap();
    [
        (laptop, token, session),
        (phone, phone_token, phone_session),
    ]
}

#[tokio::test]
async fn keys_are_listed_oldest_first_with_label_times_and_the_current_one() {
    let world = World::toy();
    let [(laptop, token, _), (phone, ..)] = two_devices(&world).await;
    world.clock.advance(RENEWAL);
    let session = world.cloud.session(&token).await.unwrap();
    let listed = world.cloud.list_keys(&session).await.unwrap();
    let [first, second] = listed.as_slice() else {
        panic!("two keys, not {listed:?}");
    };
    assert_eq!(first.key.material, *laptop.public_key());
    assert_eq!(second.key.material, *phone.public_key());
    assert!(first.current && !second.current);
    assert!(first.key.active && second.key.active);
    assert_eq!(first.key.label, None);
    assert_eq!(second.key.label.as_ref().unwrap().as_str(), "phone");
    assert_eq!(first.key.created_at, given::at(0));
    assert_eq!(first.key.last_used_at, Some(given::at(10)));
    assert_eq!(second.key.last_used_at, Some(given::at(0)));
}

#[tokio::test]
async fn an_account_has_a_key_once_but_other_accounts_may_have_it_too() {
    let world = World::toy();
    let [(laptop, _, session), (phone, ..)] = two_devices(&world).await;
    for device in [&laptop, &phone] {
        let new = new_key(device.public_key(), None);
        let refused = world.cloud.register_new_key(&session, &new).await;
        assert_eq!(code(refused), "key_already_registered");
    }
    assert_eq!(code(world.register("erna", &laptop).await), "ok");
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_keys() {
    let mut settings = settings();
    settings.max_keys = 3;
    let world = World::with(settings);
    let [(_, _, session), _] = two_devices(&world).await;
    let add = async |n| {
        let new = new_key(&keys::synthetic(n), None);
        code(world.cloud.register_new_key(&session, &new).await)
    };
    assert_eq!(add(100).await, "ok");
    assert_eq!(add(101).await, "limit_reached");
}

#[tokio::test]
async fn a_deactivated_keys_session_is_dead_at_once_and_for_good() {
    let world = World::toy();
    let [
        (laptop, token, session),
        (phone, phone_token, phone_session),
    ] = two_devices(&world).await;
    assert!(world.lives(&phone_token).await);
    let set = async |session: &Session, device: &DeviceKey, active| {
        let hash = device.key_hash();
        code(crate::support::set_key_active(&world.cloud, session, &hash, active).await)
    };
    assert_eq!(set(&session, &phone, false).await, "ok");
    assert!(!world.lives(&phone_token).await);
    assert_eq!(
        code(world.login("hugo", &phone).await),
        "authentication_failed"
    );
    assert_eq!(set(&session, &laptop, false).await, "last_active_key");
    assert!(world.lives(&token).await);
    assert_eq!(set(&session, &phone, true).await, "ok");
    assert!(!world.lives(&phone_token).await);
    let next = world.login("hugo", &phone).await.unwrap();
    assert!(world.lives(&next).await);
    // What has ended changes nothing any more.
    assert_eq!(set(&phone_session, &laptop, false).await, "unknown_token");
    assert!(world.lives(&token).await);
    // A key may deactivate itself.
    let session = world.cloud.session(&next).await.unwrap();
    assert_eq!(set(&session, &phone, false).await, "ok");
    assert!(!world.lives(&next).await && world.lives(&token).await);
}

#[tokio::test]
async fn a_deleted_key_is_unknown_and_its_session_dead() {
    let world = World::toy();
    let [(laptop, token, session), (phone, phone_token, _)] = two_devices(&world).await;
    assert!(world.lives(&phone_token).await);
    let delete = async |device: &DeviceKey| {
        let deleted = world.cloud.delete_key(&session, &device.key_hash()).await;
        code(deleted)
    };
    assert_eq!(delete(&phone).await, "ok");
    assert!(!world.lives(&phone_token).await);
    assert_eq!(delete(&phone).await, "unknown_key");
    assert_eq!(
        code(world.login("hugo", &phone).await),
        "authentication_failed"
    );
    assert_eq!(delete(&laptop).await, "last_active_key");
    assert!(world.lives(&token).await);
}

#[tokio::test]
async fn nobody_touches_the_key_of_another_user() {
    let world = World::toy();
    let [(laptop, token, _), (phone, phone_token, _)] = two_devices(&world).await;
    let mallory = world.session_of_new("mallory").await;
    let [one, _] = keys::colliding();
    let new = new_key(&one, None);
    world.cloud.register_new_key(&mallory, &new).await.unwrap();
    for device in [&laptop, &phone] {
        for hash in [device.key_hash(), full_hash(device.public_key())] {
            let deleted = world.cloud.delete_key(&mallory, &hash).await;
            assert_eq!(code(deleted), "unknown_key");
            for active in [true, false] {
                let changed =
                    crate::support::set_key_active(&world.cloud, &mallory, &hash, active).await;
                assert_eq!(code(changed), "unknown_key");
            }
        }
    }
    assert!(world.lives(&token).await && world.lives(&phone_token).await);
}

#[tokio::test]
async fn an_ambiguous_hash_asks_for_more_digits() {
    let world = World::toy();
    let session = world.session_of_new("hugo").await;
    let [one, other] = keys::colliding();
    for key in [&one, &other] {
        let new = new_key(key, None);
        world.cloud.register_new_key(&session, &new).await.unwrap();
    }
    let short = given::key_hash(keys::COLLIDING_HASH);
    let refused = world.cloud.deactivate_key(&session, &short).await;
    assert_eq!(code(refused), "ambiguous_key_hash");
    let refused = world.cloud.delete_key(&session, &short).await;
    assert_eq!(code(refused), "ambiguous_key_hash");
    let twelve = given::key_hash(&one.fingerprint().to_hex()[..12]);
    assert_eq!(code(world.cloud.delete_key(&session, &twelve).await), "ok");
    assert_eq!(code(world.cloud.delete_key(&session, &short).await), "ok");
    let left = world.cloud.list_keys(&session).await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn a_key_that_has_expired_does_not_let_the_last_other_one_go() {
    let world = World::toy();
    let device = world.user("hugo").await;
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let openpgp = given::openpgp_key(1, Some(100));
    given::added(&*world.store, &session.user, &openpgp).await;
    let (cloud, hash) = (&world.cloud, device.key_hash());
    world.clock.set(given::at(100));
    let off = cloud.deactivate_key(&session, &hash).await;
    assert_eq!(code(off), "last_active_key");
    let gone = cloud.delete_key(&session, &hash).await;
    assert_eq!(code(gone), "last_active_key");
    assert!(world.lives(&token).await);
    world.clock.set(given::at(99));
    assert_eq!(code(cloud.delete_key(&session, &hash).await), "ok");
    assert!(!world.lives(&token).await);
}
