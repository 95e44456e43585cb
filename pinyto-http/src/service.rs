//! The routes as a [`tower_service::Service`], for whoever doesn't use warp.

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use sync_wrapper::SyncWrapper;
use tower_service::Service;
use warp::{filters::BoxedFilter, reply::Response};

use crate::{api::Api, error::ApiError, routes};

type BoxError = Box<dyn StdError + Send + Sync>;

/// An answer of [`PinytoService`]. An [`ApiError`] can be made one, for routes of
/// your own.
pub type Answer = http::Response<AnswerBody>;

/// Everything the protocol has, as [`routes::all`], for axum, hyper and what else takes tower's
/// services.
///
/// Say with [`Api::mounted_at`] where it is mounted, if not at the root. The service wants paths
/// without that prefix, as axum's `nest_service` gives them.
///
/// ```
/// use axum::{Router, routing::get};
/// use pinyto_http::{Api, PathPrefix};
///
/// # fn app(api: Api) -> Result<Router, Box<dyn std::error::Error>> {
/// let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
/// let app = Router::new()
///     .route("/hello", get(|| async { "world" }))
///     .nest_service("/pinyto", pinyto_http::service(api));
/// # Ok(app)
/// # }
/// ```
///
/// Failed tries are throttled by address, too, if the requests have a
/// [`ClientAddress`](crate::client_address::ClientAddress) among their extensions.
#[must_use]
pub fn service(api: Api) -> PinytoService {
    PinytoService(routes::all(api))
}

/// The service that [`service`] makes. Always ready, never fails, cheap to clone.
#[derive(Clone)]
pub struct PinytoService(BoxedFilter<(Response,)>);

impl fmt::Debug for PinytoService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinytoService").finish_non_exhaustive()
    }
}

impl<B> Service<http::Request<B>> for PinytoService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> AnswerFuture {
        let answer = warp::service(self.0.clone()).call(request.map(RequestBody::new));
        AnswerFuture(Box::pin(answer))
    }
}

/// What [`PinytoService`] is asked for, in the making.
#[must_use = "futures do nothing unless polled"]
pub struct AnswerFuture(Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>);

impl fmt::Debug for AnswerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFuture").finish_non_exhaustive()
    }
}

impl Future for AnswerFuture {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.0.as_mut().poll(cx);
        answer.map_ok(|answer| answer.map(AnswerBody))
    }
}

/// The body of an [`Answer`].
#[derive(Debug)]
pub struct AnswerBody(WarpBody);

/// For handlers that are no filters.
impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Response::from(error).map(AnswerBody)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        frame.map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// warp doesn't tell what its body is called.
type WarpBody = <Response as HasBody>::Body;

trait HasBody {
    type Body;
}

impl<B> HasBody for http::Response<B> {
    type Body = B;
}

/// The body of a request. warp wants it to be `Sync`, which axum's isn't.
struct RequestBody(SyncWrapper<UnsyncBoxBody<Bytes, BoxError>>);

impl RequestBody {
    fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(SyncWrapper::new(body.map_err(Into::into).boxed_unsync()))
    }
}

/// Its length and end can't be asked for through `&self`, and warp doesn't.
impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(self.0.get_mut()).poll_frame(cx)
    }
}
