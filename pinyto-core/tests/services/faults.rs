//! What goes wrong around the services, when a test wants it to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use pinyto_core::{
    assembly::AssemblyRepository,
    challenge::{ServerKey, SessionTokenHash},
    clock::Timestamp,
    crypto::{CryptoError, RsaBackend, RsaPrivateKey, RsaPublicKey},
    document::DocumentRepository,
    id::{SessionId, UserId},
    job::JobRepository,
    key::{KeyRepository, PublicKey},
    keyserver::{
        Account, ChangePasswordOutcome, KeyserverRepository, NewCredentials, PasswordHash,
        SealedKey,
    },
    memory::MemoryStore,
    run::RunRepository,
    session::{NewSession, ReplaceOutcome, Session, SessionRepository},
    store::{Store, StoreError},
    testing::rsa::{Counting, Toy},
    user::{NewUser, RegisterOutcome, UserName, UserRepository},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::support::{World, settings};

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
    /// Who holds the permit holds up the look-ups of sessions by token.
    pub(crate) look_up: Semaphore,
}

impl World {
    /// The same world, set otherwise and with faults in its store.
    pub(crate) fn faulty(settings: pinyto_core::Settings) -> (Self, Arc<FaultyStore>) {
        let rsa = Counting::new(Toy::new());
        let server_key = ServerKey::generate(rsa.clone()).unwrap();
        let world = Self::build(rsa, server_key.clone(), settings.clone());
        let store = Arc::new(FaultyStore {
            store: world.store.clone(),
            renew: Fault::default(),
            rehash: Fault::default(),
            look_up: Semaphore::new(1),
        });
        let cloud = pinyto_core::Cloud::builder(store.clone(), server_key)
            .clock(Arc::new(world.clock.clone()))
            .settings(settings)
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
        self.store.runs()
    }

    fn jobs(&self) -> &dyn JobRepository {
        self.store.jobs()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

#[async_trait]
impl SessionRepository for FaultyStore {
    async fn replace(&self, session: &NewSession) -> Result<ReplaceOutcome, StoreError> {
        self.store.sessions().replace(session).await
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.store.sessions().find(session).await
    }

    async fn find_by_token(&self, token: &SessionTokenHash) -> Result<Option<Session>, StoreError> {
        let _turn = self.look_up.acquire().await.unwrap();
        self.store.sessions().find_by_token(token).await
    }

    async fn renew(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        self.renew.in_store()?;
        self.store.sessions().renew(session, at).await
    }

    async fn end(&self, session: SessionId) -> Result<bool, StoreError> {
        self.store.sessions().end(session).await
    }

    async fn end_unused_since(&self, moment: Timestamp) -> Result<u64, StoreError> {
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
}
