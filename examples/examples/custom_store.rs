//! A store of one's own, made of parts: failed tries are kept in a key-value file
//! ([redb](https://docs.rs/redb)), everything else in a store that there is already.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example custom_store
//!     cargo test --workspace --ignore-rust-version --example custom_store    # the contract, over it
//!
//! It starts a cloud twice on the same files, and prints (a slow machine a little fewer seconds):
//!
//!     First start: ada has logged in. Ten wrong passwords later: Too many failed tries. Wait 30 seconds, then try again.
//!     Second start: the session of ada lives. One more password: Too many failed tries. Wait 30 seconds, then try again.
//!
//! Failed tries are the repository that can be taken out of any store, because no transaction has
//! them and something else in it. Others can't be taken apart: a key that is deactivated ends its
//! session with that very transaction, and a document is stored if its assembly is installed. Who
//! replaces one of those replaces all that it shares a transaction with.

use std::{error::Error, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use pinyto_core::{
    Cloud,
    assembly::AssemblyRepository,
    challenge::{DeviceKey, RequestToken, ServerKey},
    clock::Timestamp,
    crypto::default_backend,
    document::DocumentRepository,
    job::JobRepository,
    key::KeyRepository,
    keyserver::{KeyserverRepository, Password},
    run::RunRepository,
    session::{SessionReads, SessionRepository},
    store::{Store, StoreError},
    throttle::{Attempt, FailureRepository, Settled, Subject},
    user::{UserName, UserRepository},
};
use pinyto_store::sqlite::SqliteStore;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::task::spawn_blocking;

/// When each subject will have paid for its failures, in milliseconds since 1970.
const DEBTS: TableDefinition<'_, &[u8; 16], i64> = TableDefinition::new("debts");

/// Failed tries in a key-value file, which one process at a time has open.
struct FailureFile(Arc<Database>);

impl FailureFile {
    /// Opens the file, or makes it.
    fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(|error| store_error(error.into()))?;
        Ok(Self(Arc::new(database)))
    }

    /// The file blocks, so what is done with it has a thread of its own, and is done also if the
    /// caller goes away.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.0);
        match spawn_blocking(move || work(&database)).await {
            Ok(done) => done.map_err(store_error),
            Err(broken_off) => Err(StoreError::unavailable(broken_off)),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.with(|database| {
            drop(database.begin_read()?);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl FailureRepository for FailureFile {
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError> {
        let attempt = attempt.clone();
        self.with(move |database| settle(database, &attempt)).await
    }

    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.with(move |database| forget_paid(database, now)).await
    }
}

/// One transaction. There is one that writes at a time, so what it reads stays true until it is
/// committed; and what is committed is on the disk, which is redb's default.
fn settle(database: &Database, attempt: &Attempt) -> Result<Settled, redb::Error> {
    let transaction = database.begin_write()?;
    let mut debts = transaction.open_table(DEBTS)?;
    let mut known = Vec::new();
    for (subject, _) in &attempt.subjects {
        if let Some(paid_at) = debts.get(subject.as_bytes())? {
            known.push((*subject, Timestamp::from_unix_millis(paid_at.value())));
        }
    }
    // The rule is the library's; a store applies it.
    let settled = attempt.settle(|subject| {
        let mut known = known.iter();
        known.find(|(of, _)| *of == subject).map(|(_, at)| *at)
    });
    for (subject, paid_at) in attempt.debts(&settled) {
        let group = subject.group();
        let mut others = Vec::new();
        let group = group.start().as_bytes()..=group.end().as_bytes();
        for entry in debts.range::<&[u8; 16]>(group)? {
            let (other, paid_at) = entry?;
            let other = Subject::from_bytes(*other.value());
            if other != subject {
                others.push((other, Timestamp::from_unix_millis(paid_at.value())));
            }
        }
        for (other, _) in Subject::crowded_out(others, attempt.at) {
            debts.remove(other.as_bytes())?;
        }
        debts.insert(subject.as_bytes(), paid_at.unix_millis())?;
    }
    drop(debts);
    transaction.commit()?;
    Ok(settled)
}

fn forget_paid(database: &Database, now: Timestamp) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let mut forgotten = 0;
    transaction.open_table(DEBTS)?.retain(|_, paid_at| {
        let is_owed = paid_at > now.unix_millis();
        forgotten += u64::from(!is_owed);
        is_owed
    })?;
    transaction.commit()?;
    Ok(forgotten)
}

/// What can't have been written by us, and what may work later.
fn store_error(error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(detail) => StoreError::corrupt("failures", detail),
        redb::Error::TableTypeMismatch { table, .. } => {
            StoreError::corrupt("failures", format!("the table {table} has other types"))
        }
        other => StoreError::unavailable(other),
    }
}

/// Any store, but failed tries are kept elsewhere.
struct Composed {
    most: Arc<dyn Store>,
    failures: FailureFile,
}

#[async_trait]
impl Store for Composed {
    fn users(&self) -> &dyn UserRepository {
        self.most.users()
    }

    fn keys(&self) -> &dyn KeyRepository {
        self.most.keys()
    }

    fn sessions(&self) -> &dyn SessionRepository {
        self.most.sessions()
    }

    fn keyserver(&self) -> &dyn KeyserverRepository {
        self.most.keyserver()
    }

    fn assemblies(&self) -> &dyn AssemblyRepository {
        self.most.assemblies()
    }

    fn documents(&self) -> &dyn DocumentRepository {
        self.most.documents()
    }

    fn runs(&self) -> &dyn RunRepository {
        self.most.runs()
    }

    fn jobs(&self) -> &dyn JobRepository {
        self.most.jobs()
    }

    fn failures(&self) -> &dyn FailureRepository {
        &self.failures
    }

    /// Reads no failed tries, so the other store's are right, and as fast as there.
    fn reads(&self) -> &dyn SessionReads {
        self.most.reads()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.failures.ping().await?;
        self.most.ping().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let files = tempfile::tempdir()?;
    let (token, told) = first_start(files.path()).await?;
    println!("First start: {told}");
    println!(
        "Second start: {}",
        second_start(files.path(), &token).await?
    );
    Ok(())
}

/// Gives Ada's token, and what to tell.
async fn first_start(files: &Path) -> Result<(RequestToken, String), Box<dyn Error>> {
    let key = ServerKey::generate(default_backend())?;
    fs::write(files.join("server.pem"), key.to_pkcs8_pem()?)?;
    let (cloud, sqlite) = open(files).await?;

    let (ada, device) = (ada()?, DeviceKey::generate(default_backend())?);
    let public_key = device.public_key().clone();
    cloud.register(ada.clone(), public_key).await?;
    let challenge = cloud.authenticate(&ada, &device.key_hash()).await?;
    let token = device.answer(&challenge, cloud.server_public_key())?;
    let name = cloud.session(&token).await?.user.name;

    for _ in 0..10 {
        guess(&cloud).await?;
    }
    let refused = guess(&cloud).await?;
    sqlite.close().await;
    let told = format!("{name} has logged in. Ten wrong passwords later: {refused}");
    Ok((token, told))
}

async fn second_start(files: &Path, token: &RequestToken) -> Result<String, Box<dyn Error>> {
    let (cloud, sqlite) = open(files).await?;
    let name = cloud.session(token).await?.user.name;
    let refused = guess(&cloud).await?;
    sqlite.close().await;
    Ok(format!(
        "the session of {name} lives. One more password: {refused}"
    ))
}

/// The cloud in these files; also the part of its store that has to be closed.
async fn open(files: &Path) -> Result<(Cloud, Arc<SqliteStore>), Box<dyn Error>> {
    let database = files.join("pinyto.db");
    let url = format!("sqlite:{}?mode=rwc", database.display());
    let sqlite = Arc::new(SqliteStore::open(url.as_str()).await?);
    let store = Composed {
        most: sqlite.clone(),
        failures: FailureFile::open(&files.join("failures.redb"))?,
    };
    let pem = fs::read_to_string(files.join("server.pem"))?;
    let key = ServerKey::from_pem(default_backend(), &pem)?;
    let cloud = Cloud::builder(Arc::new(store), key).build()?;
    Ok((cloud, sqlite))
}

fn ada() -> Result<UserName, Box<dyn Error>> {
    Ok(UserName::parse("ada")?)
}

/// What somebody who guesses Ada's password is told.
async fn guess(cloud: &Cloud) -> Result<String, Box<dyn Error>> {
    let (ada, password) = (ada()?, Password::attempt("correct horse?"));
    match cloud.keyserver_authenticate(&ada, password).await {
        Ok(_) => Err("that was right".into()),
        Err(refused) => Ok(refused.to_string()),
    }
}

#[cfg(test)]
mod contract {
    use std::sync::Arc;

    use pinyto_core::{memory::MemoryStore, store::Store};
    use tempfile::TempDir;

    use super::{Composed, FailureFile};

    async fn fresh() -> (Arc<dyn Store>, TempDir) {
        let files = tempfile::tempdir().unwrap();
        let store = Composed {
            most: Arc::new(MemoryStore::new()),
            failures: FailureFile::open(&files.path().join("failures.redb")).unwrap(),
        };
        (Arc::new(store), files)
    }

    pinyto_core::store_contract!(fresh);
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use pinyto_core::FailureQuota;

    use super::*;

    fn failure() -> Attempt {
        let quota = FailureQuota::new(NonZeroU32::MIN, Duration::from_secs(30));
        Attempt {
            subjects: vec![(Subject::from_bytes([7; 16]), quota)],
            failed: true,
            at: Timestamp::from_unix_millis(0),
        }
    }

    #[tokio::test]
    async fn sessions_and_failed_tries_survive_a_restart() {
        let files = tempfile::tempdir().unwrap();
        let (token, first) = first_start(files.path()).await.unwrap();
        let second = second_start(files.path(), &token).await.unwrap();
        let refused = "Too many failed tries. Wait ";
        let expected = [
            format!("ada has logged in. Ten wrong passwords later: {refused}"),
            format!("the session of ada lives. One more password: {refused}"),
        ];
        for (told, expected) in [first, second].iter().zip(expected) {
            assert!(told.starts_with(&expected), "{told}");
        }
    }

    /// As a process that is killed leaves it.
    #[tokio::test]
    async fn what_was_acknowledged_is_in_the_file_that_nobody_has_closed() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("failures.redb");
        let failures = FailureFile::open(&path).unwrap();
        assert!(failures.settle(&failure()).await.unwrap().is_allowed);

        let copy = files.path().join("copy.redb");
        fs::copy(&path, &copy).unwrap();
        let copy = FailureFile::open(&copy).unwrap();
        assert!(!copy.settle(&failure()).await.unwrap().is_allowed);
        assert!(!failures.settle(&failure()).await.unwrap().is_allowed);
    }

    #[tokio::test]
    async fn a_file_of_others_is_told_as_such() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("failures.redb");
        let theirs: TableDefinition<'_, &str, &str> = TableDefinition::new("debts");
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        drop(transaction.open_table(theirs).unwrap());
        transaction.commit().unwrap();
        drop(database);

        let failures = FailureFile::open(&path).unwrap();
        let refused = failures.settle(&failure()).await;
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
        let second = FailureFile::open(&path);
        assert!(matches!(second, Err(StoreError::Unavailable { .. })));
    }
}
