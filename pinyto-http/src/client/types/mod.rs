//! What is sent and answered, as a client sees it.

mod assembly;
mod run;

use std::fmt;

use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::DocumentId,
    key::{KeyFingerprint, KeyHash},
    run::RunId,
    user::UserName,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

pub use self::{
    assembly::{AssemblyData, AssemblyFunction, AssemblyJob, AssemblyParts, AssemblySummary},
    run::{AuthorRun, Exception, JobFailure, JobState, Run, RunError},
};
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

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct WhoAmI {
    /// The user.
    #[serde(deserialize_with = "user_name")]
    pub username: UserName,
    /// The first 10 hexadecimal digits of the fingerprint of the key that opened the session.
    #[serde(deserialize_with = "key_hash")]
    pub key_hash: KeyHash,
    /// The whole fingerprint.
    #[serde(deserialize_with = "fingerprint")]
    pub fingerprint: KeyFingerprint,
    /// When the session was opened.
    #[serde(deserialize_with = "time")]
    pub created: Timestamp,
    /// When it was last used, exact to an hour or so.
    #[serde(deserialize_with = "time")]
    pub last_used: Timestamp,
}

/// What another service takes for the user until it expires. `Debug` shows nothing of it.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Ticket {
    #[serde(rename = "ticket", deserialize_with = "secret")]
    text: SecretString,
    /// When it expires.
    #[serde(deserialize_with = "time")]
    pub expires: Timestamp,
}

impl Ticket {
    /// The text, for `Authorization: Bearer` at the service it is for and no other.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
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

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

fn user_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UserName, D::Error> {
    text(deserializer, |text| UserName::parse(text).ok())
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

fn assembly_ref<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AssemblyRef, D::Error> {
    text(deserializer, AssemblyRef::parse)
}

fn run_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
    text(deserializer, |text| text.parse().ok())
}
