//! Every setting, described once: `--help`, the environment's names and the file's keys come from
//! here.

/// What a database URL may begin with in this build.
#[cfg(not(feature = "postgres"))]
pub(super) const DATABASE_SCHEMES: &[&str] = &["sqlite:"];
#[cfg(feature = "postgres")]
pub(super) const DATABASE_SCHEMES: &[&str] = &["sqlite:", "postgres://", "postgresql://"];

#[cfg(not(feature = "postgres"))]
const DATABASE_HELP: &str =
    "Where the data is: sqlite:FILE, with ?mode=rwc to make the file if it is missing";
#[cfg(feature = "postgres")]
const DATABASE_HELP: &str = "Where the data is: sqlite:FILE, with ?mode=rwc to make the file if it is missing, or \
     postgres://USER@HOST/DATABASE (of PostgreSQL 14 or newer)";

/// What a setting's value is in a TOML file; elsewhere all are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    /// With or without decimals.
    Decimal,
    /// A list of texts; elsewhere they are separated by commas.
    List,
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

use Kind::{Decimal, Flag, List, Number, Switch, Text};

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
        DATABASE_HELP,
    ),
    setting(
        "server-key",
        "FILE",
        Text,
        Some("server-key.pem"),
        "The server's private RSA key in PEM (PKCS#8 or PKCS#1); a new one is made if the file is \
         missing. Clients pin this key: keep a copy in a safe place",
    ),
    #[cfg(feature = "gpgauth")]
    setting(
        "gpgauth-key",
        "FILE",
        Text,
        None,
        "Let users log in with OpenPGP keys (gpgAuth). The server's own secret OpenPGP key, \
         ASCII-armored, without passphrase; a new one is made if the file is missing. Servers that \
         share a database share it, too",
    ),
    #[cfg(feature = "gpgauth")]
    setting(
        "gpgauth-unknown-keys",
        "hide|tell",
        Text,
        Some("hide"),
        "hide: who begins to log in with a key that nobody has gets a message that nobody can \
         decrypt. tell: is told so, as some clients of gpgAuth expect it",
    ),
    #[cfg(feature = "gpgauth")]
    setting(
        "gpgauth-cookie",
        "NAME",
        Text,
        Some("passbolt_session"),
        "Name of the session's cookie for clients of gpgAuth; some insist on this one",
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
        "reserved-names",
        "NAMES",
        List,
        None,
        "User names that nobody can register, in any case, separated by commas: the first segments \
         of paths that a proxy serves itself",
    ),
    setting(
        "ticket-seconds",
        "SECONDS",
        Number,
        Some("300"),
        "How long a ticket for another service is good for, 1 to 3600; nothing ends it earlier",
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
    #[cfg(feature = "postgres")]
    setting(
        "postgres-connections",
        "N",
        Number,
        Some("10"),
        "Connections to PostgreSQL at once; half of them are for queries of assemblies",
    ),
    setting(
        "throttle",
        "on|off",
        Switch,
        Some("on"),
        "Slow down those who guess passwords and tokens; off only for tests",
    ),
    setting(
        "code",
        "on|off",
        Switch,
        Some("on"),
        "Run the code of assemblies: functions, and jobs on their schedules",
    ),
    setting(
        "code-unconfined",
        "on|off",
        Flag,
        Some("off"),
        "Run code also where the kernel can't filter system calls: then only the interpreter is \
         between a stranger's code and this machine. For development only",
    ),
    setting(
        "code-workers",
        "N",
        Number,
        Some("2"),
        "Worker processes kept ready that have run nothing yet",
    ),
    setting(
        "code-at-once",
        "N",
        Number,
        None,
        "Calls of code that compute at once; more wait. Not set: four for each processor, at least 8",
    ),
    setting(
        "code-cpu-seconds",
        "SECONDS",
        Decimal,
        Some("1"),
        "CPU time of one call or job, such as 0.5",
    ),
    setting(
        "code-wall-seconds",
        "SECONDS",
        Number,
        Some("30"),
        "Time of one call or job, waiting for other servers included; shorter than --request-timeout",
    ),
    setting(
        "code-memory-mib",
        "MIB",
        Number,
        Some("64"),
        "Memory of one call or job",
    ),
    setting(
        "code-recursion",
        "N",
        Number,
        Some("200"),
        "Calls of Python functions within each other",
    ),
    setting(
        "code-answer-kib",
        "KIB",
        Number,
        Some("4096"),
        "Longest answer of a function",
    ),
    setting(
        "code-output-kib",
        "KIB",
        Number,
        Some("16"),
        "Printed output of one call or job that is kept",
    ),
    setting(
        "code-services",
        "N",
        Number,
        Some("1000"),
        "How often one call or job may use db and Http",
    ),
    setting(
        "code-service-kib",
        "KIB",
        Number,
        Some("4096"),
        "Longest arguments, and longest answer, of one use of db or Http",
    ),
    setting(
        "code-database-seconds",
        "SECONDS",
        Decimal,
        Some("5"),
        "How long the database may work for one call or job, all queries and changes together",
    ),
    setting(
        "value-memory-mib",
        "MIB",
        Number,
        Some("64"),
        "Memory for the values of documents that are being stored, all together; a document that \
         needs more is refused",
    ),
    setting(
        "query-examined",
        "N",
        Number,
        Some("200000"),
        "Documents that one query of code may look at; more end it with an error",
    ),
    setting(
        "query-seconds",
        "SECONDS",
        Decimal,
        Some("2"),
        "How long the database may work on one query of code",
    ),
    setting(
        "find-documents",
        "N",
        Number,
        Some("10000"),
        "Most documents of one answer to a query of code; what is beyond is left out",
    ),
    setting(
        "quota-cpu-seconds-per-hour",
        "SECONDS",
        Number,
        None,
        "CPU time of each user within an hour by the clock, all servers together; then her calls get \
         status 429 and her jobs wait. Not set: no limit",
    ),
    setting(
        "quota-calls-per-minute",
        "N",
        Number,
        None,
        "Calls of functions by each user within a minute, on this server; then 429. Not set: no limit",
    ),
    setting(
        "quota-storage-mib",
        "MIB",
        Number,
        None,
        "Documents of each user, in MiB; then 507. Not set: no limit",
    ),
    setting(
        "http-egress",
        "on|off",
        Switch,
        Some("on"),
        "Let code fetch from other servers over HTTP: only on the public internet, only within limits",
    ),
    setting(
        "egress-allow",
        "HOSTS",
        List,
        None,
        "The only hosts code may fetch from, separated by commas: example.org is that name alone, \
         *.example.org all names below it. Not set: all on the public internet",
    ),
    setting(
        "egress-deny",
        "HOSTS",
        List,
        None,
        "Hosts code may not fetch from, whatever else is allowed",
    ),
    setting(
        "egress-allow-private",
        "NETS",
        List,
        None,
        "Networks code may reach although they are not on the public internet, such as 10.1.0.0/16, \
         separated by commas. Everybody whose code runs here gets at everything in them",
    ),
    setting(
        "egress-requests",
        "N",
        Number,
        Some("10"),
        "Requests to other servers of one call or job",
    ),
    setting(
        "run-log-days",
        "DAYS",
        Number,
        Some("30"),
        "How long users and authors can look up what became of calls and jobs",
    ),
    setting(
        "run-log-count",
        "N",
        Number,
        Some("1000"),
        "Runs of each user that can be looked up",
    ),
    setting(
        "job-concurrency",
        "N",
        Number,
        Some("4"),
        "Jobs that this server runs at once",
    ),
    setting(
        "job-lease-seconds",
        "SECONDS",
        Number,
        Some("60"),
        "Time after which another server takes over the jobs of one that has died; at least 3",
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
