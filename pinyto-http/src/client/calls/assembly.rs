//! Writing, finding and installing assemblies.

use pinyto_core::assembly::{AssemblyName, AssemblyRef};
use serde::Serialize;

use super::{
    DELETE_ASSEMBLY, GET_ASSEMBLY_SOURCE, INSTALL_ASSEMBLY, LIST_ALL_ASSEMBLIES,
    LIST_INSTALLED_ASSEMBLIES, LIST_OWN_ASSEMBLIES, Nothing, SAVE_ASSEMBLY, UNINSTALL_ASSEMBLY,
};
use crate::client::{
    error::Error,
    session::Session,
    types::{AssemblyData, AssemblyParts, AssemblySummary, Page},
};

#[derive(Serialize)]
struct SaveAssembly<'a> {
    original_name: &'a str,
    data: &'a AssemblyData,
}

#[derive(Serialize)]
struct OwnAssembly<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct AnyAssembly<'a> {
    author: &'a str,
    name: &'a str,
}

impl<'a> From<&'a AssemblyRef> for AnyAssembly<'a> {
    fn from(assembly: &'a AssemblyRef) -> Self {
        Self {
            author: assembly.author.as_str(),
            name: assembly.name.as_str(),
        }
    }
}

impl Session {
    /// Saves an assembly of the user, in place of the one that has its name.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `invalid_assembly`, `invalid_assembly_name`,
    /// `limit_reached` and others.
    pub async fn save_assembly(&self, assembly: &AssemblyData) -> Result<(), Error> {
        self.save(&assembly.name, assembly).await
    }

    /// Replaces the assembly `former`, and renames it if `assembly` has another name. Who
    /// installed it keeps it.
    ///
    /// # Errors
    ///
    /// As [`Session::save_assembly`], and `assembly_name_taken`.
    pub async fn replace_assembly(
        &self,
        former: &AssemblyName,
        assembly: &AssemblyData,
    ) -> Result<(), Error> {
        self.save(former.as_str(), assembly).await
    }

    async fn save(&self, original_name: &str, data: &AssemblyData) -> Result<(), Error> {
        let request = SaveAssembly {
            original_name,
            data,
        };
        self.change(SAVE_ASSEMBLY, &request).await
    }

    /// Deletes an assembly of the user, for all who have installed it, too.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `unknown_assembly`.
    pub async fn delete_assembly(&self, name: &AssemblyName) -> Result<(), Error> {
        let name = name.as_str();
        self.change(DELETE_ASSEMBLY, &OwnAssembly { name }).await
    }

    /// What the user has written.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn list_own_assemblies(&self) -> Result<Vec<AssemblyData>, Error> {
        self.read(LIST_OWN_ASSEMBLIES, &Nothing {}).await
    }

    /// What anybody has written, oldest first; at most 1000 at once.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn list_all_assemblies(&self, page: Page) -> Result<Vec<AssemblySummary>, Error> {
        self.read(LIST_ALL_ASSEMBLIES, &page).await
    }

    /// What the user has installed.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn list_installed_assemblies(&self) -> Result<Vec<AssemblySummary>, Error> {
        self.read(LIST_INSTALLED_ASSEMBLIES, &Nothing {}).await
    }

    /// The code of an assembly, whoever wrote it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `unknown_assembly`.
    pub async fn assembly_source(&self, assembly: &AssemblyRef) -> Result<AssemblyParts, Error> {
        let request = AnyAssembly::from(assembly);
        self.read(GET_ASSEMBLY_SOURCE, &request).await
    }

    /// Installs an assembly for the user.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `unknown_assembly`, `limit_reached`.
    pub async fn install_assembly(&self, assembly: &AssemblyRef) -> Result<(), Error> {
        let request = AnyAssembly::from(assembly);
        self.change(INSTALL_ASSEMBLY, &request).await
    }

    /// Uninstalls an assembly. The user's documents stay.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `assembly_not_installed`.
    pub async fn uninstall_assembly(&self, assembly: &AssemblyRef) -> Result<(), Error> {
        let request = AnyAssembly::from(assembly);
        self.change(UNINSTALL_ASSEMBLY, &request).await
    }
}
