//! The audit log: a line for each event, and nothing secret in any line.

use std::{
    cell::RefCell,
    io,
    sync::{Mutex, Once},
};

use pinyto_core::{
    Cloud, audit,
    challenge::{DeviceKey, RequestToken},
    key::PublicKey,
    keyserver::Password,
    testing::given,
    ticket::Audience,
};
use serde_json::Value;

use crate::support::{World, new_key, password, settings};

/// What all threads have logged, blocking ones included.
static ALL: Mutex<Vec<u8>> = Mutex::new(Vec::new());

thread_local! {
    /// What this thread has logged.
    static OWN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lets everything be logged, at every level. Has to come before anything is logged: a subscriber
/// that comes later can miss what other tests log for the first time just then.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| Writer)
            .init();
    });
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ALL.lock().unwrap().extend_from_slice(bytes);
        OWN.with_borrow_mut(|own| own.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What this thread logs. The services write the audit log on the thread that calls them.
struct Log;

impl Log {
    /// Takes what was logged for the audit: level, event, user, address, key hash.
    fn take(&self) -> Vec<[String; 5]> {
        let lines = OWN.take();
        let lines = String::from_utf8(lines).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["target"] == audit::TARGET)
            .map(|line| {
                let field = |name| line["fields"][name].as_str().unwrap_or("-").to_owned();
                let level = line["level"].as_str().unwrap().to_owned();
                [
                    level,
                    field("event"),
                    field("user"),
                    field("address"),
                    field("key_hash"),
                ]
            })
            .collect()
    }

    fn assert_one(&self, level: &str, event: &str, user: &str, key: Option<&PublicKey>) {
        let key_hash = key.map_or("-".to_owned(), |key| key.fingerprint().short());
        let expected = [level, event, user, ADDRESS, &key_hash].map(str::to_owned);
        assert_eq!(self.take(), [expected]);
    }
}

const ADDRESS: &str = "192.0.2.7";

async fn login(cloud: &Cloud, name: &str, device: &DeviceKey) -> RequestToken {
    let challenge = cloud
        .authenticate(&given::name(name), &device.key_hash())
        .await;
    device
        .answer(&challenge.unwrap(), cloud.server_public_key())
        .unwrap()
}

#[tokio::test]
async fn what_happens_to_keys_and_logins_is_logged() {
    let world = World::toy();
    let cloud = world.at_address(ADDRESS);
    let log = Log;
    let (laptop, phone) = (world.device(), world.device());
    let (key, other) = (laptop.public_key().clone(), phone.public_key().clone());

    cloud
        .register(given::name("hugo"), key.clone())
        .await
        .unwrap();
    log.assert_one("INFO", "registered", "hugo", Some(&key));
    let token = login(&cloud, "hugo", &laptop).await;
    log.assert_one("INFO", "login_ok", "hugo", Some(&key));
    let session = cloud.session(&token).await.unwrap();
    assert!(log.take().is_empty(), "everyday use is not logged");

    let hash = phone.key_hash();
    cloud
        .authenticate(&given::name("hugo"), &hash)
        .await
        .unwrap_err();
    log.assert_one("WARN", "login_failed", "hugo", None);
    cloud
        .authenticate(&given::name("nobody"), &hash)
        .await
        .unwrap_err();
    log.assert_one("WARN", "login_failed", "nobody", None);

    cloud
        .register_new_key(&session, &new_key(&other, Some("phone")))
        .await
        .unwrap();
    log.assert_one("INFO", "key_added", "hugo", Some(&other));
    cloud.deactivate_key(&session, &hash).await.unwrap();
    log.assert_one("INFO", "key_deactivated", "hugo", Some(&other));
    cloud.activate_key(&session, &hash).await.unwrap();
    log.assert_one("INFO", "key_activated", "hugo", Some(&other));
    cloud.delete_key(&session, &hash).await.unwrap();
    log.assert_one("INFO", "key_removed", "hugo", Some(&other));
    cloud.delete_key(&session, &hash).await.unwrap_err();
    cloud
        .delete_key(&session, &laptop.key_hash())
        .await
        .unwrap_err();
    assert!(log.take().is_empty(), "nothing happened");
    let mail = Audience::parse("mail").unwrap();
    cloud.issue_ticket(&session, &mail).await.unwrap();
    log.assert_one("INFO", "ticket_issued", "hugo", None);
    cloud.logout(&session).await.unwrap();
    log.assert_one("INFO", "logged_out", "hugo", None);
}

#[tokio::test]
async fn what_happens_to_passwords_is_logged() {
    let mut settings = settings();
    settings.throttle.account.burst = std::num::NonZeroU32::MIN;
    let world = World::with(settings);
    let cloud = world.at_address(ADDRESS);
    let log = Log;
    let hugo = given::name("hugo");
    let user = cloud
        .keyserver_register(hugo.clone(), password("correct horse"))
        .await
        .unwrap();
    let key = world.store().keys().list(user.id).await.unwrap()[0]
        .material
        .as_rsa()
        .unwrap()
        .clone();
    log.assert_one("INFO", "keyserver_registered", "hugo", Some(&key));
    let attempt = |text: &str| cloud.keyserver_authenticate(&hugo, Password::attempt(text));
    let token = attempt("correct horse").await.unwrap();
    log.assert_one("INFO", "keyserver_login_ok", "hugo", Some(&key));
    let session = cloud.session(&token).await.unwrap();
    cloud
        .change_password(&session, password("battery staple"))
        .await
        .unwrap();
    let key = world.store().keys().list(user.id).await.unwrap()[0]
        .material
        .as_rsa()
        .unwrap()
        .clone();
    log.assert_one("INFO", "password_changed", "hugo", Some(&key));
    attempt("correct horse").await.unwrap_err();
    log.assert_one("WARN", "keyserver_login_failed", "hugo", None);
    attempt("battery staple").await.unwrap_err();
    log.assert_one("WARN", "throttled", "hugo", None);
}

#[tokio::test]
async fn whether_a_password_may_be_used_is_logged() {
    let world = World::toy();
    let (cloud, log) = (world.at_address(ADDRESS), Log);
    let hugo = given::name("hugo");
    let made = cloud.keyserver_register(hugo.clone(), password("correct horse"));
    made.await.unwrap();
    let attempt = |text: &str| cloud.keyserver_authenticate(&hugo, Password::attempt(text));
    let token = attempt("correct horse").await.unwrap();
    let session = cloud.session(&token).await.unwrap();
    log.take();
    let refused = cloud.forbid_password_login(&session).await;
    refused.unwrap_err();
    assert!(log.take().is_empty(), "nothing happened");
    let device = world.device();
    let new = new_key(device.public_key(), None);
    cloud.register_new_key(&session, &new).await.unwrap();
    let token = login(&cloud, "hugo", &device).await;
    let session = cloud.session(&token).await.unwrap();
    log.take();
    cloud.forbid_password_login(&session).await.unwrap();
    log.assert_one("INFO", "password_login_forbidden", "hugo", None);
    attempt("correct horse").await.unwrap_err();
    log.assert_one("WARN", "keyserver_login_failed", "hugo", None);
    cloud.allow_password_login(&session).await.unwrap();
    log.assert_one("INFO", "password_login_allowed", "hugo", None);
}

#[tokio::test]
async fn who_is_throttled_stands_in_the_log_once_until_the_next_try() {
    let mut settings = settings();
    settings.throttle.account.burst = std::num::NonZeroU32::MIN;
    settings.throttle.address.burst = std::num::NonZeroU32::MIN;
    let interval = settings.throttle.account.interval;
    let world = World::with(settings);
    let (cloud, log) = (world.at_address(ADDRESS), Log);
    let attempt = async |name: &str| {
        let wrong = Password::attempt("wrong horses");
        let refused = cloud
            .keyserver_authenticate(&given::name(name), wrong)
            .await;
        refused.unwrap_err();
    };
    for _ in 0..3 {
        attempt("hugo").await;
        log.assert_one("WARN", "keyserver_login_failed", "hugo", None);
        attempt("hugo").await;
        log.assert_one("WARN", "throttled", "hugo", None);
        for name in ["hugo", "erna", "hugo", "udo"] {
            attempt(name).await;
        }
        assert!(log.take().is_empty(), "account and address are known to be");
        world.clock.advance(interval);
    }
}

#[tokio::test]
async fn no_line_shows_a_token_a_password_or_a_key() {
    let world = World::real();
    let cloud = world.at_address(ADDRESS);
    let device = world.device();
    cloud
        .register(given::name("hugo"), device.public_key().clone())
        .await
        .unwrap();
    let hash = device.key_hash();
    let challenge = cloud
        .authenticate(&given::name("hugo"), &hash)
        .await
        .unwrap();
    let server = cloud.server_public_key();
    let session_token = device.open(&challenge, server).unwrap();
    let token = device.answer(&challenge, server).unwrap();
    let session = cloud.session(&token).await.unwrap();
    let erna = given::name("erna");
    cloud
        .keyserver_register(erna.clone(), password("correct horse"))
        .await
        .unwrap();
    let wrong = cloud
        .keyserver_authenticate(&erna, Password::attempt("wrong horses"))
        .await;
    wrong.unwrap_err();
    let right = Password::attempt("correct horse");
    let by_password = cloud.keyserver_authenticate(&erna, right).await.unwrap();
    let hers = cloud.session(&by_password).await.unwrap();
    cloud
        .change_password(&hers, password("battery staple"))
        .await
        .unwrap();
    cloud
        .session(&RequestToken::new("no token at all"))
        .await
        .unwrap_err();
    let mail = Audience::parse("mail").unwrap();
    let issued = cloud.issue_ticket(&session, &mail).await.unwrap();
    cloud.logout(&session).await.unwrap();

    let text = String::from_utf8(ALL.lock().unwrap().clone()).unwrap();
    assert!(text.lines().count() >= 7, "{text}");
    let pem = device.to_pkcs8_pem().unwrap();
    let account = world
        .store()
        .keyserver()
        .find(&erna)
        .await
        .unwrap()
        .unwrap();
    for secret in [
        token.expose(),
        session_token.expose(),
        by_password.expose(),
        issued.ticket.expose(),
        "correct horse",
        "wrong horses",
        "battery staple",
        "no token at all",
        &challenge.encrypted_token,
        &challenge.signature,
        pem.lines().nth(5).unwrap(),
        &device.public_key().n_decimal()[..40],
        account.password_hash.as_str(),
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
