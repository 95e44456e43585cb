//! `/{author}/{assembly}/store`, `/{author}/{assembly}/{function}`, `/statistics`.

use std::{convert::Infallible, str::FromStr};

use percent_encoding::percent_decode_str;
use pinyto_core::{
    Error,
    assembly::{AssemblyName, AssemblyRef, FunctionName},
    document::NewDocument,
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
    wire::document::{StatisticsAnswer, StoreDocument, StoredAnswer},
};

calls! {
    /// What says nothing about a single assembly.
    StatisticsCall {
        Statistics = "statistics",
    }
}

/// Documents, functions of assemblies, and what they have cost.
#[must_use]
pub fn documents(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    let of_assemblies = warp::path::param()
        .and(warp::path::param())
        .and(warp::path::param())
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api.clone()))
        .then(|author, name, function: Segment, incoming| {
            answer(incoming, move |incoming| async move {
                // What can't be a name is not installed.
                let assembly = reference(&author, &name).ok_or(Error::AssemblyNotInstalled)?;
                match function.0.as_str() {
                    "store" => store(assembly, incoming).await,
                    function => call(assembly, function, incoming).await,
                }
            })
        });
    let statistics = warp::path::param()
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|StatisticsCall::Statistics, incoming| answer(incoming, statistics));
    of_assemblies.or(statistics).unify().for_origins(origins)
}

async fn store(assembly: AssemblyRef, incoming: Incoming) -> Result<Response, ApiError> {
    let (asked, _room) = incoming.authenticate_large::<StoreDocument>().await?;
    let Asked {
        cloud,
        session,
        request,
    } = asked;
    let document = NewDocument::new(request.kind, request.tags, request.data)?;
    let id = cloud.store_document(&session, assembly, document).await?;
    Ok(reply::json(&StoredAnswer {
        success: true,
        id: id.to_string(),
    }))
}

async fn call(
    assembly: AssemblyRef,
    function: &str,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    let asked = incoming.call().await?;
    // What can't be a name names none.
    let Ok(function) = FunctionName::parse(function) else {
        return Err(asked.refusal(Error::UnknownFunction).await);
    };
    let Asked {
        cloud,
        session,
        request,
    } = asked;
    let answer = cloud
        .call_function(session, &assembly, &function, &request)
        .await?;
    Ok(reply::of_function(answer))
}

async fn statistics(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.claim().await?;
    let statistics = cloud.statistics(session).await?;
    Ok(reply::json(&StatisticsAnswer::from(statistics)))
}

fn reference(author: &Segment, name: &Segment) -> Option<AssemblyRef> {
    Some(AssemblyRef {
        author: UserName::parse(&author.0).ok()?,
        name: AssemblyName::parse(&name.0).ok()?,
    })
}

/// A segment of a path, percent-decoded; what is no UTF-8 then becomes U+FFFD, which no name has.
struct Segment(String);

impl FromStr for Segment {
    type Err = Infallible;

    fn from_str(segment: &str) -> Result<Self, Infallible> {
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        Ok(Self(decoded.into_owned()))
    }
}
