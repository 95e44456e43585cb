//! Assemblies as their authors write them and as users find them.

use std::fmt;

use serde::{Deserialize, Serialize};

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
