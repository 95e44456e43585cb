//! `/keyserver/register`, `/keyserver/authenticate`, `/keyserver/change_password`,
//! `/keyserver/set_password_login`, `/keyserver/logout`.

use pinyto_core::{Error, user::UserName};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{answer, calls, user::logout};
use crate::{
    api::Api,
    auth::{Incoming, incoming},
    cors::ForOrigins as _,
    error::ApiError,
    reply,
    wire::keyserver::{
        ChangePassword, KeyserverAuthenticate, KeyserverRegister, SetPasswordLogin, TokenAnswer,
    },
};

calls! {
    /// The calls of this group.
    KeyserverCall {
        Authenticate = "authenticate",
        Register = "register",
        ChangePassword = "change_password",
        SetPasswordLogin = "set_password_login",
        Logout = "logout",
    }
}

/// The keyserver.
#[must_use]
pub fn keyserver(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path("keyserver")
        .and(warp::path::param())
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|call, incoming| {
            answer(incoming, move |incoming| async move {
                match call {
                    KeyserverCall::Authenticate => authenticate(incoming).await,
                    KeyserverCall::Register => register(incoming).await,
                    KeyserverCall::ChangePassword => change_password(incoming).await,
                    KeyserverCall::SetPasswordLogin => set_password_login(incoming).await,
                    KeyserverCall::Logout => logout(incoming).await,
                }
            })
        })
        .for_origins(origins)
}

async fn register(mut incoming: Incoming) -> Result<Response, ApiError> {
    let request: KeyserverRegister = incoming.decode()?;
    let name = UserName::parse(&request.username).map_err(Error::from)?;
    let password = request.password.0.map_err(Error::from)?;
    incoming.cloud.keyserver_register(name, password).await?;
    Ok(reply::success())
}

async fn authenticate(mut incoming: Incoming) -> Result<Response, ApiError> {
    let request: KeyserverAuthenticate = incoming.decode()?;
    // What can't be a name is nobody's.
    let name = UserName::parse(&request.username).map_err(|_| Error::WrongPassword)?;
    let token = incoming
        .cloud
        .keyserver_authenticate(&name, request.password.0)
        .await?;
    let token = token.expose();
    Ok(reply::json(&TokenAnswer { token }))
}

async fn change_password(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<ChangePassword>().await?;
    let password = asked.request.password.0.map_err(Error::from)?;
    asked
        .cloud
        .change_password(&asked.session, password)
        .await?;
    Ok(reply::success())
}

async fn set_password_login(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<SetPasswordLogin>().await?;
    let allowed = asked.request.allowed;
    let (cloud, session) = (asked.cloud, asked.session);
    if allowed {
        cloud.allow_password_login(&session).await?;
    } else {
        cloud.forbid_password_login(&session).await?;
    }
    Ok(reply::success())
}
