//! Sessions against a model: whatever is done in whatever order, what lives in the model lives
//! and what is dead there is dead.

use std::time::Duration;

use pinyto_core::{
    challenge::{DeviceKey, RequestToken},
    session::Session,
    testing::given,
};
use proptest::prelude::*;

use crate::support::{IDLE, RENEWAL, World, code, new_key};

const DEVICES: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Authenticate(usize),
    Use(usize),
    Logout(usize),
    Advance(Duration),
    Add(usize, usize),
    SetActive(usize, usize, bool),
    Delete(usize, usize),
    Sweep,
}

/// Tokens are numbered in the order they are issued; a step means one modulo their number, of
/// the latest ones mostly.
fn step() -> impl Strategy<Value = Step> {
    let (token, device) = (0_usize..8, 0..DEVICES);
    let wait = prop_oneof![
        Just(Duration::ZERO),
        (1_u64..20_000).prop_map(Duration::from_millis),
        (1_u64..1500).prop_map(Duration::from_secs),
        Just(IDLE),
        Just(IDLE + RENEWAL),
    ];
    prop_oneof![
        4 => device.clone().prop_map(Step::Authenticate),
        6 => token.clone().prop_map(Step::Use),
        1 => token.clone().prop_map(Step::Logout),
        3 => wait.prop_map(Step::Advance),
        2 => (token.clone(), device.clone()).prop_map(|(t, d)| Step::Add(t, d)),
        3 => (token.clone(), device.clone(), any::<bool>())
            .prop_map(|(t, d, active)| Step::SetActive(t, d, active)),
        1 => (token, device).prop_map(|(t, d)| Step::Delete(t, d)),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum KeyState {
    Absent,
    Active,
    Inactive,
}

struct Issued {
    token: RequestToken,
    device: usize,
    used: Duration,
    dead: bool,
}

struct Model {
    world: World,
    devices: Vec<DeviceKey>,
    keys: [KeyState; DEVICES],
    issued: Vec<Issued>,
    now: Duration,
}

impl Model {
    async fn new() -> Self {
        let world = World::toy();
        let devices: Vec<_> = (0..DEVICES).map(|_| world.device()).collect();
        world.register("hugo", &devices[0]).await.unwrap();
        let mut keys = [KeyState::Absent; DEVICES];
        keys[0] = KeyState::Active;
        Self {
            world,
            devices,
            keys,
            issued: Vec::new(),
            now: Duration::ZERO,
        }
    }

    /// The number of a token, counted from the latest.
    fn token(&self, back: usize) -> Option<usize> {
        self.issued
            .len()
            .checked_sub(1 + back % self.issued.len().max(1))
    }

    /// Uses a token and compares: gives the session, if there is one.
    async fn session(&mut self, back: usize) -> Option<Session> {
        let number = self.token(back)?;
        let issued = &mut self.issued[number];
        let result = self.world.cloud.session(&issued.token).await;
        let idle = self.now - issued.used;
        if issued.dead || idle > IDLE + RENEWAL {
            assert_eq!(code(result), "unknown_token");
            return None;
        }
        match result {
            Ok(session) => {
                issued.used = self.now;
                Some(session)
            }
            Err(error) => {
                assert_eq!(error.code(), "unknown_token");
                assert!(idle > IDLE, "it was used {idle:?} ago");
                issued.dead = true;
                None
            }
        }
    }

    fn end_sessions_of(&mut self, device: usize) {
        for issued in &mut self.issued {
            issued.dead |= issued.device == device;
        }
    }

    fn is_last_active(&self, device: usize) -> bool {
        let active = self.keys.iter().filter(|key| **key == KeyState::Active);
        self.keys[device] == KeyState::Active && active.count() == 1
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Authenticate(device) => self.authenticate(device).await,
            Step::Use(token) => drop(self.session(token).await),
            Step::Logout(token) => {
                if let Some(session) = self.session(token).await {
                    self.world.cloud.logout(&session).await.unwrap();
                    let number = self.token(token).unwrap();
                    self.issued[number].dead = true;
                }
            }
            Step::Advance(duration) => {
                self.now += duration;
                self.world.clock.advance(duration);
            }
            Step::Add(token, device) => {
                if let Some(session) = self.session(token).await {
                    self.add(&session, device).await;
                }
            }
            Step::SetActive(token, device, active) => {
                if let Some(session) = self.session(token).await {
                    self.set_active(&session, device, active).await;
                }
            }
            Step::Delete(token, device) => {
                if let Some(session) = self.session(token).await {
                    self.delete(&session, device).await;
                }
            }
            Step::Sweep => drop(self.world.cloud.sweep_sessions().await.unwrap()),
        }
    }

    async fn authenticate(&mut self, device: usize) {
        let result = self.world.login("hugo", &self.devices[device]).await;
        if self.keys[device] == KeyState::Active {
            self.end_sessions_of(device);
            self.issued.push(Issued {
                token: result.unwrap(),
                device,
                used: self.now,
                dead: false,
            });
        } else {
            assert_eq!(code(result), "authentication_failed");
        }
    }

    async fn add(&mut self, session: &Session, device: usize) {
        let new = new_key(self.devices[device].public_key(), None);
        let result = self.world.cloud.register_new_key(session, &new).await;
        if self.keys[device] == KeyState::Absent {
            result.unwrap();
            self.keys[device] = KeyState::Active;
        } else {
            assert_eq!(code(result), "key_already_registered");
        }
    }

    async fn set_active(&mut self, session: &Session, device: usize, active: bool) {
        let hash = self.devices[device].key_hash();
        let cloud = &self.world.cloud;
        let result = crate::support::set_key_active(cloud, session, &hash, active).await;
        if self.keys[device] == KeyState::Absent {
            assert_eq!(code(result), "unknown_key");
        } else if !active && self.is_last_active(device) {
            assert_eq!(code(result), "last_active_key");
        } else if active {
            result.unwrap();
            self.keys[device] = KeyState::Active;
        } else {
            result.unwrap();
            self.keys[device] = KeyState::Inactive;
            self.end_sessions_of(device);
        }
    }

    async fn delete(&mut self, session: &Session, device: usize) {
        let hash = self.devices[device].key_hash();
        let result = self.world.cloud.delete_key(session, &hash).await;
        if self.keys[device] == KeyState::Absent {
            assert_eq!(code(result), "unknown_key");
        } else if self.is_last_active(device) {
            assert_eq!(code(result), "last_active_key");
        } else {
            result.unwrap();
            self.keys[device] = KeyState::Absent;
            self.end_sessions_of(device);
        }
    }

    /// Everything that can be seen from outside.
    async fn check(&mut self) {
        for back in 0..self.issued.len() {
            self.session(back).await;
        }
        let hugo = self.world.store().users().find(&given::name("hugo")).await;
        let listed = self
            .world
            .store()
            .keys()
            .list(hugo.unwrap().unwrap().id)
            .await
            .unwrap();
        let state = |device: &DeviceKey| {
            let found = listed
                .iter()
                .find(|key| key.material == *device.public_key());
            match found {
                None => KeyState::Absent,
                Some(key) if key.active => KeyState::Active,
                Some(_) => KeyState::Inactive,
            }
        };
        assert!(self.devices.iter().map(state).eq(self.keys));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sessions_live_and_die_as_in_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in &steps {
                model.take(step).await;
            }
            model.check().await;
        });
    }
}
