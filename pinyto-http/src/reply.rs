//! Answers, with the headers that all of them have.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH,
        CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::BodyExt;
use pinyto_core::assembly::CallAnswer;
use serde::Serialize;
use warp::reply::Response;

use crate::{error::ApiError, wire::Success};

/// 200 with `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    with_status(StatusCode::OK, value)
}

/// 200 with `{"success":true}`.
pub(crate) fn success() -> Response {
    json(&Success::ANSWER)
}

/// What a function answered: 200, or 400 if it says itself that it is an error.
pub(crate) fn of_function(answer: CallAnswer) -> Response {
    let status = match answer.is_error {
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::OK,
    };
    api_answer(status, Response::new(answer.body.into()))
}

/// `value` as JSON.
pub(crate) fn with_status(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => api_answer(status, Response::new(json.into())),
        // Needs a map whose keys are no texts, which no answer has.
        Err(error) => ApiError::internal(&error).into(),
    }
}

/// An answer of the API: any origin may read it, unless the settings name some (the token is never a
/// cookie, so a foreign page gains nothing), nobody may keep it.
pub(crate) fn api_answer(status: StatusCode, mut answer: Response) -> Response {
    *answer.status_mut() = status;
    api_headers(answer.headers_mut());
    answer
}

/// The headers of every answer of the API. Pages may read how long to wait, and the request's id.
pub(crate) fn api_headers(headers: &mut HeaderMap) {
    headers.reserve(7);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, x-request-id"),
    );
}

/// `answer` as it is, or without its body if the method is `HEAD`.
pub(crate) fn for_method(method: &Method, answer: Response) -> Response {
    if *method != Method::HEAD {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    if let Some(length) = length(&body) {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Default::default())
}

fn length(body: &impl BodyExt) -> Option<u64> {
    body.size_hint().exact()
}
