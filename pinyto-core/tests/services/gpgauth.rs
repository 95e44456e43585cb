//! Logging in with an OpenPGP key. Another server's key plays the user's.

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    Cloud, Error, Settings,
    clock::Timestamp,
    gpgauth::{GpgAuthError, GpgAuthSettings, Nonce, OpenPgp as _, RPgp},
    key::{KeyFingerprint, KeyHash},
    session::Session,
    testing::{given, keys},
};

use crate::support::{World, code, settings};

/// A client: her key, and what she knows of the server's.
struct Client {
    gpg: RPgp,
    fingerprint: KeyFingerprint,
}

impl Client {
    fn new(now: Timestamp) -> Self {
        let gpg = RPgp::generate("Ada <ada@example.org>", now).unwrap();
        Self {
            fingerprint: gpg.fingerprint(),
            gpg,
        }
    }

    /// Registers her key and gives the challenge, decrypted; nothing if it is proven already.
    async fn challenge(&self, cloud: &Cloud, session: &Session) -> Result<Option<String>, Error> {
        let armored = self.gpg.public_key().to_owned();
        let challenge = cloud.register_openpgp_key(session, armored, None).await?;
        Ok(challenge.map(|challenge| {
            let text = self.gpg.decrypt(&challenge).unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        }))
    }

    async fn prove(&self, cloud: &Cloud, session: &Session, answer: &str) -> Result<(), Error> {
        cloud.prove_openpgp_key(session, &self.hash(), answer).await
    }

    async fn register(&self, cloud: &Cloud, session: &Session) {
        let answer = self.challenge(cloud, session).await.unwrap().unwrap();
        self.prove(cloud, session, &answer).await.unwrap();
    }

    /// What stage 1 gives, decrypted.
    async fn begin(&self, cloud: &Cloud) -> Result<String, Error> {
        let message = cloud.gpgauth_begin(&self.fingerprint).await?;
        let text = self.gpg.decrypt(&message).unwrap();
        Ok(String::from_utf8(text.to_vec()).unwrap())
    }

    async fn complete(&self, cloud: &Cloud, token: &str) -> Result<Session, Error> {
        let login = cloud.gpgauth_complete(&self.fingerprint, token).await?;
        cloud.session(&login.token).await
    }

    fn hash(&self) -> KeyHash {
        self.fingerprint.into()
    }
}

/// A world whose cloud has an OpenPGP key.
struct Place {
    world: World,
    cloud: Cloud,
    server: Arc<RPgp>,
}

impl Place {
    fn with(settings: Settings, tells_unknown_keys: bool) -> Self {
        let world = World::with(settings.clone());
        let now = given::at(0);
        let server = Arc::new(RPgp::generate("Pinyto", now).unwrap());
        let mut place = Self {
            cloud: world.cloud.clone(),
            world,
            server,
        };
        place.cloud = place.another_process(settings, tells_unknown_keys);
        place
    }

    fn new() -> Self {
        Self::with(settings(), true)
    }

    fn another_process(&self, settings: Settings, tells_unknown_keys: bool) -> Cloud {
        let mut rules = GpgAuthSettings::default();
        rules.tells_unknown_keys = tells_unknown_keys;
        Cloud::builder(self.world.store.clone(), keys::server())
            .clock(Arc::new(self.world.clock.clone()))
            .settings(settings)
            .gpgauth(self.server.clone(), rules)
            .build()
            .unwrap()
    }

    fn now(&self) -> Timestamp {
        use pinyto_core::clock::Clock as _;
        self.world.clock.now()
    }

    /// A user with a device's key and an OpenPGP key.
    async fn user(&self, name: &str) -> (Session, Client) {
        let session = self.world.session_of_new(name).await;
        let client = Client::new(self.now());
        client.register(&self.cloud, &session).await;
        (session, client)
    }
}

#[tokio::test]
async fn who_holds_a_registered_key_gets_an_ordinary_session() {
    let place = Place::new();
    let (session, client) = place.user("ada").await;
    let token = client.begin(&place.cloud).await.unwrap();
    Nonce::parse(&token).unwrap();
    let login = place.cloud.gpgauth_complete(&client.fingerprint, &token);
    let login = login.await.unwrap();
    assert_eq!(login.user, session.user);
    let opened = place.cloud.session(&login.token).await.unwrap();
    assert_eq!(opened.user, session.user);
    let listed = place.cloud.list_keys(&opened).await.unwrap();
    let current: Vec<bool> = listed.iter().map(|listed| listed.current).collect();
    assert_eq!(current, [false, true]);
    let key = &listed[1].key;
    assert_eq!(key.material.kind(), "openpgp");
    assert_eq!(key.last_used_at, Some(place.now()));
    let openpgp = key.material.as_openpgp().unwrap();
    assert_eq!(openpgp.user_ids(), ["Ada <ada@example.org>"]);
    // Deactivating the key ends it, as it does any other.
    let hash = client.hash();
    let deactivated = place.cloud.deactivate_key(&session, &hash);
    deactivated.await.unwrap();
    assert!(!place.world.lives(&login.token).await);
    assert_eq!(
        code(client.begin(&place.cloud).await),
        "gpgauth_unknown_key"
    );
}

#[tokio::test]
async fn the_server_proves_itself_without_knowing_who_asks() {
    let place = Place::new();
    let client = Client::new(place.now());
    let server_key = client
        .gpg
        .read_key(place.server.public_key(), place.now())
        .unwrap();
    let encrypt = |text: &str| client.gpg.encrypt(&server_key, text, place.now()).unwrap();
    let nonce = "gpgauthv1.3.0|36|01234567-89ab-3def-0123-456789ABCDEF|gpgauthv1.3.0";
    let verified = place.cloud.gpgauth_verify(encrypt(nonce)).await.unwrap();
    assert_eq!(verified.expose(), nonce);
    for text in ["", "secret", &format!("{nonce}\n"), &format!("{nonce}|x")] {
        let refused = place.cloud.gpgauth_verify(encrypt(text)).await;
        assert_eq!(code(refused), "gpgauth_no_nonce", "{text:?}");
    }
    let to_another = Client::new(place.now());
    let other_key = client
        .gpg
        .read_key(to_another.gpg.public_key(), place.now())
        .unwrap();
    let message = client.gpg.encrypt(&other_key, nonce, place.now()).unwrap();
    let refused = place.cloud.gpgauth_verify(message).await;
    assert_eq!(code(refused), "gpgauth_undecryptable");
    let long = encrypt(nonce) + &" ".repeat(20_000);
    for message in ["", "hello", &long] {
        let refused = place.cloud.gpgauth_verify(message.to_owned()).await;
        assert_eq!(code(refused), "gpgauth_not_armored");
    }
}

#[tokio::test]
async fn a_token_is_good_once_whatever_comes_of_it() {
    let place = Place::new();
    let (_, ada) = place.user("ada").await;
    let (_, bob) = place.user("bob").await;
    let invalid = "gpgauth_invalid_token";

    let token = ada.begin(&place.cloud).await.unwrap();
    ada.complete(&place.cloud, &token).await.unwrap();
    assert_eq!(code(ada.complete(&place.cloud, &token).await), invalid);
    let upper = token.to_uppercase().replace("GPGAUTHV", "gpgauthv");
    assert_eq!(code(ada.complete(&place.cloud, &upper).await), invalid);

    // Shown for another key it is dead for its own one, too.
    let token = ada.begin(&place.cloud).await.unwrap();
    assert_eq!(code(bob.complete(&place.cloud, &token).await), invalid);
    assert_eq!(code(ada.complete(&place.cloud, &token).await), invalid);

    // Shown for a key that nobody has.
    let nobody = Client::new(place.now());
    let token = ada.begin(&place.cloud).await.unwrap();
    assert_eq!(code(nobody.complete(&place.cloud, &token).await), invalid);
    assert_eq!(code(ada.complete(&place.cloud, &token).await), invalid);

    let foreign = "gpgauthv1.3.0|36|01234567-89ab-4def-8123-456789abcdef|gpgauthv1.3.0";
    for token in ["", "token", foreign] {
        assert_eq!(code(ada.complete(&place.cloud, token).await), invalid);
    }
}

#[tokio::test]
async fn a_token_lives_for_five_minutes_and_a_little() {
    let place = Place::new();
    let (_, ada) = place.user("ada").await;
    let token = ada.begin(&place.cloud).await.unwrap();
    place.world.clock.advance(Duration::from_secs(300));
    ada.complete(&place.cloud, &token).await.unwrap();
    let token = ada.begin(&place.cloud).await.unwrap();
    place.world.clock.advance(Duration::from_secs(331));
    let refused = ada.complete(&place.cloud, &token).await;
    assert_eq!(code(refused), "gpgauth_invalid_token");
    // What was shown is forgotten when it is worth nothing by its age.
    place.world.clock.advance(Duration::from_secs(600));
    place.cloud.sweep_sessions().await.unwrap();
    let refused = ada.complete(&place.cloud, &token).await;
    assert_eq!(code(refused), "gpgauth_invalid_token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_run_beside_each_other_and_on_several_servers() {
    let place = Place::new();
    let (_, ada) = place.user("ada").await;
    let other = place.another_process(settings(), false);
    let mut begun = Vec::new();
    for n in 0..8 {
        let cloud = if n % 2 == 0 { &place.cloud } else { &other };
        begun.push(ada.begin(cloud).await.unwrap());
    }
    // Begun in vain, however often, they keep nobody from going on.
    for _ in 0..100 {
        place.cloud.gpgauth_begin(&ada.fingerprint).await.unwrap();
    }
    for (n, token) in begun.iter().enumerate() {
        let cloud = if n % 3 == 0 { &other } else { &place.cloud };
        ada.complete(cloud, token).await.unwrap();
    }
    // One of many who show the same at once.
    let token = ada.begin(&place.cloud).await.unwrap();
    let mut shown = Vec::new();
    for n in 0..8 {
        let cloud = if n % 2 == 0 { &place.cloud } else { &other }.clone();
        let (fingerprint, token) = (ada.fingerprint, token.clone());
        shown.push(tokio::spawn(async move {
            cloud.gpgauth_complete(&fingerprint, &token).await.is_ok()
        }));
    }
    let mut winners = 0;
    for shown in shown {
        winners += usize::from(shown.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_key_that_nobody_has_is_answered_like_any_other() {
    let place = Place::with(settings(), false);
    let (session, ada) = place.user("ada").await;
    let known = place.cloud.gpgauth_begin(&ada.fingerprint).await.unwrap();
    let nobody = Client::new(place.now());
    for fingerprint in [nobody.fingerprint, KeyFingerprint::from_openpgp_v4([7; 20])] {
        let unknown = place.cloud.gpgauth_begin(&fingerprint).await.unwrap();
        let frame = |message: &str| {
            (
                message.lines().next().map(str::to_owned),
                message.ends_with('\n'),
            )
        };
        assert_eq!(frame(&unknown), frame(&known));
        assert!(nobody.gpg.decrypt(&unknown).is_err());
    }
    let hash = ada.hash();
    let deactivated = place.cloud.deactivate_key(&session, &hash);
    deactivated.await.unwrap();
    let message = place.cloud.gpgauth_begin(&ada.fingerprint).await.unwrap();
    assert!(ada.gpg.decrypt(&message).is_err());
    // Neither is a session of an RSA key's to be had.
    let rsa = place.cloud.list_keys(&session).await.unwrap()[0]
        .key
        .clone();
    let fingerprint = rsa.material.fingerprint();
    let refused = place.cloud.gpgauth_complete(&fingerprint, "x").await;
    assert_eq!(code(refused), "gpgauth_invalid_token");
}

#[tokio::test]
async fn nobody_has_another_ones_logins_end_in_his_account() {
    let place = Place::new();
    let ada = Client::new(place.now());
    let mallory = place.world.session_of_new("mallory").await;
    let challenge = ada.challenge(&place.cloud, &mallory).await.unwrap();
    // He can't decrypt it. And she sees whose account it is for.
    let challenge = challenge.unwrap();
    let server = place.server.fingerprint().to_hex().to_uppercase();
    let names = format!("the Pinyto account mallory at the server with the key {server}.");
    assert!(challenge.contains(&names), "{challenge}");
    assert_eq!(code(ada.begin(&place.cloud).await), "gpgauth_unknown_key");
    let activated = place.cloud.activate_key(&mallory, &ada.hash()).await;
    assert_eq!(code(activated), "unproven_key");

    let session = place.world.session_of_new("ada").await;
    ada.register(&place.cloud, &session).await;
    let opened = async || {
        let token = ada.begin(&place.cloud).await?;
        ada.complete(&place.cloud, &token).await
    };
    assert_eq!(opened().await.unwrap().user, session.user);
    // Whatever others register after that, and whatever she does.
    let eve = place.world.session_of_new("eve").await;
    ada.challenge(&place.cloud, &eve).await.unwrap().unwrap();
    assert_eq!(opened().await.unwrap().user, session.user);
    let hash = ada.hash();
    let deactivated = place.cloud.deactivate_key(&session, &hash);
    deactivated.await.unwrap();
    assert_eq!(code(opened().await), "gpgauth_unknown_key");
    place.cloud.delete_key(&session, &hash).await.unwrap();
    assert_eq!(code(opened().await), "gpgauth_unknown_key");
    let again = ada
        .challenge(&place.cloud, &session)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(code(opened().await), "gpgauth_unknown_key");
    ada.prove(&place.cloud, &session, &again).await.unwrap();
    assert_eq!(opened().await.unwrap().user, session.user);
}

#[tokio::test]
async fn a_challenge_is_answered_once_for_its_own_key_and_account() {
    let place = Place::new();
    let (ada, invalid) = (Client::new(place.now()), "gpgauth_invalid_token");
    let session = place.world.session_of_new("ada").await;
    let bob = place.world.session_of_new("bob").await;
    let challenge = async |session| ada.challenge(&place.cloud, session).await.unwrap().unwrap();
    let prove = async |session, answer: &str| code(ada.prove(&place.cloud, session, answer).await);
    assert_eq!(prove(&session, "").await, "unknown_key");

    let (first, of_bob) = (challenge(&session).await, challenge(&bob).await);
    for wrong in ["", "code", "01234567-89ab-4def-8123-456789abcdef", &of_bob] {
        assert_eq!(prove(&session, wrong).await, invalid, "{wrong}");
    }
    // What was shown at another account is worth nothing at its own.
    assert_eq!(prove(&bob, &of_bob).await, invalid);
    place.world.clock.advance(Duration::from_secs(331));
    assert_eq!(prove(&session, &first).await, invalid, "too late");

    let second = challenge(&session).await;
    let code_alone = second.rsplit(' ').next().unwrap();
    assert!(
        ada.complete(
            &place.cloud,
            &format!("gpgauthv1.3.0|36|{code_alone}|gpgauthv1.3.0")
        )
        .await
        .is_err()
    );
    assert_eq!(prove(&session, &format!("{second}\n")).await, "ok");
    assert_eq!(prove(&session, code_alone).await, invalid, "a second time");
    // A nonce of a login proves nothing.
    let third = challenge(&bob).await;
    let nonce = ada.begin(&place.cloud).await.unwrap();
    let uuid = nonce.split('|').nth(2).unwrap();
    assert_eq!(prove(&bob, uuid).await, invalid);
    assert_eq!(prove(&bob, third.rsplit(' ').next().unwrap()).await, "ok");
    // Both accounts are hers now; it is the one where she proved it last.
    let token = ada.begin(&place.cloud).await.unwrap();
    let opened = ada.complete(&place.cloud, &token).await.unwrap();
    assert_eq!(opened.user, bob.user);
    place.world.clock.advance(Duration::from_secs(1));
    let again = challenge(&session).await;
    assert_eq!(prove(&session, &again).await, "ok");
    let token = ada.begin(&place.cloud).await.unwrap();
    let opened = ada.complete(&place.cloud, &token).await.unwrap();
    assert_eq!(opened.user, session.user);
}

#[tokio::test]
async fn who_shows_wrong_tokens_is_slowed_down() {
    let mut settings = settings();
    settings.throttle.address.burst = std::num::NonZeroU32::new(3).unwrap();
    let place = Place::with(settings, true);
    let (_, ada) = place.user("ada").await;
    let cloud = place
        .cloud
        .for_address("192.0.2.1".parse::<std::net::IpAddr>().unwrap());
    let token = ada.begin(&cloud).await.unwrap();
    for _ in 0..3 {
        let refused = ada.complete(&cloud, "wrong").await;
        assert_eq!(code(refused), "gpgauth_invalid_token");
    }
    assert_eq!(code(ada.complete(&cloud, &token).await), "throttled");
    assert_eq!(code(ada.begin(&cloud).await), "throttled");
    // Nobody else is.
    ada.complete(&place.cloud, &token).await.unwrap();
}

#[tokio::test]
async fn without_a_key_of_the_server_there_is_no_gpgauth() {
    let world = World::toy();
    let client = Client::new(given::at(0));
    let session = world.session_of_new("ada").await;
    let registered = client.challenge(&world.cloud, &session).await;
    assert_eq!(code(registered), "gpgauth_disabled");
    let proved = client.prove(&world.cloud, &session, "").await;
    assert_eq!(code(proved), "gpgauth_disabled");
    assert_eq!(code(client.begin(&world.cloud).await), "gpgauth_disabled");
    let verified = world.cloud.gpgauth_verify(String::new()).await;
    assert_eq!(code(verified), "gpgauth_disabled");
    assert_eq!(
        code(client.complete(&world.cloud, "").await),
        "gpgauth_disabled"
    );
    assert!(matches!(world.cloud.openpgp(), Err(Error::GpgAuthDisabled)));
}

#[tokio::test]
async fn the_servers_own_key_can_not_be_registered() {
    let place = Place::new();
    let session = place.world.session_of_new("ada").await;
    let armored = place.server.public_key().to_owned();
    let registered = place.cloud.register_openpgp_key(&session, armored, None);
    assert_eq!(code(registered.await), "invalid_openpgp_key");
    let error = GpgAuthError::InvalidToken;
    assert_eq!(error.code(), "gpgauth_invalid_token");
}
