use tokio::task::JoinError;

use super::{
    Assembly, AssemblyName, AssemblyRef, AssemblySource, AssemblySummary, AuthorLimits, CallAnswer,
    CallRequest, FunctionName, InstallOutcome, InvalidAssembly, SaveOutcome, execution::Task,
};
use crate::{
    Page,
    cloud::Cloud,
    error::{Error, Limited},
    id::UserId,
    run::RunPart,
    runtime::CodeError,
    session::{Session, SessionClaim},
};

/// The most assemblies that one call of [`Cloud::list_all_assemblies`] gives.
pub const MAX_LISTED: u64 = 1000;

impl Cloud {
    /// Saves an assembly of the user: in the place of the one named `replaces` if she has
    /// it (whoever installed it keeps it, also under a new name), otherwise as a new one. What
    /// `source` doesn't list is gone afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::AssemblyNameTaken`] if she has another one of the new name,
    /// [`Error::LimitReached`], [`Error::InvalidAssembly`] if there is a runtime that can't run
    /// the code. A refused save changes nothing.
    pub async fn save_assembly(
        &self,
        session: &Session,
        replaces: Option<&AssemblyName>,
        source: &AssemblySource,
    ) -> Result<(), Error> {
        let (author, limits) = (session.user.id, self.settings().author_limits);
        self.check_code_in_task(author, source).await?;
        self.save_as(author, replaces, source, limits).await
    }

    /// Saves what the author may save, and says why not if she may not.
    pub(super) async fn save_as(
        &self,
        author: UserId,
        replaces: Option<&AssemblyName>,
        source: &AssemblySource,
        limits: AuthorLimits,
    ) -> Result<(), Error> {
        let assemblies = self.store().assemblies();
        let saved = assemblies
            .save(author, replaces, source, limits, self.now())
            .await?;
        match saved {
            SaveOutcome::Created => Ok(()),
            SaveOutcome::Replaced => {
                self.wake_scheduler();
                Ok(())
            }
            SaveOutcome::NameTaken => Err(Error::AssemblyNameTaken),
            SaveOutcome::LimitReached => Err(Error::LimitReached {
                things: Limited::Assemblies,
                limit: limits.assemblies as u64,
            }),
            SaveOutcome::TooManyBytes => Err(Error::LimitReached {
                things: Limited::AssemblyBytes,
                limit: limits.bytes,
            }),
        }
    }

    /// Checks the code in a task, because what it uses is booked also if the caller goes away.
    pub(super) async fn check_code_in_task(
        &self,
        author: UserId,
        source: &AssemblySource,
    ) -> Result<(), Error> {
        if self.runtime().is_none() {
            return Ok(());
        }
        let (cloud, source) = (self.clone(), source.clone());
        let checking = self
            .tasks()
            .spawn(async move { cloud.check_code(author, &source).await });
        checking.await.map_err(broken_off)?
    }

    /// Refuses code that can't be run. Looking at it is booked to its author.
    async fn check_code(&self, author: UserId, source: &AssemblySource) -> Result<(), Error> {
        let Some(runtime) = self.runtime() else {
            return Ok(());
        };
        self.check_cpu_quota(author).await?;
        let functions = source.api_functions().iter();
        let functions = functions.map(|part| ("function", part.name.as_str(), &part.code));
        let jobs = source.jobs().iter();
        let jobs = jobs.map(|part| ("job", part.name.as_str(), &part.code));
        for (kind, name, code) in functions.chain(jobs) {
            let checked = runtime.check(author, code).await;
            self.book(author, checked.cpu_time);
            checked.outcome.map_err(|error| match error {
                CodeError::Busy { .. } | CodeError::Unavailable => error.into(),
                error => Error::from(InvalidAssembly::InvalidCode {
                    kind,
                    name: name.to_owned(),
                    reason: error.to_string().trim_end_matches('.').to_owned(),
                }),
            })?;
        }
        Ok(())
    }

    /// Deletes an assembly of the user and uninstalls it everywhere.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAssembly`] if she has none of that name.
    pub async fn delete_assembly(
        &self,
        session: &Session,
        name: &AssemblyName,
    ) -> Result<(), Error> {
        let deleted = self
            .store()
            .assemblies()
            .delete(session.user.id, name)
            .await?;
        if deleted {
            Ok(())
        } else {
            Err(Error::UnknownAssembly)
        }
    }

    /// The user's assemblies with everything they list, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_own_assemblies(
        &self,
        session: impl Into<SessionClaim> + Send,
    ) -> Result<Vec<AssemblySource>, Error> {
        let claim = session.into();
        let read = self.store().reads().own_assemblies(claim.id);
        Ok(self.admitted(claim, read.await?).await?.1)
    }

    /// A page of all assemblies, oldest first; no more than [`MAX_LISTED`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_all_assemblies(
        &self,
        session: impl Into<SessionClaim> + Send,
        page: Page,
    ) -> Result<Vec<AssemblySummary>, Error> {
        let (claim, page) = (session.into(), page.at_most(MAX_LISTED));
        let read = self.store().reads().all_assemblies(claim.id, page);
        Ok(self.admitted(claim, read.await?).await?.1)
    }

    /// The assemblies that the user has installed, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_installed_assemblies(
        &self,
        session: impl Into<SessionClaim> + Send,
    ) -> Result<Vec<AssemblySummary>, Error> {
        let claim = session.into();
        let read = self.store().reads().installed_assemblies(claim.id);
        Ok(self.admitted(claim, read.await?).await?.1)
    }

    /// An assembly with its source, which everybody may read.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAssembly`] if there is none; [`Error::UnknownToken`] if the session has
    /// ended.
    pub async fn assembly_source(
        &self,
        session: impl Into<SessionClaim> + Send,
        assembly: &AssemblyRef,
    ) -> Result<Assembly, Error> {
        let claim = session.into();
        let read = self.store().reads().assembly(claim.id, assembly);
        let (_, found) = self.admitted(claim, read.await?).await?;
        found.ok_or(Error::UnknownAssembly)
    }

    /// Installs an assembly for the user. Installing it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAssembly`], [`Error::LimitReached`].
    pub async fn install_assembly(
        &self,
        session: &Session,
        assembly: &AssemblyRef,
    ) -> Result<(), Error> {
        let limit = self.settings().max_installed;
        let (assemblies, user) = (self.store().assemblies(), session.user.id);
        match assemblies
            .install(user, assembly, limit, self.now())
            .await?
        {
            InstallOutcome::Installed => {
                self.wake_scheduler();
                Ok(())
            }
            InstallOutcome::NotFound => Err(Error::UnknownAssembly),
            InstallOutcome::LimitReached => Err(Error::LimitReached {
                things: Limited::InstalledAssemblies,
                limit: limit as u64,
            }),
        }
    }

    /// Uninstalls an assembly. The user's documents stay.
    ///
    /// # Errors
    ///
    /// [`Error::AssemblyNotInstalled`] if she has not installed it (or there is none).
    pub async fn uninstall_assembly(
        &self,
        session: &Session,
        assembly: &AssemblyRef,
    ) -> Result<(), Error> {
        let done = self
            .store()
            .assemblies()
            .uninstall(session.user.id, assembly)
            .await?;
        if done {
            Ok(())
        } else {
            Err(Error::AssemblyNotInstalled)
        }
    }

    /// Calls a function of an assembly that the user has installed.
    ///
    /// The call goes on, and is booked to the user, if nobody waits for its answer any more.
    ///
    /// # Errors
    ///
    /// [`Error::AssemblyNotInstalled`], [`Error::UnknownFunction`],
    /// [`Error::CodeExecutionDisabled`] if this cloud has no runtime, [`Error::CodeFailed`],
    /// [`Error::InvalidAnswer`], [`Error::Busy`]; [`Error::UnknownToken`] if the session has ended.
    pub async fn call_function(
        &self,
        session: impl Into<SessionClaim> + Send,
        assembly: &AssemblyRef,
        function: &FunctionName,
        request: &CallRequest,
    ) -> Result<CallAnswer, Error> {
        let reads = self.store().reads();
        let claim = session.into();
        let read = reads.function(claim.id, assembly, function);
        let (session, found) = self.admitted(claim, read.await?).await?;
        let found = found.ok_or(Error::AssemblyNotInstalled)?;
        let code = found.code.ok_or(Error::UnknownFunction)?;
        let runtime = self.runtime().ok_or(Error::CodeExecutionDisabled)?.clone();
        self.check_quota(session.user.id).await?;
        let task = Task {
            run: self.new_run_id(),
            user: session.user,
            assembly: found.assembly,
            assembly_name: assembly.clone(),
            part: RunPart::Function(function.clone()),
            only_own_data: found.only_own_data,
            http_hosts: found.http_hosts,
            code,
            request: request.clone(),
        };
        // In a task, because what it uses is booked also if the caller goes away.
        let cloud = self.clone();
        let running = self
            .tasks()
            .spawn(async move { cloud.run_function(runtime.as_ref(), task).await });
        running.await.map_err(broken_off)?
    }
}

/// A task that has no result: it panicked, or the program ends.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken_off(error: JoinError) -> Error {
    if error.is_panic() {
        tracing::error!(%error, "running code broke off");
        return Error::RuntimeUnavailable;
    }
    Error::ShuttingDown
}
