//! The user's jobs.

use pinyto_core::assembly::AssemblyRef;
use serde::Serialize;

use super::{LIST_JOBS, RUN_JOB};
use crate::client::{
    error::Error,
    session::Session,
    types::{JobState, Page},
};

#[derive(Serialize)]
struct RunJob<'a> {
    author: &'a str,
    name: &'a str,
    job: &'a str,
}

impl Session {
    /// How it stands with the user's jobs; at most 1000 at once.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn list_jobs(&self, page: Page) -> Result<Vec<JobState>, Error> {
        self.read(LIST_JOBS, &page).await
    }

    /// Lets a job run now. The answer doesn't wait for that: [`Session::list_runs`] tells.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `assembly_not_installed`, `unknown_job`.
    pub async fn run_job(&self, assembly: &AssemblyRef, job: &str) -> Result<(), Error> {
        let request = RunJob {
            author: assembly.author.as_str(),
            name: assembly.name.as_str(),
            job,
        };
        self.change(RUN_JOB, &request).await
    }
}
