//! The routes as warp filters, one function per subject.
//!
//! Each gives a filter that can be mounted on its own; [`all`] mounts everything and answers the
//! rest too. A rejection of one of them only means "this is not mine"; errors are answers.
//! Requests for the wrong method, preflights and unknown paths are [`others`]'s, so mount that last.

mod assembly;
mod document;
#[cfg(feature = "gpgauth")]
pub mod gpgauth;
mod health;
mod job;
mod key;
mod keyserver;
mod others;
mod run;
mod server;
mod user;

use std::future::Future;

use warp::{Filter, filters::BoxedFilter, reply::Response};

pub use self::{
    assembly::assemblies,
    document::documents,
    health::health,
    job::jobs,
    key::keys,
    keyserver::keyserver,
    others::{nothing_else, others},
    run::runs,
    server::server,
    user::users,
};
use crate::{api::Api, auth::Incoming, error::ApiError};

/// Everything the protocol has, and an answer for everything else: never rejects.
#[must_use]
pub fn all(api: Api) -> BoxedFilter<(Response,)> {
    // What is called most comes first: a route tried in vain costs as much as parsing a small body.
    let known = keys(api.clone())
        .or(documents(api.clone()))
        .unify()
        .or(users(api.clone()))
        .unify()
        .or(assemblies(api.clone()))
        .unify()
        .or(runs(api.clone()))
        .unify()
        .or(jobs(api.clone()))
        .unify()
        .or(keyserver(api.clone()))
        .unify()
        .or(server(api.clone()))
        .unify()
        .or(health(api.clone()))
        .unify();
    #[cfg(feature = "gpgauth")]
    let known = known.or(gpgauth::gpgauth(api.clone())).unify();
    known.or(others(api)).unify().boxed()
}

/// The segment of a path that selects one of a group's calls.
macro_rules! calls {
    ($(#[$doc:meta])* $name:ident { $($call:ident = $segment:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum $name {
            $($call,)+
        }

        impl $name {
            /// All of them, as they are written in paths.
            pub(crate) const SEGMENTS: &'static [&'static str] = &[$($segment),+];
        }

        impl std::str::FromStr for $name {
            type Err = $crate::routes::NotThisGroup;

            fn from_str(segment: &str) -> Result<Self, Self::Err> {
                match segment {
                    $($segment => Ok(Self::$call),)+
                    _ => Err($crate::routes::NotThisGroup),
                }
            }
        }
    };
}
use calls;

/// A segment belongs to another group of routes.
pub(crate) struct NotThisGroup;

/// Runs a handler on a request whose body could be read.
async fn answer<F, H>(incoming: Result<Incoming, ApiError>, handler: H) -> Response
where
    F: Future<Output = Result<Response, ApiError>> + Send,
    H: FnOnce(Incoming) -> F + Send,
{
    let result = match incoming {
        Ok(incoming) => handler(incoming).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(Response::from)
}

/// Every path that is served with the methods it is served for, as OpenAPI writes them;
/// without the prefix.
#[must_use]
pub fn served() -> Vec<(String, &'static [&'static str])> {
    const POST: &[&str] = &["post"];
    const GET: &[&str] = &["get"];
    let groups = [
        user::UserCall::SEGMENTS,
        key::KeyCall::SEGMENTS,
        assembly::AssemblyCall::SEGMENTS,
        run::RunCall::SEGMENTS,
        job::JobCall::SEGMENTS,
        document::StatisticsCall::SEGMENTS,
    ];
    let at_root = groups.concat().into_iter().map(|name| format!("/{name}"));
    let keyserver = keyserver::KeyserverCall::SEGMENTS.iter();
    let calls = at_root
        .chain(keyserver.map(|name| format!("/keyserver/{name}")))
        .chain([
            "/{author}/{assembly}/store".to_owned(),
            "/{author}/{assembly}/{function}".to_owned(),
        ])
        .map(|path| (path, POST));
    let pages = [health::HealthPage::SEGMENTS, server::ServerPage::SEGMENTS];
    calls
        .chain(
            pages
                .concat()
                .into_iter()
                .map(|name| (format!("/{name}"), GET)),
        )
        .chain([("/".to_owned(), GET)])
        .collect()
}
