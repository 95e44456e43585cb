//! Failed tries are slowed down, per account and per address; successful use is not.

use std::{num::NonZeroU32, task::Poll, thread::available_parallelism, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pinyto_core::{
    Cloud, Error, FailureQuota, Settings, challenge::RequestToken, crypto::RsaBackend,
    keyserver::Password, testing::given,
};

use tokio::task::JoinHandle;

use crate::support::{World, code, password, settings};

pub(crate) const RIGHT: &str = "correct horse";
pub(crate) const WRONG: &str = "wrong horses";
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);

pub(crate) fn strict() -> Settings {
    let quota = |burst, interval| FailureQuota::new(NonZeroU32::new(burst).unwrap(), interval);
    let mut settings = settings();
    settings.throttle.account = quota(3, INTERVAL);
    settings.throttle.address = quota(6, Duration::from_secs(10));
    settings
}

async fn world_with(settings: Settings) -> World {
    let world = World::with(settings);
    for name in ["hugo", "erna"] {
        let name = given::name(name);
        let made = world.cloud.keyserver_register(name, password(RIGHT)).await;
        made.unwrap();
    }
    world
}

pub(crate) async fn attempt(cloud: &Cloud, name: &str, text: &str) -> Result<RequestToken, Error> {
    let attempt = Password::attempt(text);
    cloud
        .keyserver_authenticate(&given::name(name), attempt)
        .await
}

/// Looks like a request token, but decrypts to nothing.
pub(crate) fn bad_token(n: u8) -> RequestToken {
    RequestToken::new(STANDARD.encode([n; 512]))
}

#[tokio::test]
async fn after_a_burst_of_wrong_passwords_the_account_waits_even_with_the_right_one() {
    let world = world_with(strict()).await;
    for _ in 0..3 {
        assert_eq!(
            code(attempt(&world.cloud, "hugo", WRONG).await),
            "wrong_password"
        );
    }
    for text in [WRONG, RIGHT] {
        let refused = attempt(&world.cloud, "hugo", text).await.unwrap_err();
        assert!(matches!(refused, Error::Throttled { .. }));
        assert_eq!(refused.retry_after(), Some(INTERVAL));
    }
    assert_eq!(code(attempt(&world.cloud, "erna", RIGHT).await), "ok");
}

#[tokio::test]
async fn a_right_password_that_is_forbidden_counts_like_a_wrong_one() {
    let world = world_with(strict()).await;
    let token = attempt(&world.cloud, "hugo", RIGHT).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let device = world.device();
    let new = crate::support::new_key(device.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let forbidden = world.cloud.forbid_password_login(&session).await;
    forbidden.unwrap();
    for text in [RIGHT, WRONG, RIGHT] {
        assert_eq!(
            code(attempt(&world.cloud, "hugo", text).await),
            "wrong_password"
        );
    }
    for text in [RIGHT, WRONG] {
        assert_eq!(code(attempt(&world.cloud, "hugo", text).await), "throttled");
    }
    // Keys have nothing to do with it.
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let allowed = world.cloud.allow_password_login(&session).await;
    allowed.unwrap();
    assert_eq!(
        code(attempt(&world.cloud, "hugo", RIGHT).await),
        "throttled"
    );
    world.clock.advance(INTERVAL);
    assert_eq!(code(attempt(&world.cloud, "hugo", RIGHT).await), "ok");
}

#[tokio::test]
async fn waiting_as_long_as_told_gives_another_try() {
    let world = world_with(strict()).await;
    for _ in 0..3 {
        attempt(&world.cloud, "hugo", WRONG).await.unwrap_err();
    }
    for _ in 0..3 {
        let refused = attempt(&world.cloud, "hugo", WRONG).await.unwrap_err();
        world.clock.advance(refused.retry_after().unwrap());
        assert_eq!(
            code(attempt(&world.cloud, "hugo", WRONG).await),
            "wrong_password"
        );
    }
    world.clock.advance(INTERVAL);
    assert_eq!(code(attempt(&world.cloud, "hugo", RIGHT).await), "ok");
}

#[tokio::test]
async fn the_time_to_wait_is_told_in_whole_seconds_rounded_up() {
    let world = world_with(strict()).await;
    for _ in 0..3 {
        attempt(&world.cloud, "hugo", WRONG).await.unwrap_err();
    }
    world.clock.advance(Duration::from_millis(28_500));
    let refused = attempt(&world.cloud, "hugo", RIGHT).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(2)));
    assert!(refused.to_string().contains("Wait 2 seconds"), "{refused}");
}

#[tokio::test]
async fn names_without_account_are_slowed_down_alike() {
    let world = world_with(strict()).await;
    for _ in 0..3 {
        assert_eq!(
            code(attempt(&world.cloud, "nobody", WRONG).await),
            "wrong_password"
        );
    }
    assert_eq!(
        code(attempt(&world.cloud, "nobody", WRONG).await),
        "throttled"
    );
}

#[tokio::test]
async fn successful_logins_never_count() {
    let world = world_with(strict()).await;
    let cloud = world.at_address("192.0.2.1");
    for _ in 0..20 {
        let token = attempt(&cloud, "hugo", RIGHT).await.unwrap();
        cloud.session(&token).await.unwrap();
    }
}

#[tokio::test]
async fn guesses_at_many_accounts_from_one_address_are_slowed_down() {
    let world = world_with(strict()).await;
    let cloud = world.at_address("2001:db8:1:2::1");
    for n in 0..6 {
        let refused = attempt(&cloud, &format!("user{n}"), WRONG).await;
        assert_eq!(code(refused), "wrong_password");
    }
    assert_eq!(code(attempt(&cloud, "hugo", RIGHT).await), "throttled");
    let neighbour = world.at_address("2001:db8:1:2:ffff::1");
    assert_eq!(code(attempt(&neighbour, "hugo", RIGHT).await), "throttled");
    for elsewhere in ["2001:db8:1:3::1", "192.0.2.1"] {
        let elsewhere = world.at_address(elsewhere);
        assert_eq!(code(attempt(&elsewhere, "hugo", RIGHT).await), "ok");
    }
    assert_eq!(code(attempt(&world.cloud, "hugo", RIGHT).await), "ok");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(code(attempt(&cloud, "hugo", RIGHT).await), "ok");
}

#[tokio::test]
async fn tokens_that_cost_a_decryption_for_nothing_are_slowed_down_per_address() {
    let world = world_with(strict()).await;
    let cloud = world.at_address("192.0.2.1");
    let device = world.user("udo").await;
    let good = world.login("udo", &device).await.unwrap();
    assert_eq!(code(cloud.session(&good).await), "ok");
    let before = world.rsa.decrypted();
    for n in 0..6 {
        assert_eq!(code(cloud.session(&bad_token(n)).await), "unknown_token");
    }
    for n in 6..20 {
        assert_eq!(code(cloud.session(&bad_token(n)).await), "throttled");
    }
    assert_eq!(world.rsa.decrypted() - before, 6);
    assert_eq!(code(cloud.session(&good).await), "ok", "it is remembered");
    for _ in 0..20 {
        let cheap = cloud.session(&RequestToken::new("cheap")).await;
        assert_ne!(code(cheap), "ok");
    }
}

#[tokio::test]
async fn a_session_that_comes_with_ever_new_texts_is_slowed_down_per_address() {
    let world = world_with(strict()).await;
    let cloud = world.at_address("192.0.2.1");
    let device = world.user("udo").await;
    let (udo, hash) = (given::name("udo"), device.key_hash());
    let challenge = cloud.authenticate(&udo, &hash).await.unwrap();
    let server = cloud.server_public_key();
    // Four that are remembered, as many that displace one as may fail, and one more.
    let texts: Vec<_> = (0..4 + 6 + 1)
        .map(|_| device.answer(&challenge, server).unwrap())
        .collect();
    let before = world.rsa.decrypted();
    let (last, good) = texts.split_last().unwrap();
    for text in good {
        assert_eq!(code(cloud.session(text).await), "ok");
    }
    assert_eq!(code(cloud.session(last).await), "throttled");
    assert_eq!(world.rsa.decrypted() - before, good.len());
}

#[tokio::test]
async fn good_tokens_cost_the_address_nothing_however_long_the_look_up_takes() {
    let (world, store) = World::faulty(strict());
    let cloud = world.at_address("192.0.2.1");
    let device = world.user("udo").await;
    let (udo, hash) = (given::name("udo"), device.key_hash());
    let token = world.login("udo", &device).await.unwrap();
    let held_up = store.look_up.acquire().await.unwrap();
    let before = world.rsa.decrypted();
    let mut waiting = Vec::new();
    for n in 1..=10 {
        let (cloud, token) = (cloud.clone(), token.clone());
        waiting.push(tokio::spawn(
            async move { code(cloud.session(&token).await) },
        ));
        while world.rsa.decrypted() - before < n {
            assert!(!waiting.iter().any(JoinHandle::is_finished));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for hung_up in waiting.drain(5..) {
        hung_up.abort();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(code(cloud.authenticate(&udo, &hash).await), "ok");
    drop(held_up);
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), "unknown_token", "it was replaced");
    }
}

#[tokio::test]
async fn logins_with_names_or_keys_that_are_none_are_slowed_down_per_address() {
    let world = world_with(strict()).await;
    let cloud = world.at_address("192.0.2.1");
    let device = world.user("udo").await;
    let (udo, nobody, hash) = (given::name("udo"), given::name("nobody"), device.key_hash());
    for _ in 0..10 {
        assert_eq!(code(cloud.authenticate(&udo, &hash).await), "ok");
    }
    for _ in 0..6 {
        let refused = cloud.authenticate(&nobody, &hash).await;
        assert_eq!(code(refused), "authentication_failed");
    }
    assert_eq!(code(cloud.authenticate(&nobody, &hash).await), "throttled");
    assert_eq!(code(cloud.authenticate(&udo, &hash).await), "throttled");
    assert_eq!(code(world.cloud.authenticate(&udo, &hash).await), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_side_by_side_are_slowed_down_like_guesses_in_a_row() {
    let world = world_with(strict()).await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let cloud = world.cloud.clone();
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
    assert_eq!(wrong, 3, "however many processors there are");
    assert_eq!(
        code(attempt(&world.cloud, "hugo", RIGHT).await),
        "throttled"
    );
}

#[tokio::test]
async fn guesses_that_begin_together_are_no_more_than_may_fail() {
    let mut settings = strict();
    settings.throttle.account.burst = NonZeroU32::MIN;
    settings.throttle.address.burst = NonZeroU32::MIN;
    let world = world_with(settings).await;
    let (one, other) = tokio::join!(
        attempt(&world.cloud, "hugo", WRONG),
        attempt(&world.cloud, "hugo", WRONG),
    );
    let mut codes = [code(one), code(other)];
    codes.sort_unstable();
    assert_eq!(codes, ["throttled", "wrong_password"]);

    let cloud = world.at_address("192.0.2.1");
    let (one, other) = (bad_token(1), bad_token(2));
    let (one, other) = tokio::join!(cloud.session(&one), cloud.session(&other));
    let mut codes = [code(one), code(other)];
    codes.sort_unstable();
    assert_eq!(codes, ["throttled", "unknown_token"]);
    assert_eq!(world.rsa.decrypted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_side_by_side_are_not_slowed_down() {
    let processors = available_parallelism().unwrap();
    let mut settings = strict();
    settings.throttle.account.burst = processors.try_into().unwrap();
    settings.throttle.address.burst = settings.throttle.account.burst;
    let world = world_with(settings).await;
    let cloud = world.at_address("192.0.2.1");
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let cloud = cloud.clone();
            tokio::spawn(async move { code(attempt(&cloud, "hugo", RIGHT).await) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "ok");
    }
}

/// Begins what a client asks for and drops it, as a server does when the client hangs up; again
/// and again, until `other` is throttled. Work that has not begun by then never does and costs
/// nothing, so each client hangs up a little later than the one before.
async fn hang_up_until_throttled<T, U>(
    request: impl AsyncFn() -> Result<T, Error>,
    other: impl AsyncFn() -> Result<U, Error>,
) {
    for n in 1..500 {
        let mut begun = Box::pin(request());
        std::future::poll_fn(|context| {
            let _ = begun.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        tokio::time::sleep(n * Duration::from_micros(200)).await;
        drop(begun);
        tokio::time::sleep(Duration::from_millis(2)).await;
        if code(other().await) == "throttled" {
            return;
        }
    }
    panic!("it costs nothing to hang up");
}

#[tokio::test]
async fn who_hangs_up_has_failed_all_the_same() {
    let world = world_with(strict()).await;
    hang_up_until_throttled(
        async || attempt(&world.cloud, "hugo", WRONG).await,
        async || attempt(&world.cloud, "hugo", RIGHT).await,
    )
    .await;

    let device = world.user("udo").await;
    let (udo, nobody, hash) = (given::name("udo"), given::name("nobody"), device.key_hash());
    let cloud = world.at_address("192.0.2.1");
    hang_up_until_throttled(
        async || cloud.session(&bad_token(1)).await,
        async || cloud.authenticate(&udo, &hash).await,
    )
    .await;
    let server = world.rsa.public_key(cloud.server_public_key()).unwrap();
    let unknown = server.encrypt_oaep_sha1(b"of no session").unwrap();
    let unknown = RequestToken::new(STANDARD.encode(unknown));
    let cloud = world.at_address("192.0.2.3");
    hang_up_until_throttled(
        async || cloud.session(&unknown).await,
        async || cloud.authenticate(&udo, &hash).await,
    )
    .await;
    let cloud = world.at_address("192.0.2.2");
    hang_up_until_throttled(
        async || cloud.authenticate(&nobody, &hash).await,
        async || cloud.authenticate(&udo, &hash).await,
    )
    .await;
}

#[tokio::test]
async fn switched_off_nothing_is_slowed_down() {
    let mut settings = strict();
    settings.throttle.enabled = false;
    let world = world_with(settings).await;
    let cloud = world.at_address("192.0.2.1");
    for _ in 0..20 {
        assert_eq!(code(attempt(&cloud, "hugo", WRONG).await), "wrong_password");
    }
    assert_eq!(code(attempt(&cloud, "hugo", RIGHT).await), "ok");
}
