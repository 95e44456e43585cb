//! `/list_jobs`, `/run_job`.

use pinyto_core::{
    Error, Page,
    assembly::{AssemblyName, AssemblyRef, JobName},
    job::{JobRef, MAX_LISTED},
    user::UserName,
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{answer, calls};
use crate::{
    api::Api,
    auth::{Incoming, incoming},
    cors::ForOrigins as _,
    error::ApiError,
    reply,
    wire::job::{JobStateAnswer, ListJobs, RunJob},
};

calls! {
    /// The calls of this group.
    JobCall {
        List = "list_jobs",
        Run = "run_job",
    }
}

/// The user's jobs.
#[must_use]
pub fn jobs(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path::param()
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|call, incoming| {
            answer(incoming, move |incoming| async move {
                match call {
                    JobCall::List => list(incoming).await,
                    JobCall::Run => run(incoming).await,
                }
            })
        })
        .for_origins(origins)
}

async fn list(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.claim_for::<ListJobs>().await?;
    let page = Page::first(asked.request.count.unwrap_or(MAX_LISTED));
    let page = page.after(asked.request.skip.unwrap_or(0));
    let jobs = asked.cloud.list_jobs(asked.session, page).await?;
    let jobs: Vec<JobStateAnswer<'_>> = jobs.iter().map(JobStateAnswer::from).collect();
    Ok(reply::json(&jobs))
}

async fn run(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<RunJob>().await?;
    let RunJob { author, name, job } = &asked.request;
    // What can't be a name names none.
    let assembly = AssemblyRef {
        author: UserName::parse(author).map_err(|_| Error::AssemblyNotInstalled)?,
        name: AssemblyName::parse(name).map_err(|_| Error::AssemblyNotInstalled)?,
    };
    let name = JobName::parse(job).map_err(|_| Error::UnknownJob)?;
    let job = JobRef { assembly, name };
    asked.cloud.run_job_now(&asked.session, &job).await?;
    Ok(reply::success())
}
