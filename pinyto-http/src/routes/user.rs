//! `/register`, `/authenticate`, `/logout`.

use pinyto_core::{Error, key::KeyHash, user::UserName};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{answer, calls};
use crate::{
    api::Api,
    auth::{Asked, Incoming, incoming},
    cors::ForOrigins as _,
    error::ApiError,
    reply,
    wire::user::{Authenticate, ChallengeAnswer, Register},
};

calls! {
    /// The calls of this group.
    UserCall {
        Authenticate = "authenticate",
        Register = "register",
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

/// Also `/keyserver/logout`.
pub(super) async fn logout(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.identify().await?;
    cloud.logout(&session).await?;
    Ok(reply::success())
}
