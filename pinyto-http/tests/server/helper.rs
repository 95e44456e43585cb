//! A server on a free port, and small clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pinyto_http::client_address::ClientAddress;
use pinyto_http::listener::{Ended, Limits, Listener};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warp::Filter;
use warp::filters::BoxedFilter;

/// Longer than anything here takes, shorter than a person's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const BIG: usize = 64 * 1024 * 1024;

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<Ended>,
    sleepers: Arc<Semaphore>,
}

impl TestServer {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(|listener| listener.with_limits(limits)).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(Listener) -> Listener) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = configure(listener);
        let sleepers = Arc::new(Semaphore::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(listener.serve(
            warp::service(routes(Arc::clone(&sleepers))),
            async {
                let _ = stopped.await;
            },
        ));
        Self {
            address,
            stop,
            ended,
            sleepers,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until as many requests to `/sleep` have reached their handler.
    pub(crate) async fn has_sleepers(&self, number: u32) {
        timeout(PATIENCE, self.sleepers.acquire_many(number))
            .await
            .unwrap()
            .unwrap()
            .forget();
    }

    /// Signals the shutdown; the handle tells how it ended.
    pub(crate) fn stop(self) -> JoinHandle<Ended> {
        self.stop.send(()).unwrap();
        self.ended
    }
}

fn routes(sleepers: Arc<Semaphore>) -> BoxedFilter<(warp::reply::Response,)> {
    let reply = |text: String| warp::reply::Response::new(text.into());
    let hello = warp::path!("hello").map(move || reply("hello".to_owned()));
    let panics = warp::path!("panic").map(|| -> warp::reply::Response { panic!("on purpose") });
    let address = warp::path!("address")
        .and(warp::ext::optional::<ClientAddress>())
        .map(move |address: Option<ClientAddress>| reply(address.unwrap().0.to_string()));
    let sleeps = warp::path!("sleep" / u64).then(move |milliseconds| {
        sleepers.add_permits(1);
        async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            reply("slept".to_owned())
        }
    });
    let big =
        warp::path!("big").map(|| warp::reply::Response::new(Bytes::from(vec![b'x'; BIG]).into()));
    hello
        .or(panics)
        .unify()
        .or(address)
        .unify()
        .or(sleeps)
        .unify()
        .or(big)
        .unify()
        .boxed()
}

pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path)
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

pub(crate) async fn http1(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http1::SendRequest<Empty<Bytes>> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn http2(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http2::SendRequest<Empty<Bytes>> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn text(answer: Response<hyper::body::Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Sends `bytes` and returns what comes back until the server closes.
pub(crate) async fn raw(stream: &mut TcpStream, bytes: &str) -> String {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    until_closed(stream).await
}

/// What the server still sends before it closes; a reset counts as closed.
pub(crate) async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut received = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut received)).await;
    assert!(closed.is_ok(), "the server keeps the connection open");
    String::from_utf8_lossy(&received).into_owned()
}
