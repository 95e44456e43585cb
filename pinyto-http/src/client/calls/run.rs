//! What became of function calls and jobs.

use pinyto_core::{
    assembly::{AssemblyName, AssemblyRef},
    run::RunId,
};
use serde::Serialize;

use super::{GET_RUN, LIST_ASSEMBLY_RUNS, LIST_RUNS};
use crate::client::{
    error::Error,
    session::Session,
    types::{AuthorRun, Page, Run},
};

#[derive(Serialize)]
struct ListRuns<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize)]
struct GetRun {
    id: String,
}

#[derive(Serialize)]
struct ListAssemblyRuns<'a> {
    name: &'a str,
    #[serde(flatten)]
    page: Page,
}

impl Session {
    /// The runs for the user, newest first, of one assembly if one is given; at most 100 at once.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn list_runs(
        &self,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, Error> {
        let request = ListRuns {
            author: assembly.map(|assembly| assembly.author.as_str()),
            name: assembly.map(|assembly| assembly.name.as_str()),
            page,
        };
        self.read(LIST_RUNS, &request).await
    }

    /// One run for the user.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `unknown_run`.
    pub async fn run(&self, id: RunId) -> Result<Run, Error> {
        let id = id.to_string();
        self.read(GET_RUN, &GetRun { id }).await
    }

    /// The runs of an assembly of the user's, whoever they were for, newest first; at most 100 at
    /// once.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `unknown_assembly`.
    pub async fn list_assembly_runs(
        &self,
        name: &AssemblyName,
        page: Page,
    ) -> Result<Vec<AuthorRun>, Error> {
        let name = name.as_str();
        let request = ListAssemblyRuns { name, page };
        self.read(LIST_ASSEMBLY_RUNS, &request).await
    }
}
