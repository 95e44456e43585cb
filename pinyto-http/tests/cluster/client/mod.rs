//! A user who does a bit of everything and keeps a journal.

mod documents;
mod keys;
mod passwords;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pinyto_core::{
    challenge::{Challenge, DeviceKey},
    key::PublicKey,
    testing,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    assembly::AUTHOR,
    checker::Violation,
    dice::Dice,
    journal::{Fate, Journal, KeyState, Known},
    running_server::{self, numbers},
};

/// How long after a request without an answer it may still come about: its server may have died and
/// left a statement in the database, which takes 10 s at most.
const IN_FLIGHT: Duration = Duration::from_secs(15);

/// How many of them also have an account with a password, which takes much time.
const WITH_PASSWORD: u64 = 2;

/// Longer than any server takes.
const PATIENCE: Duration = Duration::from_secs(60);

enum Answer {
    Ok(Value),
    Refused(u16),
    Unknown,
}

impl Answer {
    const fn fate(&self) -> Fate {
        match self {
            Self::Ok(_) => Fate::Acknowledged,
            Self::Refused(_) => Fate::Refused,
            Self::Unknown => Fate::Unknown,
        }
    }
}

/// A token that should work.
struct Session {
    token: String,
    /// Whether nothing unanswered can have ended it.
    is_certain: bool,
}

pub(crate) struct Client {
    number: u64,
    device: DeviceKey,
    /// A further key, which is taken out of use now and then.
    second: DeviceKey,
    server: PublicKey,
    balancer: SocketAddr,
    connection: Option<running_server::Client>,
    session: Option<Session>,
    /// When a login or logout had no answer.
    doubt: Option<Instant>,
    account: Option<passwords::Account>,
    next: u64,
    dice: Dice,
    started: Instant,
    /// How many requests were acknowledged lately, by path.
    acknowledged: BTreeMap<String, u64>,
    pub(crate) journal: Journal,
}

impl Client {
    /// A new user who has installed the assembly, and while whom nothing fails.
    pub(crate) async fn register(number: u64, balancer: SocketAddr, started: Instant) -> Self {
        let device = |number: u64| testing::keys::device(number as usize % testing::keys::DEVICES);
        let mut client = Self {
            number,
            device: device(number),
            second: device(number + 1),
            server: testing::keys::server().public_key().clone(),
            balancer,
            connection: None,
            session: None,
            doubt: None,
            account: None,
            next: 0,
            dice: Dice::new(number),
            started,
            acknowledged: BTreeMap::new(),
            journal: Journal {
                user: format!("client_{number}"),
                ..Journal::default()
            },
        };
        let (user, key) = (client.journal.user.clone(), client.device.public_key());
        let register = json!({"username": user, "public_key": numbers(key)});
        client.expect("/register", register).await;
        client.log_in().await;
        let installed = client
            .call(
                "/install_assembly",
                json!({"author": AUTHOR, "name": "Cluster"}),
            )
            .await;
        assert_eq!(installed.fate(), Fate::Acknowledged);
        while number < WITH_PASSWORD && client.account.is_none() {
            client.use_password().await;
        }
        let second = json!({"public_key": numbers(client.second.public_key())});
        let added = client.call("/register_new_key", second).await;
        assert_eq!(added.fate(), Fate::Acknowledged);
        for key in [&client.device, &client.second] {
            let hash = key.key_hash().as_str().to_owned();
            client
                .journal
                .keys
                .insert(hash, Known::certain(KeyState::Active));
        }
        client
    }

    /// Goes on until told to stop.
    pub(crate) async fn work(mut self, stop: Arc<AtomicBool>) -> Self {
        self.acknowledged.clear();
        while !stop.load(Ordering::Relaxed) {
            // Wherever the next connection leads.
            if self.dice.roll(4) == 0 {
                self.connection = None;
            }
            if self.number < WITH_PASSWORD && self.dice.roll(8) == 0 {
                self.use_password().await;
            }
            match self.dice.roll(100) {
                0..36 => self.store().await,
                36..54 => self.add().await,
                54..62 => self.change().await,
                62..66 => self.remove().await,
                66..72 => self.queue().await,
                72..80 => self.change_key().await,
                80..83 => self.use_second_key().await,
                83..88 => self.log_out().await,
                88..92 => self.log_in().await,
                92..95 => self.try_a_dead_token().await,
                _ => self.race().await,
            }
        }
        self.journal.acknowledged = std::mem::take(&mut self.acknowledged);
        self
    }

    /// One request over the present connection, or a new one.
    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.journal.tally.requests += 1;
        let answer = timeout(PATIENCE, async {
            if self.connection.is_none() {
                self.connection = running_server::Client::connect(self.balancer).await.ok();
            }
            self.connection.as_mut()?.try_post(path, body).await.ok()
        });
        let Some((status, answer)) = answer.await.unwrap_or(None) else {
            self.connection = None;
            self.journal.tally.unknown += 1;
            sleep(Duration::from_millis(20)).await;
            return Answer::Unknown;
        };
        match status {
            200 => {
                self.journal.tally.acknowledged += 1;
                let of_path = self.acknowledged.entry(path.to_owned());
                *of_path.or_default() += 1;
                Answer::Ok(answer)
            }
            503 => {
                self.journal.tally.unknown += 1;
                sleep(Duration::from_millis(20)).await;
                Answer::Unknown
            }
            500.. => {
                let (path, answer) = (path.to_owned(), answer.to_string());
                self.journal
                    .violations
                    .push(Violation::ServerError { path, answer });
                Answer::Unknown
            }
            status => {
                self.journal.tally.refused += 1;
                if status == 429 {
                    sleep(Duration::from_millis(100)).await;
                }
                Answer::Refused(status)
            }
        }
    }

    async fn expect(&mut self, path: &str, body: Value) -> Value {
        match self.post(path, &body).await {
            Answer::Ok(answer) => answer,
            other => panic!("{path}: {:?}", other.fate()),
        }
    }

    /// A request of the session, which is begun first if there is none.
    async fn call(&mut self, path: &str, mut body: Value) -> Answer {
        if self.session.is_none() {
            self.log_in().await;
        }
        let Some(session) = &self.session else {
            return Answer::Refused(401);
        };
        body["token"] = session.token.clone().into();
        let answer = self.post(path, &body).await;
        if matches!(answer, Answer::Refused(401)) {
            self.refused();
        }
        answer
    }

    /// The session's token was refused.
    fn refused(&mut self) {
        if self
            .session
            .take()
            .is_some_and(|session| session.is_certain)
        {
            let user = self.journal.user.clone();
            self.journal
                .violations
                .push(Violation::SessionLost { user });
        }
    }

    async fn log_in(&mut self) {
        let hash = self.device.key_hash().as_str().to_owned();
        let body = json!({"username": self.journal.user, "key_hash": hash});
        let answer = self.post("/authenticate", &body).await;
        let Answer::Ok(challenge) = answer else {
            if answer.fate() == Fate::Unknown {
                self.doubt = Some(Instant::now());
                self.session = None;
            }
            return;
        };
        let is_certain = self.doubt.is_none_or(|doubt| doubt.elapsed() > IN_FLIGHT);
        let token = self.answer(&self.device, challenge);
        let former = self.session.replace(Session { token, is_certain });
        self.journal.tally.logins += 1;
        if let Some(former) = former {
            self.has_ended(former.token, "a new login").await;
        }
    }

    fn answer(&self, device: &DeviceKey, challenge: Value) -> String {
        let challenge: Challenge = serde_json::from_value(challenge).unwrap();
        let token = device.answer(&challenge, &self.server).unwrap();
        token.expose().to_owned()
    }

    async fn log_out(&mut self) {
        let Some(session) = &self.session else {
            return;
        };
        let token = session.token.clone();
        match self.post("/logout", &json!({"token": token})).await {
            Answer::Ok(_) => {
                self.session = None;
                self.journal.tally.logouts += 1;
                self.has_ended(token, "a logout").await;
            }
            Answer::Unknown => {
                self.session = None;
                self.doubt = Some(Instant::now());
            }
            Answer::Refused(401) => self.refused(),
            Answer::Refused(_) => {}
        }
    }

    /// The end of a token was acknowledged: whatever server is asked next must know.
    async fn has_ended(&mut self, token: String, by: &'static str) {
        self.connection = None;
        self.probe(&token, by).await;
        self.journal.dead.push((token, by));
    }

    async fn probe(&mut self, token: &str, ended_by: &'static str) {
        if let Answer::Ok(_) = self.post("/list_keys", &json!({"token": token})).await {
            let user = self.journal.user.clone();
            let wrong = Violation::AcceptedAfterItsEnd { user, ended_by };
            self.journal.violations.push(wrong);
        }
    }

    async fn try_a_dead_token(&mut self) {
        let count = self.journal.dead.len() as u64;
        if count > 0 {
            let (token, by) = self.journal.dead[self.dice.roll(count) as usize].clone();
            self.probe(&token, by).await;
        }
    }

    /// In the end, when nothing fails any more: everything that is there of this user.
    pub(crate) async fn look(&mut self) -> (BTreeMap<String, String>, BTreeMap<String, bool>) {
        self.connection = None;
        let mut documents = BTreeMap::new();
        loop {
            let skip = documents.len();
            let page = self
                .call("/author/Cluster/page", json!({"skip": skip}))
                .await;
            let Answer::Ok(page) = page else {
                panic!("{:?}", page.fate());
            };
            for note in page["notes"].as_array().unwrap() {
                documents.insert(note[0].as_str().unwrap().to_owned(), note[1].to_string());
            }
            if documents.len() < skip + 500 {
                break;
            }
        }
        let listed = self.call("/list_keys", json!({})).await;
        let Answer::Ok(listed) = listed else {
            panic!("{:?}", listed.fate());
        };
        let listed = listed.as_array().unwrap().iter();
        let keys = listed.map(|key| {
            let hash = key["key_hash"].as_str().unwrap().to_owned();
            (hash, key["active"].as_bool().unwrap())
        });
        (documents, keys.collect())
    }

    /// Which of the passwords that the accounts ever had open them.
    pub(crate) async fn try_passwords(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let mut open = BTreeMap::new();
        for (user, passwords) in self.journal.passwords.clone() {
            let mut right = BTreeSet::new();
            for password in passwords.all {
                let account = json!({"username": user, "password": password});
                match self.post("/keyserver/authenticate", &account).await {
                    Answer::Ok(_) => drop(right.insert(password)),
                    Answer::Refused(403) => {}
                    other => panic!("{:?}", other.fate()),
                }
            }
            open.insert(user, right);
        }
        open
    }

    /// Asks this server about the present token and the last of those that have ended.
    pub(crate) async fn try_tokens(&mut self, server: SocketAddr) {
        self.connection = running_server::Client::connect(server).await.ok();
        if let Some(session) = &self.session {
            let token = session.token.clone();
            if let Answer::Refused(401) = self.post("/list_keys", &json!({"token": token})).await {
                self.refused();
            }
        }
        let dead: Vec<_> = self.journal.dead.iter().rev().take(10).cloned().collect();
        for (token, by) in dead {
            self.probe(&token, by).await;
        }
    }
}

fn update<T: Ord>(known: &mut Known<T>, to: T, answer: &Answer) {
    match answer.fate() {
        Fate::Acknowledged => known.is_now(to),
        Fate::Refused => {}
        Fate::Unknown => known.may_be(to),
    }
}
