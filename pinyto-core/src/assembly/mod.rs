//! Assemblies: named bundles of functions and jobs that authors write and users install.

mod bundled;
mod call;
mod execution;
mod name;
mod publish;
mod repository;
mod service;
mod source;

use std::{fmt, sync::Arc};

pub use bundled::bundled_assemblies;
pub use call::{CallAnswer, CallRequest, InvalidCallRequest};
pub(crate) use execution::Task;
pub use name::{AssemblyName, FunctionName, InvalidAssemblyName, JobName};
pub use repository::{AssemblyRepository, AuthorLimits, InstallOutcome, SaveOutcome};
use serde::{Deserialize, Serialize};
pub use service::MAX_LISTED;
pub use source::{AssemblySource, AssemblySourceBuilder, InvalidAssembly};

use crate::{egress::HostPattern, id::AssemblyId, user::UserName};

/// What an assembly is referred to by: `author/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssemblyRef {
    /// Who wrote it.
    pub author: UserName,
    /// Its name, unique among the author's.
    pub name: AssemblyName,
}

impl AssemblyRef {
    /// Reads `author/name`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (author, name) = text.split_once('/')?;
        Some(Self {
            author: UserName::parse(author).ok()?,
            name: AssemblyName::parse(name).ok()?,
        })
    }
}

/// `author/name`.
impl fmt::Display for AssemblyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.author, self.name)
    }
}

/// A function of an assembly: answers a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Function {
    /// Unique among the functions of the assembly.
    pub name: FunctionName,
    /// The Python source of its body.
    pub code: String,
}

impl Function {
    /// A function with the Python source of its body.
    #[must_use]
    pub fn new(name: FunctionName, code: impl Into<String>) -> Self {
        Self {
            name,
            code: code.into(),
        }
    }
}

/// A job of an assembly: runs on a schedule or when queued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Job {
    /// Unique among the jobs of the assembly.
    pub name: JobName,
    /// The Python source of its body.
    pub code: String,
    /// Minutes until the job runs again; 0: it runs once.
    pub schedule: Schedule,
}

impl Job {
    /// A job with the Python source of its body. It runs once, unless [`Job::every`] says when
    /// again.
    #[must_use]
    pub fn new(name: JobName, code: impl Into<String>) -> Self {
        Self {
            name,
            code: code.into(),
            schedule: Schedule::default(),
        }
    }

    /// The same job on a schedule.
    #[must_use]
    pub fn every(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }
}

/// Minutes from one run of a job to the next; 0: the job runs once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(u32);

impl Schedule {
    /// The longest interval: ten years in minutes.
    pub const MAX_MINUTES: u32 = 10 * 366 * 24 * 60;

    /// An interval of `minutes`, if it is not longer than [`Schedule::MAX_MINUTES`].
    #[must_use]
    pub fn from_minutes(minutes: u64) -> Option<Self> {
        u32::try_from(minutes)
            .ok()
            .filter(|minutes| *minutes <= Self::MAX_MINUTES)
            .map(Self)
    }

    /// The interval in minutes.
    #[must_use]
    pub const fn minutes(self) -> u32 {
        self.0
    }
}

/// Which of a user's documents the code of an assembly sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAccess {
    /// Those it has stored itself.
    OwnOnly,
    /// All of them.
    All,
}

impl DataAccess {
    /// What the protocol's field `only_own_data` says.
    #[must_use]
    pub const fn from_only_own_data(only_own_data: bool) -> Self {
        if only_own_data {
            Self::OwnOnly
        } else {
            Self::All
        }
    }
}

/// An assembly as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assembly {
    /// The store's identifier; stays the same when the author renames or replaces the assembly.
    pub id: AssemblyId,
    /// Who wrote it.
    pub author: UserName,
    /// What the author wrote.
    pub source: AssemblySource,
}

impl Assembly {
    /// What the author wrote, under the store's identifier.
    #[must_use]
    pub const fn new(id: AssemblyId, author: UserName, source: AssemblySource) -> Self {
        Self { id, author, source }
    }
}

/// What it takes to run a function of an assembly that a user has installed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstalledFunction {
    /// The assembly it belongs to.
    pub assembly: AssemblyId,
    /// Whether its code sees only the documents that the assembly stored.
    pub only_own_data: bool,
    /// The hosts it may fetch from, if the author has named them.
    pub http_hosts: Option<Vec<HostPattern>>,
    /// The Python source of its body; `None` if the assembly has no such function.
    pub code: Option<Arc<str>>,
}

impl InstalledFunction {
    /// The code of a function, if the assembly has it. It sees only what the assembly stored, and may
    /// fetch from all hosts that the operator allows.
    #[must_use]
    pub const fn new(assembly: AssemblyId, code: Option<Arc<str>>) -> Self {
        Self {
            assembly,
            only_own_data: true,
            http_hosts: None,
            code,
        }
    }
}

/// What a list says about an assembly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AssemblySummary {
    /// Its name.
    pub name: AssemblyName,
    /// Who wrote it.
    #[serde(serialize_with = "as_text")]
    pub author: UserName,
    /// What the author says about it.
    pub description: String,
}

impl AssemblySummary {
    /// The name of an assembly, who wrote it and what she says about it.
    #[must_use]
    pub const fn new(name: AssemblyName, author: UserName, description: String) -> Self {
        Self {
            name,
            author,
            description,
        }
    }
}

fn as_text<S: serde::Serializer>(name: &UserName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

/// How many assemblies there are, from a user's point of view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssemblyCounts {
    /// Written by the user.
    pub own: u64,
    /// Installed by the user.
    pub installed: u64,
    /// In the store.
    pub all: u64,
}
