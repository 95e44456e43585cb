//! The assemblies of the user, and those that are installed.

use super::{Fate, ImportError, UserImport};
use crate::assembly::{AssemblyRef, AssemblySource, FunctionName, InstallOutcome, SaveOutcome};

impl UserImport {
    pub(super) async fn assembly(&mut self, source: &AssemblySource) -> Result<(), ImportError> {
        let user = self.owner().await?;
        let name = AssemblyRef {
            author: user.name.clone(),
            name: source.name().clone(),
        };
        let assemblies = self.store.assemblies();
        match assemblies.find(&name).await.map_err(self.failed())? {
            Some(there) if there.source == *source => self.imported.known.assemblies += 1,
            Some(_) => self.imported.kept.assemblies += 1,
            None => {
                let limits = self.settings.author_limits;
                let (replaces, at) = (Some(source.name()), self.now);
                let saved = assemblies.save(user.id, replaces, source, limits, at).await;
                match saved.map_err(self.failed())? {
                    SaveOutcome::LimitReached | SaveOutcome::TooManyBytes => {
                        return Err(self.wrong("the user has as many assemblies as she may have"));
                    }
                    _ => self.imported.new.assemblies += 1,
                }
            }
        }
        Ok(())
    }

    pub(super) async fn installed(&mut self, assembly: &AssemblyRef) -> Result<(), ImportError> {
        match self.install(assembly).await? {
            Some(Fate::New) => {}
            Some(_) => self.imported.known.installed += 1,
            None => self.imported.missing.push(assembly.to_string()),
        }
        Ok(())
    }

    /// Installs an assembly if it is here and isn't installed.
    async fn install(&mut self, assembly: &AssemblyRef) -> Result<Option<Fate>, ImportError> {
        let user = self.owner().await?;
        let assemblies = self.store.assemblies();
        // Any function would do: what counts is whether there is an answer.
        let any = FunctionName::parse(assembly.name.as_str());
        let any = any.map_err(|error| self.wrong(error.to_string()))?;
        let found = assemblies.find_function(user.id, assembly, &any);
        if found.await.map_err(self.failed())?.is_some() {
            return Ok(Some(Fate::Known));
        }
        let limit = self.settings.max_installed;
        let installed = assemblies.install(user.id, assembly, limit, self.now).await;
        match installed.map_err(self.failed())? {
            InstallOutcome::Installed => {
                self.imported.new.installed += 1;
                self.imported.installed.push(assembly.to_string());
                Ok(Some(Fate::New))
            }
            InstallOutcome::NotFound => Ok(None),
            InstallOutcome::LimitReached => {
                Err(self.wrong(format!("a user installs at most {limit} assemblies")))
            }
        }
    }

    /// The assembly to which the documents of `assembly` go.
    pub(super) async fn home(
        &mut self,
        assembly: &AssemblyRef,
    ) -> Result<AssemblyRef, ImportError> {
        if let Some(home) = self.homes.get(assembly) {
            return Ok(home.clone());
        }
        let wanted = [Some(assembly.clone()), self.settings.assembly.clone()];
        for home in wanted.into_iter().flatten() {
            if self.install(&home).await?.is_none() {
                continue;
            }
            self.homes.insert(assembly.clone(), home.clone());
            return Ok(home);
        }
        Err(self.wrong(format!(
            "there is no assembly {assembly}, and none is named to which its documents could go"
        )))
    }
}
