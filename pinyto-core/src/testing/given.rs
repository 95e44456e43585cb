//! What a test presupposes, in a line: users, keys, sessions, assemblies, documents.
//!
//! Everything that takes a number or a name makes the same thing of the same argument. The
//! functions that take a store put something there.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Map, Value};

use super::keys;
use crate::{
    assembly::{
        AssemblyName, AssemblyRef, AssemblySource, AuthorLimits, DataAccess, Function,
        FunctionName, InstallOutcome, Job, JobName, SaveOutcome, Schedule,
    },
    challenge::SessionTokenHash,
    clock::Timestamp,
    document::{
        Document, DocumentId, InsertOutcome, NewEntry, QueuedJob, ScanLimits, Scope, Search,
        Searched,
    },
    id::{AssemblyId, KeyId, UserId},
    job::JobRef,
    key::{AddKeyOutcome, KeyHash, NewKey, OpenPgpKey, OpenPgpParts, ProveKeyOutcome},
    keyserver::{Account, NewCredentials, PasswordHash, SealedKey},
    query::{Direction, Path, Query, Sort},
    run::{BatchId, CpuBooking, Run, RunBatch, RunId, RunOutcome, RunPart, RunRetention, WriterId},
    runtime::Output,
    session::{LoginTokenHash, NewSession, ReplaceOutcome, Session},
    store::Store,
    user::{NewUser, RegisterOutcome, User, UserName},
};

/// The moment `seconds` after tests begin, on a day in 2027.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis((1_800_000_000 + seconds) * 1000)
}

/// A user's name.
#[must_use]
pub fn name(text: &str) -> UserName {
    UserName::parse(text).expect("a user name")
}

/// The name of an assembly.
#[must_use]
pub fn assembly_name(text: &str) -> AssemblyName {
    AssemblyName::parse(text).expect("an assembly name")
}

/// The name of a function.
#[must_use]
pub fn function_name(text: &str) -> FunctionName {
    FunctionName::parse(text).expect("a function name")
}

/// The name of a job.
#[must_use]
pub fn job_name(text: &str) -> JobName {
    JobName::parse(text).expect("a job name")
}

/// `author/name`.
#[must_use]
pub fn assembly_ref(text: &str) -> AssemblyRef {
    AssemblyRef::parse(text).expect("author/name")
}

/// The beginning of a fingerprint.
#[must_use]
pub fn key_hash(text: &str) -> KeyHash {
    KeyHash::parse(text).expect("a key hash")
}

/// All 64 digits of the fingerprint of [`keys::synthetic`]`(n)`.
#[must_use]
pub fn hash_of(n: u64) -> KeyHash {
    keys::synthetic(n).fingerprint().into()
}

/// [`keys::synthetic`]`(n)`, without label.
#[must_use]
pub fn new_key(n: u64) -> NewKey {
    NewKey {
        material: keys::synthetic(n).into(),
        label: None,
    }
}

/// [`keys::openpgp`]`(n)`, without label; it expires [`at`]`(seconds)` if that is said.
#[must_use]
pub fn openpgp_key(n: u64, expires: Option<i64>) -> NewKey {
    let key = OpenPgpKey::new(OpenPgpParts {
        expires_at: expires.map(at),
        ..keys::openpgp_parts(keys::openpgp(n).fingerprint())
    });
    NewKey {
        material: key.into(),
        label: None,
    }
}

/// A registration at [`at`]`(0)` with [`keys::synthetic`]`(n)`.
#[must_use]
pub fn new_user(user: &str, n: u64) -> NewUser {
    NewUser {
        name: name(user),
        key: new_key(n),
        further_keys: Vec::new(),
        at: at(0),
    }
}

/// Credentials around [`keys::synthetic`]`(n)`. Hash and sealed key are made up: no password
/// opens them.
#[must_use]
pub fn credentials(n: u64) -> NewCredentials {
    NewCredentials {
        key: new_key(n),
        password_hash: PasswordHash::from_phc(format!(
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ${n}"
        )),
        sealed_key: SealedKey::from_bytes([&[1, 0, 0xff], n.to_be_bytes().as_slice()].concat()),
    }
}

/// The hash of a session token.
#[must_use]
pub fn token_hash(n: u64) -> SessionTokenHash {
    let mut bytes = [0xa5; 32];
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    SessionTokenHash::from_bytes(bytes)
}

/// The hash of a login token.
#[must_use]
pub fn login_token(n: u64) -> LoginTokenHash {
    let mut bytes = [0x17; 32];
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    LoginTokenHash::from_bytes(bytes)
}

/// A document's identifier.
#[must_use]
pub fn document_id(n: u64) -> DocumentId {
    let mut bytes = [0xd0; 12];
    bytes[4..].copy_from_slice(&n.to_be_bytes());
    DocumentId::from_bytes(bytes)
}

/// A run's identifier; a higher number is a later one.
#[must_use]
pub fn run_id(n: u64) -> RunId {
    let mut bytes = [0xd0; 12];
    bytes[4..].copy_from_slice(&n.to_be_bytes());
    RunId::from_bytes(bytes)
}

/// A batch that nobody else makes.
#[must_use]
pub fn batch(runs: Vec<Run>, cpu: Vec<CpuBooking>) -> RunBatch {
    static WRITERS: AtomicU64 = AtomicU64::new(0);
    let mut writer = [0; 12];
    writer[4..].copy_from_slice(&WRITERS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let id = BatchId {
        writer: WriterId::from_bytes(writer),
        number: 1,
    };
    RunBatch {
        id,
        runs,
        cpu,
        waits: false,
    }
}

/// Records a batch, however busy its users are.
pub async fn recorded(
    store: &dyn Store,
    mut batch: RunBatch,
    retention: RunRetention,
    now: Timestamp,
) {
    loop {
        let recorded = store.runs().record(&batch, retention, now).await;
        let kept_back = recorded.expect("it works").kept_back;
        if kept_back.is_empty() {
            return;
        }
        batch.runs.retain(|run| kept_back.contains(&run.user));
        batch.cpu.retain(|cpu| kept_back.contains(&cpu.user));
        batch.id.number += 1;
        batch.waits = kept_back.len() == 1;
    }
}

/// Books CPU time that was used for the user in the first hour.
pub async fn booked(store: &dyn Store, user: UserId, used: Duration) {
    let hour = 0;
    let batch = batch(Vec::new(), vec![CpuBooking { user, hour, used }]);
    recorded(store, batch, RunRetention::default(), at(0)).await;
}

/// A successful run of the assembly's job `tidy` with the identifier [`run_id`]`(n)`, begun at
/// [`at`]`(n)`.
#[must_use]
pub fn run(n: u64, user: UserId, assembly: &str) -> Run {
    Run {
        id: run_id(n),
        user,
        assembly: AssemblyId::new(1),
        assembly_name: assembly_ref(assembly),
        part: RunPart::Job(job_name("tidy")),
        started_at: at(i64::try_from(n).expect("a small number")),
        duration: Duration::from_millis(20),
        cpu_time: Duration::from_millis(7),
        outcome: RunOutcome::Succeeded,
        output: Output::default(),
        attempt: 1,
    }
}

/// A document with the type `test`, stored at [`at`]`(0)`.
#[must_use]
pub fn document(n: u64, assembly: &AssemblyRef, data: Value) -> Document {
    let mut fields = Map::new();
    fields.insert("type".into(), "test".into());
    fields.insert("tags".into(), Value::Array(Vec::new()));
    fields.insert("data".into(), data);
    Document {
        id: document_id(n),
        assembly: assembly.clone(),
        time: at(0),
        fields,
    }
}

/// A document to be stored, however much there is already.
#[must_use]
pub fn entry(document: &Document) -> NewEntry {
    NewEntry {
        document: document.clone(),
        at: document.time,
        max_bytes: None,
        job: None,
    }
}

/// What becomes of the document if it is to be stored for the user and to queue a job.
pub async fn queued(
    store: &dyn Store,
    user: &User,
    document: &Document,
    job: &JobRef,
    limit: usize,
) -> InsertOutcome {
    let wanted = QueuedJob {
        job: job.clone(),
        limit,
        hold: None,
    };
    queued_with(store, user, document, wanted).await
}

/// What becomes of the document if it is to be stored for the user and to queue what is wanted.
pub async fn queued_with(
    store: &dyn Store,
    user: &User,
    document: &Document,
    wanted: QueuedJob,
) -> InsertOutcome {
    let entry = NewEntry {
        job: Some(wanted),
        ..entry(document)
    };
    let inserted = store.documents().insert(user.id, &entry).await;
    inserted.expect("an outcome")
}

/// A query.
#[must_use]
pub fn query(query: &Value) -> Query {
    Query::parse(query).expect("a query")
}

/// A dotted path.
#[must_use]
pub fn path(text: &str) -> Path {
    Path::parse(text).expect("a path")
}

/// A search for all documents that a query asks for, in the order of a path.
#[must_use]
pub fn search(query: &Value, sort: Option<(&str, Direction)>) -> Search {
    let sort = sort.map(|(path, direction)| Sort::by(path, direction).expect("a path"));
    Search {
        query: self::query(query),
        sort: sort.unwrap_or_default(),
        skip: 0,
        limit: u64::MAX,
    }
}

/// Limits that no query reaches.
pub const NO_SCAN_LIMITS: ScanLimits = ScanLimits {
    examined: u64::MAX,
    time: Duration::from_secs(3600),
    bytes: u64::MAX,
};

/// An assembly with a function `get` and a daily job `tidy`.
#[must_use]
pub fn source(name: &str) -> AssemblySource {
    source_with(name, "for tests", &[("get", "return 1")])
}

/// An assembly with these functions (name and code) and a daily job `tidy`.
#[must_use]
pub fn source_with(name: &str, description: &str, functions: &[(&str, &str)]) -> AssemblySource {
    let functions = functions.iter();
    let functions = functions.map(|(name, code)| Function::new(function_name(name), *code));
    let daily = Schedule::from_minutes(24 * 60).expect("a day is not too long");
    let job = Job::new(job_name("tidy"), "pass").every(daily);
    AssemblySource::builder(assembly_name(name))
        .description(description)
        .functions(functions)
        .jobs([job])
        .build()
        .expect("an assembly")
}

/// An assembly without functions, with these jobs (name, code, minutes).
#[must_use]
pub fn source_with_jobs(name: &str, jobs: &[(&str, &str, u64)]) -> AssemblySource {
    let jobs = jobs.iter().map(|(name, code, minutes)| {
        let schedule = Schedule::from_minutes(*minutes).expect("not too long");
        Job::new(job_name(name), *code).every(schedule)
    });
    AssemblySource::builder(assembly_name(name))
        .jobs(jobs)
        .access(DataAccess::All)
        .build()
        .expect("an assembly")
}

/// A user who has registered with [`keys::synthetic`]`(n)`.
pub async fn user(store: &dyn Store, name: &str, n: u64) -> User {
    match store.users().register(&new_user(name, n)).await {
        Ok(RegisterOutcome::Registered(user)) => user,
        other => panic!("{name} is not registered: {other:?}"),
    }
}

/// Another key of the user: [`keys::synthetic`]`(n)`, added at [`at`]`(0)`.
pub async fn key(store: &dyn Store, user: &User, n: u64) -> KeyId {
    added(store, user, &new_key(n)).await
}

/// The user's key, added at [`at`]`(0)`.
pub async fn added(store: &dyn Store, user: &User, key: &NewKey) -> KeyId {
    let keys = store.keys();
    let id = match keys.add(user.id.into(), key, usize::MAX, at(0)).await {
        Ok(AddKeyOutcome::Added(key)) => key,
        other => panic!("the key is not added: {other:?}"),
    };
    if key.material.needs_proof() {
        let proved = keys.prove(user.id.into(), id, at(0)).await;
        assert!(matches!(proved, Ok(ProveKeyOutcome::Proved)), "{proved:?}");
    }
    id
}

/// The identifier of the user's first key.
pub async fn first_key(store: &dyn Store, user: &User) -> KeyId {
    let keys = store.keys().list(user.id).await.expect("the user's keys");
    keys.first().expect("the user has a key").id
}

/// Limits that nobody reaches.
pub const NO_LIMITS: AuthorLimits = AuthorLimits {
    assemblies: usize::MAX,
    bytes: u64::MAX,
};

/// A session of the key with the token [`token_hash`]`(n)`, opened at [`at`]`(0)`.
pub async fn session(store: &dyn Store, user: &User, key: KeyId, n: u64) -> Session {
    let new = NewSession {
        user: user.id,
        key,
        token_hash: token_hash(n),
        at: at(0),
    };
    let session = match store.sessions().replace(&new).await {
        Ok(ReplaceOutcome::Opened(session)) => session,
        other => panic!("the session is not opened: {other:?}"),
    };
    let found = store.sessions().find(session).await.expect("a look-up");
    found.expect("the session that was just opened")
}

/// A user who has registered at the keyserver with [`credentials`]`(n)`.
pub async fn account(store: &dyn Store, user: &str, n: u64) -> Account {
    let new = credentials(n);
    let registered = store
        .keyserver()
        .register(&new_user(user, n), &new.password_hash, &new.sealed_key)
        .await;
    assert!(
        matches!(registered, Ok(RegisterOutcome::Registered(_))),
        "{user} is not registered: {registered:?}"
    );
    let account = store.keyserver().find(&name(user)).await;
    account
        .expect("a look-up")
        .expect("the account that was just made")
}

/// The assembly [`source`]`(name)` of the author, saved at [`at`]`(0)`.
pub async fn assembly(store: &dyn Store, author: &User, name: &str) -> AssemblyRef {
    saved(store, author, &source(name)).await
}

/// The assembly of the author, made or replaced at [`at`]`(0)`.
pub async fn saved(store: &dyn Store, author: &User, source: &AssemblySource) -> AssemblyRef {
    let name = source.name();
    let saved = store
        .assemblies()
        .save(author.id, Some(name), source, NO_LIMITS, at(0))
        .await;
    assert!(
        matches!(saved, Ok(SaveOutcome::Created | SaveOutcome::Replaced)),
        "{name} is not saved: {saved:?}"
    );
    AssemblyRef {
        author: author.name.clone(),
        name: source.name().clone(),
    }
}

/// Installs the assembly for the user at [`at`]`(0)`.
pub async fn installed(store: &dyn Store, user: &User, assembly: &AssemblyRef) {
    let assemblies = store.assemblies();
    let installed = assemblies
        .install(user.id, assembly, usize::MAX, at(0))
        .await;
    assert!(
        matches!(installed, Ok(InstallOutcome::Installed)),
        "{assembly} is not installed: {installed:?}"
    );
}

/// Which assembly the user finds installed under that name.
pub async fn installed_as(
    store: &dyn Store,
    user: &User,
    assembly: &AssemblyRef,
) -> Option<AssemblyId> {
    let (assemblies, none) = (store.assemblies(), function_name("none"));
    let found = assemblies.find_function(user.id, assembly, &none).await;
    found.expect("an answer").map(|found| found.assembly)
}

/// How many documents the user has.
pub async fn document_count(store: &dyn Store, user: &User) -> u64 {
    let all = store
        .documents()
        .count(Scope::all_of(user.id), &Query::default(), NO_SCAN_LIMITS)
        .await;
    match all {
        Ok(Searched::Found(count, _)) => count,
        other => panic!("the documents are not counted: {other:?}"),
    }
}

/// Stores the document for the user.
pub async fn stored(store: &dyn Store, user: &User, document: &Document) {
    let inserted = store.documents().insert(user.id, &entry(document)).await;
    assert!(
        matches!(inserted, Ok(InsertOutcome::Inserted)),
        "{} is not stored: {inserted:?}",
        document.id
    );
}
