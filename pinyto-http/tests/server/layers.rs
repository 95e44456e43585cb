//! What surrounds every request.

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::{Service, service_fn};
use pinyto_http::server::layers::{from_filter, layered};
use warp::Filter;

use crate::helper::{TestServer, get, http1, http2, limits, text};

#[tokio::test]
async fn a_panic_answers_500_and_the_connection_lives_on() {
    let server = TestServer::start(limits(|_| ())).await;
    let mut client = http1(server.connect().await).await;
    client.ready().await.unwrap();
    let answer = client.send_request(get("/panic")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(answer.headers().contains_key("x-request-id"));
    let (status, body) = text(answer).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (500, Some("internal"))
    );
    client.ready().await.unwrap();
    let answer = client.send_request(get("/hello")).await.unwrap();
    assert_eq!(text(answer).await.1, "hello");
}

#[tokio::test]
async fn http2_serves_many_requests_at_a_time_and_survives_panics() {
    let server = TestServer::start(limits(|_| ())).await;
    let client = http2(server.connect().await).await;
    let answers = ["/hello", "/panic", "/sleep/50", "/hello"].map(|path| {
        let mut client = client.clone();
        async move {
            let url = format!("http://localhost{path}");
            text(client.send_request(get(&url)).await.unwrap())
                .await
                .0
                .as_u16()
        }
    });
    assert_eq!(
        futures_util::future::join_all(answers).await,
        [200, 500, 200, 200]
    );
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_or_the_clients() {
    let server = TestServer::start(limits(|_| ())).await;
    let mut client = http1(server.connect().await).await;
    let mut id_for = async |given: Option<&str>| {
        let mut request = get("/hello");
        if let Some(given) = given {
            request
                .headers_mut()
                .insert("x-request-id", given.parse().unwrap());
        }
        client.ready().await.unwrap();
        let answer = client.send_request(request).await.unwrap();
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        text(answer).await;
        id
    };
    assert_eq!(id_for(Some("abc-1_2.3")).await, "abc-1_2.3");
    let long = "x".repeat(65);
    let fresh = [
        id_for(None).await,
        id_for(Some("<b>")).await,
        id_for(Some(&long)).await,
    ];
    assert!(
        fresh.iter().all(|id| id.parse::<u64>().is_ok()),
        "{fresh:?}"
    );
    assert!(fresh[0] != fresh[1] && fresh[1] != fresh[2]);
}

#[tokio::test]
async fn only_a_trusted_proxy_decides_the_clients_address() {
    for (trust, expected) in [(false, "127.0.0.1"), (true, "192.0.2.9")] {
        let server = TestServer::start_with(|listener| listener.trusting_proxy(trust)).await;
        let mut client = http1(server.connect().await).await;
        let mut request = get("/address");
        let forged_and_real = "6.6.6.6, 192.0.2.9".parse().unwrap();
        request
            .headers_mut()
            .insert("x-forwarded-for", forged_and_real);
        client.ready().await.unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(text(answer).await.1, expected, "trust_proxy {trust}");
        client.ready().await.unwrap();
        let answer = client.send_request(get("/address")).await.unwrap();
        assert_eq!(text(answer).await.1, "127.0.0.1", "without the header");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Until the guard is dropped, this thread's events are collected here.
    fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_a_line_per_request_without_secrets() {
    let log = Log::default();
    let _guard = log.collect();
    let routes = warp::any().and(warp::body::bytes()).map(|_| {
        tracing::info!("inside");
        "s3cret-answer"
    });
    let service = layered(from_filter(routes), Duration::from_secs(1), None);
    let request = Request::post("http://localhost/a/path?token=s3cret-query")
        .header("x-request-id", "id-7")
        .header("authorization", "Bearer s3cret-header")
        .body(Full::new(Bytes::from_static(b"s3cret-body")))
        .unwrap();
    let answer = service.call(request).await.unwrap();
    assert_eq!(answer.status(), 200);

    let log = log.text();
    assert!(!log.contains("s3cret"), "{log}");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("request{id=\"id-7\"}")),
        "{log}"
    );
    for part in ["method=\"POST\"", "path=\"/a/path\"", "status=200", "ms="] {
        assert!(lines[1].contains(part), "{part} is missing in {log}");
    }
}

#[tokio::test]
async fn a_long_path_is_cut_in_the_log_also_within_a_character() {
    let log = Log::default();
    let _guard = log.collect();
    let service = layered(
        from_filter(warp::any().map(warp::reply)),
        Duration::from_secs(1),
        None,
    );
    let path = format!("/{}", "ä".repeat(5000));
    let request = Request::post(&path).body(Full::new(Bytes::new())).unwrap();
    let answer = service.call(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let log = log.text();
    assert_eq!(log.matches('ä').count(), 127, "{log}");
    let milliseconds = log.split_once("ms=").unwrap().1;
    let milliseconds = milliseconds.split_whitespace().next().unwrap();
    let decimals = milliseconds.split_once('.').map_or("", |(_, rest)| rest);
    assert!(decimals.len() <= 3, "{log}");
}

#[tokio::test]
async fn a_request_whose_client_left_is_logged_as_abandoned() {
    let log = Log::default();
    let _guard = log.collect();
    let never = service_fn(|_request: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let service = layered(never, Duration::from_secs(60), None);
    let answer = service.call(Request::new(Full::default()));
    assert!(
        tokio::time::timeout(Duration::from_millis(10), answer)
            .await
            .is_err()
    );
    assert!(log.text().contains("abandoned"), "{}", log.text());
}
