//! `/list_runs`, `/get_run`, `/list_assembly_runs`.

use pinyto_core::{
    Error, Page,
    assembly::{AssemblyName, AssemblyRef},
    run::MAX_LISTED,
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
    wire::run::{AuthorRunAnswer, GetRun, ListAssemblyRuns, ListRuns, RunAnswer},
};

calls! {
    /// The calls of this group.
    RunCall {
        List = "list_runs",
        Get = "get_run",
        ListOfAssembly = "list_assembly_runs",
    }
}

/// What became of function calls and jobs.
#[must_use]
pub fn runs(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path::param()
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|call, incoming| {
            answer(incoming, move |incoming| async move {
                match call {
                    RunCall::List => list(incoming).await,
                    RunCall::Get => get(incoming).await,
                    RunCall::ListOfAssembly => list_of_assembly(incoming).await,
                }
            })
        })
        .for_origins(origins)
}

async fn list(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.claim_for::<ListRuns>().await?;
    let named = match asked.request.assembly() {
        Err(error) => return Err(asked.refusal(error).await),
        Ok(None) => None,
        Ok(Some((author, name))) => match (UserName::parse(author), AssemblyName::parse(name)) {
            (Ok(author), Ok(name)) => Some(AssemblyRef { author, name }),
            _ => {
                asked.cloud.session_of(asked.session).await?;
                // What can't be a name has never run.
                return Ok(reply::json(&[(); 0]));
            }
        },
    };
    let page = Page::first(asked.request.count.unwrap_or(MAX_LISTED));
    let page = page.after(asked.request.skip.unwrap_or(0));
    let (cloud, session) = (asked.cloud, asked.session);
    let runs = cloud.list_runs(session, named.as_ref(), page).await?;
    let runs: Vec<RunAnswer<'_>> = runs.iter().map(RunAnswer::from).collect();
    Ok(reply::json(&runs))
}

async fn get(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.claim_for::<GetRun>().await?;
    let Ok(id) = asked.request.id.parse() else {
        return Err(asked.refusal(Error::UnknownRun).await);
    };
    let run = asked.cloud.find_run(asked.session, id).await?;
    Ok(reply::json(&RunAnswer::from(&run)))
}

async fn list_of_assembly(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.claim_for::<ListAssemblyRuns>().await?;
    let Ok(name) = AssemblyName::parse(&asked.request.name) else {
        return Err(asked.refusal(Error::UnknownAssembly).await);
    };
    let page = Page::first(asked.request.count.unwrap_or(MAX_LISTED));
    let page = page.after(asked.request.skip.unwrap_or(0));
    let (cloud, session) = (asked.cloud, asked.session);
    let runs = cloud
        .list_runs_of_own_assembly(session, &name, page)
        .await?;
    let runs: Vec<AuthorRunAnswer<'_>> = runs.iter().map(AuthorRunAnswer::from).collect();
    Ok(reply::json(&runs))
}
