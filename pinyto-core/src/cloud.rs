//! [`Cloud`]: what an embedding program holds.

use std::{
    fmt, net::IpAddr, num::NonZeroUsize, sync::Arc, thread::available_parallelism, time::Duration,
};

use tokio::sync::Notify;

#[cfg(feature = "gpgauth")]
use crate::gpgauth::{GpgAuth, GpgAuthSettings, OpenPgp};
use crate::{
    assembly::AuthorLimits,
    challenge::ServerKey,
    clock::{Clock, SystemClock, Timestamp},
    crypto::RsaBackend,
    document::{DocumentIds, QueryLimits},
    egress::Egress,
    error::Error,
    job::SchedulerSettings,
    key::PublicKey,
    keyserver::{HashCost, KeyStock},
    quota::{QuotaCounts, Quotas},
    randomness::{OsRandomness, Randomness},
    run::{RunLog, RunRetention, WriterId},
    runtime::{CodeLimits, CodeRuntime},
    session::RememberedTokens,
    store::Store,
    tasks::Tasks,
    throttle::{Throttle, ThrottleSettings},
    ticket::Ticket,
    user::UserName,
    value_memory::ValueMemory,
    workers::Workers,
};

/// A Pinyto: all rules of the protocol over one store, with one server key.
///
/// Cheap to clone; clones are the same cloud. The operations stand with their subjects:
///
/// | subject | operations |
/// |---|---|
/// | users | [`register`](Self::register) |
/// | sessions | [`authenticate`](Self::authenticate), [`session`](Self::session), [`who_am_i`](Self::who_am_i), [`issue_ticket`](Self::issue_ticket), [`logout`](Self::logout) |
/// | keys | [`list_keys`](Self::list_keys), [`register_new_key`](Self::register_new_key), [`register_openpgp_key`](Self::register_openpgp_key), [`prove_openpgp_key`](Self::prove_openpgp_key), [`activate_key`](Self::activate_key), [`deactivate_key`](Self::deactivate_key), [`delete_key`](Self::delete_key) |
/// | keyserver | [`keyserver_register`](Self::keyserver_register), [`keyserver_authenticate`](Self::keyserver_authenticate), [`change_password`](Self::change_password), [`allow_password_login`](Self::allow_password_login), [`forbid_password_login`](Self::forbid_password_login) |
/// | assemblies | [`save_assembly`](Self::save_assembly), [`install_assembly`](Self::install_assembly), [`publish_assembly`](Self::publish_assembly), ... |
/// | documents | [`store_document`](Self::store_document), [`find_document`](Self::find_document), [`search_documents`](Self::search_documents), [`count_documents`](Self::count_documents), [`distinct_values`](Self::distinct_values), [`save_document`](Self::save_document), [`remove_document`](Self::remove_document); [`statistics`](Self::statistics) |
/// | runs | [`list_runs`](Self::list_runs), [`list_runs_of_own_assembly`](Self::list_runs_of_own_assembly), ... |
/// | jobs | [`list_jobs`](Self::list_jobs), [`run_job_now`](Self::run_job_now), [`scheduler`](Self::scheduler) |
/// | the program around it | [`background`](Self::background), [`close`](Self::close), [`key_stock`](Self::key_stock), [`ready`](Self::ready) |
///
/// Dropping the future of an operation is safe: what it asked of the store either happens as a
/// whole or not at all.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
    address: Option<IpAddr>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

struct Inner {
    store: Arc<dyn Store>,
    server_key: ServerKey,
    rsa: Arc<dyn RsaBackend>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    settings: Settings,
    document_ids: DocumentIds,
    remembered: RememberedTokens,
    throttle: Throttle,
    key_stock: Arc<KeyStock>,
    rsa_workers: Workers,
    password_workers: Workers,
    keygen_workers: Workers,
    runtime: Option<Arc<dyn CodeRuntime>>,
    egress: Option<Arc<dyn Egress>>,
    run_log: RunLog,
    quota_counts: QuotaCounts,
    value_memory: ValueMemory,
    jobs_changed: Notify,
    tasks: Tasks,
    #[cfg(feature = "gpgauth")]
    gpgauth: Option<Arc<GpgAuth>>,
}

/// What an operator may want otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How long a session lives without being used. Default: 30 days.
    pub session_idle: Duration,
    /// How exactly the last use of a session is noted: a use within this time of the last noted
    /// one is not written. A session lives up to this much longer than `session_idle`, never
    /// shorter. Default: a hundredth of `session_idle`, at most an hour.
    pub session_renewal: Option<Duration>,
    /// How long a ticket is good for, in whole seconds: 1 to 3600
    /// ([`Ticket::MAX_LIFETIME`](crate::ticket::Ticket::MAX_LIFETIME)). Nothing ends one earlier.
    /// Default: 5 minutes.
    pub ticket_lifetime: Duration,
    /// Names that nobody can register, beside those that never can be
    /// ([`UserName::is_reserved`]): the first segments of a program's own routes, because functions
    /// are called at `/{author}/{assembly}/{function}`, and the authors of its own assemblies
    /// ([`Cloud::publish_assembly`]). Compared without regard to case. An import makes no user of such
    /// a name either. Who has one already keeps it. Default: none.
    pub reserved_user_names: Vec<UserName>,
    /// The most keys of one user. Default: 256.
    pub max_keys: usize,
    /// How much one author may keep. Default: 1000 assemblies, 8 MiB together.
    pub author_limits: AuthorLimits,
    /// The most assemblies installed by one user. Default: 1000.
    pub max_installed: usize,
    /// What hashing a password costs. Default: 19 MiB, 2 passes.
    pub hash_cost: HashCost,
    /// How fast failed tries may come.
    pub throttle: ThrottleSettings,
    /// How many key pairs the keyserver holds ready (see [`Cloud::key_stock`]). Default: 4.
    pub key_stock: usize,
    /// How many request tokens are remembered so that they needn't be decrypted again; about 200
    /// bytes each. Default: 50,000.
    pub remembered_tokens: usize,
    /// What one call of an assembly's code may use.
    pub code_limits: CodeLimits,
    /// What one query of an assembly's code may use.
    pub query_limits: QueryLimits,
    /// How many requests to other servers one call of an assembly's code may make, redirects
    /// included. Default: 10.
    pub http_requests: usize,
    /// How many bytes the values of documents may take that are being stored, all together; a
    /// document that takes more is refused. Default: 64 MiB.
    pub value_memory: usize,
    /// How many RSA operations, and a quarter as many password hashings, may wait for a
    /// processor before a caller is told to come back. Default: 1024.
    pub queue: usize,
    /// What each user may use. Default: no limits.
    pub quotas: Quotas,
    /// How many runs are kept, and how long. Default: 1000 per user, 30 days.
    pub run_retention: RunRetention,
    /// The most runs of jobs that wait for one user, scheduled ones aside. Default: 1000.
    pub max_queued_jobs: usize,
    /// How jobs are run.
    pub scheduler: SchedulerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_idle: Duration::from_secs(30 * 24 * 3600),
            session_renewal: None,
            ticket_lifetime: Duration::from_secs(300),
            reserved_user_names: Vec::new(),
            max_keys: 256,
            author_limits: AuthorLimits {
                assemblies: 1000,
                bytes: 8 * 1024 * 1024,
            },
            max_installed: 1000,
            hash_cost: HashCost::default(),
            throttle: ThrottleSettings::default(),
            key_stock: 4,
            remembered_tokens: 50_000,
            code_limits: CodeLimits::default(),
            query_limits: QueryLimits::default(),
            http_requests: 10,
            value_memory: 64 * 1024 * 1024,
            queue: 1024,
            quotas: Quotas::default(),
            run_retention: RunRetention::default(),
            max_queued_jobs: 1000,
            scheduler: SchedulerSettings::default(),
        }
    }
}

impl Settings {
    /// [`Settings::session_renewal`], or what it is by default.
    #[must_use]
    pub fn session_renewal(&self) -> Duration {
        self.session_renewal
            .unwrap_or_else(|| (self.session_idle / 100).min(Duration::from_secs(3600)))
    }
}

/// Builds a [`Cloud`].
pub struct CloudBuilder {
    store: Arc<dyn Store>,
    server_key: ServerKey,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    settings: Settings,
    runtime: Option<Arc<dyn CodeRuntime>>,
    egress: Option<Arc<dyn Egress>>,
    #[cfg(feature = "gpgauth")]
    gpgauth: Option<(Arc<dyn OpenPgp>, GpgAuthSettings)>,
}

impl fmt::Debug for CloudBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl CloudBuilder {
    /// Lets users log in with OpenPGP keys; `openpgp` has the server's. Without one they can't.
    #[cfg(feature = "gpgauth")]
    #[must_use]
    pub fn gpgauth(mut self, openpgp: Arc<dyn OpenPgp>, settings: GpgAuthSettings) -> Self {
        self.gpgauth = Some((openpgp, settings));
        self
    }

    /// Runs the code of assemblies in `runtime`. Without one, no code is run.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn CodeRuntime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Lets the code of assemblies fetch from other servers through `egress`. Without one it
    /// can't.
    #[must_use]
    pub fn egress(mut self, egress: Arc<dyn Egress>) -> Self {
        self.egress = Some(egress);
        self
    }

    /// Takes the time from `clock` instead of the operating system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes randomness from `randomness` instead of the operating system.
    #[must_use]
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = randomness;
        self
    }

    /// Uses these settings instead of the default ones.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The finished cloud. Starts nothing in the background.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidHashCost`] if [`Settings::hash_cost`] is out of range, and
    /// [`Error::InvalidTicketLifetime`] if [`Settings::ticket_lifetime`] is;
    /// [`Error::Randomness`] if there is none; that what has the OpenPGP key failed.
    pub fn build(self) -> Result<Cloud, Error> {
        let Self {
            store,
            server_key,
            clock,
            randomness,
            settings,
            runtime,
            egress,
            #[cfg(feature = "gpgauth")]
            gpgauth,
        } = self;
        if !settings.hash_cost.is_possible() {
            return Err(Error::InvalidHashCost);
        }
        let lifetime = settings.ticket_lifetime;
        if lifetime < Duration::from_secs(1) || lifetime > Ticket::MAX_LIFETIME {
            return Err(Error::InvalidTicketLifetime);
        }
        let document_ids = DocumentIds::new(randomness.as_ref())?;
        let writers = [(); 2].map(|()| {
            let unique = document_ids.next(clock.now());
            WriterId::from_bytes(*unique.as_bytes())
        });
        let cores = available_parallelism().map_or(2, NonZeroUsize::get);
        let rsa = server_key.backend().clone();
        #[cfg(feature = "gpgauth")]
        let gpgauth = gpgauth
            .map(|(openpgp, of_operator)| {
                let workers = Workers::new(cores, settings.queue);
                GpgAuth::new(openpgp, of_operator, workers).map(Arc::new)
            })
            .transpose()?;
        Ok(Cloud {
            address: None,
            inner: Arc::new(Inner {
                document_ids,
                remembered: RememberedTokens::new(settings.remembered_tokens),
                throttle: Throttle::new(&settings.throttle, clock.clone(), &server_key),
                key_stock: Arc::new(KeyStock::new(rsa.clone(), settings.key_stock)),
                rsa_workers: Workers::new(cores, settings.queue),
                password_workers: Workers::new(cores, settings.queue / 4),
                keygen_workers: Workers::new(cores.div_ceil(2), 32),
                run_log: RunLog::new(writers),
                quota_counts: QuotaCounts::new(),
                value_memory: ValueMemory::new(settings.value_memory),
                jobs_changed: Notify::new(),
                tasks: Tasks::new(),
                #[cfg(feature = "gpgauth")]
                gpgauth,
                store,
                server_key,
                rsa,
                clock,
                randomness,
                settings,
                runtime,
                egress,
            }),
        })
    }
}

impl Cloud {
    /// A cloud that keeps everything in `store` and proves itself with `server_key`.
    #[must_use]
    pub fn builder(store: Arc<dyn Store>, server_key: ServerKey) -> CloudBuilder {
        CloudBuilder {
            store,
            server_key,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(OsRandomness),
            settings: Settings::default(),
            runtime: None,
            egress: None,
            #[cfg(feature = "gpgauth")]
            gpgauth: None,
        }
    }

    /// The same cloud, for a request that comes from `address`: failed tries are counted for it
    /// and the audit log names it.
    #[must_use]
    pub fn for_address(&self, address: impl Into<Option<IpAddr>>) -> Self {
        Self {
            inner: self.inner.clone(),
            address: address.into(),
        }
    }

    /// The public half of the server's key, which clients pin.
    #[must_use]
    pub fn server_public_key(&self) -> &PublicKey {
        self.inner.server_key.public_key()
    }

    /// Whether the store can be used, also to write.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if it can't.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.store().ping().await?)
    }

    /// The keyserver's stock of ready key pairs. Nothing fills it but
    /// [`KeyStock::start_refill`]; an empty one only makes registrations slower.
    #[must_use]
    pub fn key_stock(&self) -> &Arc<KeyStock> {
        &self.inner.key_stock
    }

    /// Where this cloud's time comes from, for adapters that need some.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Where this cloud's randomness comes from, for adapters that need some.
    #[must_use]
    pub fn randomness(&self) -> &Arc<dyn Randomness> {
        &self.inner.randomness
    }

    #[cfg(feature = "gpgauth")]
    pub(crate) fn gpgauth_if_any(&self) -> Option<&Arc<GpgAuth>> {
        self.inner.gpgauth.as_ref()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.inner.store.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub(crate) fn server_key(&self) -> &ServerKey {
        &self.inner.server_key
    }

    pub(crate) fn rsa(&self) -> &Arc<dyn RsaBackend> {
        &self.inner.rsa
    }

    /// The settings it was built with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn egress(&self) -> Option<&dyn Egress> {
        self.inner.egress.as_deref()
    }

    pub(crate) fn document_ids(&self) -> &DocumentIds {
        &self.inner.document_ids
    }

    pub(crate) fn remembered(&self) -> &RememberedTokens {
        &self.inner.remembered
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.inner.throttle
    }

    pub(crate) fn rsa_workers(&self) -> &Workers {
        &self.inner.rsa_workers
    }

    pub(crate) fn password_workers(&self) -> &Workers {
        &self.inner.password_workers
    }

    pub(crate) fn keygen_workers(&self) -> &Workers {
        &self.inner.keygen_workers
    }

    pub(crate) fn runtime(&self) -> Option<&Arc<dyn CodeRuntime>> {
        self.inner.runtime.as_ref()
    }

    pub(crate) fn run_log(&self) -> &RunLog {
        &self.inner.run_log
    }

    pub(crate) fn quota_counts(&self) -> &QuotaCounts {
        &self.inner.quota_counts
    }

    pub(crate) fn value_memory(&self) -> &ValueMemory {
        &self.inner.value_memory
    }

    /// Told when something may have become due.
    pub(crate) fn jobs_changed(&self) -> &Notify {
        &self.inner.jobs_changed
    }

    /// What goes on though nobody waits for it any more.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// To be called after a job was queued or scheduled.
    pub(crate) fn wake_scheduler(&self) {
        self.inner.jobs_changed.notify_one();
    }
}
