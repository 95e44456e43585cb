//! A user who does a bit of everything and keeps a journal.

use std::{
    collections::BTreeMap,
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
    testing::keys,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    checker::Violation,
    journal::{Candidate, Fate, Journal, KeyState, Known},
    running_server::{self, numbers},
    witness::RAN,
};

/// The author of the assembly that all of them use.
pub(crate) const AUTHOR: &str = "author";

/// How long after a request without an answer it may still come about: its server may have died and
/// left a statement in the database, which takes 10 s at most.
const IN_FLIGHT: Duration = Duration::from_secs(15);

/// Longer than any server takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the assembly's code is.
pub(crate) fn assembly() -> Value {
    let job = format!("db.insert({{'type': '{RAN}', 'data': {{'job': '%'}}}})\nreturn {{}}");
    let functions = [
        (
            "add",
            "return {'_id': db.insert({'type': 'note', 'data': request.json['data']})}",
        ),
        (
            "change",
            "note = db.find_document_for_id(request.json['id'])\nnote['data'] = request.json['data']\n\
            db.save(note)\nreturn {}",
        ),
        (
            "remove",
            "db.remove({'_id': request.json['id']})\nreturn {}",
        ),
        (
            "later",
            "return {'_id': db.insert({'type': 'job', 'data': {'assembly_user': 'author', \
            'assembly_name': 'Cluster', 'job_name': 'work'}})}",
        ),
        (
            "page",
            "return {'notes': [[n['_id'], n['data']] for n in db.find({'type': 'note'}, \
            skip=request.json['skip'], limit=500, sorting='_id')]}",
        ),
    ];
    let functions = functions.map(|(name, code)| json!({"name": name, "code": code}));
    let jobs = [("once", 0), ("work", 0), ("every_minute", 1)];
    let jobs = jobs.map(|(name, schedule)| {
        json!({"name": name, "code": job.replace('%', name), "schedule": schedule})
    });
    json!({"name": "Cluster", "description": "", "api_functions": functions, "jobs": jobs})
}

/// Random enough, and the same for the same seed.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `sides`. (SplitMix64.)
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

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
    next: u64,
    dice: Dice,
    started: Instant,
    pub(crate) journal: Journal,
}

impl Client {
    /// A new user who has installed the assembly, and while whom nothing fails.
    pub(crate) async fn register(number: u64, balancer: SocketAddr, started: Instant) -> Self {
        let device = |number: u64| keys::device(number as usize % keys::DEVICES);
        let mut client = Self {
            number,
            device: device(number),
            second: device(number + 1),
            server: keys::server().public_key().clone(),
            balancer,
            connection: None,
            session: None,
            doubt: None,
            next: 0,
            dice: Dice::new(number),
            started,
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
        while !stop.load(Ordering::Relaxed) {
            // Wherever the next connection leads.
            if self.dice.roll(4) == 0 {
                self.connection = None;
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

    fn data(&mut self) -> Value {
        self.next += 1;
        json!({"client": self.number, "number": self.next, "text": "\u{0}ö -0.0 \\u0000", "f": -0.5})
    }

    async fn store(&mut self) {
        let data = self.data();
        let body = json!({"type": "note", "data": data});
        let stored = self.call("/author/Cluster/store", body).await;
        self.inserted(&data, &stored);
    }

    async fn add(&mut self) {
        let data = self.data();
        let added = self.function("add", json!({"data": data})).await;
        self.inserted(&data, &added);
    }

    fn inserted(&mut self, data: &Value, answer: &Answer) {
        let text = data.to_string();
        match answer {
            Answer::Ok(answer) => {
                let id = answer["_id"].as_str().unwrap().to_owned();
                let known = Known::certain(Some(text));
                self.journal.documents.insert(id, known);
            }
            Answer::Unknown => {
                self.journal.attempted.insert(text);
            }
            Answer::Refused(_) => {}
        }
    }

    /// A function may have done something before it failed.
    async fn function(&mut self, name: &str, body: Value) -> Answer {
        let answer = self.call(&format!("/author/Cluster/{name}"), body).await;
        match answer {
            Answer::Refused(400) => Answer::Unknown,
            Answer::Ok(_) => {
                self.journal.tally.calls += 1;
                answer
            }
            _ => answer,
        }
    }

    /// A document that certainly is there.
    fn some_document(&mut self) -> Option<String> {
        let count = self.journal.documents.len() as u64;
        let from = self.dice.roll(count.max(1)) as usize;
        let of_user = self.journal.documents.iter().skip(from);
        let mut there = of_user
            .filter(|(_, known)| known.is_certain() && !known.possible.contains(&None))
            .map(|(id, _)| id.clone());
        there.next()
    }

    async fn change(&mut self) {
        let Some(id) = self.some_document() else {
            return;
        };
        let data = self.data();
        let changed = self
            .function("change", json!({"id": id, "data": data}))
            .await;
        self.changed(&id, Some(data.to_string()), &changed);
    }

    async fn remove(&mut self) {
        if let Some(id) = self.some_document() {
            let removed = self.function("remove", json!({"id": id})).await;
            self.changed(&id, None, &removed);
        }
    }

    fn changed(&mut self, id: &str, to: Option<String>, answer: &Answer) {
        let known = self.journal.documents.get_mut(id).unwrap();
        update(known, to, answer);
    }

    async fn queue(&mut self) {
        let queued = if self.dice.roll(2) == 0 {
            self.function("later", json!({})).await
        } else {
            let data =
                json!({"assembly_user": AUTHOR, "assembly_name": "Cluster", "job_name": "work"});
            let body = json!({"type": "job", "data": data});
            self.call("/author/Cluster/store", body).await
        };
        if let Answer::Ok(answer) = queued {
            let id = answer["_id"].as_str().unwrap().to_owned();
            self.journal.queued.insert(id);
        }
    }

    /// Adds a key, or changes one of those that were added.
    async fn change_key(&mut self) {
        let ours = [&self.device, &self.second].map(|key| key.key_hash().as_str().to_owned());
        let certain: BTreeMap<_, _> = self
            .journal
            .keys
            .iter()
            .filter(|(hash, known)| known.is_certain() && !ours.contains(hash))
            .filter_map(|(hash, known)| Some((hash.clone(), *known.possible.first()?)))
            .filter(|(_, state)| *state != KeyState::Absent)
            .collect();
        let some = certain.into_iter().nth(self.dice.roll(6) as usize);
        let Some((hash, state)) = some else {
            self.next += 1;
            let key = keys::synthetic(self.number * 1_000_000 + self.next);
            let added = self
                .call("/register_new_key", json!({"public_key": numbers(&key)}))
                .await;
            let hash = key.key_hash().as_str().to_owned();
            let known = self.journal.keys.entry(hash);
            update(
                known.or_insert_with(|| Known::certain(KeyState::Absent)),
                KeyState::Active,
                &added,
            );
            return;
        };
        let (path, to, body) = match (state, self.dice.roll(3)) {
            (_, 0) => ("/delete_key", KeyState::Absent, json!({"key_hash": hash})),
            (KeyState::Active, _) => (
                "/set_key_active",
                KeyState::Inactive,
                json!({"key_hash": hash, "active_state": false}),
            ),
            _ => (
                "/set_key_active",
                KeyState::Active,
                json!({"key_hash": hash, "active_state": true}),
            ),
        };
        let changed = self.call(path, body).await;
        update(self.journal.keys.get_mut(&hash).unwrap(), to, &changed);
    }

    /// Logs in with the second key and takes it out of use, which ends that session.
    async fn use_second_key(&mut self) {
        let hash = self.second.key_hash().as_str().to_owned();
        if !self.journal.keys[&hash].is_certain() {
            return;
        }
        let body = json!({"username": self.journal.user, "key_hash": hash});
        let Answer::Ok(challenge) = self.post("/authenticate", &body).await else {
            return;
        };
        self.journal.tally.logins += 1;
        let token = self.answer(&self.second, challenge);
        for active in [false, true] {
            let body = json!({"key_hash": hash, "active_state": active});
            let changed = self.call("/set_key_active", body).await;
            let to = if active {
                KeyState::Active
            } else {
                KeyState::Inactive
            };
            let known = self.journal.keys.get_mut(&hash).unwrap();
            update(known, to, &changed);
            match changed.fate() {
                Fate::Acknowledged if !active => {
                    self.has_ended(token.clone(), "the key's deactivation")
                        .await;
                }
                Fate::Acknowledged => {}
                Fate::Refused | Fate::Unknown => return,
            }
        }
    }

    /// Wants a name that others want at the same moment.
    async fn race(&mut self) {
        self.next += 1;
        let key = keys::synthetic(self.number * 1_000_000 + self.next);
        let name = format!("race_{}", self.started.elapsed().as_millis() / 500);
        let body = json!({"username": name, "public_key": numbers(&key)});
        let fate = self.post("/register", &body).await;
        let fate = match fate {
            // Not the name is the reason.
            Answer::Refused(status) if status != 409 => return,
            answer => answer.fate(),
        };
        let key_hash = key.key_hash().as_str().to_owned();
        self.journal.candidates.push(Candidate {
            name,
            key_hash,
            fate,
        });
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
