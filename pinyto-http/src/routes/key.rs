//! `/list_keys`, `/register_new_key`, `/prove_openpgp_key`, `/set_key_active`, `/delete_key`.

use pinyto_core::{
    Error,
    key::{KeyHash, KeyLabel, NewKey},
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{answer, calls};
use crate::{
    api::Api,
    auth::{Asked, Incoming, incoming},
    cors::ForOrigins as _,
    error::ApiError,
    reply,
    wire::key::{
        DeleteKey, KeyList, KeyToRegister, ProveOpenPgpKey, RegisterNewKey, Registered,
        SetKeyActive,
    },
};

calls! {
    /// The calls of this group.
    KeyCall {
        ListKeys = "list_keys",
        RegisterNewKey = "register_new_key",
        ProveOpenPgpKey = "prove_openpgp_key",
        SetKeyActive = "set_key_active",
        DeleteKey = "delete_key",
    }
}

/// The user's keys.
#[must_use]
pub fn keys(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path::param()
        .and(warp::path::end())
        .and(warp::post())
        .and(incoming(api))
        .then(|call, incoming| {
            answer(incoming, move |incoming| async move {
                match call {
                    KeyCall::ListKeys => list_keys(incoming).await,
                    KeyCall::RegisterNewKey => register_new_key(incoming).await,
                    KeyCall::ProveOpenPgpKey => prove_openpgp_key(incoming).await,
                    KeyCall::SetKeyActive => set_key_active(incoming).await,
                    KeyCall::DeleteKey => delete_key(incoming).await,
                }
            })
        })
        .for_origins(origins)
}

async fn list_keys(incoming: Incoming) -> Result<Response, ApiError> {
    let Asked { cloud, session, .. } = incoming.claim().await?;
    Ok(reply::json(&KeyList(cloud.list_keys(session).await?)))
}

async fn register_new_key(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<RegisterNewKey>().await?;
    let mut request = asked.request;
    let key = request.key()?;
    let label = request.label.as_deref().map(KeyLabel::parse).transpose();
    let label = label.map_err(Error::from)?;
    let (cloud, session) = (asked.cloud, asked.session);
    let challenge = match key {
        KeyToRegister::Rsa(numbers) => {
            let key = NewKey::new(numbers.to_key().map_err(Error::from)?).labelled(label);
            cloud.register_new_key(&session, &key).await?;
            None
        }
        KeyToRegister::OpenPgp(armored) => {
            cloud.register_openpgp_key(&session, armored, label).await?
        }
    };
    Ok(reply::json(&Registered {
        success: true,
        challenge: challenge.as_deref(),
    }))
}

async fn prove_openpgp_key(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<ProveOpenPgpKey>().await?;
    let ProveOpenPgpKey { key_hash, answer } = asked.request;
    let key_hash = KeyHash::parse(&key_hash).map_err(Error::from)?;
    let (cloud, session) = (asked.cloud, asked.session);
    cloud
        .prove_openpgp_key(&session, &key_hash, &answer)
        .await?;
    Ok(reply::success())
}

async fn set_key_active(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<SetKeyActive>().await?;
    let key_hash = KeyHash::parse(&asked.request.key_hash).map_err(Error::from)?;
    let active = asked.request.active_state;
    let (cloud, session) = (asked.cloud, asked.session);
    if active {
        cloud.activate_key(&session, &key_hash).await?;
    } else {
        cloud.deactivate_key(&session, &key_hash).await?;
    }
    Ok(reply::success())
}

async fn delete_key(incoming: Incoming) -> Result<Response, ApiError> {
    let asked = incoming.authenticate::<DeleteKey>().await?;
    let key_hash = KeyHash::parse(&asked.request.key_hash).map_err(Error::from)?;
    asked.cloud.delete_key(&asked.session, &key_hash).await?;
    Ok(reply::success())
}
