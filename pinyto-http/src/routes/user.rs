//! `/register`, `/authenticate`, `/whoami`, `/ticket`, `/logout`.

use pinyto_core::{Error, key::KeyHash, ticket::Audience, user::UserName};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{answer, calls};
use crate::{
    api::Api,
    auth::{Asked, Incoming, incoming},
    cors::ForOrigins as _,
    error::ApiError,
    reply,
    wire::user::{
        Authenticate, ChallengeAnswer, IssueTicket, Register, TicketAnswer, WhoAmIAnswer,
    },
};

calls! {
    /// The calls of this group.
    UserCall {
        Authenticate = "authenticate",
        Register = "register",
        WhoAmI = "whoami",
        Ticket = "ticket",
        Logout = "logout",
    }
}

/// Registration and sessions.
#[must_use]
pub fn users(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path::param()
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|call, incoming| {
            answer(incoming, move |incoming| async move {
                match call {
                    UserCall::Authenticate => authenticate(incoming).await,
                    UserCall::Register => register(incoming).await,
                    UserCall::WhoAmI => who_am_i(incoming).await,
                    UserCall::Ticket => ticket(incoming).await,
                    UserCall::Logout => logout(incoming).await,
                }
            })
        })
        .for_origins(origins)
}

async fn register(mut incoming: Incoming) -> Result<Response, ApiError> {
    let request: Register = incoming.decode()?;
    let name = UserName::parse(&request.username).map_err(Error::from)?;
    let key = request.public_key.0.to_key().map_err(Error::from)?;
    incoming.cloud.register(name, key).await?;
    Ok(reply::success())
}

async fn authenticate(mut incoming: Incoming) -> Result<Response, ApiError> {
    let request: Authenticate = incoming.decode()?;
    let key_hash = KeyHash::parse(&request.key_hash).map_err(Error::from)?;
    // What can't be a name is nobody's.
    let name = UserName::parse(&request.username).map_err(|_| Error::AuthenticationFailed)?;
    let challenge = incoming.cloud.authenticate(&name, &key_hash).await?;
    Ok(reply::json(&ChallengeAnswer::from(challenge)))
}

async fn who_am_i(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.claim().await?;
    let who = cloud.who_am_i(session).await?;
    Ok(reply::json(&WhoAmIAnswer::from(&who)))
}

async fn ticket(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<IssueTicket>().await?;
    let audience = Audience::parse(&asked.request.audience).map_err(Error::from)?;
    let issued = asked.cloud.issue_ticket(&asked.session, &audience).await?;
    Ok(reply::json(&TicketAnswer::from(&issued)))
}

/// Also `/keyserver/logout`.
pub(super) async fn logout(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.identify().await?;
    cloud.logout(&session).await?;
    Ok(reply::success())
}
