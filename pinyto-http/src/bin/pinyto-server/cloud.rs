//! From settings to a cloud: server key, database, key stock, housekeeping.

use std::{
    collections::BTreeSet,
    error::Error,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{
    Cloud,
    challenge::ServerKey,
    crypto::default_backend,
    keyserver::KeyStockRefill,
    run::RunRetention,
    store::{Store, StoreError},
    user::UserName,
};
use pinyto_sandbox::PythonRuntime;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
    time::interval,
};

#[cfg(feature = "gpgauth")]
use crate::openpgp;
use crate::{
    code,
    config::Settings,
    database::Database,
    key_file::{self, KeyFileError},
    metrics::CodeSource,
    say, say_more,
};

/// How long code may go on when the server ends. Calls whose clients still wait have ended before.
const CODE_PATIENCE: Duration = Duration::from_secs(2);

/// How long what nobody waits for may take to end. Code has ended before.
const PATIENCE: Duration = Duration::from_secs(2);

/// A cloud with everything that runs in the background for it.
pub(crate) struct RunningCloud {
    pub(crate) cloud: Cloud,
    database: Database,
    key_stock: Option<KeyStockRefill>,
    background: Background,
    runtime: Option<PythonRuntime>,
}

/// The task that runs in the background, and ends in an orderly way when it is told to.
struct Background {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Background {
    fn spawn(cloud: &Cloud) -> Self {
        let (stop, stopped) = oneshot::channel();
        let run = cloud.background().run(async {
            // Also if nobody is there any more to tell.
            let _ = stopped.await;
        });
        Self {
            stop,
            task: tokio::spawn(run),
        }
    }

    async fn end(self) {
        let _ = self.stop.send(());
        // It survives panics, so there is no error.
        let _ = self.task.await;
    }
}

impl RunningCloud {
    /// Opens the database, reads or makes the server key, starts what runs in the background.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, String> {
        // What is there is checked before anything is made.
        let present = on_a_thread({
            let path = settings.server_key.clone();
            move || read_server_key(&path)
        });
        let present = present.await?;
        let database = Database::open(settings).await?;
        let server_key = match present {
            Some(key) => key,
            None => new_server_key(&settings.server_key).await?,
        };
        let runtime = code::runtime(settings).await?;
        let mut builder = Cloud::builder(database.store(), server_key).settings(rules(settings));
        if let Some(runtime) = &runtime {
            builder = builder.runtime(Arc::new(runtime.clone()));
        }
        if let Some(egress) = code::egress(settings)? {
            builder = builder.egress(egress);
        }
        #[cfg(feature = "gpgauth")]
        if let Some(path) = settings.gpgauth_key.clone() {
            let openpgp = on_a_thread(move || openpgp::read_or_make(&path)).await?;
            builder = builder.gpgauth(Arc::new(openpgp), openpgp::rules(settings));
        }
        let built = builder.build();
        let cloud = built.map_err(|error| error.to_string())?;
        cloud
            .install_bundled_assemblies()
            .await
            .map_err(|error| format!("The bundled assemblies can't be installed: {error}"))?;
        let key_stock = match settings.key_stock {
            0 => None,
            _ => Some(
                cloud
                    .key_stock()
                    .start_refill(lower_priority)
                    .map_err(|error| format!("The key stock's thread can't start: {error}."))?,
            ),
        };
        Ok(Self {
            background: Background::spawn(&cloud),
            cloud,
            database,
            key_stock,
            runtime,
        })
    }

    /// Warns of users who have a name that is reserved now: they keep it.
    pub(crate) async fn warn_of_reserved_names(&self, reserved: &[UserName]) {
        match who_has(&*self.database.store(), reserved).await {
            Ok(users) => {
                for user in users {
                    tracing::warn!(
                        %user,
                        "a reserved name belongs to a user who can log in; she keeps it, and her \
                         assemblies are where pages of yours are to be"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "can't tell whether reserved names are taken"),
        }
    }

    /// What the metrics tell about what runs code.
    pub(crate) fn code_source(&self) -> Option<CodeSource> {
        let runtime = self.runtime.clone()?;
        Some(Box::new(move || code::figures(&runtime)))
    }

    /// Ends what runs in the background and closes the database once all writes are done.
    pub(crate) async fn close(self) {
        drop(self.key_stock);
        self.background.end().await;
        if let Some(runtime) = self.runtime {
            runtime.close(CODE_PATIENCE).await;
        }
        self.cloud.close(PATIENCE).await;
        drop(self.cloud);
        self.database.close().await;
    }
}

pub(crate) fn rules(settings: &Settings) -> pinyto_core::Settings {
    let mut rules = pinyto_core::Settings::default();
    rules.session_idle = settings.session_idle;
    rules.reserved_user_names = settings.reserved_names.clone();
    rules.ticket_lifetime = settings.ticket_lifetime;
    rules.key_stock = settings.key_stock;
    rules.throttle.enabled = settings.throttle;
    rules.code_limits.cpu_time = settings.code_cpu;
    rules.code_limits.wall_time = settings.code_wall;
    rules.code_limits.memory = settings.code_memory;
    rules.code_limits.recursion = settings.code_recursion;
    rules.code_limits.answer = settings.code_answer;
    rules.code_limits.output = settings.code_output;
    rules.code_limits.service_calls = settings.code_services;
    rules.code_limits.service_bytes = settings.code_service_bytes;
    rules.query_limits.all_together = settings.code_database;
    rules.value_memory = settings.value_memory;
    rules.query_limits.examined = settings.query_examined;
    rules.query_limits.time = settings.query_time;
    rules.query_limits.found = settings.find_documents;
    rules.quotas.cpu_per_hour = settings.quota_cpu;
    rules.quotas.calls_per_minute = settings.quota_calls;
    rules.quotas.bytes = settings.quota_storage;
    rules.http_requests = settings.egress_requests;
    rules.run_retention = RunRetention::new(settings.run_log_count, settings.run_log_age);
    rules.scheduler.concurrent = settings.job_concurrency;
    rules.scheduler.lease = settings.job_lease;
    rules
}

/// The users with reserved names who can log in. Names are looked for as they are written, in lower
/// and upper case and with a capital; no index knows all other ways to write them.
async fn who_has(store: &dyn Store, reserved: &[UserName]) -> Result<Vec<UserName>, StoreError> {
    let mut users = Vec::new();
    for name in reserved {
        let lower = name.as_str().to_ascii_lowercase();
        let mut capital = lower.clone();
        if let Some(first) = capital.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let upper = lower.to_ascii_uppercase();
        let names: BTreeSet<String> =
            BTreeSet::from([name.as_str().to_owned(), lower, capital, upper]);
        for name in names.iter().filter_map(|name| UserName::parse(name).ok()) {
            let Some(user) = store.users().find(&name).await? else {
                continue;
            };
            if !store.keys().list(user.id).await?.is_empty() {
                users.push(user.name);
            }
        }
    }
    Ok(users)
}

async fn new_server_key(path: &Path) -> Result<ServerKey, String> {
    say("Making the server's key of 4096 bits. This takes seconds, but only once.");
    let (owned, begin) = (path.to_owned(), Instant::now());
    let mut making = pin!(on_a_thread(move || make_server_key(&owned)));
    let mut ticks = interval(Duration::from_millis(500));
    let key = loop {
        tokio::select! {
            key = &mut making => break key,
            _ = ticks.tick() => say_more("."),
        }
    };
    let key = key.inspect_err(|_| say(""))?;
    say(&format!(
        " done in {:.1} s.\nIt is in {}. Keep that file: clients know your server by it.",
        begin.elapsed().as_secs_f64(),
        path.display()
    ));
    Ok(key)
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work)
        .await
        .map_err(|_| "The server key's thread ended early.".to_owned())?
}

/// What the key is called.
const WHAT: &str = "server key";

/// The key in the file; if there is no file, one can be made.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) fn read_server_key(path: &Path) -> Result<Option<ServerKey>, String> {
    let Some(pem) = key_file::read(path).map_err(|error| of_key_file(WHAT, &error))? else {
        return key_file::check_creatable(path)
            .map(|()| None)
            .map_err(|error| of_key_file(WHAT, &error));
    };
    // The core's own sentences are for clients that send a public key.
    let key = ServerKey::from_pem(default_backend(), &pem);
    key.map(Some).map_err(|_| {
        format!(
            "The server key {} is no private RSA key of at least 4096 bits in unencrypted PEM.",
            path.display()
        )
    })
}

/// What is wrong with the file of a key that is called `what`.
pub(crate) fn of_key_file(what: &str, error: &KeyFileError) -> String {
    match error {
        KeyFileError::Read { path, source } => {
            format!("The {what} {} can't be read: {source}.", path.display())
        }
        KeyFileError::Write { path, source } => {
            format!("The {what} {} can't be made: {source}.", path.display())
        }
        other => format!("The {what} can't be used: {other}."),
    }
}

fn make_server_key(path: &Path) -> Result<ServerKey, String> {
    let failed =
        |error: &dyn Error| format!("The server key {} can't be made: {error}.", path.display());
    let key = ServerKey::generate(default_backend()).map_err(|error| failed(&error))?;
    keep_server_key(path, key)
}

/// The key that is in the file from now on: this one, or another server's that was faster.
fn keep_server_key(path: &Path, key: ServerKey) -> Result<ServerKey, String> {
    let failed =
        |error: &dyn Error| format!("The server key {} can't be made: {error}.", path.display());
    let pem = key.to_pkcs8_pem().map_err(|error| failed(&error))?;
    match key_file::create(path, &pem) {
        Ok(()) => Ok(key),
        Err(KeyFileError::Exists { .. }) => read_server_key(path)?
            .ok_or_else(|| format!("The server key {} came and went.", path.display())),
        Err(error) => Err(of_key_file(WHAT, &error)),
    }
}

/// Lets requests go first: the lowest priority for the calling thread.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19) {
        tracing::warn!(%error, "the key stock runs at normal priority");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use pinyto_core::{Settings as Rules, memory::MemoryStore, testing::keys};

    use super::*;
    use crate::config::{Invocation, load};

    /// The rules that these options ask for.
    fn rules_of(options: &[(&str, &str)]) -> Rules {
        let options = options.iter().flat_map(|(name, value)| [*name, *value]);
        let arguments = std::iter::once("pinyto-server").chain(options);
        match load(arguments.map(Into::into), []).unwrap() {
            Invocation::Serve(settings) => rules(&settings),
            other => panic!("not settings: {other:?}"),
        }
    }

    #[test]
    fn each_option_sets_the_rule_that_it_is_about() {
        // No two values are equal in any unit, nor is one a default.
        let rules = rules_of(&[
            ("--session-idle-days", "3"),
            ("--reserved-names", "hello, Shop"),
            ("--ticket-seconds", "101"),
            ("--key-stock", "5"),
            ("--throttle", "off"),
            ("--code-cpu-seconds", "7"),
            ("--code-wall-seconds", "11"),
            ("--code-memory-mib", "13"),
            ("--code-recursion", "67"),
            ("--code-answer-kib", "71"),
            ("--code-output-kib", "73"),
            ("--code-services", "79"),
            ("--code-service-kib", "83"),
            ("--code-database-seconds", "8.9"),
            ("--value-memory-mib", "97"),
            ("--query-examined", "61"),
            ("--query-seconds", "1.9"),
            ("--find-documents", "23"),
            ("--quota-cpu-seconds-per-hour", "29"),
            ("--quota-calls-per-minute", "31"),
            ("--quota-storage-mib", "37"),
            ("--egress-requests", "41"),
            ("--run-log-count", "43"),
            ("--run-log-days", "47"),
            ("--job-concurrency", "53"),
            ("--job-lease-seconds", "59"),
        ]);
        let mut expected = Rules::default();
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
        expected.session_idle = 3 * day;
        let reserved = ["hello", "Shop"].map(|name| name.parse().unwrap());
        expected.reserved_user_names = reserved.to_vec();
        expected.ticket_lifetime = 101 * second;
        expected.key_stock = 5;
        expected.throttle.enabled = false;
        expected.code_limits.cpu_time = 7 * second;
        expected.code_limits.wall_time = 11 * second;
        expected.code_limits.memory = 13 << 20;
        expected.code_limits.recursion = 67;
        expected.code_limits.answer = 71 << 10;
        expected.code_limits.output = 73 << 10;
        expected.code_limits.service_calls = 79;
        expected.code_limits.service_bytes = 83 << 10;
        expected.query_limits.all_together = Duration::from_millis(8900);
        expected.value_memory = 97 << 20;
        expected.query_limits.examined = 61;
        expected.query_limits.time = Duration::from_millis(1900);
        expected.query_limits.found = 23;
        expected.quotas.cpu_per_hour = Some(29 * second);
        expected.quotas.calls_per_minute = Some(31);
        expected.quotas.bytes = Some(37 << 20);
        expected.http_requests = 41;
        expected.run_retention.per_user = 43;
        expected.run_retention.max_age = 47 * day;
        expected.scheduler.concurrent = 53;
        expected.scheduler.lease = 59 * second;
        assert_eq!(format!("{rules:?}"), format!("{expected:?}"));
    }

    #[test]
    fn without_options_the_rules_are_the_defaults_of_the_library() {
        let (rules, defaults) = (rules_of(&[]), Rules::default());
        assert_eq!(format!("{rules:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn servers_that_start_at_once_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server-key.pem");
        // Making a key takes so differently long that they would come one after the other.
        let made = (0..4).map(|n| ServerKey::from_pem(default_backend(), keys::device_pem(n)));
        let made: Vec<ServerKey> = made.map(Result::unwrap).collect();
        let start = std::sync::Barrier::new(made.len());
        let keep = |key| {
            start.wait();
            keep_server_key(&path, key).unwrap().public_key().clone()
        };
        let kept: Vec<_> = std::thread::scope(|scope| {
            let keep = &keep;
            let started: Vec<_> = made
                .into_iter()
                .map(|key| scope.spawn(move || keep(key)))
                .collect();
            let ended = started.into_iter();
            ended.map(|thread| thread.join().unwrap()).collect()
        });
        let there = read_server_key(&path).unwrap().unwrap();
        assert!(kept.iter().all(|key| key == there.public_key()));
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a draft is left"
        );
    }

    #[test]
    fn a_new_server_key_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server-key.pem");
        let made = make_server_key(&path).unwrap();
        let there = read_server_key(&path).unwrap().unwrap();
        assert_eq!(made.public_key(), there.public_key());
    }

    #[tokio::test]
    async fn who_has_a_reserved_name_is_found_if_she_can_log_in() {
        let store = Arc::new(MemoryStore::new());
        let cloud = Cloud::builder(store.clone(), keys::server());
        let cloud = cloud.build().unwrap();
        let name = |name: &str| -> UserName { name.parse().unwrap() };
        for taken in ["hello", "Shop", "other"] {
            let key = keys::device(0).public_key().clone();
            cloud.register(name(taken), key).await.unwrap();
        }
        // The author of a program's own assemblies.
        let at = cloud.clock().now();
        store
            .users()
            .ensure_keyless(&name("app"), at)
            .await
            .unwrap();
        let reserved = ["app", "free", "HELLO", "shop"].map(name);
        let found = who_has(&*store, &reserved).await.unwrap();
        assert_eq!(found, ["hello", "Shop"].map(name));
    }
}
