//! `/healthz`, `/readyz`.

use http::Method;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::calls;
use crate::{api::Api, cors::ForOrigins as _, error::ApiError, reply, wire::server::StatusAnswer};

calls! {
    /// What whoever watches the server asks.
    HealthPage {
        Healthz = "healthz",
        Readyz = "readyz",
    }
}

/// Whether the process lives, and whether the database can be used.
#[must_use]
pub fn health(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    warp::path::param()
        .and(warp::path::end())
        .and(warp::get().or(warp::head()).unify())
        .and(warp::method())
        .then(move |page: HealthPage, method: Method| {
            let api = api.clone();
            async move {
                let answer = match page {
                    HealthPage::Healthz => reply::json(&StatusAnswer { status: "ok" }),
                    HealthPage::Readyz => readyz(&api).await,
                };
                reply::for_method(&method, answer)
            }
        })
        .for_origins(origins)
}

async fn readyz(api: &Api) -> Response {
    match api.cloud().ready().await {
        Ok(()) => reply::json(&StatusAnswer { status: "ok" }),
        Err(error) => ApiError::not_ready(error).into(),
    }
}
