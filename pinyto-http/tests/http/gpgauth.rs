//! Logging in with an OpenPGP key, where the time and the mounting matter. GnuPG and the real server
//! are in `tests/gpgauth`.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use percent_encoding::percent_decode_str;
use pinyto_core::{
    Cloud,
    clock::Clock as _,
    gpgauth::{GpgAuthSettings, OpenPgp as _, RPgp},
    memory::MemoryStore,
    randomness::{OsRandomness, Randomness, RandomnessUnavailable},
    testing::{ManualClock, keys},
};
use pinyto_http::{
    Api, PathPrefix,
    routes::{self, gpgauth::GpgAuthHttp},
};
use serde_json::{Value, json};
use warp::Filter as _;

use crate::support::{Answer, Server, quick_settings};

/// A server, and a user who has an OpenPGP key there.
struct World {
    server: Server,
    clock: ManualClock,
    ada: RPgp,
    /// Of a session of her device's.
    token: String,
}

impl World {
    async fn new(settings: GpgAuthHttp) -> Self {
        Self::mounted_at(PathPrefix::default(), settings).await
    }

    async fn mounted_at(prefix: PathPrefix, settings: GpgAuthHttp) -> Self {
        Self::drawing_on(Arc::new(OsRandomness), prefix, settings).await
    }

    async fn drawing_on(
        randomness: Arc<dyn Randomness>,
        prefix: PathPrefix,
        settings: GpgAuthHttp,
    ) -> Self {
        let clock = ManualClock::default();
        let own = RPgp::generate("Pinyto", clock.now()).unwrap();
        let cloud = Cloud::builder(Arc::new(MemoryStore::new()), keys::server())
            .clock(Arc::new(clock.clone()))
            .randomness(randomness)
            .settings(quick_settings())
            .gpgauth(Arc::new(own), GpgAuthSettings::default())
            .build()
            .unwrap();
        let api = Api::new(cloud.clone()).gpgauth(settings).mounted_at(prefix);
        let server = Server {
            cloud,
            routes: routes::all(api),
        };
        let ada = RPgp::generate("Ada <ada@example.org>", clock.now()).unwrap();
        let token = server.user("ada", 0).await;
        let key = json!({"token": token, "openpgp_key": ada.public_key()});
        let registered = server.post("/register_new_key", key).await.ok();
        let answer = ada.decrypt(registered["challenge"].as_str().unwrap());
        let answer = String::from_utf8(answer.unwrap().to_vec()).unwrap();
        let key_hash = ada.fingerprint().to_hex();
        let proof = json!({"token": token, "key_hash": key_hash, "answer": answer});
        server.post("/prove_openpgp_key", proof).await.success();
        Self {
            server,
            clock,
            ada,
            token,
        }
    }

    async fn begin(&self) -> String {
        let keyid = self.ada.fingerprint().to_hex();
        let body = json!({"gpg_auth": {"keyid": keyid}});
        let answer = self.server.post("/auth/login.json", body).await;
        let message = answer.headers["x-gpgauth-user-auth-token"].to_str();
        let message = message.unwrap().replace('+', " ");
        let message = percent_decode_str(&message).decode_utf8().unwrap();
        let nonce = self.ada.decrypt(&message.replace('\\', "")).unwrap();
        String::from_utf8(nonce.to_vec()).unwrap()
    }

    async fn complete(&self, nonce: &str) -> Answer {
        let keyid = self.ada.fingerprint().to_hex();
        let body = json!({"gpg_auth": {"keyid": keyid, "user_token_result": nonce}});
        self.server.post("/auth/login.json", body).await
    }
}

#[tokio::test]
async fn a_token_is_good_for_five_minutes() {
    let world = World::new(GpgAuthHttp::default()).await;
    let (one, other) = (world.begin().await, world.begin().await);
    world.clock.advance(Duration::from_secs(300));
    let answer = world.complete(&one).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.body["body"]["token"].clone();
    let list = world.server.post("/list_keys", json!({"token": token}));
    assert_eq!(list.await.ok()[1]["kind"], "openpgp");

    world.clock.advance(Duration::from_secs(31));
    let answer = world.complete(&other).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.headers["x-gpgauth-progress"], "stage2");
}

#[tokio::test]
async fn a_session_of_an_openpgp_key_ends_as_any_other() {
    let world = World::new(GpgAuthHttp::default()).await;
    let nonce = world.begin().await;
    let answer = world.complete(&nonce).await;
    let token = answer.body["body"]["token"].clone();
    let hash = &world.ada.fingerprint().to_hex()[..10];
    let body = json!({"token": world.token, "key_hash": hash, "active_state": false});
    world.server.post("/set_key_active", body).await.success();
    let list = world.server.post("/list_keys", json!({"token": token}));
    assert_eq!(list.await.error(), (401, "unknown_token"));

    let body = json!({"token": world.token, "key_hash": hash, "active_state": true});
    world.server.post("/set_key_active", body).await.success();
    let nonce = world.begin().await;
    let token = world.complete(&nonce).await.body["body"]["token"].clone();
    world.clock.advance(Duration::from_secs(40 * 24 * 3600));
    let list = world.server.post("/list_keys", json!({"token": token}));
    assert_eq!(list.await.error(), (401, "unknown_token"));
}

#[tokio::test]
async fn clients_are_told_the_prefix_and_cookies_are_for_it() {
    let prefix = PathPrefix::parse("/cloud").unwrap();
    let world = World::mounted_at(prefix, GpgAuthHttp::default()).await;
    let nonce = world.begin().await;
    let mounted = warp::path("cloud").and(world.server.routes.clone()).boxed();
    let server = Server {
        cloud: world.server.cloud.clone(),
        routes: mounted,
    };
    let keyid = world.ada.fingerprint().to_hex();
    let body = json!({"gpg_auth": {"keyid": keyid, "user_token_result": nonce}});
    let answer = server.post("/cloud/auth/login.json", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["x-gpgauth-login-url"], "/cloud/auth/login");
    let url = &answer.headers["x-gpgauth-pubkey-url"];
    assert_eq!(url, "/cloud/auth/verify.json");
    assert_eq!(answer.headers["x-gpgauth-refer"], "/cloud/");
    assert_eq!(answer.body["header"]["url"], "/cloud/auth/login.json");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2);
    for cookie in cookies {
        let cookie = cookie.to_str().unwrap();
        for part in ["Path=/cloud", "Secure", "SameSite=Strict"] {
            assert!(cookie.contains(part), "{cookie}");
        }
    }
}

/// Remembers what it gave, until it gives nothing any more.
#[derive(Default)]
struct Witnessed {
    given: Mutex<Vec<Vec<u8>>>,
    is_dry: AtomicBool,
}

impl Randomness for Witnessed {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessUnavailable> {
        if self.is_dry.load(Ordering::SeqCst) {
            return Err(RandomnessUnavailable);
        }
        OsRandomness.fill(buffer)?;
        self.given.lock().unwrap().push(buffer.to_vec());
        Ok(())
    }
}

impl Witnessed {
    /// Whether it gave what this UUID of version 4 is made of.
    fn gave(&self, uuid: &str) -> bool {
        let digits: String = uuid.chars().filter(|c| *c != '-').collect();
        let number = u128::from_str_radix(&digits, 16).unwrap();
        assert_eq!((uuid.len(), &digits[12..13]), (36, "4"), "{uuid}");
        // Version and variant are fixed.
        let free = !0x0000_0000_0000_f000_c000_0000_0000_0000_u128;
        let given = self.given.lock().unwrap();
        let numbers = given.iter().filter_map(|bytes| bytes[..].try_into().ok());
        numbers
            .map(u128::from_be_bytes)
            .any(|given| given & free == number & free)
    }
}

#[tokio::test]
async fn time_and_randomness_are_the_clouds() {
    let witness = Arc::new(Witnessed::default());
    let prefix = PathPrefix::default();
    let world = World::drawing_on(witness.clone(), prefix, GpgAuthHttp::default()).await;
    world.clock.advance(Duration::from_secs(77));
    let nonce = world.begin().await;
    let answer = world.complete(&nonce).await;
    let header = &answer.body["header"];
    assert_eq!(header["servertime"], world.clock.now().unix_seconds());
    assert!(witness.gave(header["id"].as_str().unwrap()));
    let cookies = answer.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().unwrap().to_owned());
    let csrf = cookies.find_map(|cookie| Some(cookie.strip_prefix("csrfToken=")?.to_owned()));
    let csrf = csrf.unwrap();
    let csrf = csrf.split(';').next().unwrap();
    assert!(witness.gave(csrf));
    assert_ne!(csrf, header["id"]);

    // Without any there is neither an envelope nor a cookie that could be guessed.
    witness.is_dry.store(true, Ordering::SeqCst);
    let request = warp::test::request().path("/auth/verify.json");
    let answer = world.server.request(request).await;
    assert_eq!(answer.error(), (500, "internal"));
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_server_without_an_openpgp_key_has_none_of_it() {
    let server = Server::new();
    let body = json!({"gpg_auth": {"keyid": "A".repeat(40)}});
    let answer = server.post("/auth/login.json", body).await;
    assert_eq!(answer.error(), (404, "unknown_route"));
    let token = server.user("ada", 0).await;
    let key = json!({"token": token, "openpgp_key": "-----BEGIN PGP PUBLIC KEY BLOCK-----"});
    let answer = server.post("/register_new_key", key).await;
    assert_eq!(answer.error(), (404, "gpgauth_disabled"));
    let list = server.post("/list_keys", json!({"token": token})).await;
    let list = list.ok();
    assert_eq!(list[0]["kind"], "rsa");
    assert_eq!(list[0].get("user_ids"), None::<&Value>);
}

#[tokio::test]
async fn one_kind_of_key_is_registered_at_a_time() {
    let world = World::new(GpgAuthHttp::default()).await;
    let public_key = crate::support::numbers(&keys::device(1));
    let both = json!({
        "token": world.token,
        "public_key": public_key,
        "openpgp_key": world.ada.public_key(),
    });
    for (body, code) in [
        (both, "invalid_field"),
        (json!({"token": world.token}), "missing_field"),
        (
            json!({"token": world.token, "openpgp_key": 7}),
            "invalid_field",
        ),
    ] {
        let answer = world.server.post("/register_new_key", body).await;
        assert_eq!(answer.error(), (400, code));
    }
    let again = json!({"token": world.token, "openpgp_key": world.ada.public_key()});
    let answer = world.server.post("/register_new_key", again).await;
    assert!(answer.ok()["challenge"].is_string());
}
