//! Settings from the command line, the environment (`PINYTO_*`) and a TOML file.
//!
//! The strongest source of each setting wins: command line, environment, file, default. The file's
//! keys are named as the options are, without the dashes in front. Relative paths count from the
//! working directory, wherever they are written.
//!
//! `table.rs` describes every setting once, `sources.rs` collects what was given, and this file
//! turns it into the typed [`Settings`] or into one sentence about what is wrong.

mod sources;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use sources::Origin;
use sources::{Given, Values};
use table::DATABASE_SCHEMES;

use super::listener::Limits;
use super::logging;
use super::tls::TlsFiles;

/// What is wrong with the configuration, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Print this text and end well: `--help` or `--version`.
    Print(String),
    /// Start serving.
    Serve(Box<Settings>),
    /// Examine the settings, say what would happen, and end.
    Check(Box<Settings>, Vec<ShownSetting>),
}

/// One setting as `check` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSetting {
    /// The option's name without dashes.
    pub name: &'static str,
    /// Its value; passwords inside are hidden. `None` when it is not set.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Everything the reference server can be told; `pinyto-server --help` explains each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// `--listen`: where clients connect.
    pub listen: SocketAddr,
    /// `--admin-listen`: where health and metrics are served, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// `--database`.
    pub database: DatabaseUrl,
    /// `--sqlite-synchronous`.
    pub sqlite_synchronous: SqliteSynchronous,
    /// `--server-key`: the server's private key, made when missing.
    pub server_key: PathBuf,
    /// `--tls-cert` and `--tls-key`.
    pub tls: Option<TlsFiles>,
    /// `--trust-proxy`.
    pub trust_proxy: bool,
    /// `--max-body-bytes`: the longest request body.
    pub max_body_bytes: usize,
    /// `--max-connections`.
    pub max_connections: usize,
    /// `--header-timeout`.
    pub header_timeout: Duration,
    /// `--body-timeout`; always shorter than the request timeout.
    pub body_timeout: Duration,
    /// `--request-timeout`.
    pub request_timeout: Duration,
    /// `--shutdown-timeout`.
    pub shutdown_timeout: Duration,
    /// `--session-idle-days`.
    pub session_idle: Duration,
    /// `--key-stock`: key pairs kept ready; 0 makes each when it is needed.
    pub key_stock: usize,
    /// `--throttle`.
    pub throttle: bool,
    /// `--log`: a filter that [`logging::init`] takes.
    pub log: String,
    /// `--log-format`.
    pub log_format: LogFormat,
}

/// A database's address. It may hold a password, so it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole address, for the driver only.
    pub fn expose(&self) -> &str {
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
pub enum SqliteSynchronous {
    /// When it is on the disk: nothing acknowledged is lost in a power failure.
    Full,
    /// When the operating system has it: a power failure may take the last moments.
    Normal,
}

/// The log's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
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
pub fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Invocation, ConfigError> {
    let (check, values) = match sources::collect(arguments, environment)? {
        Given::Print(text) => return Ok(Invocation::Print(text)),
        Given::Serve(values) => (false, values),
        Given::Check(values) => (true, values),
    };
    let settings = Box::new(Settings::from_values(&values)?);
    if !check {
        return Ok(Invocation::Serve(settings));
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
    pub fn limits(&self) -> Limits {
        Limits {
            header_timeout: self.header_timeout,
            request_timeout: self.request_timeout,
            shutdown_timeout: self.shutdown_timeout,
            max_connections: self.max_connections,
            ..Limits::default()
        }
    }

    /// Whether passwords and tokens would cross a network readable, as far as the server can see.
    pub fn is_exposed_without_tls(&self) -> bool {
        self.tls.is_none() && !self.trust_proxy && !self.listen.ip().to_canonical().is_loopback()
    }

    /// Whether everything is lost when the process ends.
    pub fn is_in_memory(&self) -> bool {
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
            server_key: values.required("server-key", path)?,
            tls: tls(values)?,
            trust_proxy: values.required("trust-proxy", switch)?,
            max_body_bytes: values.required("max-body-bytes", number(1, 1 << 30))?,
            max_connections: values.required("max-connections", number(1, 1_000_000))?,
            header_timeout: values.required("header-timeout", seconds(1))?,
            body_timeout: values.required("body-timeout", seconds(1))?,
            request_timeout: values.required("request-timeout", seconds(1))?,
            shutdown_timeout: values.required("shutdown-timeout", seconds(0))?,
            session_idle: values.required("session-idle-days", |text| {
                let days: u64 = number(1, 36_500)(text)?;
                Ok(Duration::from_secs(days * 24 * 60 * 60))
            })?,
            key_stock: values.required("key-stock", number(0, 1000))?,
            throttle: values.required("throttle", switch)?,
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
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(lacks("tls-cert", "--tls-key")),
        (None, Some(_)) => Err(lacks("tls-key", "--tls-cert")),
    }
}

/// The rest of the sentence "--name must be ...".
fn wrong<T>(wanted: &str, text: &str) -> Result<T, String> {
    Err(format!("{wanted}, not {text:?}"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().or_else(|_| {
        wrong(
            "an IP address with a port, such as 127.0.0.1:8080 or [::]:8080",
            text,
        )
    })
}

fn database(text: &str) -> Result<DatabaseUrl, String> {
    if DATABASE_SCHEMES.iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    }) {
        Ok(DatabaseUrl(text.to_owned()))
    } else {
        // Not echoed: it may hold a password.
        Err("a database URL such as sqlite:pinyto.db?mode=rwc".to_owned())
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        wrong("the name of a file", text)
    } else {
        Ok(PathBuf::from(text))
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => wrong("on or off", text),
    }
}

fn number<N: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<N, String> {
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| digits && (least..=most).contains(number))
            .and_then(|number| N::try_from(number).ok())
            .map_or_else(
                || wrong(&format!("a whole number from {least} to {most}"), text),
                Ok,
            )
    }
}

fn seconds(least: u64) -> impl Fn(&str) -> Result<Duration, String> {
    let number = number(least, 24 * 60 * 60);
    move |text| {
        let seconds =
            number(text).map_err(|wrong| wrong.replacen("number", "number of seconds", 1));
        seconds.map(Duration::from_secs)
    }
}
