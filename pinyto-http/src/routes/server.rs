//! `/public_key` and the documentation.

use futures_util::future;
use http::Method;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::calls;
use crate::{api::Api, cors::ForOrigins as _, reply, wire::server::PublicKeyAnswer};

#[cfg(feature = "openapi")]
calls! {
    /// What the server says about itself.
    ServerPage {
        PublicKey = "public_key",
        OpenApi = "openapi.json",
        Docs = "docs",
    }
}

#[cfg(not(feature = "openapi"))]
calls! {
    /// What the server says about itself.
    ServerPage {
        PublicKey = "public_key",
    }
}

/// The server's key and its documentation.
#[must_use]
pub fn server(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    #[cfg(feature = "openapi")]
    let documentation = crate::openapi::Documentation::new(api.limits(), api.prefix());
    let answer = move |page: ServerPage| match page {
        ServerPage::PublicKey => public_key(&api),
        #[cfg(feature = "openapi")]
        ServerPage::OpenApi => documentation.json(),
        #[cfg(feature = "openapi")]
        ServerPage::Docs => documentation.page(),
    };
    let answer = std::sync::Arc::new(answer);
    warp::path::param()
        .and(warp::path::end())
        .and(warp::method())
        .and_then(move |page: ServerPage, method: Method| {
            future::ready(if matches!(method, Method::GET | Method::HEAD) {
                Ok(reply::for_method(&method, answer(page)))
            } else {
                Err(warp::reject::not_found())
            })
        })
        .for_origins(origins)
}

fn public_key(api: &Api) -> Response {
    reply::json(&PublicKeyAnswer::from(api.cloud().server_public_key()))
}
