use std::fmt;

use std::collections::BTreeSet;

use super::{
    ImportError,
    import::{ImportSettings, keyless, taken},
    lines::{Item, Lines},
};
use crate::{
    assembly::AssemblyRef,
    store::{Store, StoreError},
    user::UserName,
};

/// A look at the lines of a file before it is imported: what is wrong with them is known before
/// anything is changed.
pub struct Preview {
    lines: Lines,
    needs: Needs,
}

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preview")
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// What has to be there for the lines to be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// For whom they are.
    pub user: Option<UserName>,
    /// Whether there is a key that can be logged in with, if the user is to be made.
    pub has_active_key: bool,
    /// The assemblies of the documents, but for those that the lines bring along.
    pub assemblies: BTreeSet<String>,
    brought: BTreeSet<String>,
}

impl Preview {
    /// A look at lines that are to be imported with `settings`.
    #[must_use]
    pub fn new(settings: ImportSettings) -> Self {
        Self {
            lines: Lines::new(settings),
            needs: Needs::default(),
        }
    }

    /// Looks at the next line.
    ///
    /// # Errors
    ///
    /// [`ImportError::Line`].
    pub fn line(&mut self, text: &str) -> Result<(), ImportError> {
        let Self { lines, needs } = self;
        match lines.read(text)? {
            Some(Item::Key(key)) => {
                needs.has_active_key |= key.is_some_and(|key| !key.material.needs_proof());
            }
            Some(Item::Assembly(source)) => {
                if let Some(user) = lines.user() {
                    needs.brought.insert(format!("{user}/{}", source.name()));
                }
            }
            Some(Item::Document(document)) => {
                needs.assemblies.insert(document.assembly.to_string());
            }
            Some(Item::Installed(_)) | None => {}
        }
        Ok(())
    }

    /// After the last line.
    ///
    /// # Errors
    ///
    /// [`ImportError::Line`] if there should be more.
    pub fn finish(mut self) -> Result<Needs, ImportError> {
        self.lines.finish()?;
        let Needs {
            assemblies,
            brought,
            ..
        } = &mut self.needs;
        assemblies.retain(|assembly| !brought.contains(assembly));
        self.needs.user = self.lines.user();
        Ok(self.needs)
    }
}

impl Needs {
    /// What the lines need and the store doesn't have, in a sentence.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    pub async fn unmet(
        &self,
        store: &dyn Store,
        settings: &ImportSettings,
    ) -> Result<Option<String>, StoreError> {
        let Some(user) = &self.user else {
            return Ok(Some("Nobody says whose it is.".to_owned()));
        };
        if user.is_reserved() {
            return Ok(Some(format!("Nobody can have the name {user}.")));
        }
        let found = store.users().find(user).await?;
        let is_here = found.is_some();
        if is_here && settings.user.is_none() {
            return Ok(Some(format!("The file can't be taken: {}.", taken(user))));
        }
        if let Some(found) = found
            && store.keys().list(found.id).await?.is_empty()
        {
            return Ok(Some(format!("The file can't be taken: {}.", keyless(user))));
        }
        if !is_here && settings.reserve(user) {
            return Ok(Some(format!("Nobody can have the name {user}.")));
        }
        if !is_here && !self.has_active_key {
            return Ok(Some(format!(
                "There is no user {user}, and no active key with which she could log in: let her register first."
            )));
        }
        let assemblies = store.assemblies();
        if let Some(default) = &settings.assembly {
            let is_here = self.brought.contains(&default.to_string())
                || assemblies.find(default).await?.is_some();
            return Ok((!is_here).then(|| format!("There is no assembly {default}.")));
        }
        let mut missing = Vec::new();
        for name in &self.assemblies {
            let found = match AssemblyRef::parse(name) {
                Some(name) => assemblies.find(&name).await?,
                None => None,
            };
            if found.is_none() {
                missing.push(name.as_str());
            }
        }
        Ok((!missing.is_empty()).then(|| {
            format!(
                "Documents are of assemblies that are not here: {}. Name one to which they go.",
                missing.join(", ")
            )
        }))
    }
}
