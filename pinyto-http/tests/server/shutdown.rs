//! The end: running requests finish, up to a limit.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::helper::{PATIENCE, TestServer, get, http1, http2, limits, text, until_closed};

#[tokio::test]
async fn running_requests_finish_and_nothing_new_is_accepted() {
    let server = TestServer::start(limits(|_| ())).await;
    let address = server.address;
    let mut silent = server.connect().await;
    let mut idle = http1(server.connect().await).await;
    text(idle.send_request(get("/hello")).await.unwrap()).await;
    let mut one = http1(server.connect().await).await;
    let mut two = http2(server.connect().await).await;
    let one = tokio::spawn(async move { one.send_request(get("/sleep/400")).await.unwrap() });
    let two = tokio::spawn(async move { two.send_request(get("/sleep/400")).await.unwrap() });
    server.has_sleepers(2).await;

    let ended = server.stop();
    until_closed(&mut silent).await;
    assert!(!one.is_finished(), "the test is too slow to show anything");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "still accepting"
    );
    assert_eq!(text(one.await.unwrap()).await.1, "slept");
    assert_eq!(text(two.await.unwrap()).await.1, "slept");
    assert!(idle.send_request(get("/hello")).await.is_err());
    let ended = timeout(PATIENCE, ended)
        .await
        .expect("does not end")
        .unwrap();
    assert_eq!(ended.dropped, 0);
}

#[tokio::test]
async fn after_the_shutdown_timeout_the_rest_is_dropped() {
    let limits = limits(|limits| limits.shutdown_timeout = Duration::from_millis(200));
    let server = TestServer::start(limits).await;
    let mut client = http1(server.connect().await).await;
    let endless = tokio::spawn(async move { client.send_request(get("/sleep/60000")).await });
    server.has_sleepers(1).await;

    let started = Instant::now();
    let ended = timeout(PATIENCE, server.stop())
        .await
        .expect("does not end")
        .unwrap();
    assert_eq!(ended.dropped, 1);
    assert!(
        started.elapsed() >= Duration::from_millis(200),
        "dropped too early"
    );
    assert!(
        timeout(PATIENCE, endless).await.unwrap().unwrap().is_err(),
        "not dropped"
    );
}

#[tokio::test]
async fn dropping_the_server_drops_its_connections() {
    let server = TestServer::start(limits(|_| ())).await;
    let mut client = http1(server.connect().await).await;
    let endless = tokio::spawn(async move { client.send_request(get("/sleep/60000")).await });
    server.has_sleepers(1).await;
    server.ended.abort();
    assert!(
        timeout(PATIENCE, endless).await.unwrap().unwrap().is_err(),
        "not dropped"
    );
}
