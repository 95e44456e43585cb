//! What no other route answers: the front page, preflights, wrong methods, unknown paths.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    },
};
use warp::{Filter, filters::BoxedFilter, path::Tail, reply::Response};

use super::{
    assembly::AssemblyCall, document::StatisticsCall, health::HealthPage, job::JobCall,
    key::KeyCall, keyserver::KeyserverCall, run::RunCall, server::ServerPage, user::UserCall,
};
use crate::{
    api::Api, cors::ForOrigins as _, error::ApiError, page::FrontPage, prefix::PathPrefix, reply,
};

/// Answers everything: the front page for `GET /` and for every `GET` that asks for HTML, 204 for
/// preflights (whose pages may call, [`AllowedOrigins`](crate::AllowedOrigins) says), 405 for the wrong method on a path that exists, else 404.
/// Mount it last.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "as all groups of routes")]
pub fn others(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    let page = FrontPage::new(api.cloud().server_public_key(), api.prefix());
    let page = Arc::new(page);
    let prefix = Arc::clone(api.prefix());
    warp::method()
        // What is left of the path: others may have taken a prefix.
        .and(warp::path::tail())
        .and(warp::header::headers_cloned())
        .map(move |method: Method, path: Tail, headers: HeaderMap| {
            let is_read = matches!(method, Method::GET | Method::HEAD);
            if method == Method::OPTIONS {
                return preflight();
            }
            if is_read && (path.as_str().is_empty() || asks_for_html(&headers)) {
                return reply::for_method(&method, page.answer());
            }
            let error = match allow(path.as_str()) {
                Some(allow) if allow.split(", ").all(|allowed| allowed != method.as_str()) => {
                    ApiError::method_not_allowed(allow)
                }
                // With the right method too, if the route's group is not mounted.
                Some(_) | None => ApiError::unknown_route(&prefix),
            };
            reply::for_method(&method, error.into())
        })
        .for_origins(origins)
}

/// Answers everything with 404, which everybody's pages may read, for listeners that serve only some
/// groups. Mount it last.
#[must_use]
pub fn nothing_else() -> BoxedFilter<(Response,)> {
    warp::method()
        .map(|method: Method| {
            let error = ApiError::unknown_route(&PathPrefix::default());
            reply::for_method(&method, error.into())
        })
        .boxed()
}

fn preflight() -> Response {
    let mut answer = Response::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "POST, GET, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Authorization"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn asks_for_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|accepted| accepted.to_str().ok())
        .any(|accepted| accepted.to_ascii_lowercase().contains("text/html"))
}

/// The methods of a path that exists, which is without its first slash.
fn allow(path: &str) -> Option<&'static str> {
    const GET: &str = "GET, HEAD, OPTIONS";
    const POST: &str = "POST, OPTIONS";
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        [""] => Some(GET),
        [name] => {
            let is_call = name.parse::<KeyCall>().is_ok()
                || name.parse::<UserCall>().is_ok()
                || name.parse::<AssemblyCall>().is_ok()
                || name.parse::<RunCall>().is_ok()
                || name.parse::<JobCall>().is_ok()
                || name.parse::<StatisticsCall>().is_ok();
            if name.parse::<HealthPage>().is_ok() || name.parse::<ServerPage>().is_ok() {
                return Some(GET);
            }
            is_call.then_some(POST)
        }
        ["keyserver", name] => name.parse::<KeyserverCall>().is_ok().then_some(POST),
        [author, name, function] => {
            let all = [author, name, function];
            all.iter().all(|name| !name.is_empty()).then_some(POST)
        }
        _ => None,
    }
}
