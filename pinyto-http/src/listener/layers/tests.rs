//! The log line of a request.

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use warp::Filter;

use super::layered;
use crate::cors::AllowedOrigins;

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
    let service = layered(
        TowerToHyperService::new(warp::service(routes)),
        Duration::from_secs(1),
        None,
        AllowedOrigins::Any,
    );
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
        TowerToHyperService::new(warp::service(warp::any().map(warp::reply))),
        Duration::from_secs(1),
        None,
        AllowedOrigins::Any,
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
    let service = layered(never, Duration::from_secs(60), None, AllowedOrigins::Any);
    let answer = service.call(Request::new(Full::default()));
    assert!(
        tokio::time::timeout(Duration::from_millis(10), answer)
            .await
            .is_err()
    );
    assert!(log.text().contains("abandoned"), "{}", log.text());
}
