//! What surrounds every request: an id, one log line, a time limit, and a net under panics.
//!
//! One future does it all: the server's speed is measured against a bare route.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::Body;
use hyper::service::{Service, service_fn};
use tracing::Instrument;

use super::Observer;
use crate::{cors::AllowedOrigins, reply};

/// The target of the line written for every request; `--log info,pinyto_http::access=off` hides it.
pub const ACCESS_LOG: &str = "pinyto_http::access";

/// A request's id, sent back in the answer; a client's own well-formed one is kept.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_REQUEST_ID_LENGTH: usize = 64;
const MAX_LOGGED_PATH: usize = 256;

const PANICKED: &str = r#"{"error": "The server failed on this request. Please try again, and tell the operator the X-Request-Id if it happens again.", "code": "internal"}"#;
const TIMED_OUT: &str = r#"{"error": "The server could not finish this request in time. Please try again later.", "code": "timeout"}"#;

/// An answer's body: the routes' own, or the fixed text of an answer made here.
pub(super) type AnswerBody<B> = Either<B, Full<Bytes>>;

/// Surrounds `inner` with request id, log line, time limit and panic catching, as
/// [the module's page](super) tells.
pub(super) fn layered<S, R, B>(
    inner: S,
    time_limit: Duration,
    observer: Option<Arc<dyn Observer>>,
    origins: AllowedOrigins,
) -> impl Service<
    Request<R>,
    Response = Response<AnswerBody<B>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static
where
    S: Service<Request<R>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: Body + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let ids = Arc::new(RequestIds::default());
    let origins = Arc::new(origins);
    service_fn(move |request: Request<R>| {
        let started = Instant::now();
        let id = ids.id_for(request.headers());
        let subject = Subject {
            method: request.method().clone(),
            uri: request.uri().clone(),
        };
        let observer = observer.clone();
        let page = origins.page(request.headers());
        let origins = Arc::clone(&origins);
        let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
        // A filter may panic before there is a future.
        let work = span.in_scope(|| catch_unwind(AssertUnwindSafe(|| inner.call(request))));
        async move {
            let mut outcome = Outcome::new(subject, started, observer);
            let result = match work {
                Ok(work) => {
                    tokio::time::timeout(time_limit, AssertUnwindSafe(work).catch_unwind()).await
                }
                Err(panic) => Ok(Err(panic)),
            };
            let own = |status, body| {
                let mut answer = fixed_answer(status, body);
                origins.restrict(answer.headers_mut(), page);
                answer
            };
            let mut answer = match result {
                Ok(Ok(Ok(answer))) => answer.map(Either::Left),
                Ok(Err(_panic)) => own(StatusCode::INTERNAL_SERVER_ERROR, PANICKED),
                Err(_elapsed) => {
                    let mut answer = own(StatusCode::SERVICE_UNAVAILABLE, TIMED_OUT);
                    answer
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from_static("5"));
                    answer
                }
            };
            answer.headers_mut().insert(REQUEST_ID, id);
            outcome.answered(answer.status());
            Ok(answer)
        }
        .instrument(span)
    })
}

fn fixed_answer<B>(status: StatusCode, body: &'static str) -> Response<AnswerBody<B>> {
    let mut answer = Response::new(Either::Right(Full::new(Bytes::from_static(
        body.as_bytes(),
    ))));
    *answer.status_mut() = status;
    reply::api_headers(answer.headers_mut());
    answer
}

/// Numbers the requests of one process from a random start.
struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            start: RandomState::new().hash_one(0_u8),
            next: AtomicU64::new(0),
        }
    }
}

impl RequestIds {
    fn id_for(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(REQUEST_ID) {
            Some(given) if is_well_formed(given.as_bytes()) => given.clone(),
            _ => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                // Odd factor: different numbers never give the same id.
                HeaderValue::from(self.start ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            }
        }
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

struct Subject {
    method: Method,
    uri: Uri,
}

impl Subject {
    /// At most 256 bytes: a path is the client's text.
    fn path(&self) -> &str {
        let path = self.uri.path();
        &path[..path.floor_char_boundary(MAX_LOGGED_PATH)]
    }
}

/// Writes the request's line, also when the client went away before its answer.
struct Outcome {
    subject: Subject,
    started: Instant,
    observer: Option<Arc<dyn Observer>>,
    answered: bool,
}

impl Outcome {
    fn new(subject: Subject, started: Instant, observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            subject,
            started,
            observer,
            answered: false,
        }
    }

    /// To the microsecond.
    fn milliseconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    fn answered(&mut self, status: StatusCode) {
        self.answered = true;
        if let Some(observer) = &self.observer {
            observer.answered(status, self.started.elapsed());
        }
        tracing::info!(
            target: ACCESS_LOG,
            method = self.subject.method.as_str(),
            path = self.subject.path(),
            status = status.as_u16(),
            ms = self.milliseconds(),
            "answered"
        );
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if !self.answered {
            if let Some(observer) = &self.observer {
                observer.abandoned();
            }
            tracing::info!(
                target: ACCESS_LOG,
                method = self.subject.method.as_str(),
                path = self.subject.path(),
                ms = self.milliseconds(),
                "abandoned by the client"
            );
        }
    }
}

#[cfg(test)]
mod tests;
