//! The keyserver's stock of ready key pairs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{
    Error,
    crypto::RsaBackend,
    keyserver::Password,
    testing::{given, keys, rsa::FixedKeys},
};

use crate::support::{World, code, password, settings};

const PASSWORD: &str = "correct horse";

async fn register(world: &World, name: &str) -> Result<(), Error> {
    let name = given::name(name);
    let registered = world
        .cloud
        .keyserver_register(name, password(PASSWORD))
        .await;
    registered.map(drop)
}

async fn can_log_in(world: &World, name: &str) -> bool {
    let (name, attempt) = (given::name(name), Password::attempt(PASSWORD));
    code(world.cloud.keyserver_authenticate(&name, attempt).await) == "ok"
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it never happens"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_stock_is_used_and_refilled_while_it_is_watched_and_not_needed() {
    let mut settings = settings();
    settings.key_stock = 2;
    let world = World::with(settings);
    let stock = world.cloud.key_stock().clone();
    assert_eq!((stock.ready(), stock.capacity()), (0, 2));
    register(&world, "empty").await.unwrap();
    assert_eq!(stock.ready(), 0, "nothing fills it yet");
    assert!(can_log_in(&world, "empty").await);

    let (called, calls) = std::sync::mpsc::channel();
    let refill = stock
        .start_refill(move || called.send(()).unwrap())
        .unwrap();
    until(async || stock.ready() == 2).await;
    assert_eq!(calls.iter().count(), 1, "the priority is set once");
    let full = world.rsa.generated();
    register(&world, "hugo").await.unwrap();
    until(async || stock.ready() == 2).await;
    assert_eq!(world.rsa.generated() - full, 1);
    drop(refill);

    for name in ["a", "b", "c"] {
        register(&world, name).await.unwrap();
        assert!(can_log_in(&world, name).await);
    }
    assert_eq!(stock.ready(), 0);
}

#[tokio::test]
async fn a_second_refill_goes_on_when_the_first_one_is_dropped() {
    let mut settings = settings();
    settings.key_stock = 2;
    let world = World::with(settings);
    let stock = world.cloud.key_stock();
    let first = stock.start_refill(|| ()).unwrap();
    let second = stock.start_refill(|| ()).unwrap();
    until(async || stock.ready() == 2).await;
    drop(first);
    register(&world, "hugo").await.unwrap();
    until(async || stock.ready() == 2).await;
    drop(second);
    register(&world, "erna").await.unwrap();
    assert_eq!(stock.ready(), 1, "nobody refills it any more");
}

#[tokio::test]
async fn a_refill_that_was_dropped_ends_though_another_one_has_started() {
    let world = World::toy();
    let stock = world.cloud.key_stock();
    let before = Arc::strong_count(stock);
    let (go_on, held_up) = std::sync::mpsc::channel::<()>();
    let first = stock.start_refill(move || held_up.recv().unwrap()).unwrap();
    drop(first);
    let second = stock.start_refill(|| ()).unwrap();
    go_on.send(()).unwrap();
    // The thread and the value of the second one are left.
    until(async || Arc::strong_count(stock) == before + 2).await;
    until(async || stock.ready() == stock.capacity()).await;
    drop(second);
}

#[tokio::test]
async fn every_account_gets_a_key_pair_of_its_own_from_the_stock() {
    let world = World::toy();
    let refill = world.cloud.key_stock().start_refill(|| ()).unwrap();
    let mut keys = Vec::new();
    for n in 0..8 {
        let name = format!("user{n}");
        register(&world, &name).await.unwrap();
        let account = world.store().keyserver().find(&given::name(&name)).await;
        let user = account.unwrap().unwrap().user.id;
        let listed = world.store().keys().list(user).await.unwrap();
        assert!(!keys.contains(&listed[0].material));
        keys.push(listed[0].material.clone());
    }
    drop(refill);
}

#[test]
fn the_fixed_keys_that_these_tests_use_are_made_in_turn() {
    let backend: Arc<dyn RsaBackend> = FixedKeys::new();
    for index in 0..2 {
        let made = backend.generate(4096).unwrap();
        assert_eq!(made.public_key(), keys::device(index).public_key());
    }
}
