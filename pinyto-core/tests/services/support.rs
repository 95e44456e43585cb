//! A cloud to try things on, and those who use it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use pinyto_core::{
    Cloud, Error, Settings,
    challenge::{DeviceKey, RequestToken, ServerKey},
    key::{KeyHash, KeyLabel, NewKey, PublicKey},
    keyserver::{HashCost, Password},
    memory::MemoryStore,
    session::Session,
    store::Store,
    testing::{
        ManualClock, given, keys,
        rsa::{Counting, FixedKeys, Toy},
    },
};

pub(crate) const IDLE: Duration = Duration::from_secs(1000);
pub(crate) const RENEWAL: Duration = Duration::from_secs(10);
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// A cloud with everything around it that a test moves or looks at.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: ManualClock,
    pub(crate) rsa: Arc<Counting>,
    pub(crate) cloud: Cloud,
}

/// What tests have in common: short sessions and cheap passwords.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.session_idle = IDLE;
    settings.session_renewal = Some(RENEWAL);
    settings.hash_cost = HashCost::new(8, 1);
    settings
}

impl World {
    /// With the toy in the place of RSA, for rules that have nothing to do with it.
    pub(crate) fn toy() -> Self {
        Self::with(settings())
    }

    /// The same, set otherwise.
    pub(crate) fn with(settings: Settings) -> Self {
        let rsa = Counting::new(Toy::new());
        let server_key = ServerKey::generate(rsa.clone()).unwrap();
        Self::build(rsa, server_key, settings)
    }

    /// With real RSA and fixed keys.
    pub(crate) fn real() -> Self {
        let rsa = Counting::new(FixedKeys::new());
        let server_key = ServerKey::from_pem(rsa.clone(), keys::server_pem()).unwrap();
        Self::build(rsa, server_key, settings())
    }

    pub(crate) fn build(rsa: Arc<Counting>, server_key: ServerKey, settings: Settings) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
        Self::over(store, clock, rsa, server_key, settings)
    }

    fn over(
        store: Arc<MemoryStore>,
        clock: ManualClock,
        rsa: Arc<Counting>,
        server_key: ServerKey,
        settings: Settings,
    ) -> Self {
        crate::audit::listen();
        let cloud = Cloud::builder(store.clone(), server_key)
            .clock(Arc::new(clock.clone()))
            .settings(settings)
            .build()
            .unwrap();
        Self {
            store,
            clock,
            rsa,
            cloud,
        }
    }

    /// Another process on the same database, with the same server key.
    pub(crate) fn another_process(&self, server_key: ServerKey, settings: Settings) -> Self {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Self::over(store, clock, self.rsa.clone(), server_key, settings)
    }

    pub(crate) fn device(&self) -> DeviceKey {
        DeviceKey::generate(self.rsa.clone()).unwrap()
    }

    /// A registered user with her device.
    pub(crate) async fn user(&self, name: &str) -> DeviceKey {
        let device = self.device();
        self.register(name, &device).await.unwrap();
        device
    }

    pub(crate) async fn register(&self, name: &str, device: &DeviceKey) -> Result<(), Error> {
        let key = device.public_key().clone();
        self.cloud.register(given::name(name), key).await.map(drop)
    }

    /// A request token, as a device gets it.
    pub(crate) async fn login(
        &self,
        name: &str,
        device: &DeviceKey,
    ) -> Result<RequestToken, Error> {
        let hash = device.key_hash();
        let challenge = self.cloud.authenticate(&given::name(name), &hash).await?;
        let server = self.cloud.server_public_key();
        Ok(device.answer(&challenge, server).unwrap())
    }

    /// The session of a user who registers and logs in.
    pub(crate) async fn session_of_new(&self, name: &str) -> Session {
        let device = self.user(name).await;
        let token = self.login(name, &device).await.unwrap();
        self.cloud.session(&token).await.unwrap()
    }

    /// Whether the token opens a session; a use, if it does.
    pub(crate) async fn lives(&self, token: &RequestToken) -> bool {
        match self.cloud.session(token).await {
            Ok(_) => true,
            Err(Error::UnknownToken) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn at_address(&self, address: &str) -> Cloud {
        let address: IpAddr = address.parse().unwrap();
        self.cloud.for_address(address)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }
}

pub(crate) fn password(text: &str) -> Password {
    Password::choose(text).unwrap()
}

pub(crate) async fn set_key_active(
    cloud: &Cloud,
    session: &Session,
    hash: &KeyHash,
    active: bool,
) -> Result<(), Error> {
    if active {
        cloud.activate_key(session, hash).await
    } else {
        cloud.deactivate_key(session, hash).await
    }
}

pub(crate) async fn set_password_login(
    cloud: &Cloud,
    session: &Session,
    allowed: bool,
) -> Result<(), Error> {
    if allowed {
        cloud.allow_password_login(session).await
    } else {
        cloud.forbid_password_login(session).await
    }
}

pub(crate) fn full_hash(key: &PublicKey) -> KeyHash {
    key.fingerprint().into()
}

pub(crate) fn new_key(key: &PublicKey, label: Option<&str>) -> NewKey {
    let label = label.map(|label| KeyLabel::parse(label).unwrap());
    NewKey::new(key.clone()).labelled(label)
}

/// The error's stable name, or `ok`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is used"
)]
pub(crate) fn code<T>(result: Result<T, Error>) -> &'static str {
    result.as_ref().map_or_else(Error::code, |_| "ok")
}
