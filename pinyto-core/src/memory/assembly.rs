use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    Page,
    assembly::{
        Assembly, AssemblyCounts, AssemblyName, AssemblyRef, AssemblyRepository, AssemblySource,
        AssemblySummary, AuthorLimits, FunctionName, InstallOutcome, InstalledFunction,
        SaveOutcome,
    },
    clock::Timestamp,
    id::{AssemblyId, UserId},
    store::StoreError,
};

impl State {
    pub(super) fn assembly_of(&self, author: UserId, name: &str) -> Option<AssemblyId> {
        let named = |assembly: &Assembly| assembly.source.name().as_str() == name;
        self.assemblies
            .iter()
            .find(|(_, (owner, assembly))| *owner == author && named(assembly))
            .map(|(id, _)| *id)
    }

    fn assembly(&self, wanted: &AssemblyRef) -> Option<&Assembly> {
        let author = self.names.get(&wanted.author)?;
        let id = self.assembly_of(*author, wanted.name.as_str())?;
        self.assemblies.get(&id).map(|(_, assembly)| assembly)
    }

    pub(super) fn installed(&self, user: UserId, wanted: &AssemblyRef) -> Option<&Assembly> {
        self.assembly(wanted)
            .filter(|found| self.installations.contains(&(user, found.id)))
    }

    fn count_installed(&self, user: UserId) -> usize {
        self.installations
            .iter()
            .filter(|(owner, _)| *owner == user)
            .count()
    }

    fn count_own(&self, author: UserId) -> usize {
        self.assemblies
            .values()
            .filter(|(owner, _)| *owner == author)
            .count()
    }
}

fn summary(assembly: &Assembly) -> AssemblySummary {
    AssemblySummary {
        name: assembly.source.name().clone(),
        author: assembly.author.clone(),
        description: assembly.source.description().to_owned(),
    }
}

#[async_trait]
impl AssemblyRepository for MemoryStore {
    async fn save(
        &self,
        author: UserId,
        replaces: Option<&AssemblyName>,
        source: &AssemblySource,
        limits: AuthorLimits,
        at: Timestamp,
    ) -> Result<SaveOutcome, StoreError> {
        let mut state = self.lock();
        let original = replaces.and_then(|name| state.assembly_of(author, name.as_str()));
        let namesake = state.assembly_of(author, source.name().as_str());
        if namesake.is_some() && namesake != original {
            return Ok(SaveOutcome::NameTaken);
        }
        if original.is_none() && state.count_own(author) >= limits.assemblies {
            return Ok(SaveOutcome::LimitReached);
        }
        let others = state
            .assemblies
            .values()
            .filter(|(owner, assembly)| *owner == author && Some(assembly.id) != original);
        let bytes = others
            .map(|(_, assembly)| assembly.source.size())
            .sum::<u64>();
        if bytes.saturating_add(source.size()) > limits.bytes {
            return Ok(SaveOutcome::TooManyBytes);
        }
        if let Some((_, assembly)) = original.and_then(|id| state.assemblies.get_mut(&id)) {
            let id = assembly.id;
            let old = std::mem::replace(&mut assembly.source, source.clone());
            state.replan_jobs(id, &old, at);
            return Ok(SaveOutcome::Replaced);
        }
        let Some(name) = state
            .users
            .get(&author)
            .map(|found| found.user.name.clone())
        else {
            return Err(StoreError::corrupt(
                "assemblies",
                "an author who is no user",
            ));
        };
        let id = AssemblyId::new(state.next_id());
        let assembly = Assembly {
            id,
            author: name,
            source: source.clone(),
        };
        state.assemblies.insert(id, (author, assembly));
        Ok(SaveOutcome::Created)
    }

    async fn delete(&self, author: UserId, name: &AssemblyName) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(deleted) = state.assembly_of(author, name.as_str()) else {
            return Ok(false);
        };
        state.assemblies.remove(&deleted);
        state
            .installations
            .retain(|(_, installed)| *installed != deleted);
        state.cancel_jobs(deleted, None);
        Ok(true)
    }

    async fn find(&self, assembly: &AssemblyRef) -> Result<Option<Assembly>, StoreError> {
        Ok(self.lock().assembly(assembly).cloned())
    }

    async fn find_function(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        function: &FunctionName,
    ) -> Result<Option<InstalledFunction>, StoreError> {
        let state = self.lock();
        Ok(state.installed(user, assembly).map(|assembly| {
            let mut functions = assembly.source.api_functions().iter();
            InstalledFunction {
                assembly: assembly.id,
                only_own_data: assembly.source.only_own_data(),
                http_hosts: assembly.source.http_hosts().map(<[_]>::to_vec),
                code: functions
                    .find(|listed| listed.name == *function)
                    .map(|listed| listed.code.as_str().into()),
            }
        }))
    }

    async fn list_of_author(&self, author: UserId) -> Result<Vec<AssemblySource>, StoreError> {
        let state = self.lock();
        let own = state
            .assemblies
            .values()
            .filter(|(owner, _)| *owner == author);
        Ok(own.map(|(_, assembly)| assembly.source.clone()).collect())
    }

    async fn list_all(&self, page: Page) -> Result<Vec<AssemblySummary>, StoreError> {
        let state = self.lock();
        let bound = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let page = state
            .assemblies
            .values()
            .skip(bound(page.skip))
            .take(bound(page.count));
        Ok(page.map(|(_, assembly)| summary(assembly)).collect())
    }

    async fn list_installed(&self, user: UserId) -> Result<Vec<AssemblySummary>, StoreError> {
        let state = self.lock();
        let installed = state
            .installations
            .iter()
            .filter(|(owner, _)| *owner == user);
        let found = installed.filter_map(|(_, id)| state.assemblies.get(id));
        Ok(found.map(|(_, assembly)| summary(assembly)).collect())
    }

    async fn counts(&self, user: UserId) -> Result<AssemblyCounts, StoreError> {
        let state = self.lock();
        Ok(AssemblyCounts {
            own: state.count_own(user) as u64,
            installed: state.count_installed(user) as u64,
            all: state.assemblies.len() as u64,
        })
    }

    async fn install(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<InstallOutcome, StoreError> {
        let mut state = self.lock();
        let Some(id) = state.assembly(assembly).map(|found| found.id) else {
            return Ok(InstallOutcome::NotFound);
        };
        if !state.installations.contains(&(user, id)) {
            if state.count_installed(user) >= limit {
                return Ok(InstallOutcome::LimitReached);
            }
            state.installations.insert((user, id));
            state.plan_jobs(user, id, at);
        }
        Ok(InstallOutcome::Installed)
    }

    async fn uninstall(&self, user: UserId, assembly: &AssemblyRef) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let installed = state.installed(user, assembly).map(|found| found.id);
        let Some(id) = installed else {
            return Ok(false);
        };
        state.cancel_jobs(id, Some(user));
        Ok(state.installations.remove(&(user, id)))
    }
}
