//! Every setting, described once: `--help`, the environment's names and the file's keys come from
//! here.

/// What a database URL may begin with in this build.
pub(super) const DATABASE_SCHEMES: &[&str] = &["sqlite:"];

/// What a setting's value is in a TOML file; elsewhere all are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    /// A boolean, or the texts on and off.
    Switch,
    /// A switch whose option alone means on.
    Flag,
}

pub(super) struct Setting {
    /// The option's name without dashes.
    pub(super) name: &'static str,
    pub(super) placeholder: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Option<&'static str>,
    pub(super) help: &'static str,
}

impl Setting {
    /// `max-body-bytes` is `PINYTO_MAX_BODY_BYTES`.
    pub(super) fn variable(&self) -> String {
        variable(self.name)
    }
}

/// The environment variable of the option `name`.
pub(super) fn variable(name: &str) -> String {
    format!("PINYTO_{}", name.to_ascii_uppercase().replace('-', "_"))
}

pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

const fn setting(
    name: &'static str,
    placeholder: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        placeholder,
        kind,
        default,
        help,
    }
}

use Kind::{Flag, Number, Switch, Text};

/// In the order of `--help`.
pub(super) static SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "ADDR",
        Text,
        Some("127.0.0.1:8080"),
        "IP address and port where clients connect; port 0 takes a free one",
    ),
    setting(
        "database",
        "URL",
        Text,
        Some("sqlite:pinyto.db?mode=rwc"),
        "Where the data is: sqlite:FILE, with ?mode=rwc to make the file if it is missing",
    ),
    setting(
        "server-key",
        "FILE",
        Text,
        Some("server-key.pem"),
        "The server's private RSA key in PEM (PKCS#8 or PKCS#1); a new one is made if the file is \
         missing. Clients pin this key: keep a copy in a safe place",
    ),
    setting(
        "tls-cert",
        "FILE",
        Text,
        None,
        "Serve HTTPS with this PEM certificate (chain); SIGHUP reads it again. Needs --tls-key",
    ),
    setting(
        "tls-key",
        "FILE",
        Text,
        None,
        "The certificate's private key in PEM",
    ),
    setting(
        "trust-proxy",
        "on|off",
        Flag,
        Some("off"),
        "The server is behind a reverse proxy that does TLS: believe the last entry of \
         X-Forwarded-For and don't warn about missing TLS. On only if clients can't reach the \
         server directly",
    ),
    setting(
        "admin-listen",
        "ADDR",
        Text,
        None,
        "IP address and port for health and metrics, plain HTTP; keep it off the public network",
    ),
    setting(
        "max-body-bytes",
        "N",
        Number,
        Some("2097152"),
        "Longest request body, in bytes",
    ),
    setting(
        "max-connections",
        "N",
        Number,
        Some("1024"),
        "Connections served at a time; more have to wait",
    ),
    setting(
        "header-timeout",
        "SECONDS",
        Number,
        Some("15"),
        "Time for the TLS handshake, for a request's headers, and between requests of a \
         kept-alive HTTP/1.1 connection",
    ),
    setting(
        "body-timeout",
        "SECONDS",
        Number,
        Some("60"),
        "Time a client has to send a request's body; shorter than --request-timeout",
    ),
    setting(
        "request-timeout",
        "SECONDS",
        Number,
        Some("120"),
        "Time from a request's headers to its answer; then it is given up with status 503",
    ),
    setting(
        "shutdown-timeout",
        "SECONDS",
        Number,
        Some("30"),
        "Time running requests get to finish when the server is told to stop",
    ),
    setting(
        "session-idle-days",
        "DAYS",
        Number,
        Some("30"),
        "A session that is not used for this long ends",
    ),
    setting(
        "key-stock",
        "N",
        Number,
        Some("4"),
        "RSA key pairs kept ready for /keyserver/register; 0 makes each when it is asked for",
    ),
    setting(
        "sqlite-synchronous",
        "full|normal",
        Text,
        Some("full"),
        "full: what was acknowledged survives a power failure. normal: faster, and a power \
         failure may lose the last moments",
    ),
    setting(
        "throttle",
        "on|off",
        Switch,
        Some("on"),
        "Slow down those who guess passwords and tokens; off only for tests",
    ),
    setting(
        "log",
        "FILTER",
        Text,
        Some("info"),
        "What is logged to stderr: error, warn, info, debug, trace, also by part, as in \
         info,pinyto_http::access=off (no line per request)",
    ),
    setting(
        "log-format",
        "text|json",
        Text,
        Some("text"),
        "How the log is written",
    ),
];
