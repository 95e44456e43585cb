//! The accept loop, which warp lacks: limits for every connection, TLS, and an orderly end. Feature
//! `listener`.
//!
//! [`Listener`] serves any tower service: [`service`](crate::service()), `warp::service` of filters of
//! your own, a router of axum.
//!
//! ```no_run
//! use pinyto_http::{Api, listener::Listener, service};
//!
//! # async fn run(api: Api) -> std::io::Result<()> {
//! let listener = Listener::bind(([127, 0, 0, 1], 8080).into()).await?;
//! let shutdown = std::future::pending();
//! let ended = listener.serve(service(api), shutdown).await;
//! println!("{} connections were cut off", ended.dropped);
//! # Ok(())
//! # }
//! ```
//!
//! # What surrounds every request
//!
//! - The answer carries [`REQUEST_ID`]. The span `request` with that `id` is entered while the
//!   request is worked on, so every event written meanwhile (audit lines too) can be matched.
//! - One event per request under [`ACCESS_LOG`]: method, path without query, status and
//!   milliseconds until the answer's head was ready. Never a header, a query or a body.
//! - After [`Limits::request_timeout`] the work is dropped and the answer is 503 with the code
//!   `timeout`. That ends with the answer's head; how long a client may take to read the body is the
//!   connection's affair.
//! - A panic becomes 500 with the code `internal`, and the connection lives on.
//! - The request has the client's [`ClientAddress`](crate::client_address::ClientAddress) among its
//!   extensions.
//! - An [`Observer`], if there is one, is told of it all.
//!
//! # Whose pages may call
//!
//! That is set in two places, since what is served may be anything: the routes follow
//! [`HttpSettings::allowed_origins`](crate::HttpSettings::allowed_origins), the 500 and 503 above
//! [`Listener::with_allowed_origins`]. Tell both the same.
//!
//! ```no_run
//! use pinyto_core::Cloud;
//! use pinyto_http::{AllowedOrigins, Api, HttpSettings, Origin, listener::Listener, service};
//!
//! # async fn run(cloud: Cloud) -> Result<(), Box<dyn std::error::Error>> {
//! let origins = AllowedOrigins::Only(vec![Origin::parse("https://app.example")?]);
//! let mut settings = HttpSettings::default();
//! settings.allowed_origins = origins.clone();
//! let api = Api::new(cloud).settings(settings);
//!
//! let listener = Listener::bind(([127, 0, 0, 1], 8080).into()).await?;
//! let listener = listener.with_allowed_origins(origins);
//! # let shutdown = std::future::pending();
//! let ended = listener.serve(service(api), shutdown).await;
//! # drop(ended);
//! # Ok(())
//! # }
//! ```

mod connection;
mod layers;
mod tls;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use self::connection::{Phase, Shared};
use self::layers::layered;
pub use self::layers::{ACCESS_LOG, REQUEST_ID};
pub use self::tls::{Tls, TlsError, TlsFiles};
use crate::{cors::AllowedOrigins, timeout::bounded};

/// What a client may take of the server; see the fields for the defaults.
///
/// The body has limits of its own, in the routes. Of each time at most a year counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Time for the TLS handshake, and again for a request's headers. A kept-alive HTTP/1.1
    /// connection also waits no longer than this for its next request. 15 seconds.
    pub header_timeout: Duration,
    /// Time a connection may stay without a running request. 60 seconds. It is then closed, at
    /// the latest after another `request_timeout` if the client does not take its answer.
    pub idle_timeout: Duration,
    /// Time from a request's headers to the answer's headers, then 503. 120 seconds.
    pub request_timeout: Duration,
    /// Time running requests get to finish after the shutdown signal; 0 drops them. 30 seconds.
    pub shutdown_timeout: Duration,
    /// Connections served at a time; more wait in the kernel's queue. 1024.
    pub max_connections: usize,
    /// Size of a request's line and headers in bytes, at least 8192. 64 KiB.
    pub max_header_bytes: usize,
    /// Requests running at a time on one HTTP/2 connection. 32.
    pub max_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(120),
            shutdown_timeout: Duration::from_secs(30),
            max_connections: 1024,
            max_header_bytes: 64 * 1024,
            max_streams: 32,
        }
    }
}

impl Limits {
    /// With times that can be added to any moment.
    fn bounded(self) -> Self {
        Self {
            header_timeout: bounded(self.header_timeout),
            idle_timeout: bounded(self.idle_timeout),
            request_timeout: bounded(self.request_timeout),
            shutdown_timeout: bounded(self.shutdown_timeout),
            ..self
        }
    }
}

/// Is told of every request of a [`Listener`], to count and measure them. Called between requests'
/// work: it should be quick, and may not panic.
pub trait Observer: Send + Sync {
    /// The head of an answer was ready, so long after the request's head.
    fn answered(&self, status: StatusCode, after: Duration);

    /// A client went away before its answer.
    fn abandoned(&self);
}

/// A bound address, ready to serve.
pub struct Listener {
    socket: TcpListener,
    limits: Limits,
    tls: Option<Tls>,
    trust_proxy: bool,
    observer: Option<Arc<dyn Observer>>,
    origins: AllowedOrigins,
}

/// How [`Listener::serve`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Ended {
    /// Connections dropped because they had not finished within the shutdown timeout.
    pub dropped: usize,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one, see [`Listener::local_addr`].
    ///
    /// Until [`serve`](Self::serve) runs, clients wait in the kernel's queue.
    ///
    /// # Errors
    ///
    /// When the address is in use, not ours, or needs rights the process lacks.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            socket,
            limits: Limits::default(),
            tls: None,
            trust_proxy: false,
            observer: None,
            origins: AllowedOrigins::Any,
        })
    }

    /// Replaces the default [`Limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits.bounded();
        self
    }

    /// Speaks TLS only. Keep a clone of `tls` to reload the certificate.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Tells `observer` of every request.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Whose pages' scripts may read what the listener answers itself, the 500 and 503 above.
    /// Everybody's by default; what is served says for itself who may read the rest, so tell both
    /// ([`HttpSettings::allowed_origins`](crate::HttpSettings::allowed_origins)).
    #[must_use]
    pub fn with_allowed_origins(mut self, origins: AllowedOrigins) -> Self {
        self.origins = origins;
        self
    }

    /// Whether `X-Forwarded-For` decides the [`ClientAddress`](crate::client_address::ClientAddress).
    /// Only behind a proxy that appends to it; off by default.
    #[must_use]
    pub fn trusting_proxy(mut self, trust: bool) -> Self {
        self.trust_proxy = trust;
        self
    }

    /// The address bound, with the port that port 0 became.
    ///
    /// # Errors
    ///
    /// When the operating system can't tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves HTTP/1.1 and HTTP/2 until `shutdown` is ready, then finishes running requests.
    ///
    /// Every request gets its own clone of `service`. After `shutdown` the socket closes at once;
    /// what still runs after the shutdown timeout is dropped.
    ///
    /// Not cancellation safe: connections are tasks of their own, and when this future is dropped
    /// they are dropped too, running requests included.
    pub async fn serve<S, B>(self, service: S, shutdown: impl Future<Output = ()> + Send) -> Ended
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self {
            socket,
            limits,
            tls,
            trust_proxy,
            observer,
            origins,
        } = self;
        let service = TowerToHyperService::new(service);
        let service = layered(service, limits.request_timeout, observer, origins);
        let shared = Arc::new(Shared::new(limits.clone(), trust_proxy));
        let (phase, _) = watch::channel(Phase::Running);
        let capacity = limits.max_connections.clamp(1, Door::MAX_CAPACITY);
        let mut door = Door::new(socket, capacity);

        let mut shutdown = pin!(shutdown);
        loop {
            let (stream, peer, permit) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                next = door.next() => match next {
                    Some(next) => next,
                    None => break,
                },
            };
            let service = service.clone();
            let shared = Arc::clone(&shared);
            let phase = phase.subscribe();
            let tls = tls.clone();
            let handshake_timeout = limits.header_timeout;
            tokio::spawn(async move {
                let _permit = permit;
                match tls {
                    None => shared.drive(stream, peer.ip(), service, phase).await,
                    Some(tls) => {
                        if let Some(stream) = tls.accept(stream, handshake_timeout).await {
                            shared.drive(stream, peer.ip(), service, phase).await;
                        }
                    }
                }
            });
        }

        let connections = door.close();
        phase.send_replace(Phase::Draining);
        let all = connections.all_ended();
        if timeout(limits.shutdown_timeout, all).await.is_ok() {
            return Ended { dropped: 0 };
        }
        let dropped = connections.open();
        tracing::warn!(dropped, "shutdown timeout: dropping unfinished connections");
        phase.send_replace(Phase::Aborting);
        Ended { dropped }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("socket", &self.socket)
            .field("limits", &self.limits)
            .field("tls", &self.tls)
            .field("trust_proxy", &self.trust_proxy)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

/// Lets connections in while there is room.
struct Door {
    socket: TcpListener,
    room: Arc<Semaphore>,
    capacity: usize,
    last_complaint: Option<Instant>,
}

impl Door {
    /// Far more than a process has file descriptors; within the bounds of semaphore and `u32`.
    const MAX_CAPACITY: usize = 1 << 24;
    /// At most one line in this time says that the server is full.
    const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);
    /// Pause after an error that would return at once, such as no free file descriptor.
    const PAUSE: Duration = Duration::from_millis(100);

    fn new(socket: TcpListener, capacity: usize) -> Self {
        Self {
            socket,
            room: Arc::new(Semaphore::new(capacity)),
            capacity,
            last_complaint: None,
        }
    }

    /// The next connection; `None` never happens while the door is open. Cancellation safe.
    async fn next(&mut self) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        if self.room.available_permits() == 0 && self.may_complain() {
            tracing::warn!(
                connections = self.capacity,
                "connection limit reached: new clients wait until others leave"
            );
        }
        let permit = Arc::clone(&self.room).acquire_owned().await.ok()?;
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    // Answers are small and must not wait for more; failing costs only speed.
                    let _ = stream.set_nodelay(true);
                    return Some((stream, peer, permit));
                }
                Err(error) if concerns_one_client(&error) => {}
                Err(error) => {
                    if self.may_complain() {
                        tracing::error!(%error, "can't accept connections, trying again");
                    }
                    sleep(Self::PAUSE).await;
                }
            }
        }
    }

    fn may_complain(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .last_complaint
            .is_none_or(|last| now - last >= Self::COMPLAINT_INTERVAL);
        if due {
            self.last_complaint = Some(now);
        }
        due
    }

    fn close(self) -> Connections {
        Connections {
            room: self.room,
            capacity: self.capacity,
        }
    }
}

/// The connections still open after the door was closed.
struct Connections {
    room: Arc<Semaphore>,
    capacity: usize,
}

impl Connections {
    async fn all_ended(&self) {
        let all = u32::try_from(self.capacity).unwrap_or(u32::MAX);
        // Never closed, so never an error.
        let _ = self.room.acquire_many(all).await;
    }

    fn open(&self) -> usize {
        self.capacity - self.room.available_permits()
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
