//! What is sent and answered, as a client sees it.

use std::fmt;

use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::DocumentId,
    key::{KeyFingerprint, KeyHash},
    run::RunId,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::error::Error;

/// Which part of a list is wanted. By default as much from the beginning as the server gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Page {
    /// Leaves out the first `skip`.
    #[must_use]
    pub const fn skip(mut self, skip: u64) -> Self {
        self.skip = Some(skip);
        self
    }

    /// Asks for `count` at the most.
    #[must_use]
    pub const fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// One of the user's keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ListedKey {
    /// The first 10 hexadecimal digits of the fingerprint.
    #[serde(deserialize_with = "key_hash")]
    pub key_hash: KeyHash,
    /// Whether one can log in with it.
    pub active: bool,
    /// What kind of key it is: `rsa` or `openpgp`.
    pub kind: String,
    /// The whole fingerprint.
    #[serde(deserialize_with = "fingerprint")]
    pub fingerprint: KeyFingerprint,
    /// What the user calls the device, if she said.
    pub label: Option<String>,
    /// When it was registered.
    #[serde(deserialize_with = "time")]
    pub created: Timestamp,
    /// When a session of it was last opened or renewed, or it was last proven, if ever.
    #[serde(default, deserialize_with = "optional_time")]
    pub last_used: Option<Timestamp>,
    /// Whether it is the key of the session that asks.
    pub current: bool,
    /// Of an OpenPGP key: whether its holder has proved to have it.
    pub proven: Option<bool>,
    /// Of an OpenPGP key: who it says to belong to.
    pub user_ids: Option<Vec<String>>,
    /// Of an OpenPGP key: what its primary key is, and what encrypts.
    pub algorithm: Option<String>,
    /// Of an OpenPGP key that expires: from when on it opens nothing.
    #[serde(default, deserialize_with = "optional_time")]
    pub expires: Option<Timestamp>,
}

/// An assembly as its author writes it.
///
/// ```
/// use pinyto_http::client::AssemblyData;
///
/// let assembly = AssemblyData::new("Books", "Remembers books.")
///     .function("count", "return db.count({})")
///     .job("tidy", "pass", 24 * 60)
///     .index("data.isbn");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AssemblyData {
    /// Unique among the author's assemblies.
    pub name: String,
    /// What users read before they install it.
    pub description: String,
    /// What answers requests.
    #[serde(default)]
    pub api_functions: Vec<AssemblyFunction>,
    /// What runs on a schedule or when queued.
    #[serde(default)]
    pub jobs: Vec<AssemblyJob>,
    /// Whether its code sees only the documents it stored itself.
    #[serde(default = "yes")]
    pub only_own_data: bool,
    /// Dotted paths that its code looks documents up or sorts them by.
    #[serde(default)]
    pub indexes: Vec<String>,
    /// The only hosts that its code fetches from; `None`: all that the operator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_hosts: Option<Vec<String>>,
}

const fn yes() -> bool {
    true
}

impl AssemblyData {
    /// An assembly that has no code yet and sees its own documents only.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            api_functions: Vec::new(),
            jobs: Vec::new(),
            only_own_data: true,
            indexes: Vec::new(),
            http_hosts: None,
        }
    }

    /// With another function: its name, and the Python source of its body.
    #[must_use]
    pub fn function(mut self, name: impl Into<String>, code: impl Into<String>) -> Self {
        self.api_functions.push(AssemblyFunction {
            name: name.into(),
            code: code.into(),
        });
        self
    }

    /// With another job, that runs each time so many minutes have passed; 0: once.
    #[must_use]
    pub fn job(mut self, name: impl Into<String>, code: impl Into<String>, minutes: u32) -> Self {
        self.jobs.push(AssemblyJob {
            name: name.into(),
            code: code.into(),
            schedule: minutes,
        });
        self
    }

    /// With another index.
    #[must_use]
    pub fn index(mut self, path: impl Into<String>) -> Self {
        self.indexes.push(path.into());
        self
    }

    /// That sees all documents of its user.
    #[must_use]
    pub fn sees_all_data(mut self) -> Self {
        self.only_own_data = false;
        self
    }

    /// That fetches from these hosts only.
    #[must_use]
    pub fn http_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.http_hosts = Some(hosts.into_iter().collect());
        self
    }
}

impl fmt::Debug for AssemblyData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssemblyData")
            .field("name", &self.name)
            .field("functions", &self.api_functions.len())
            .field("jobs", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

/// A function of an assembly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AssemblyFunction {
    /// Unique among the functions of the assembly.
    pub name: String,
    /// The Python source of its body.
    pub code: String,
}

/// A job of an assembly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AssemblyJob {
    /// Unique among the jobs of the assembly.
    pub name: String,
    /// The Python source of its body.
    pub code: String,
    /// Minutes until it runs again; 0: it runs once.
    #[serde(default)]
    pub schedule: u32,
}

/// What anybody may read of an assembly before she installs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AssemblyParts {
    /// What answers requests.
    pub api_functions: Vec<AssemblyFunction>,
    /// What runs on a schedule or when queued.
    pub jobs: Vec<AssemblyJob>,
    /// What its code looks documents up or sorts them by.
    #[serde(default)]
    pub indexes: Vec<String>,
}

/// What a list says about an assembly.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AssemblySummary {
    /// Its name.
    pub name: String,
    /// Who wrote it.
    pub author: String,
    /// What the author says about it.
    pub description: String,
}

/// A document that is to be stored. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Serialize)]
pub struct NewDocument {
    #[serde(rename = "type")]
    kind: String,
    data: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl NewDocument {
    /// A document of the type `kind` with `data`, any value that is JSON.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if it isn't.
    pub fn new(kind: impl Into<String>, data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            kind: kind.into(),
            data: serde_json::to_value(data).map_err(Error::invalid)?,
            tags: Vec::new(),
        })
    }

    /// With another tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

impl fmt::Debug for NewDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewDocument(..)")
    }
}

/// What the user has used, and how many assemblies there are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Statistics {
    /// Seconds of CPU used by the user's calls and jobs.
    pub time_budget: f64,
    /// Stored bytes times the seconds they were stored.
    pub storage_budget: f64,
    /// Bytes stored now.
    pub current_storage: u64,
    /// When these figures were calculated: seconds since 1970-01-01T00:00:00Z.
    pub last_calculation: i64,
    /// How many assemblies the user has written.
    pub assembly_count: u64,
    /// How many she has installed.
    pub installed_assemblies_count: u64,
    /// How many there are.
    pub all_assemblies_count: u64,
}

/// How it stands with a job of the user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobState {
    /// Its assembly.
    #[serde(deserialize_with = "assembly")]
    pub assembly: AssemblyRef,
    /// The job's name.
    pub name: String,
    /// Why it is to be run: `schedule`, `document` or `run_now`.
    pub trigger: String,
    /// The document that queued it, if that is why.
    #[serde(default, deserialize_with = "optional_document")]
    pub document: Option<DocumentId>,
    /// Minutes from one run to the next; 0: it runs once.
    pub schedule: u32,
    /// When it runs next; `None` if it runs just now, is parked, or has run once and for all.
    #[serde(default, deserialize_with = "optional_time")]
    pub next_run: Option<Timestamp>,
    /// Since when it runs, if it runs just now.
    #[serde(default, deserialize_with = "optional_time")]
    pub running_since: Option<Timestamp>,
    /// How many tries the present run has had, or has begun.
    pub attempts: u32,
    /// Whether all tries have failed and none is planned.
    pub parked: bool,
    /// Why the last try failed, if it did.
    pub last_failure: Option<JobFailure>,
}

/// Why a job failed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct JobFailure {
    /// The exception's type, or in lower case what ended the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The line of the job's code, counted from 1, if it is known.
    pub line: Option<u32>,
    /// When it failed.
    #[serde(deserialize_with = "time")]
    pub at: Timestamp,
}

/// A run of a function or job for the user. `Debug` doesn't show what it printed.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Later ones are greater.
    #[serde(deserialize_with = "run_id")]
    pub id: RunId,
    /// What the assembly was called when it ran.
    #[serde(deserialize_with = "assembly")]
    pub assembly: AssemblyRef,
    /// `function` or `job`.
    pub kind: String,
    /// The function's or job's name.
    pub name: String,
    /// When it began.
    #[serde(deserialize_with = "time")]
    pub started: Timestamp,
    /// How many seconds it took, waiting for other servers included.
    pub duration: f64,
    /// How many seconds of CPU time it used.
    pub cpu: f64,
    /// `succeeded` or `failed`.
    pub outcome: String,
    /// Why it failed, if it did.
    pub error: Option<RunError>,
    /// What it printed.
    pub output: String,
    /// Whether it printed more than that.
    pub output_truncated: bool,
    /// Which try it was, counted from 1.
    pub attempt: u32,
}

/// A run as the assembly's author sees it.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct AuthorRun {
    /// Later ones are greater.
    #[serde(deserialize_with = "run_id")]
    pub id: RunId,
    /// `function` or `job`.
    pub kind: String,
    /// The function's or job's name.
    pub name: String,
    /// When it began.
    #[serde(deserialize_with = "time")]
    pub started: Timestamp,
    /// How many seconds it took, waiting for other servers included.
    pub duration: f64,
    /// How many seconds of CPU time it used.
    pub cpu: f64,
    /// `succeeded` or `failed`.
    pub outcome: String,
    /// Why it failed, if it did.
    pub error: Option<RunError>,
    /// What it printed, if it ran for the author.
    pub output: Option<String>,
    /// Whether it printed more than that.
    pub output_truncated: bool,
    /// Which try it was, counted from 1.
    pub attempt: u32,
}

/// Why a run failed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RunError {
    /// The exception's type, as `ValueError`, or in lower case what ended the code: `cpu_time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says; `None` if the run was for somebody else.
    pub message: Option<String>,
    /// The line of the code, counted from 1, if it is known.
    pub line: Option<u32>,
}

/// An exception that an assembly's code raised and didn't catch. `Debug` doesn't show its message.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Exception {
    /// Its type, as `ValueError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The line of the function's code, counted from 1, if it is known.
    pub line: Option<u32>,
}

/// Shows which fields there are, but not what code has printed or said: that is the user's.
macro_rules! private_debug {
    ($($name:ident: $($field:ident),+;)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        }
    )+};
}

private_debug! {
    JobFailure: kind, line, at;
    Run: id, assembly, kind, name, started, duration, cpu, outcome, error, attempt;
    AuthorRun: id, kind, name, started, duration, cpu, outcome, error, attempt;
    RunError: kind, line;
    Exception: kind, line;
}

/// A text that `parse` reads.
fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::custom("a text is not what it should be"))
}

/// The same, or null.
fn optional<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let parsed = parse(&text);
    parsed.map_or_else(
        || Err(de::Error::custom("a text is not what it should be")),
        |value| Ok(Some(value)),
    )
}

fn key_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyHash, D::Error> {
    text(deserializer, |text| KeyHash::parse(text).ok())
}

fn fingerprint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyFingerprint, D::Error> {
    text(deserializer, |text| KeyFingerprint::parse(text).ok())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    text(deserializer, Timestamp::parse_rfc3339)
}

fn optional_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    optional(deserializer, Timestamp::parse_rfc3339)
}

fn optional_document<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DocumentId>, D::Error> {
    optional(deserializer, |text| text.parse().ok())
}

fn assembly<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AssemblyRef, D::Error> {
    text(deserializer, AssemblyRef::parse)
}

fn run_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
    text(deserializer, |text| text.parse().ok())
}
