//! Documents and statistics.

use pinyto_core::document::Statistics;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Request;

/// Stores a document.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreDocument {
    /// What kind of document it is: a string or a number, not empty; a number is kept as its text.
    #[serde(rename = "type", deserialize_with = "pinyto_core::json::deserialize")]
    pub kind: Value,
    /// The document, any JSON value.
    #[serde(deserialize_with = "pinyto_core::json::deserialize")]
    pub data: Value,
    /// A string or a list of strings and numbers; everything else in the list is dropped, and
    /// anything that is neither means no tags.
    #[serde(default, deserialize_with = "pinyto_core::json::deserialize")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub tags: Value,
}

impl Request for StoreDocument {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("type", "a string or a number"),
        ("data", "any JSON value"),
        ("tags", "a string or a list"),
    ];
}

/// What `store` answers.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredAnswer {
    /// Always `true`.
    pub success: bool,
    /// The document's identifier: 24 hexadecimal digits.
    #[serde(rename = "_id")]
    pub id: String,
}

/// What the user has used, and how many assemblies there are.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatisticsAnswer {
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

impl From<Statistics> for StatisticsAnswer {
    fn from(
        Statistics {
            usage, assemblies, ..
        }: Statistics,
    ) -> Self {
        Self {
            time_budget: usage.cpu_time.as_secs_f64(),
            storage_budget: usage.byte_seconds,
            current_storage: usage.bytes,
            last_calculation: usage.calculated_at.unix_seconds(),
            assembly_count: assemblies.own,
            installed_assemblies_count: assemblies.installed,
            all_assemblies_count: assemblies.all,
        }
    }
}
