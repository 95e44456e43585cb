use async_trait::async_trait;

use super::{
    Assembly, AssemblyCounts, AssemblyName, AssemblyRef, AssemblySource, AssemblySummary,
    FunctionName, InstalledFunction,
};
use crate::{Page, clock::Timestamp, id::UserId, store::StoreError};

/// How much one author may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorLimits {
    /// The most assemblies.
    pub assemblies: usize,
    /// The most bytes of all of them together, each counted as [`AssemblySource::size`] says.
    pub bytes: u64,
}

impl AuthorLimits {
    /// So many assemblies, and so many bytes of all of them together.
    #[must_use]
    pub const fn new(assemblies: usize, bytes: u64) -> Self {
        Self { assemblies, bytes }
    }
}

/// What became of an assembly that was to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveOutcome {
    /// A new assembly was made.
    Created,
    /// The assembly of the original name was replaced, and renamed if the names differ.
    Replaced,
    /// The author has another assembly of the new name; nothing was changed.
    NameTaken,
    /// The author has as many assemblies as allowed; nothing was changed.
    LimitReached,
    /// With it the author's assemblies would take more bytes than allowed; nothing was changed.
    TooManyBytes,
}

/// What became of an assembly that was to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallOutcome {
    /// The user has it installed now (or had already).
    Installed,
    /// There is no such assembly.
    NotFound,
    /// The user has installed as many as allowed; nothing was changed.
    LimitReached,
}

/// Where assemblies are kept, and who has installed which.
#[async_trait]
pub trait AssemblyRepository: Send + Sync {
    /// Saves `source`, all or nothing: in the place of the author's assembly `replaces` if
    /// there is one (everything it listed is gone afterwards, it keeps its identity, so whoever
    /// installed it keeps it), otherwise as a new one unless the author has as many as
    /// `limits` allow; either way only if all of the author's then take no more bytes than allowed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn save(
        &self,
        author: UserId,
        replaces: Option<&AssemblyName>,
        source: &AssemblySource,
        limits: AuthorLimits,
        at: Timestamp,
    ) -> Result<SaveOutcome, StoreError>;

    /// Deletes the author's assembly and uninstalls it everywhere; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn delete(&self, author: UserId, name: &AssemblyName) -> Result<bool, StoreError>;

    /// The assembly with everything it lists, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(&self, assembly: &AssemblyRef) -> Result<Option<Assembly>, StoreError>;

    /// The function of the assembly, if the user has the assembly installed. Called once per
    /// function call.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find_function(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        function: &FunctionName,
    ) -> Result<Option<InstalledFunction>, StoreError>;

    /// The author's assemblies with everything they list, in the order they were made.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_of_author(&self, author: UserId) -> Result<Vec<AssemblySource>, StoreError>;

    /// A page of all assemblies of the store, in the order they were made.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_all(&self, page: Page) -> Result<Vec<AssemblySummary>, StoreError>;

    /// The assemblies the user has installed, in the order they were made.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_installed(&self, user: UserId) -> Result<Vec<AssemblySummary>, StoreError>;

    /// How many assemblies the user has written and installed, and how many there are.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn counts(&self, user: UserId) -> Result<AssemblyCounts, StoreError>;

    /// Installs the assembly for the user, unless she has `limit` installed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn install(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<InstallOutcome, StoreError>;

    /// Uninstalls the assembly; says whether the user had it installed. Her documents stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn uninstall(&self, user: UserId, assembly: &AssemblyRef) -> Result<bool, StoreError>;
}
