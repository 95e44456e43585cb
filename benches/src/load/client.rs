//! As little HTTP client as possible, so that the load costs less than what it measures.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, client::conn::http1, http::request::Builder,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// One keep-alive connection.
pub(crate) struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends `body` to `path`; gives the answer, which has to be a success.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Bytes {
        let (status, answer) = self.try_post(path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer:?}");
        answer
    }

    /// Status and answer, whatever they are.
    pub(crate) async fn try_post(&mut self, path: &str, body: Bytes) -> (StatusCode, Bytes) {
        let response = self.send(Request::post(path), body).await;
        let status = response.status();
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        (status, answer)
    }

    /// A header of the answer, if it has it, and its body.
    pub(crate) async fn post_for_header(
        &mut self,
        path: &str,
        body: &Value,
        name: &str,
    ) -> (Option<String>, Value) {
        let response = self
            .send(Request::post(path), body.to_string().into())
            .await;
        assert!(response.status().is_success(), "{path}: {response:?}");
        let header = response.headers().get(name);
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        (header, serde_json::from_slice(&answer).unwrap())
    }

    pub(crate) async fn get_json(&mut self, path: &str) -> Value {
        let response = self.send(Request::get(path), Bytes::new()).await;
        assert!(response.status().is_success(), "{path}: {response:?}");
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&answer).unwrap()
    }

    async fn send(&mut self, request: Builder, body: Bytes) -> Response<Incoming> {
        let request = request
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap();
        self.0.ready().await.unwrap();
        self.0.send_request(request).await.unwrap()
    }

    pub(crate) async fn post_json(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body.to_string().into()).await;
        serde_json::from_slice(&answer).unwrap()
    }
}

/// What came of a load.
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) elapsed: Duration,
    latencies: Vec<Duration>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }
}

/// Sends one request over `connections` connections, in all `per_second` times a second.
pub(crate) async fn paced(
    address: SocketAddr,
    connections: u32,
    per_second: u32,
    duration: Duration,
    path: &'static str,
    body: Bytes,
) -> Load {
    let mut tasks = Vec::new();
    let begin = Instant::now();
    let pause = Duration::from_secs(1) * connections / per_second;
    for number in 0..connections {
        let body = body.clone();
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut latencies = Vec::new();
            let mut due = begin + pause * number / connections;
            while due < begin + duration {
                tokio::time::sleep_until(due.into()).await;
                connection.post(path, body.clone()).await;
                // From when it was due: who is kept waiting doesn't ask less often.
                latencies.push(due.elapsed());
                due += pause;
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = begin.elapsed();
    latencies.sort_unstable();
    Load {
        requests: latencies.len(),
        elapsed,
        latencies,
    }
}

/// Repeats one request over `connections` connections for `duration`.
pub(crate) async fn repeat(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    path: &'static str,
    body: Bytes,
) -> Load {
    spread(&[address], connections, duration, path, &[body]).await
}

/// The same, the connections spread over servers and over bodies.
pub(crate) async fn spread(
    addresses: &[SocketAddr],
    connections: usize,
    duration: Duration,
    path: &'static str,
    bodies: &[Bytes],
) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    let begin = Instant::now();
    for number in 0..connections {
        let stop = stop.clone();
        let address = addresses[number % addresses.len()];
        // Each user asks every server.
        let body = bodies[number / addresses.len() % bodies.len()].clone();
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                connection.post(path, body.clone()).await;
                latencies.push(sent.elapsed());
            }
            latencies
        }));
    }
    tokio::time::sleep(duration).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = begin.elapsed();
    latencies.sort_unstable();
    Load {
        requests: latencies.len(),
        elapsed,
        latencies,
    }
}
