//! What goes wrong around the services, when a test wants it to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    Page,
    assembly::{AssemblyName, AssemblyRef, AssemblyRepository},
    challenge::{ServerKey, SessionTokenHash},
    clock::Timestamp,
    crypto::{CryptoError, RsaBackend, RsaPrivateKey, RsaPublicKey},
    document::DocumentRepository,
    id::{SessionId, UserId},
    job::{Claim, ClaimedJob, Completion, EnqueueOutcome, JobRef, JobRepository, JobState, Lease},
    key::{KeyRepository, PublicKey},
    keyserver::{
        Account, ChangePasswordOutcome, KeyserverRepository, NewCredentials, PasswordHash,
        PasswordLoginOutcome, SealedKey,
    },
    memory::MemoryStore,
    run::{HourUsage, Recorded, Run, RunBatch, RunId, RunRepository, RunRetention},
    session::{
        Actor, LoginTokenHash, NewSession, ReplaceOutcome, Session, SessionReads, SessionRepository,
    },
    store::{Store, StoreError},
    testing::rsa::{Counting, Toy},
    throttle::{Attempt, FailureRepository, Settled},
    user::{NewUser, RegisterOutcome, UserName, UserRepository},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    scripted::Scripted,
    support::{World, settings},
};

/// Whether something goes wrong at present.
#[derive(Debug, Default)]
pub(crate) struct Fault(AtomicBool);

impl Fault {
    pub(crate) fn set(&self, present: bool) {
        self.0.store(present, Ordering::SeqCst);
    }

    fn is_present(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn in_store(&self) -> Result<(), StoreError> {
        if self.is_present() {
            return Err(StoreError::unavailable("the disk is full"));
        }
        Ok(())
    }
}

/// A store some of whose operations fail or take long.
pub(crate) struct FaultyStore {
    store: Arc<MemoryStore>,
    pub(crate) renew: Fault,
    pub(crate) rehash: Fault,
    pub(crate) record: Fault,
    /// What is recorded waits for a user who is busy.
    pub(crate) record_waits: Fault,
    /// Who holds the permit holds up what is recorded.
    pub(crate) recording: Semaphore,
    /// How many runs were in each batch.
    pub(crate) batches: Mutex<Vec<usize>>,
    /// What is recorded seems not to be.
    pub(crate) recorded: Fault,
    /// Of whom nothing is recorded.
    pub(crate) busy: Mutex<BTreeSet<UserId>>,
    /// How many batches have waited for somebody.
    pub(crate) waited: AtomicUsize,
    pub(crate) complete: Fault,
    pub(crate) release: Fault,
    pub(crate) settle: Fault,
    /// Leases are neither extended nor refused: there is no answer.
    pub(crate) extend: Fault,
    /// Who holds the permit holds up the look-ups of sessions by token.
    pub(crate) look_up: Semaphore,
    /// The session that has got the identifier of another, which got lost in a failover.
    pub(crate) given_again: Mutex<Option<(SessionId, SessionId)>>,
    /// How often these methods panic: `next_due`, `record`, `end_unused_since`.
    pub(crate) panics: Mutex<BTreeMap<&'static str, usize>>,
}

impl FaultyStore {
    fn panic_if_told(&self, method: &'static str) {
        let told = match self.panics.lock().unwrap().get_mut(method) {
            Some(left) => std::mem::replace(left, left.saturating_sub(1)) > 0,
            None => false,
        };
        assert!(!told, "{method} panics as told");
    }
}

impl World {
    /// The same world, set otherwise and with faults in its store.
    pub(crate) fn faulty(settings: pinyto_core::Settings) -> (Self, Arc<FaultyStore>) {
        Self::faulty_scripted(&Scripted::new(), settings)
    }

    /// The same, with assemblies that are run by the script.
    pub(crate) fn faulty_scripted(
        script: &Arc<Scripted>,
        settings: pinyto_core::Settings,
    ) -> (Self, Arc<FaultyStore>) {
        let rsa = Counting::new(Toy::new());
        let server_key = ServerKey::generate(rsa.clone()).unwrap();
        let world = Self::build(rsa, server_key.clone(), settings.clone());
        let store = Arc::new(FaultyStore {
            store: world.store.clone(),
            renew: Fault::default(),
            rehash: Fault::default(),
            record: Fault::default(),
            record_waits: Fault::default(),
            recording: Semaphore::new(1),
            batches: Mutex::default(),
            recorded: Fault::default(),
            busy: Mutex::default(),
            waited: AtomicUsize::default(),
            complete: Fault::default(),
            release: Fault::default(),
            settle: Fault::default(),
            extend: Fault::default(),
            look_up: Semaphore::new(1),
            given_again: Mutex::default(),
            panics: Mutex::default(),
        });
        let cloud = pinyto_core::Cloud::builder(store.clone(), server_key)
            .clock(Arc::new(world.clock.clone()))
            .settings(settings)
            .runtime(script.clone())
            .build()
            .unwrap();
        (Self { cloud, ..world }, store)
    }

    /// A world in which decryptions fail while the fault is present.
    pub(crate) fn faulty_decryption() -> (Self, Arc<Fault>) {
        let fault = Arc::<Fault>::default();
        let rsa = Counting::new(Arc::new(FaultyRsa {
            backend: Toy::new(),
            fault: fault.clone(),
        }));
        let server_key = ServerKey::generate(rsa.clone()).unwrap();
        (Self::build(rsa, server_key, settings()), fault)
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn users(&self) -> &dyn UserRepository {
        self.store.users()
    }

    fn keys(&self) -> &dyn KeyRepository {
        self.store.keys()
    }

    fn sessions(&self) -> &dyn SessionRepository {
        self
    }

    fn keyserver(&self) -> &dyn KeyserverRepository {
        self
    }

    fn assemblies(&self) -> &dyn AssemblyRepository {
        self.store.assemblies()
    }

    fn documents(&self) -> &dyn DocumentRepository {
        self.store.documents()
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
        self.store.ping().await
    }
}

impl SessionReads for FaultyStore {
    fn store(&self) -> &dyn Store {
        self
    }
}

#[async_trait]
impl SessionRepository for FaultyStore {
    async fn replace(&self, session: &NewSession) -> Result<ReplaceOutcome, StoreError> {
        self.store.sessions().replace(session).await
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        let given_again = *self.given_again.lock().unwrap();
        match given_again {
            Some((id, other)) if id == session => {
                let found = self.store.sessions().find(other).await?;
                Ok(found.map(|mut found| {
                    found.id = id;
                    found
                }))
            }
            _ => self.store.sessions().find(session).await,
        }
    }

    async fn find_by_token(&self, token: &SessionTokenHash) -> Result<Option<Session>, StoreError> {
        let _turn = self.look_up.acquire().await.unwrap();
        self.store.sessions().find_by_token(token).await
    }

    async fn renew(
        &self,
        user: UserId,
        session: SessionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.renew.in_store()?;
        self.store.sessions().renew(user, session, at).await
    }

    async fn end(&self, user: UserId, session: SessionId) -> Result<bool, StoreError> {
        self.store.sessions().end(user, session).await
    }

    async fn spend(
        &self,
        token: &LoginTokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.store.sessions().spend(token, expires_at).await
    }

    async fn forget_spent(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store.sessions().forget_spent(now).await
    }

    async fn end_unused_since(&self, moment: Timestamp) -> Result<u64, StoreError> {
        self.panic_if_told("end_unused_since");
        self.store.sessions().end_unused_since(moment).await
    }
}

#[async_trait]
impl KeyserverRepository for FaultyStore {
    async fn register(
        &self,
        user: &NewUser,
        hash: &PasswordHash,
        sealed: &SealedKey,
    ) -> Result<RegisterOutcome, StoreError> {
        self.store.keyserver().register(user, hash, sealed).await
    }

    async fn find(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        self.store.keyserver().find(name).await
    }

    async fn change_password(
        &self,
        user: UserId,
        session: SessionId,
        new: &NewCredentials,
        at: Timestamp,
    ) -> Result<ChangePasswordOutcome, StoreError> {
        let accounts = self.store.keyserver();
        accounts.change_password(user, session, new, at).await
    }

    async fn set_password_login(
        &self,
        actor: Actor,
        allowed: bool,
        at: Timestamp,
    ) -> Result<PasswordLoginOutcome, StoreError> {
        let accounts = self.store.keyserver();
        accounts.set_password_login(actor, allowed, at).await
    }

    async fn rehash(
        &self,
        user: UserId,
        old: &PasswordHash,
        hash: &PasswordHash,
        sealed: &SealedKey,
    ) -> Result<bool, StoreError> {
        self.rehash.in_store()?;
        self.store.keyserver().rehash(user, old, hash, sealed).await
    }
}

#[async_trait]
impl RunRepository for FaultyStore {
    async fn record(
        &self,
        batch: &RunBatch,
        retention: RunRetention,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        self.record.in_store()?;
        self.panic_if_told("record");
        self.batches.lock().unwrap().push(batch.runs.len());
        let _turn = self.recording.acquire().await.unwrap();
        if self.record_waits.is_present() {
            std::future::pending::<()>().await;
        }
        let busy = self.busy.lock().unwrap().clone();
        if batch.waits {
            self.waited.fetch_add(1, Ordering::SeqCst);
            if batch.cpu.iter().any(|booking| busy.contains(&booking.user)) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let mut free = batch.clone();
        free.runs.retain(|run| !busy.contains(&run.user));
        free.cpu.retain(|booking| !busy.contains(&booking.user));
        let mut recorded = self.store.runs().record(&free, retention, now).await?;
        let booked = batch.cpu.iter().map(|booking| booking.user);
        recorded.kept_back = booked.filter(|user| busy.contains(user)).collect();
        self.recorded.in_store()?;
        Ok(recorded)
    }

    async fn hour_usage(&self, user: UserId) -> Result<Option<HourUsage>, StoreError> {
        self.store.runs().hour_usage(user).await
    }

    async fn find(&self, user: UserId, run: RunId) -> Result<Option<Run>, StoreError> {
        self.store.runs().find(user, run).await
    }

    async fn list_of_user(
        &self,
        user: UserId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, StoreError> {
        let runs = self.store.runs();
        runs.list_of_user(user, assembly, page).await
    }

    async fn list_of_author(
        &self,
        author: UserId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<Option<Vec<Run>>, StoreError> {
        let runs = self.store.runs();
        runs.list_of_author(author, assembly, page).await
    }

    async fn sweep(&self, moment: Timestamp) -> Result<u64, StoreError> {
        self.store.runs().sweep(moment).await
    }
}

#[async_trait]
impl JobRepository for FaultyStore {
    async fn claim_due(&self, claim: &Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        self.store.jobs().claim_due(claim).await
    }

    async fn extend(&self, lease: Lease, until: Timestamp) -> Result<bool, StoreError> {
        if self.extend.is_present() {
            std::future::pending::<()>().await;
        }
        self.store.jobs().extend(lease, until).await
    }

    async fn complete(
        &self,
        lease: Lease,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.complete.in_store()?;
        self.store.jobs().complete(lease, completion, now).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.panic_if_told("next_due");
        self.store.jobs().next_due().await
    }

    async fn release(&self, user: UserId, run: RunId, now: Timestamp) -> Result<bool, StoreError> {
        self.release.in_store()?;
        self.store.jobs().release(user, run, now).await
    }

    async fn run_now(
        &self,
        user: UserId,
        job: &JobRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<EnqueueOutcome, StoreError> {
        self.store.jobs().run_now(user, job, limit, at).await
    }

    async fn list_of_user(
        &self,
        user: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Vec<JobState>, StoreError> {
        let jobs = self.store.jobs();
        jobs.list_of_user(user, now, page).await
    }
}

#[derive(Debug)]
struct FaultyRsa {
    backend: Arc<Toy>,
    fault: Arc<Fault>,
}

impl FaultyRsa {
    fn faulty(&self, key: Arc<dyn RsaPrivateKey>) -> Arc<dyn RsaPrivateKey> {
        let fault = self.fault.clone();
        Arc::new(FaultyKey { key, fault })
    }
}

impl RsaBackend for FaultyRsa {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn generate(&self, bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        Ok(self.faulty(self.backend.generate(bits)?))
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        Ok(self.faulty(self.backend.private_key_from_pkcs8(der)?))
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        self.backend.public_key(key)
    }
}

#[derive(Debug)]
struct FaultyKey {
    key: Arc<dyn RsaPrivateKey>,
    fault: Arc<Fault>,
}

impl RsaPrivateKey for FaultyKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.key.to_pkcs8_der()
    }

    fn decrypt_oaep_sha1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        if self.fault.is_present() {
            let operation = "decrypt";
            return Err(CryptoError::Backend { operation });
        }
        self.key.decrypt_oaep_sha1(ciphertext)
    }

    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.key.sign_pss_sha256(message)
    }

    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.key.sign_ps256(message)
    }
}

#[async_trait]
impl FailureRepository for FaultyStore {
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError> {
        self.settle.in_store()?;
        self.store.failures().settle(attempt).await
    }

    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store.failures().forget_paid(now).await
    }
}
