//! A store in memory, for tests and try-outs: gone with the process.

mod assembly;
mod document;
mod job;
mod key;
mod keyserver;
mod run;
mod session;
mod throttle;
mod user;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    assembly::{Assembly, AssemblyRepository},
    clock::Timestamp,
    document::{DocumentId, DocumentRepository},
    id::{AssemblyId, KeyId, SessionId, UserId},
    job::JobRepository,
    key::{Key, KeyRepository},
    keyserver::{KeyserverRepository, PasswordHash, SealedKey},
    run::{Run, RunId, RunRepository, WriterId},
    session::{LoginTokenHash, Session, SessionReads, SessionRepository},
    store::{Store, StoreError},
    throttle::{FailureRepository, Subject},
    usage::Usage,
    user::{User, UserName, UserRepository},
};

/// Keeps everything in memory. Each operation holds one lock from its precondition to its end,
/// which makes it atomic.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: i64,
    users: BTreeMap<UserId, UserState>,
    names: HashMap<UserName, UserId>,
    keys: BTreeMap<KeyId, Key>,
    /// Which proof was the last of each OpenPGP key.
    proofs: BTreeMap<KeyId, u64>,
    last_proof: u64,
    sessions: BTreeMap<SessionId, Session>,
    accounts: BTreeMap<UserId, AccountState>,
    assemblies: BTreeMap<AssemblyId, (UserId, Assembly)>,
    installations: BTreeSet<(UserId, AssemblyId)>,
    documents: BTreeMap<(UserId, DocumentId), document::Stored>,
    runs: BTreeMap<(UserId, RunId), Run>,
    /// The last batch of each writer, and when it was recorded.
    run_writers: BTreeMap<WriterId, (u64, Timestamp)>,
    job_entries: job::JobEntries,
    /// When each user had her last turn, and its number.
    job_turns: BTreeMap<UserId, (Timestamp, i64)>,
    /// When each subject of failed tries will have paid for them.
    failures: BTreeMap<Subject, Timestamp>,
    /// Until when login tokens that were shown are remembered.
    spent_tokens: BTreeMap<LoginTokenHash, Timestamp>,
}

struct UserState {
    user: User,
    usage: Usage,
    /// The hour of the last booking, and the CPU time booked for it.
    hour: Option<(i64, Duration)>,
}

struct AccountState {
    key: KeyId,
    password_hash: PasswordHash,
    sealed_key: SealedKey,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No operation panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn users(&self) -> &dyn UserRepository {
        self
    }

    fn keys(&self) -> &dyn KeyRepository {
        self
    }

    fn sessions(&self) -> &dyn SessionRepository {
        self
    }

    fn keyserver(&self) -> &dyn KeyserverRepository {
        self
    }

    fn assemblies(&self) -> &dyn AssemblyRepository {
        self
    }

    fn documents(&self) -> &dyn DocumentRepository {
        self
    }

    fn runs(&self) -> &dyn RunRepository {
        self
    }

    fn jobs(&self) -> &dyn JobRepository {
        self
    }

    fn failures(&self) -> &dyn FailureRepository {
        self
    }

    fn reads(&self) -> &dyn SessionReads {
        self
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl SessionReads for MemoryStore {
    fn store(&self) -> &dyn Store {
        self
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} users)", self.lock().users.len())
    }
}
