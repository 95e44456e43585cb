//! One connection from its first byte to its end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Limits;
use crate::client_address::ClientAddress;

/// What an HTTP/2 stream may have waiting to be sent, in bytes.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;

/// How far the whole server is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Finish what runs, take nothing new.
    Draining,
    /// Drop what still runs.
    Aborting,
}

/// What all connections of a listener have in common.
pub(super) struct Shared {
    protocol: auto::Builder<TokioExecutor>,
    limits: Limits,
    trust_proxy: bool,
}

impl Shared {
    pub(super) fn new(limits: Limits, trust_proxy: bool) -> Self {
        let mut protocol = auto::Builder::new(TokioExecutor::new());
        protocol
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.max_header_bytes.max(8192));
        protocol
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(HTTP2_SEND_BUFFER);
        Self {
            protocol,
            limits,
            trust_proxy,
        }
    }

    /// Serves `io` until the client or a limit ends it, or the server's phase does.
    pub(super) async fn drive<I, S, B>(
        &self,
        io: I,
        peer: IpAddr,
        service: S,
        mut phase: watch::Receiver<Phase>,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let activity = Arc::new(Activity::new());
        let trust_proxy = self.trust_proxy;
        let counted = Arc::clone(&activity);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let address = if trust_proxy {
                ClientAddress::behind_proxy(peer, request.headers())
            } else {
                ClientAddress::of_peer(peer)
            };
            request.extensions_mut().insert(address);
            let running = Running::begin(&counted);
            let answer = service.call(request);
            async move {
                let answer = answer.await;
                drop(running);
                answer
            }
        });

        let mut connection = pin!(self.protocol.serve_connection(TokioIo::new(io), service));
        // hyper's own header timeout starts only when it knows the protocol; ours starts now.
        let first_look = self.limits.header_timeout.min(self.limits.idle_timeout);
        let mut alarm = pin!(sleep_until(Instant::now() + first_look));
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "connection ended early");
                    }
                    return;
                }
                () = alarm.as_mut() => match activity.verdict(&self.limits) {
                    Verdict::LookAgain(at) => alarm.as_mut().reset(at),
                    Verdict::Silent => return,
                    Verdict::Idle if closing => return,
                    Verdict::Idle => {
                        // A slow reader may still take its answer, but not for ever.
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                        alarm.as_mut().reset(Instant::now() + self.limits.request_timeout);
                    }
                },
                changed = phase.changed() => {
                    let phase = *phase.borrow_and_update();
                    if changed.is_err() || phase == Phase::Aborting {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// What a connection's requests have done, for its alarm.
struct Activity {
    opened: Instant,
    requests: AtomicU64,
    running: AtomicUsize,
    /// Milliseconds from `opened` to the end of the latest request.
    last_end: AtomicU64,
}

enum Verdict {
    LookAgain(Instant),
    /// Never a request since the connection was opened.
    Silent,
    /// No request for the idle time.
    Idle,
}

impl Activity {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            requests: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            last_end: AtomicU64::new(0),
        }
    }

    fn verdict(&self, limits: &Limits) -> Verdict {
        let now = Instant::now();
        if self.running.load(Ordering::Acquire) > 0 {
            return Verdict::LookAgain(now + limits.idle_timeout);
        }
        let (deadline, verdict) = if self.requests.load(Ordering::Relaxed) == 0 {
            (self.opened + limits.header_timeout, Verdict::Silent)
        } else {
            let last_end = Duration::from_millis(self.last_end.load(Ordering::Relaxed));
            (self.opened + last_end + limits.idle_timeout, Verdict::Idle)
        };
        if deadline > now {
            // A silent connection's first request may come and go before its deadline.
            Verdict::LookAgain(deadline.min(now + limits.idle_timeout))
        } else {
            verdict
        }
    }
}

/// A request being worked on; also counted down when the client goes away.
struct Running(Arc<Activity>);

impl Running {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.running.fetch_add(1, Ordering::Relaxed);
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_end.fetch_max(elapsed, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}
