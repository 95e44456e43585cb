//! What surrounds every request.

use pinyto_http::{AllowedOrigins, Origin, listener::Listener};

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
async fn only_pages_of_the_allowed_origins_may_read_what_the_listener_answers() {
    let app = "https://app.example";
    for (allowed, page, told) in [
        (vec![app], Some(app), Some(app)),
        (vec![app], Some("https://app.example.org"), None),
        (vec![app], None, None),
        (vec![], Some(app), None),
    ] {
        let origins = allowed.into_iter().map(|text| Origin::parse(text).unwrap());
        let origins = AllowedOrigins::Only(origins.collect());
        let server = TestServer::start_with(|listener| {
            let short = std::time::Duration::from_millis(50);
            let limits = limits(|limits| limits.request_timeout = short);
            listener.with_limits(limits).with_allowed_origins(origins)
        });
        let server = server.await;
        let mut client = http1(server.connect().await).await;
        for (path, status) in [("/panic", 500), ("/sleep/60000", 503)] {
            let mut request = get(path);
            if let Some(page) = page {
                request
                    .headers_mut()
                    .insert("origin", page.parse().unwrap());
            }
            client.ready().await.unwrap();
            let answer = client.send_request(request).await.unwrap();
            assert_eq!(answer.status(), status);
            let allowed = answer.headers().get("access-control-allow-origin");
            let allowed = allowed.map(|value| value.to_str().unwrap());
            assert_eq!(allowed, told, "{path} from {page:?}");
            assert_eq!(answer.headers()["vary"], "origin");
            text(answer).await;
        }
        // What is served says that itself.
        client.ready().await.unwrap();
        let answer = client.send_request(get("/hello")).await.unwrap();
        assert!(!answer.headers().contains_key("vary"));
    }
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

#[tokio::test]
async fn whose_pages_may_call_is_seen_in_debug() {
    let only = AllowedOrigins::Only(vec![Origin::parse("https://app.example").unwrap()]);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let shown = format!("{:?}", listener.with_allowed_origins(only));
    assert!(shown.contains("https://app.example"), "{shown}");
}
