//! What a client may not do for long.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::helper::{PATIENCE, TestServer, get, http1, http2, limits, raw, text, until_closed};

const SHORT: Duration = Duration::from_millis(200);

async fn with_short_header_timeout() -> TestServer {
    TestServer::start(limits(|limits| limits.header_timeout = SHORT)).await
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_cut_off() {
    let server = with_short_header_timeout().await;
    assert_eq!(until_closed(&mut server.connect().await).await, "");
}

#[tokio::test]
async fn a_client_that_stops_within_the_http2_preface_is_cut_off() {
    let server = with_short_header_timeout().await;
    assert_eq!(raw(&mut server.connect().await, "PRI * HT").await, "");
}

#[tokio::test]
async fn a_client_that_says_only_the_http2_preface_is_cut_off() {
    let server = with_short_header_timeout().await;
    let mut client = server.connect().await;
    raw(
        &mut client,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    )
    .await;
}

#[tokio::test]
async fn a_client_that_sends_its_headers_byte_by_byte_is_cut_off() {
    let server = with_short_header_timeout().await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let started = Instant::now();
    let dribble = tokio::spawn(async move {
        for byte in b"GET /hello HTTP/1.1\r\nhost: localhost\r\nx-slow: aaaaaaaaaaaaaaaaaaaaa"
            .iter()
            .cycle()
        {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    until_closed(&mut reader).await;
    assert!(started.elapsed() >= SHORT, "cut off too early");
    timeout(PATIENCE, dribble).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_headers_of_a_later_request_are_limited_too() {
    let server = with_short_header_timeout().await;
    let mut client = server.connect().await;
    let request = "GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\nGET /hello HT";
    let received = raw(&mut client, request).await;
    assert_eq!(received.matches("200 OK").count(), 1, "{received}");
}

#[tokio::test]
async fn a_request_may_take_longer_than_the_header_timeout() {
    let header_timeout = Duration::from_millis(500);
    let server = TestServer::start(limits(|limits| limits.header_timeout = header_timeout)).await;
    let mut client = http1(server.connect().await).await;
    let answer = client.send_request(get("/sleep/1000")).await.unwrap();
    assert_eq!(text(answer).await.1, "slept");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let server = TestServer::start(limits(|limits| limits.idle_timeout = SHORT)).await;
    let mut client = http2(server.connect().await).await;
    // Longer than the idle time, which counts only after a request.
    sleep(2 * SHORT).await;
    let answer = client.send_request(get("/sleep/400")).await.unwrap();
    assert_eq!(
        text(answer).await.1,
        "slept",
        "a running request is not idleness"
    );
    timeout(PATIENCE, async {
        while client.ready().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the connection stays open");
}

#[tokio::test]
async fn at_the_connection_limit_clients_wait_until_one_leaves() {
    let server = TestServer::start(limits(|limits| limits.max_connections = 2)).await;
    let mut first = http1(server.connect().await).await;
    let mut second = http1(server.connect().await).await;
    for client in [&mut first, &mut second] {
        text(client.send_request(get("/hello")).await.unwrap()).await;
    }
    let mut third = http1(server.connect().await).await;
    let mut answer = std::pin::pin!(third.send_request(get("/hello")));
    assert!(
        timeout(SHORT, answer.as_mut()).await.is_err(),
        "a third client was let in"
    );
    drop(first);
    let answer = timeout(PATIENCE, answer)
        .await
        .expect("still waiting")
        .unwrap();
    assert_eq!(text(answer).await.1, "hello");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let server = TestServer::start(limits(|limits| {
        limits.max_connections = 1;
        limits.idle_timeout = SHORT;
        limits.request_timeout = SHORT;
    }))
    .await;
    let mut greedy = server.connect().await;
    greedy
        .write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut next = http1(server.connect().await).await;
    let answer = timeout(PATIENCE, next.send_request(get("/hello"))).await;
    assert_eq!(text(answer.expect("no room").unwrap()).await.1, "hello");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let server = TestServer::start(limits(|limits| limits.max_header_bytes = 8192)).await;
    let request = format!(
        "GET /hello HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let mut client = server.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let mut first_line = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut first_line)
        .await
        .unwrap();
    assert_eq!(&first_line, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let server = TestServer::start(limits(|limits| limits.request_timeout = SHORT)).await;
    let mut client = http1(server.connect().await).await;
    let answer = client.send_request(get("/sleep/60000")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let exposed = &answer.headers()["access-control-expose-headers"];
    assert_eq!(exposed, "retry-after, x-request-id");
    let (status, body) = text(answer).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (503, Some("timeout"))
    );
    let answer = client.send_request(get("/hello")).await.unwrap();
    assert_eq!(text(answer).await.1, "hello", "the connection lives on");
}

#[tokio::test]
async fn the_largest_limits_that_can_be_written_serve_as_well() {
    let server = TestServer::start(limits(|limits| {
        limits.header_timeout = Duration::MAX;
        limits.idle_timeout = Duration::MAX;
        limits.request_timeout = Duration::MAX;
        limits.shutdown_timeout = Duration::MAX;
        limits.max_connections = usize::MAX;
        limits.max_header_bytes = usize::MAX;
        limits.max_streams = u32::MAX;
    }));
    let server = server.await;
    let mut first = http1(server.connect().await).await;
    let mut second = http2(server.connect().await).await;
    for _ in 0..2 {
        first.ready().await.unwrap();
        let answer = first.send_request(get("/hello")).await.unwrap();
        assert_eq!(text(answer).await.1, "hello");
        let answer = second.send_request(get("http://localhost/hello")).await;
        assert_eq!(text(answer.unwrap()).await.1, "hello");
    }
    drop((first, second));
    let ended = timeout(PATIENCE, server.stop()).await.unwrap().unwrap();
    assert_eq!(ended.dropped, 0);
}
