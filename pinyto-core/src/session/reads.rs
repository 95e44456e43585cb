use async_trait::async_trait;

use super::Session;
use crate::{
    Page,
    assembly::{
        Assembly, AssemblyCounts, AssemblyName, AssemblyRef, AssemblySource, AssemblySummary,
        FunctionName, InstalledFunction,
    },
    clock::Timestamp,
    id::SessionId,
    job::JobState,
    key::Key,
    run::{Run, RunId},
    store::{Store, StoreError},
    usage::Usage,
};

/// A session that lives, and what was read for it; `None` if it has ended.
pub type ReadFor<T> = Option<(Session, T)>;

/// Reads whose precondition is that a session lives: whose data is read is the session's user.
///
/// Every request of a user begins with the look-up of her session, and most read one thing then.
/// A store that is far away answers both in one round trip; for all others the provided methods ask
/// the repositories one after the other.
#[async_trait]
pub trait SessionReads: Send + Sync {
    /// The store that the provided methods ask.
    fn store(&self) -> &dyn Store;

    /// Her keys, as [`KeyRepository::list`](crate::key::KeyRepository::list).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_keys(&self, session: SessionId) -> Result<ReadFor<Vec<Key>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let keys = self.store().keys().list(session.user.id).await?;
        Ok(Some((session, keys)))
    }

    /// The key that opened the session. `None` also if it is gone: it has taken the session with it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn key(&self, session: SessionId) -> Result<ReadFor<Key>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let keys = self.store().keys().list(session.user.id).await?;
        let key = keys.into_iter().find(|key| key.id == session.key);
        Ok(key.map(|key| (session, key)))
    }

    /// What she has used, and how many assemblies there are, as
    /// [`UserRepository::usage`](crate::user::UserRepository::usage) and
    /// [`AssemblyRepository::counts`](crate::assembly::AssemblyRepository::counts). `None` also if
    /// she is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn statistics(
        &self,
        session: SessionId,
    ) -> Result<ReadFor<(Usage, AssemblyCounts)>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let Some(usage) = self.store().users().usage(session.user.id).await? else {
            return Ok(None);
        };
        let counts = self.store().assemblies().counts(session.user.id).await?;
        Ok(Some((session, (usage, counts))))
    }

    /// What she has written, as
    /// [`AssemblyRepository::list_of_author`](crate::assembly::AssemblyRepository::list_of_author).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn own_assemblies(
        &self,
        session: SessionId,
    ) -> Result<ReadFor<Vec<AssemblySource>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let assemblies = self.store().assemblies();
        let listed = assemblies.list_of_author(session.user.id).await?;
        Ok(Some((session, listed)))
    }

    /// All assemblies, as
    /// [`AssemblyRepository::list_all`](crate::assembly::AssemblyRepository::list_all).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn all_assemblies(
        &self,
        session: SessionId,
        page: Page,
    ) -> Result<ReadFor<Vec<AssemblySummary>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let listed = self.store().assemblies().list_all(page).await?;
        Ok(Some((session, listed)))
    }

    /// What she has installed, as
    /// [`AssemblyRepository::list_installed`](crate::assembly::AssemblyRepository::list_installed).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn installed_assemblies(
        &self,
        session: SessionId,
    ) -> Result<ReadFor<Vec<AssemblySummary>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let assemblies = self.store().assemblies();
        let listed = assemblies.list_installed(session.user.id).await?;
        Ok(Some((session, listed)))
    }

    /// One assembly, as [`AssemblyRepository::find`](crate::assembly::AssemblyRepository::find).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn assembly(
        &self,
        session: SessionId,
        assembly: &AssemblyRef,
    ) -> Result<ReadFor<Option<Assembly>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let found = self.store().assemblies().find(assembly).await?;
        Ok(Some((session, found)))
    }

    /// A function that she calls, as
    /// [`AssemblyRepository::find_function`](crate::assembly::AssemblyRepository::find_function).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn function(
        &self,
        session: SessionId,
        assembly: &AssemblyRef,
        function: &FunctionName,
    ) -> Result<ReadFor<Option<InstalledFunction>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let (assemblies, user) = (self.store().assemblies(), session.user.id);
        let found = assemblies.find_function(user, assembly, function).await?;
        Ok(Some((session, found)))
    }

    /// Her jobs, as [`JobRepository::list_of_user`](crate::job::JobRepository::list_of_user).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_jobs(
        &self,
        session: SessionId,
        now: Timestamp,
        page: Page,
    ) -> Result<ReadFor<Vec<JobState>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let (jobs, user) = (self.store().jobs(), session.user.id);
        let listed = jobs.list_of_user(user, now, page).await?;
        Ok(Some((session, listed)))
    }

    /// Runs for her, as [`RunRepository::list_of_user`](crate::run::RunRepository::list_of_user).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list_runs(
        &self,
        session: SessionId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<ReadFor<Vec<Run>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let (runs, user) = (self.store().runs(), session.user.id);
        let listed = runs.list_of_user(user, assembly, page).await?;
        Ok(Some((session, listed)))
    }

    /// One run for her, as [`RunRepository::find`](crate::run::RunRepository::find).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find_run(
        &self,
        session: SessionId,
        run: RunId,
    ) -> Result<ReadFor<Option<Run>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let found = self.store().runs().find(session.user.id, run).await?;
        Ok(Some((session, found)))
    }

    /// The runs of an assembly of hers, as
    /// [`RunRepository::list_of_author`](crate::run::RunRepository::list_of_author).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn runs_of_own_assembly(
        &self,
        session: SessionId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<ReadFor<Option<Vec<Run>>>, StoreError> {
        let Some(session) = self.store().sessions().find(session).await? else {
            return Ok(None);
        };
        let (runs, author) = (self.store().runs(), session.user.id);
        let listed = runs.list_of_author(author, assembly, page).await?;
        Ok(Some((session, listed)))
    }
}
