//! How long sessions live, what ends them, and what they cost.

use pinyto_core::{
    Page,
    challenge::{DeviceKey, RequestToken, ServerKey},
    testing::{
        given,
        rsa::{Counting, Toy},
    },
};

use crate::support::{IDLE, MOMENT, RENEWAL, World, code, settings};

async fn hugo(world: &World) -> (DeviceKey, RequestToken) {
    let device = world.user("hugo").await;
    let token = world.login("hugo", &device).await.unwrap();
    (device, token)
}

#[tokio::test]
async fn a_session_lives_for_the_whole_idle_time_after_each_use() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    for _ in 0..5 {
        world.clock.advance(IDLE);
        assert!(world.lives(&token).await);
        // A use that is too early to be noted counts all the same.
        world.clock.advance(RENEWAL - MOMENT);
        assert!(world.lives(&token).await);
    }
}

#[tokio::test]
async fn a_use_that_can_not_be_noted_is_allowed_all_the_same() {
    let (world, store) = World::faulty(settings());
    let (_, token) = hugo(&world).await;
    let before = world.cloud.session(&token).await.unwrap();
    world.clock.advance(RENEWAL);
    store.renew.set(true);
    assert_eq!(world.cloud.session(&token).await.unwrap(), before);
    store.renew.set(false);
    let noted = world.cloud.session(&token).await.unwrap();
    assert!(noted.last_used_at > before.last_used_at);
}

#[tokio::test]
async fn a_session_that_was_never_used_lives_as_long_from_its_beginning() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    world.clock.advance(IDLE);
    assert!(world.lives(&token).await);
}

#[tokio::test]
async fn a_session_is_dead_when_idle_time_and_renewal_have_passed() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    assert!(world.lives(&token).await);
    world.clock.advance(IDLE + RENEWAL + MOMENT);
    assert!(!world.lives(&token).await);
    assert!(!world.lives(&token).await, "asking doesn't wake it");
}

#[tokio::test]
async fn the_last_use_is_written_once_per_renewal() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    let opened = world.cloud.session(&token).await.unwrap();
    let stored = async || {
        let found = world.store().sessions().find(opened.id).await.unwrap();
        found.unwrap().last_used_at
    };
    world.clock.advance(RENEWAL - MOMENT);
    assert!(world.lives(&token).await);
    assert_eq!(stored().await, opened.created_at);
    world.clock.advance(MOMENT);
    let renewed = world.cloud.session(&token).await.unwrap();
    assert_eq!(renewed.last_used_at, given::at(10));
    assert_eq!(stored().await, given::at(10));
}

#[tokio::test]
async fn logging_in_again_kills_the_old_token_at_once_though_it_is_remembered() {
    let world = World::toy();
    let (device, first) = hugo(&world).await;
    assert!(world.lives(&first).await);
    let second = world.login("hugo", &device).await.unwrap();
    assert!(!world.lives(&first).await);
    assert!(world.lives(&second).await);
}

#[tokio::test]
async fn the_old_token_is_dead_even_if_the_new_challenge_is_never_answered() {
    let world = World::toy();
    let (device, token) = hugo(&world).await;
    let (name, hash) = (given::name("hugo"), device.key_hash());
    world.cloud.authenticate(&name, &hash).await.unwrap();
    assert!(!world.lives(&token).await);
}

#[tokio::test]
async fn sessions_of_different_devices_live_side_by_side() {
    let world = World::toy();
    let (_, first) = hugo(&world).await;
    let session = world.cloud.session(&first).await.unwrap();
    let other = world.device();
    let new = crate::support::new_key(other.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let second = world.login("hugo", &other).await.unwrap();
    assert!(world.lives(&first).await && world.lives(&second).await);
    let session = world.cloud.session(&second).await.unwrap();
    world.cloud.logout(&session).await.unwrap();
    assert!(world.lives(&first).await && !world.lives(&second).await);
}

#[tokio::test]
async fn a_token_is_unknown_after_logout() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    let session = world.cloud.session(&token).await.unwrap();
    world.cloud.logout(&session).await.unwrap();
    assert!(!world.lives(&token).await);
    world.cloud.logout(&session).await.unwrap();
}

#[tokio::test]
async fn what_another_process_ended_is_dead_here_too() {
    let rsa = Counting::new(Toy::new());
    let server_key = ServerKey::generate(rsa.clone()).unwrap();
    let here = World::build(rsa, server_key.clone(), settings());
    let there = here.another_process(server_key, settings());
    let (device, token) = hugo(&here).await;
    assert!(here.lives(&token).await && there.lives(&token).await);
    let session = there.cloud.session(&token).await.unwrap();
    there.cloud.logout(&session).await.unwrap();
    assert!(!here.lives(&token).await);
    let token = here.login("hugo", &device).await.unwrap();
    assert!(there.lives(&token).await);
    here.login("hugo", &device).await.unwrap();
    assert!(!there.lives(&token).await);
}

#[tokio::test]
async fn a_token_is_decrypted_once_however_often_it_is_used() {
    let world = World::real();
    let (_, token) = hugo(&world).await;
    let before = world.rsa.decrypted();
    for _ in 0..50 {
        assert!(world.lives(&token).await);
    }
    assert_eq!(world.rsa.decrypted() - before, 1);
    let session = world.cloud.session(&token).await.unwrap();
    world.cloud.logout(&session).await.unwrap();
    assert!(!world.lives(&token).await);
}

#[tokio::test]
async fn a_few_texts_of_one_session_are_remembered_and_the_oldest_forgotten() {
    let world = World::toy();
    let device = world.user("hugo").await;
    let (name, hash) = (given::name("hugo"), device.key_hash());
    let challenge = world.cloud.authenticate(&name, &hash).await.unwrap();
    let server = world.cloud.server_public_key();
    let texts: Vec<_> = (0..6)
        .map(|_| device.answer(&challenge, server).unwrap())
        .collect();
    let cost = async |text: &RequestToken| {
        let before = world.rsa.decrypted();
        assert!(world.lives(text).await);
        world.rsa.decrypted() - before
    };
    for text in &texts {
        assert_eq!(cost(text).await, 1);
    }
    for text in texts.iter().rev().take(4) {
        assert_eq!(cost(text).await, 0);
    }
    assert_eq!(cost(&texts[0]).await, 1, "forgotten, but still good");
    assert_eq!(cost(&texts[2]).await, 1, "had to make room");
}

#[tokio::test]
async fn white_space_makes_no_other_text() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    assert!(world.lives(&token).await);
    let before = world.rsa.decrypted();
    for at in 0..10 {
        let mut text = token.expose().to_owned();
        text.insert_str(at * 60, " \r\n");
        assert!(world.lives(&RequestToken::new(text)).await);
    }
    assert_eq!(world.rsa.decrypted(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_side_by_side_share_what_is_remembered() {
    let world = World::toy();
    let (_, token) = hugo(&world).await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (cloud, token) = (world.cloud.clone(), token.clone());
            tokio::spawn(async move { cloud.session(&token).await.unwrap().id })
        })
        .collect();
    let mut sessions = Vec::new();
    for task in tasks {
        sessions.push(task.await.unwrap());
    }
    sessions.dedup();
    assert_eq!(sessions.len(), 1);
    let before = world.rsa.decrypted();
    assert!(world.lives(&token).await);
    assert_eq!(world.rsa.decrypted(), before);
}

#[tokio::test]
async fn sweeping_removes_exactly_the_dead() {
    let world = World::toy();
    let (_, old) = hugo(&world).await;
    let session = world.cloud.session(&old).await.unwrap();
    world.clock.advance(RENEWAL + MOMENT);
    let erna = world.user("erna").await;
    let young = world.login("erna", &erna).await.unwrap();
    world.clock.advance(IDLE);
    assert_eq!(world.cloud.sweep_sessions().await.unwrap(), 1);
    let gone = world.store().sessions().find(session.id).await.unwrap();
    assert_eq!(gone, None);
    assert!(world.lives(&young).await);
    assert_eq!(world.cloud.sweep_sessions().await.unwrap(), 0);
}

#[tokio::test]
async fn who_gets_the_identifier_of_a_lost_session_is_not_taken_for_its_user() {
    let (world, store) = World::faulty(settings());
    let (_, token) = hugo(&world).await;
    let erna = world.session_of_new("erna").await;
    let lost = world.cloud.session(&token).await.unwrap();
    let claim = world.cloud.claim(&token).await.unwrap();
    // The database has failed over to a server that never got hugo's login.
    *store.given_again.lock().unwrap() = Some((lost.id, erna.id));
    assert!(!world.lives(&token).await);
    for claim in [
        world.cloud.claim(&token).await.unwrap(),
        claim,
        (&lost).into(),
    ] {
        let refused = [
            code(world.cloud.session_of(claim).await),
            code(world.cloud.list_keys(claim).await),
            code(world.cloud.statistics(claim).await),
            code(world.cloud.list_own_assemblies(claim).await),
            code(world.cloud.list_all_assemblies(claim, Page::first(9)).await),
            code(world.cloud.list_jobs(claim, Page::first(9)).await),
            code(world.cloud.list_runs(claim, None, Page::first(9)).await),
        ];
        assert_eq!(refused, ["unknown_token"; 7]);
    }
    *store.given_again.lock().unwrap() = None;
    assert!(world.lives(&token).await);
}
