//! What an author writes.

use std::{collections::HashSet, hash::Hash};

use serde::Serialize;

use super::{AssemblyName, DataAccess, Function, Job};
use crate::{
    egress::{HostPattern, InvalidHostPattern},
    query::{InvalidPath, Path},
};

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

    /// An assembly of that name, to be given what it consists of.
    ///
    /// ```
    /// use pinyto_core::assembly::{AssemblyName, AssemblySource, Function, FunctionName};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hello = Function::new(FunctionName::parse("hello")?, "return {'hello': request.user}");
    /// let greetings = AssemblySource::builder(AssemblyName::parse("Greetings")?)
    ///     .description("Says hello.")
    ///     .functions([hello])
    ///     .build()?;
    /// assert!(greetings.only_own_data());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn builder(name: AssemblyName) -> AssemblySourceBuilder {
        AssemblySourceBuilder(Self {
            name,
            description: String::new(),
            api_functions: Vec::new(),
            jobs: Vec::new(),
            only_own_data: true,
            indexes: Vec::new(),
            http_hosts: None,
        })
    }

    /// The same assembly, to be changed.
    pub fn into_builder(self) -> AssemblySourceBuilder {
        AssemblySourceBuilder(self)
    }

    /// The bytes of names, description, code and indexes: what counts for
    /// [`AuthorLimits::bytes`](super::AuthorLimits::bytes).
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

/// An assembly that is being written: see [`AssemblySource::builder`].
#[derive(Clone, Debug)]
#[must_use = "it is an assembly only when it is built"]
pub struct AssemblySourceBuilder(AssemblySource);

impl AssemblySourceBuilder {
    /// What the author says about it. Default: nothing.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.0.description = description.into();
        self
    }

    /// Further functions.
    pub fn functions(mut self, functions: impl IntoIterator<Item = Function>) -> Self {
        self.0.api_functions.extend(functions);
        self
    }

    /// Further jobs.
    pub fn jobs(mut self, jobs: impl IntoIterator<Item = Job>) -> Self {
        self.0.jobs.extend(jobs);
        self
    }

    /// Which documents its code sees. Default: [`DataAccess::OwnOnly`].
    pub fn access(mut self, access: DataAccess) -> Self {
        self.0.only_own_data = access == DataAccess::OwnOnly;
        self
    }

    /// Further indexes: paths that its code looks documents up or sorts them by. Whoever installs
    /// the assembly can be answered queries at these paths without reading all documents.
    pub fn indexes(mut self, indexes: impl IntoIterator<Item = Path>) -> Self {
        self.0.indexes.extend(indexes);
        self
    }

    /// A promise: its code fetches from these hosts only. Default: `None`, with which it may fetch
    /// from all that the operator allows.
    pub fn http_hosts(mut self, hosts: impl Into<Option<Vec<HostPattern>>>) -> Self {
        self.0.http_hosts = hosts.into();
        self
    }

    /// Checks what belongs together.
    ///
    /// # Errors
    ///
    /// [`InvalidAssembly`] if something is there twice or is too much.
    pub fn build(self) -> Result<AssemblySource, InvalidAssembly> {
        check(&self.0)?;
        Ok(self.0)
    }
}

fn check(source: &AssemblySource) -> Result<(), InvalidAssembly> {
    let (functions, jobs) = (&source.api_functions, &source.jobs);
    let most = AssemblySource::MAX_PARTS;
    if functions.len() > most || jobs.len() > most {
        return Err(InvalidAssembly::TooManyParts);
    }
    if source.description.len() > AssemblySource::MAX_DESCRIPTION {
        return Err(InvalidAssembly::DescriptionTooLong);
    }
    let codes = || {
        let of_functions = functions.iter().map(|function| &function.code);
        of_functions.chain(jobs.iter().map(|job| &job.code))
    };
    if codes().any(|code| code.len() > AssemblySource::MAX_CODE) {
        return Err(InvalidAssembly::CodeTooLong);
    }
    let mut texts = codes().chain([&source.description]);
    if texts.any(|text| text.contains('\0')) {
        return Err(InvalidAssembly::NulCharacter);
    }
    let names = functions.iter().map(|function| function.name.as_str());
    refuse_duplicates("function", names)?;
    refuse_duplicates("job", jobs.iter().map(|job| job.name.as_str()))?;
    if source.indexes.len() > AssemblySource::MAX_INDEXES {
        return Err(InvalidAssembly::TooManyIndexes);
    }
    if let Some(path) = first_duplicate(&source.indexes) {
        let path = path.clone();
        return Err(InvalidAssembly::DuplicateIndex { path });
    }
    let hosts = source.http_hosts.as_deref().unwrap_or_default();
    if hosts.len() > AssemblySource::MAX_HOSTS {
        return Err(InvalidAssembly::TooManyHosts);
    }
    Ok(())
}

fn refuse_duplicates<'a>(
    kind: &'static str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), InvalidAssembly> {
    match first_duplicate(names) {
        None => Ok(()),
        Some(name) => Err(InvalidAssembly::DuplicateName {
            kind,
            name: name.to_owned(),
        }),
    }
}

fn first_duplicate<T: Eq + Hash + Copy>(things: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    things.into_iter().find(|thing| !seen.insert(*thing))
}

fn as_texts<S: serde::Serializer>(paths: &[Path], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(Path::as_str))
}
