//! Settings from the command line, the environment (`PINYTO_*`) and a TOML file.
//!
//! The strongest source of each setting wins: command line, environment, file, default. The file's
//! keys are named as the options are, without the dashes in front. Relative paths count from the
//! working directory, wherever they are written.
//!
//! `table.rs` describes every setting once, `sources.rs` collects what was given, `read.rs` reads
//! single values, and this file turns them into the typed [`Settings`] or into one sentence about
//! what is wrong.

mod moving;
mod read;
mod sources;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use pinyto_core::{egress::HostPattern, user::UserName};
use pinyto_http::listener::{Limits, TlsFiles};
#[cfg(feature = "gpgauth")]
use pinyto_http::routes::gpgauth::CookieName;

pub(crate) use moving::{IMPORTED_LINE, Moving, Place};
#[cfg(feature = "gpgauth")]
use read::cookie_name;
use read::{
    address, database, days, hosts, kibibytes, mebibytes, networks, number, path, precise_seconds,
    reserved_names, seconds, switch, wrong,
};
pub(crate) use sources::Origin;
use sources::{Given, Task, Values};

use crate::logging;

/// What is wrong with the configuration, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl ConfigError {
    fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Print this text and end well: `--help` or `--version`.
    Print(String),
    /// Start serving.
    Serve(Box<Settings>),
    /// Examine the settings, say what would happen, and end.
    Check(Box<Settings>, Vec<ShownSetting>),
    /// Bring the tables of the database up to date, and end.
    Migrate(Box<Settings>),
    /// Move data out of the database or into it, and end.
    Move(Box<Settings>, Moving),
}

/// One setting as `check` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownSetting {
    /// The option's name without dashes.
    pub(crate) name: &'static str,
    /// Its value; passwords inside are hidden. `None` when it is not set.
    pub(crate) value: Option<String>,
    /// Where the value comes from.
    pub(crate) origin: Origin,
}

/// Everything the reference server can be told; `pinyto-server --help` explains each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `--listen`: where clients connect.
    pub(crate) listen: SocketAddr,
    /// `--admin-listen`: where health and metrics are served, if anywhere.
    pub(crate) admin_listen: Option<SocketAddr>,
    /// `--database`.
    pub(crate) database: DatabaseUrl,
    /// `--sqlite-synchronous`.
    pub(crate) sqlite_synchronous: SqliteSynchronous,
    /// `--postgres-connections`.
    #[cfg(feature = "postgres")]
    pub(crate) postgres_connections: u32,
    /// `--server-key`: the server's private key, made when missing.
    pub(crate) server_key: PathBuf,
    /// `--gpgauth-key`: the server's secret OpenPGP key, made when missing; without one there is no
    /// gpgAuth.
    #[cfg(feature = "gpgauth")]
    pub(crate) gpgauth_key: Option<PathBuf>,
    /// `--gpgauth-unknown-keys`: whether clients are told that nobody has a key.
    #[cfg(feature = "gpgauth")]
    pub(crate) gpgauth_tells_unknown_keys: bool,
    /// `--gpgauth-cookie`.
    #[cfg(feature = "gpgauth")]
    pub(crate) gpgauth_cookie: CookieName,
    /// `--tls-cert` and `--tls-key`.
    pub(crate) tls: Option<TlsFiles>,
    /// `--trust-proxy`.
    pub(crate) trust_proxy: bool,
    /// `--max-body-bytes`: the longest request body.
    pub(crate) max_body_bytes: usize,
    /// `--max-connections`.
    pub(crate) max_connections: usize,
    /// `--header-timeout`.
    pub(crate) header_timeout: Duration,
    /// `--body-timeout`; always shorter than the request timeout.
    pub(crate) body_timeout: Duration,
    /// `--request-timeout`.
    pub(crate) request_timeout: Duration,
    /// `--shutdown-timeout`.
    pub(crate) shutdown_timeout: Duration,
    /// `--session-idle-days`.
    pub(crate) session_idle: Duration,
    /// `--reserved-names`: user names that nobody can register.
    pub(crate) reserved_names: Vec<UserName>,
    /// `--ticket-seconds`: how long a ticket for another service is good for.
    pub(crate) ticket_lifetime: Duration,
    /// `--key-stock`: key pairs kept ready; 0 makes each when it is needed.
    pub(crate) key_stock: usize,
    /// `--throttle`.
    pub(crate) throttle: bool,
    /// `--code`: whether the code of assemblies is run.
    pub(crate) code: bool,
    /// `--code-unconfined`: also on a kernel that can't filter system calls.
    pub(crate) code_unconfined: bool,
    /// `--code-workers`: worker processes kept ready.
    pub(crate) code_workers: usize,
    /// `--code-at-once`: calls that compute at once; by default as many as suit the processors.
    pub(crate) code_at_once: Option<usize>,
    /// `--code-cpu-seconds`: CPU time of one call.
    pub(crate) code_cpu: Duration,
    /// `--code-wall-seconds`: time of one call; always shorter than the request timeout.
    pub(crate) code_wall: Duration,
    /// `--code-memory-mib`: bytes of memory of one call.
    pub(crate) code_memory: usize,
    /// `--code-recursion`: calls of Python functions within each other.
    pub(crate) code_recursion: usize,
    /// `--code-answer-kib`: bytes of an answer.
    pub(crate) code_answer: usize,
    /// `--code-output-kib`: bytes of printed output that are kept.
    pub(crate) code_output: usize,
    /// `--code-services`: how often one call or job may use `db` and `Http`.
    pub(crate) code_services: usize,
    /// `--code-service-kib`: bytes of the arguments, and of the answer, of one use of these.
    pub(crate) code_service_bytes: usize,
    /// `--code-database-seconds`: how long the database may work for one call or job.
    pub(crate) code_database: Duration,
    /// `--value-memory-mib`: bytes for the values of documents that are being stored.
    pub(crate) value_memory: usize,
    /// `--query-examined`: documents that one query may look at.
    pub(crate) query_examined: u64,
    /// `--query-seconds`: how long the database may work on one query.
    pub(crate) query_time: Duration,
    /// `--find-documents`: documents that one query may find.
    pub(crate) find_documents: u64,
    /// `--quota-cpu-seconds-per-hour`: CPU time of each user, if it is limited.
    pub(crate) quota_cpu: Option<Duration>,
    /// `--quota-calls-per-minute`: calls of each user, if they are limited.
    pub(crate) quota_calls: Option<u32>,
    /// `--quota-storage-mib`: bytes of each user's documents, if they are limited.
    pub(crate) quota_storage: Option<u64>,
    /// `--http-egress`: whether code may fetch from other servers.
    pub(crate) http_egress: bool,
    /// `--egress-allow`: the only hosts it may fetch from, if they are limited.
    pub(crate) egress_allow: Option<Vec<HostPattern>>,
    /// `--egress-deny`: hosts it may not fetch from, whatever else is allowed.
    pub(crate) egress_deny: Vec<HostPattern>,
    /// `--egress-allow-private`: networks it may reach although they are not public.
    pub(crate) egress_allow_private: Vec<IpNet>,
    /// `--egress-requests`: requests to other servers of one call.
    pub(crate) egress_requests: usize,
    /// `--run-log-days`: how long runs are kept.
    pub(crate) run_log_age: Duration,
    /// `--run-log-count`: runs kept of each user.
    pub(crate) run_log_count: usize,
    /// `--job-concurrency`: jobs that run at once.
    pub(crate) job_concurrency: usize,
    /// `--job-lease-seconds`.
    pub(crate) job_lease: Duration,
    /// `--log`: a filter that [`logging::init`] takes.
    pub(crate) log: String,
    /// `--log-format`.
    pub(crate) log_format: LogFormat,
}

/// A database's address. It may hold a password, so it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole address, for the driver only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters may carry a password too, so only those of a local file are shown.
        let shown = match self.0.split_once("://") {
            Some((scheme, rest)) if scheme != "sqlite" => {
                let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                format!(
                    "{scheme}://{}",
                    rest.split(['?', '#']).next().unwrap_or_default()
                )
            }
            _ => self.0.clone(),
        };
        f.write_str(&shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// When SQLite calls a commit done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqliteSynchronous {
    /// When it is on the disk: nothing acknowledged is lost in a power failure.
    Full,
    /// When the operating system has it: a power failure may take the last moments.
    Normal,
}

/// The log's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Reads the settings from arguments (the program's name first), environment and, if one of these
/// names it, a file.
///
/// Of the environment only `PINYTO_*` is looked at; an empty variable counts as not set, and
/// `PINYTO_TEST_*` is ignored.
///
/// # Errors
///
/// One sentence: an unknown option, variable or file key, a value that is not what it should be, or values
/// that contradict each other.
pub(crate) fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Invocation, ConfigError> {
    let (task, values) = match sources::collect(arguments, environment)? {
        Given::Print(text) => return Ok(Invocation::Print(text)),
        Given::Task(task, values) => (task, values),
    };
    let settings = Box::new(Settings::from_values(&values)?);
    match task {
        Task::Serve => return Ok(Invocation::Serve(settings)),
        Task::Migrate => return Ok(Invocation::Migrate(settings)),
        Task::Move(moving) => return Ok(Invocation::Move(settings, moving)),
        Task::Check => {}
    }
    let shown = values
        .iter()
        .map(|(name, value)| ShownSetting {
            name,
            origin: value.map_or(Origin::Default, |value| value.origin.clone()),
            value: value.map(|value| match name {
                "database" => settings.database.to_string(),
                _ => value.text.clone(),
            }),
        })
        .collect();
    Ok(Invocation::Check(settings, shown))
}

impl Settings {
    /// What these settings mean for a listener.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.header_timeout = self.header_timeout;
        limits.request_timeout = self.request_timeout;
        limits.shutdown_timeout = self.shutdown_timeout;
        limits.max_connections = self.max_connections;
        limits
    }

    /// Whether passwords and tokens would cross a network readable, as far as the server can see.
    pub(crate) fn is_exposed_without_tls(&self) -> bool {
        self.tls.is_none() && !self.trust_proxy && !self.listen.ip().to_canonical().is_loopback()
    }

    /// Whether everything is lost when the process ends.
    pub(crate) fn is_in_memory(&self) -> bool {
        let url = self.database.expose();
        url.contains(":memory:") || url.contains("mode=memory")
    }

    fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let settings = Self {
            listen: values.required("listen", address)?,
            admin_listen: values.optional("admin-listen", address)?,
            database: values.required("database", database)?,
            sqlite_synchronous: values.required("sqlite-synchronous", |text| match text {
                "full" => Ok(SqliteSynchronous::Full),
                "normal" => Ok(SqliteSynchronous::Normal),
                _ => wrong("full or normal", text),
            })?,
            #[cfg(feature = "postgres")]
            postgres_connections: values.required("postgres-connections", number(4, 10_000))?,
            server_key: values.required("server-key", path)?,
            #[cfg(feature = "gpgauth")]
            gpgauth_key: values.optional("gpgauth-key", path)?,
            #[cfg(feature = "gpgauth")]
            gpgauth_tells_unknown_keys: values.required(
                "gpgauth-unknown-keys",
                |text| match text {
                    "hide" => Ok(false),
                    "tell" => Ok(true),
                    _ => wrong("hide or tell", text),
                },
            )?,
            #[cfg(feature = "gpgauth")]
            gpgauth_cookie: values.required("gpgauth-cookie", cookie_name)?,
            tls: tls(values)?,
            trust_proxy: values.required("trust-proxy", switch)?,
            max_body_bytes: values.required("max-body-bytes", number(1, 1 << 30))?,
            max_connections: values.required("max-connections", number(1, 1_000_000))?,
            header_timeout: values.required("header-timeout", seconds(1))?,
            body_timeout: values.required("body-timeout", seconds(1))?,
            request_timeout: values.required("request-timeout", seconds(1))?,
            shutdown_timeout: values.required("shutdown-timeout", seconds(0))?,
            session_idle: values.required("session-idle-days", days)?,
            reserved_names: values
                .optional("reserved-names", reserved_names)?
                .unwrap_or_default(),
            ticket_lifetime: values
                .required("ticket-seconds", number(1, 3600))
                .map(Duration::from_secs)?,
            key_stock: values.required("key-stock", number(0, 1000))?,
            throttle: values.required("throttle", switch)?,
            code: values.required("code", switch)?,
            code_unconfined: values.required("code-unconfined", switch)?,
            code_workers: values.required("code-workers", number(1, 1000))?,
            code_at_once: values.optional("code-at-once", number(1, 10_000))?,
            code_cpu: values.required("code-cpu-seconds", precise_seconds(60))?,
            code_wall: values.required("code-wall-seconds", seconds(1))?,
            code_memory: values.required("code-memory-mib", mebibytes(8, 4096))?,
            code_recursion: values.required("code-recursion", number(1, 1000))?,
            code_answer: values.required("code-answer-kib", kibibytes(1, 64 * 1024))?,
            code_output: values.required("code-output-kib", kibibytes(1, 1024))?,
            code_services: values.required("code-services", number(1, 1_000_000))?,
            code_service_bytes: values.required("code-service-kib", kibibytes(1, 64 * 1024))?,
            code_database: values.required("code-database-seconds", precise_seconds(600))?,
            value_memory: values.required("value-memory-mib", mebibytes(1, 4096))?,
            query_examined: values.required("query-examined", number(1, 1_000_000_000))?,
            query_time: values.required("query-seconds", precise_seconds(60))?,
            find_documents: values.required("find-documents", number(1, 1_000_000))?,
            quota_cpu: values.optional("quota-cpu-seconds-per-hour", |text| {
                number(1, 1_000_000)(text).map(Duration::from_secs)
            })?,
            quota_calls: values.optional("quota-calls-per-minute", number(1, 1_000_000))?,
            quota_storage: values.optional("quota-storage-mib", mebibytes(1, 1 << 30))?,
            http_egress: values.required("http-egress", switch)?,
            egress_allow: values.optional("egress-allow", hosts)?,
            egress_deny: values.optional("egress-deny", hosts)?.unwrap_or_default(),
            egress_allow_private: values
                .optional("egress-allow-private", networks)?
                .unwrap_or_default(),
            egress_requests: values.required("egress-requests", number(1, 1000))?,
            run_log_age: values.required("run-log-days", days)?,
            run_log_count: values.required("run-log-count", number(1, 1_000_000))?,
            job_concurrency: values.required("job-concurrency", number(1, 1000))?,
            job_lease: values.required("job-lease-seconds", seconds(3))?,
            log: values.required("log", |text| match logging::filter(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(_) => wrong("a log filter such as info or warn,pinyto_core=debug", text),
            })?,
            log_format: values.required("log-format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => wrong("text or json", text),
            })?,
        };
        settings.agree(values)?;
        if settings.code {
            settings.agree_on_code(values)?;
        }
        Ok(settings)
    }

    /// Settings that are fine alone and wrong together.
    fn agree(&self, values: &Values) -> Result<(), ConfigError> {
        if self.body_timeout >= self.request_timeout {
            return Err(ConfigError::new(format!(
                "{} must be shorter than {}, because reading the body is part of the request.",
                values.name("body-timeout"),
                values.name("request-timeout"),
            )));
        }
        if self.admin_listen == Some(self.listen) && self.listen.port() != 0 {
            return Err(ConfigError::new(format!(
                "{} must be another address than {}.",
                values.name("admin-listen"),
                values.name("listen"),
            )));
        }
        Ok(())
    }

    fn agree_on_code(&self, values: &Values) -> Result<(), ConfigError> {
        let contradiction = |first, wanted: &str, second, reason: &str| {
            let (first, second) = (values.name(first), values.name(second));
            let sentence = format!("{first} must be {wanted} {second}, because {reason}.");
            Err(ConfigError::new(sentence))
        };
        if self.code_wall >= self.request_timeout {
            return contradiction(
                "code-wall-seconds",
                "shorter than",
                "request-timeout",
                "running the code is part of the request",
            );
        }
        if self.code_cpu > self.code_wall {
            return contradiction(
                "code-cpu-seconds",
                "at most",
                "code-wall-seconds",
                "a call can't compute for longer than it lasts",
            );
        }
        if self.query_time > self.code_wall {
            return contradiction(
                "query-seconds",
                "at most",
                "code-wall-seconds",
                "a query is part of a call",
            );
        }
        if self.find_documents > self.query_examined {
            return contradiction(
                "find-documents",
                "at most",
                "query-examined",
                "what is found was looked at",
            );
        }
        let mut allowed = self.egress_allow.iter().flatten();
        if let Some(both) = allowed.find(|host| self.egress_deny.contains(host)) {
            return Err(ConfigError::new(format!(
                "{} and {} both name {both}.",
                values.name("egress-allow"),
                values.name("egress-deny"),
            )));
        }
        Ok(())
    }
}

fn tls(values: &Values) -> Result<Option<TlsFiles>, ConfigError> {
    let lacks = |present, missing| {
        ConfigError::new(format!(
            "{} needs {missing} beside it.",
            values.name(present)
        ))
    };
    match (
        values.optional("tls-cert", path)?,
        values.optional("tls-key", path)?,
    ) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles::new(certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(lacks("tls-cert", "--tls-key")),
        (None, Some(_)) => Err(lacks("tls-key", "--tls-cert")),
    }
}
