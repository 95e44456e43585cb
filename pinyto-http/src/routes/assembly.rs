//! `/save_assembly`, `/list_own_assemblies`, `/install_assembly` and their like.

use pinyto_core::{
    Error, Page,
    assembly::{AssemblyName, AssemblyRef, MAX_LISTED},
    user::UserName,
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{answer, calls};
use crate::{
    api::Api,
    auth::{Asked, Incoming, incoming},
    cors::ForOrigins as _,
    error::ApiError,
    reply,
    wire::assembly::{AnyAssembly, ListAllAssemblies, OwnAssembly, SaveAssembly, SourceAnswer},
};

calls! {
    /// The calls of this group.
    AssemblyCall {
        Save = "save_assembly",
        Delete = "delete_assembly",
        ListOwn = "list_own_assemblies",
        ListAll = "list_all_assemblies",
        ListInstalled = "list_installed_assemblies",
        Source = "get_assembly_source",
        Install = "install_assembly",
        Uninstall = "uninstall_assembly",
    }
}

/// Writing, finding and installing assemblies.
#[must_use]
pub fn assemblies(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path::param()
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|call, incoming| {
            answer(incoming, move |incoming| async move {
                match call {
                    AssemblyCall::Save => save(incoming).await,
                    AssemblyCall::Delete => delete(incoming).await,
                    AssemblyCall::ListOwn => list_own(incoming).await,
                    AssemblyCall::ListAll => list_all(incoming).await,
                    AssemblyCall::ListInstalled => list_installed(incoming).await,
                    AssemblyCall::Source => source(incoming).await,
                    AssemblyCall::Install => install(incoming).await,
                    AssemblyCall::Uninstall => uninstall(incoming).await,
                }
            })
        })
        .for_origins(origins)
}

async fn save(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<SaveAssembly>().await?;
    let source = asked.request.data.0.into_source().map_err(Error::from)?;
    // What can't be a name names none.
    let replaces = AssemblyName::parse(&asked.request.original_name).ok();
    asked
        .cloud
        .save_assembly(&asked.session, replaces.as_ref(), &source)
        .await?;
    Ok(reply::success())
}

async fn delete(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<OwnAssembly>().await?;
    // What can't be a name names none.
    let name = AssemblyName::parse(&asked.request.name).map_err(|_| Error::UnknownAssembly)?;
    asked.cloud.delete_assembly(&asked.session, &name).await?;
    Ok(reply::success())
}

async fn list_own(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.claim().await?;
    Ok(reply::json(&cloud.list_own_assemblies(session).await?))
}

async fn list_all(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.claim_for::<ListAllAssemblies>().await?;
    let page = Page::first(asked.request.count.unwrap_or(MAX_LISTED));
    let page = page.after(asked.request.skip.unwrap_or(0));
    let listed = asked.cloud.list_all_assemblies(asked.session, page).await?;
    Ok(reply::json(&listed))
}

async fn list_installed(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.claim().await?;
    let installed = cloud.list_installed_assemblies(session).await?;
    Ok(reply::json(&installed))
}

async fn source(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.claim_for::<AnyAssembly>().await?;
    let Some(named) = reference(&asked.request) else {
        return Err(asked.refusal(Error::UnknownAssembly).await);
    };
    let assembly = asked.cloud.assembly_source(asked.session, &named).await?;
    let indexes = assembly.source.indexes().iter();
    let indexes: Vec<String> = indexes.map(ToString::to_string).collect();
    Ok(reply::json(&SourceAnswer {
        api_functions: assembly.source.api_functions(),
        jobs: assembly.source.jobs(),
        indexes: &indexes,
    }))
}

async fn install(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<AnyAssembly>().await?;
    let named = reference(&asked.request).ok_or(Error::UnknownAssembly)?;
    asked.cloud.install_assembly(&asked.session, &named).await?;
    Ok(reply::success())
}

async fn uninstall(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<AnyAssembly>().await?;
    let named = reference(&asked.request).ok_or(Error::AssemblyNotInstalled)?;
    let (cloud, session) = (asked.cloud, asked.session);
    cloud.uninstall_assembly(&session, &named).await?;
    Ok(reply::success())
}

/// What is named, unless there can't be such names.
fn reference(request: &AnyAssembly) -> Option<AssemblyRef> {
    Some(AssemblyRef {
        author: UserName::parse(&request.author).ok()?,
        name: AssemblyName::parse(&request.name).ok()?,
    })
}
