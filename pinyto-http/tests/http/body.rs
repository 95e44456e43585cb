//! Bodies over a real connection: too large, too slow, in pieces.

use std::{net::SocketAddr, time::Duration};

use pinyto_http::HttpSettings;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::support::{Server, cloud};

const LIMIT: usize = 10_000;

/// All routes on a free port of this machine.
async fn listen(settings: HttpSettings) -> (Server, SocketAddr) {
    let server = Server::with(cloud(), settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(warp::serve(server.routes.clone()).incoming(listener).run());
    (server, address)
}

fn small() -> HttpSettings {
    let mut settings = HttpSettings::default();
    settings.max_body_bytes = LIMIT;
    settings
}

/// The status and the JSON of one answer.
async fn answer(stream: &mut TcpStream) -> (u16, Value) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap() {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, serde_json::from_str(body).unwrap());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "{text}");
    }
}

async fn post(address: SocketAddr, headers: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /logout HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may have answered and closed before it has read everything.
    let _ = stream.write_all(body).await;
    answer(&mut stream).await
}

fn of_length(length: usize) -> Vec<u8> {
    let mut body = json!({"token": "x"}).to_string();
    body.extend(std::iter::repeat_n(' ', length - body.len()));
    body.into_bytes()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(size) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    chunks
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let (_, address) = listen(small()).await;
    for (length, status) in [(LIMIT, 401), (LIMIT + 1, 413), (3_000_000, 413)] {
        let body = of_length(length);
        let headers = format!("Content-Length: {length}");
        let (got, json) = post(address, &headers, &body).await;
        assert_eq!(got, status, "{length}: {json}");
        let headers = "Transfer-Encoding: chunked";
        let (got, json) = post(address, headers, &chunked(&body, 777)).await;
        assert_eq!(got, status, "{length} in chunks: {json}");
        if status == 413 {
            assert_eq!(json["code"], "body_too_large");
            assert!(json["error"].as_str().unwrap().contains("10000 bytes"));
        }
    }
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let (_, address) = listen(small()).await;
    for content_type in [
        "application/json",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let body = of_length(100);
        let headers = format!("Content-Length: 100\r\nContent-Type: {content_type}");
        let (status, json) = post(address, &headers, &body).await;
        assert_eq!((status, &json["code"]), (401, &json!("unknown_token")));
    }
}

#[tokio::test]
async fn a_client_that_dribbles_is_cut_off() {
    let mut settings = small();
    settings.body_timeout = Duration::from_millis(300);
    let (_, address) = listen(settings).await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /list_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dribble = tokio::spawn(async move {
        while writing.write_all(b" ").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut text = String::new();
    // The connection ends after the answer, maybe with a reset because of what was still sent.
    let _ = reading.read_to_string(&mut text).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.contains("\"code\":\"body_too_slow\""));
    assert!(started.elapsed() < Duration::from_secs(5));
    dribble.abort();
}

#[tokio::test]
async fn a_client_that_goes_away_harms_nobody() {
    let (server, address) = listen(small()).await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /list_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    let token = server.user("alice", 0).await;
    server
        .post("/list_keys", json!({"token": token}))
        .await
        .ok();
}

#[tokio::test]
async fn all_bodies_together_take_no_more_memory_than_allowed() {
    let mut settings = HttpSettings::default();
    settings.max_body_bytes = 100_000;
    settings.body_memory = 1;
    let (_, address) = listen(settings).await;
    let mut unfinished = TcpStream::connect(address).await.unwrap();
    let head = "POST /logout HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    unfinished.write_all(head.as_bytes()).await.unwrap();
    unfinished.write_all(&[b' '; 99_999]).await.unwrap();
    let body = of_length(90_000);
    let ask = async || post(address, "Content-Length: 90000", &body).await;
    let until = async |status: u16| {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let (got, json) = ask().await;
            if got == status {
                return json;
            }
            assert!(Instant::now() < deadline, "{got}: {json}");
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(until(429).await["code"], "busy");
    let small = of_length(10_000);
    let (status, _) = post(address, "Content-Length: 10000", &small).await;
    assert_eq!(status, 401, "small bodies are free");
    drop(unfinished);
    until(401).await;
    // What was decoded takes nothing any more.
    for _ in 0..3 {
        assert_eq!(ask().await.0, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_at_once_are_all_answered() {
    let (server, address) = listen(HttpSettings::default()).await;
    let token = server.user("alice", 0).await;
    let data = json!({"name": "Notes", "description": ""});
    let body = json!({"token": token, "original_name": "", "data": data});
    server.post("/save_assembly", body).await.success();
    let body = json!({"token": token, "author": "alice", "name": "Notes"});
    server.post("/install_assembly", body).await.success();

    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..200 {
        let body = json!({"token": token, "type": "t", "data": index}).to_string();
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!(
                "POST /alice/Notes/store HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            answer(&mut stream).await
        });
    }
    let mut identifiers = std::collections::BTreeSet::new();
    while let Some(result) = tasks.join_next().await {
        let (status, json) = result.unwrap();
        assert_eq!(status, 200, "{json}");
        identifiers.insert(json["_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(identifiers.len(), 200);
}

#[tokio::test]
async fn the_largest_limits_that_can_be_written_serve_as_well() {
    let mut settings = HttpSettings::default();
    settings.body_timeout = Duration::MAX;
    settings.max_body_bytes = usize::MAX;
    settings.body_memory = usize::MAX;
    let (_server, address) = listen(settings).await;
    let body = chunked(&of_length(100_000), 10_000);
    let (status, said) = post(address, "Transfer-Encoding: chunked", &body).await;
    assert_eq!((status, &said["code"]), (401, &json!("unknown_token")));
}
