//! Assemblies: named bundles of functions and jobs that authors write and users install.

mod bundled;
mod call;
mod execution;
mod name;
mod publish;
mod repository;
mod service;

use std::{collections::HashSet, fmt, sync::Arc};

pub use bundled::bundled_assemblies;
pub use call::{CallAnswer, CallRequest, InvalidCallRequest};
pub(crate) use execution::Task;
pub use name::{AssemblyName, FunctionName, InvalidAssemblyName, JobName};
pub use repository::{AssemblyRepository, AuthorLimits, InstallOutcome, SaveOutcome};
use serde::{Deserialize, Serialize};
pub use service::MAX_LISTED;

use crate::{
    egress::{HostPattern, InvalidHostPattern},
    id::AssemblyId,
    query::{InvalidPath, Path},
    user::UserName,
};

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

/// An assembly as its author writes it, checked. Serializes as the protocol's `data` structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssemblySource {
    name: AssemblyName,
    description: String,
    api_functions: Vec<Function>,
    jobs: Vec<Job>,
    only_own_data: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts")]
    indexes: Vec<Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_hosts: Option<Vec<HostPattern>>,
}

/// Why what an author sent is no assembly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAssembly {
    /// Two functions or two jobs have one name.
    #[error("The {kind} {name} is listed twice; names are unique within their assembly.")]
    DuplicateName {
        /// `function` or `job`.
        kind: &'static str,
        /// The name they share.
        name: String,
    },
    /// Too many functions or jobs.
    #[error("An assembly has at most {max} functions and as many jobs.", max = AssemblySource::MAX_PARTS)]
    TooManyParts,
    /// The description is too long.
    #[error("An assembly's description has at most {max} bytes.", max = AssemblySource::MAX_DESCRIPTION)]
    DescriptionTooLong,
    /// The code of a function or job is too long.
    #[error("The code of a function or job has at most {max} bytes.", max = AssemblySource::MAX_CODE)]
    CodeTooLong,
    /// Too many indexes.
    #[error("An assembly has at most {max} indexes.", max = AssemblySource::MAX_INDEXES)]
    TooManyIndexes,
    /// Two indexes are of one path.
    #[error("The index {path} is listed twice.")]
    DuplicateIndex {
        /// The path they share.
        path: Path,
    },
    /// Too many hosts.
    #[error("An assembly names at most {max} hosts.", max = AssemblySource::MAX_HOSTS)]
    TooManyHosts,
    /// What should be a host is none.
    #[error("http_hosts has something else than hosts. {0}")]
    InvalidHost(#[from] InvalidHostPattern),
    /// An index is of no path.
    #[error("An index is a path. {0}")]
    InvalidIndex(#[from] InvalidPath),
    /// Code that can't be run, whatever it is asked.
    #[error("The code of the {kind} {name} can't be run: {reason}.")]
    InvalidCode {
        /// `function` or `job`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// NUL characters, which no Python source may contain.
    #[error("Descriptions and code must not contain NUL characters.")]
    NulCharacter,
}

impl InvalidAssembly {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DuplicateName { .. } => "assembly_duplicate_name",
            Self::TooManyParts => "assembly_too_many_parts",
            Self::DescriptionTooLong => "assembly_description_too_long",
            Self::CodeTooLong => "assembly_code_too_long",
            Self::TooManyIndexes => "assembly_too_many_indexes",
            Self::DuplicateIndex { .. } => "assembly_duplicate_index",
            Self::TooManyHosts => "assembly_too_many_hosts",
            Self::InvalidHost(_) => "assembly_invalid_host",
            Self::InvalidIndex(_) => "assembly_invalid_index",
            Self::InvalidCode { .. } => "assembly_invalid_code",
            Self::NulCharacter => "assembly_nul_character",
        }
    }
}

impl AssemblySource {
    /// The most functions, and the most jobs, of one assembly.
    pub const MAX_PARTS: usize = 256;
    /// The most hosts of one assembly.
    pub const MAX_HOSTS: usize = 64;
    /// The most indexes of one assembly.
    pub const MAX_INDEXES: usize = 16;
    /// The longest description, in bytes.
    pub const MAX_DESCRIPTION: usize = 4 * 1024;
    /// The longest code of a function or a job, in bytes.
    pub const MAX_CODE: usize = 256 * 1024;

    /// Checks what belongs together.
    ///
    /// # Errors
    ///
    /// [`InvalidAssembly`] if a name is there twice or something is too much.
    pub fn new(
        name: AssemblyName,
        description: String,
        api_functions: Vec<Function>,
        jobs: Vec<Job>,
        access: DataAccess,
    ) -> Result<Self, InvalidAssembly> {
        if api_functions.len() > Self::MAX_PARTS || jobs.len() > Self::MAX_PARTS {
            return Err(InvalidAssembly::TooManyParts);
        }
        if description.len() > Self::MAX_DESCRIPTION {
            return Err(InvalidAssembly::DescriptionTooLong);
        }
        let codes = || {
            api_functions
                .iter()
                .map(|f| &f.code)
                .chain(jobs.iter().map(|j| &j.code))
        };
        if codes().any(|code| code.len() > Self::MAX_CODE) {
            return Err(InvalidAssembly::CodeTooLong);
        }
        if codes()
            .chain([&description])
            .any(|text| text.contains('\0'))
        {
            return Err(InvalidAssembly::NulCharacter);
        }
        refuse_duplicates(
            "function",
            api_functions.iter().map(|function| function.name.as_str()),
        )?;
        refuse_duplicates("job", jobs.iter().map(|job| job.name.as_str()))?;
        Ok(Self {
            name,
            description,
            api_functions,
            jobs,
            only_own_data: access == DataAccess::OwnOnly,
            indexes: Vec::new(),
            http_hosts: None,
        })
    }

    /// The same assembly with indexes: paths that its code looks documents up or sorts them by.
    /// Whoever installs it can be answered queries at these paths without reading all documents.
    ///
    /// # Errors
    ///
    /// [`InvalidAssembly`] if there are more than [`AssemblySource::MAX_INDEXES`] or one is there
    /// twice.
    pub fn with_indexes(self, indexes: Vec<Path>) -> Result<Self, InvalidAssembly> {
        if indexes.len() > Self::MAX_INDEXES {
            return Err(InvalidAssembly::TooManyIndexes);
        }
        let mut seen = HashSet::new();
        if let Some(twice) = indexes.iter().find(|path| !seen.insert(*path)) {
            return Err(InvalidAssembly::DuplicateIndex {
                path: twice.clone(),
            });
        }
        Ok(Self { indexes, ..self })
    }

    /// The same assembly with a promise: its code fetches from these hosts only. Without one it may
    /// fetch from all that the operator allows.
    ///
    /// # Errors
    ///
    /// [`InvalidAssembly::TooManyHosts`].
    pub fn with_http_hosts(
        self,
        http_hosts: Option<Vec<HostPattern>>,
    ) -> Result<Self, InvalidAssembly> {
        if http_hosts
            .as_ref()
            .is_some_and(|hosts| hosts.len() > Self::MAX_HOSTS)
        {
            return Err(InvalidAssembly::TooManyHosts);
        }
        Ok(Self { http_hosts, ..self })
    }

    /// The bytes of names, description, code and indexes: what counts for [`AuthorLimits::bytes`].
    #[must_use]
    pub fn size(&self) -> u64 {
        let functions = self
            .api_functions
            .iter()
            .map(|part| part.name.as_str().len() + part.code.len());
        let jobs = self
            .jobs
            .iter()
            .map(|part| part.name.as_str().len() + part.code.len());
        let indexes = self.indexes.iter().map(|path| path.as_str().len());
        let hosts = self.http_hosts.iter().flatten();
        let hosts = hosts.map(|host| host.to_string().len());
        let parts: usize = functions.chain(jobs).chain(indexes).chain(hosts).sum();
        (self.name.as_str().len() + self.description.len() + parts) as u64
    }

    /// The name, unique among the author's assemblies.
    #[must_use]
    pub const fn name(&self) -> &AssemblyName {
        &self.name
    }

    /// What the author says about it.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The functions, in the author's order.
    #[must_use]
    pub fn api_functions(&self) -> &[Function] {
        &self.api_functions
    }

    /// The jobs, in the author's order.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Whether its code sees only the documents it stored itself.
    #[must_use]
    pub const fn only_own_data(&self) -> bool {
        self.only_own_data
    }

    /// The paths that its code looks documents up or sorts them by, in the author's order.
    #[must_use]
    pub fn indexes(&self) -> &[Path] {
        &self.indexes
    }

    /// The hosts that its code may fetch from, if the author has named them.
    #[must_use]
    pub fn http_hosts(&self) -> Option<&[HostPattern]> {
        self.http_hosts.as_deref()
    }
}

fn refuse_duplicates<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), InvalidAssembly> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(InvalidAssembly::DuplicateName {
                kind,
                name: name.to_owned(),
            });
        }
    }
    Ok(())
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

fn as_texts<S: serde::Serializer>(paths: &[Path], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(Path::as_str))
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
