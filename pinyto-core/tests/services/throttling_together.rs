//! Servers that share a store count failed tries together.

use std::{net::IpAddr, time::Duration};

use pinyto_core::{
    Cloud, Error, Settings,
    challenge::ServerKey,
    testing::{
        given,
        rsa::{Counting, Toy},
    },
};

use crate::{
    support::{World, code, password},
    throttling::{INTERVAL, RIGHT, WRONG, attempt, bad_token, strict},
};

/// Three servers, with the accounts of hugo and erna.
async fn three(settings: Settings) -> [World; 3] {
    let rsa = Counting::new(Toy::new());
    let server_key = ServerKey::generate(rsa.clone()).unwrap();
    let one = World::build(rsa, server_key.clone(), settings.clone());
    let another = || one.another_process(server_key.clone(), settings.clone());
    let others = [another(), another()];
    for name in ["hugo", "erna"] {
        let name = given::name(name);
        let made = one.cloud.keyserver_register(name, password(RIGHT)).await;
        made.unwrap();
    }
    let [two, three] = others;
    [one, two, three]
}

fn at(worlds: &[World; 3], address: [u8; 4]) -> [Cloud; 3] {
    worlds
        .each_ref()
        .map(|world| world.cloud.for_address(IpAddr::from(address)))
}

#[tokio::test]
async fn failures_at_one_server_count_at_all() {
    let servers = three(strict()).await;
    for server in &servers {
        let refused = attempt(&server.cloud, "hugo", WRONG).await;
        assert_eq!(code(refused), "wrong_password");
    }
    for server in &servers {
        for text in [WRONG, RIGHT, RIGHT] {
            let refused = attempt(&server.cloud, "hugo", text).await.unwrap_err();
            assert!(matches!(refused, Error::Throttled { .. }));
            assert_eq!(refused.retry_after(), Some(INTERVAL));
        }
        assert_eq!(code(attempt(&server.cloud, "erna", RIGHT).await), "ok");
    }
}

#[tokio::test]
async fn one_interval_gives_one_try_at_all_servers_together() {
    let servers = three(strict()).await;
    for _ in 0..3 {
        attempt(&servers[0].cloud, "hugo", WRONG).await.unwrap_err();
    }
    for round in 0..3 {
        servers[0].clock.advance(INTERVAL);
        let mut codes = Vec::new();
        for n in 0..3 {
            let server = &servers[(round + n) % 3];
            codes.push(code(attempt(&server.cloud, "hugo", WRONG).await));
        }
        assert_eq!(codes, ["wrong_password", "throttled", "throttled"]);
    }
    servers[0].clock.advance(INTERVAL);
    assert_eq!(code(attempt(&servers[2].cloud, "hugo", RIGHT).await), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_at_all_servers_at_once_are_no_more_than_guesses_in_a_row() {
    let servers = three(strict()).await;
    for round in 1..5 {
        let tasks: Vec<_> = (0..48)
            .map(|n| {
                let cloud = servers[n % 3].cloud.clone();
                tokio::spawn(async move { code(attempt(&cloud, "hugo", WRONG).await) })
            })
            .collect();
        let mut wrong = 0;
        for task in tasks {
            match task.await.unwrap() {
                "wrong_password" => wrong += 1,
                other => assert_eq!(other, "throttled"),
            }
        }
        assert_eq!(wrong, 3, "in round {round}");
        servers[0].clock.advance(3 * INTERVAL);
    }
}

#[tokio::test]
async fn addresses_are_counted_together_too() {
    let servers = three(strict()).await;
    let clouds = at(&servers, [192, 0, 2, 1]);
    let device = servers[0].user("udo").await;
    let (nobody, hash) = (given::name("nobody"), device.key_hash());
    // Passwords, tokens and challenges.
    for n in 0..2 {
        let refused = attempt(&clouds[0], &format!("user{n}"), WRONG).await;
        assert_eq!(code(refused), "wrong_password");
        assert_eq!(
            code(clouds[1].session(&bad_token(n)).await),
            "unknown_token"
        );
        let refused = clouds[2].authenticate(&nobody, &hash).await;
        assert_eq!(code(refused), "authentication_failed");
    }
    for cloud in &clouds {
        assert_eq!(code(attempt(cloud, "hugo", RIGHT).await), "throttled");
        // What one server has learned it refuses without a computation.
        let before = servers[0].rsa.decrypted();
        assert_eq!(code(cloud.session(&bad_token(9)).await), "throttled");
        let refused = cloud.authenticate(&given::name("udo"), &hash).await;
        assert_eq!(code(refused), "throttled");
        assert_eq!(servers[0].rsa.decrypted(), before);
    }
    let elsewhere = at(&servers, [192, 0, 2, 2]);
    assert_eq!(code(attempt(&elsewhere[2], "hugo", RIGHT).await), "ok");
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let [before, after, _] = three(strict()).await;
    for _ in 0..3 {
        attempt(&before.cloud, "hugo", WRONG).await.unwrap_err();
    }
    drop(before);
    after.clock.advance(INTERVAL - Duration::from_secs(1));
    let refused = attempt(&after.cloud, "hugo", RIGHT).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    after.clock.advance(Duration::from_secs(1));
    assert_eq!(code(attempt(&after.cloud, "hugo", RIGHT).await), "ok");
}

#[tokio::test]
async fn servers_with_other_keys_count_for_themselves() {
    let servers = three(strict()).await;
    let stranger = servers[0].another_process(
        ServerKey::generate(servers[0].rsa.clone()).unwrap(),
        strict(),
    );
    for server in [&servers[0], &stranger] {
        for expected in [
            "wrong_password",
            "wrong_password",
            "wrong_password",
            "throttled",
        ] {
            let refused = attempt(&server.cloud, "hugo", WRONG).await;
            assert_eq!(code(refused), expected);
        }
    }
}

#[tokio::test]
async fn without_the_store_nobody_learns_whether_the_guess_was_right() {
    let (world, store) = World::faulty(strict());
    let hugo = given::name("hugo");
    let made = world.cloud.keyserver_register(hugo, password(RIGHT)).await;
    made.unwrap();
    store.settle.set(true);
    for text in [RIGHT, WRONG, RIGHT, WRONG] {
        assert_eq!(
            code(attempt(&world.cloud, "hugo", text).await),
            "database_unavailable"
        );
    }
    // Wrong tokens tell nothing.
    let cloud = world.at_address("192.0.2.1");
    for n in 0..6 {
        assert_eq!(code(cloud.session(&bad_token(n)).await), "unknown_token");
    }
    assert_eq!(code(cloud.session(&bad_token(7)).await), "throttled");
    store.settle.set(false);
    assert_eq!(code(attempt(&world.cloud, "hugo", RIGHT).await), "ok");
}

#[tokio::test]
async fn good_tokens_and_challenges_ask_nothing_of_the_counts() {
    let (world, store) = World::faulty(strict());
    store.settle.set(true);
    let cloud = world.at_address("192.0.2.1");
    let device = world.user("udo").await;
    let (udo, hash) = (given::name("udo"), device.key_hash());
    let challenge = cloud.authenticate(&udo, &hash).await.unwrap();
    let server = cloud.server_public_key();
    // The first one is decrypted, the second time it is remembered.
    let token = device.answer(&challenge, server).unwrap();
    for _ in 0..2 {
        assert_eq!(code(cloud.session(&token).await), "ok");
    }
}

#[tokio::test]
async fn what_no_longer_counts_is_swept_with_the_sessions() {
    let [world, ..] = three(strict()).await;
    attempt(&world.cloud, "hugo", WRONG).await.unwrap_err();
    attempt(&world.cloud, "erna", WRONG).await.unwrap_err();
    attempt(&world.cloud, "erna", WRONG).await.unwrap_err();
    world.clock.advance(INTERVAL);
    world.cloud.sweep_sessions().await.unwrap();
    let end = given::at(i64::MAX / 2000);
    let left = world.store().failures().forget_paid(end).await;
    assert_eq!(left.unwrap(), 1);
}
