//! What the server says about itself, and what it answers to everything else.

use http::Method;
use pinyto_core::testing::keys;
use serde_json::json;

use crate::support::{Answer, Server};

async fn get(server: &Server, path: &str) -> Answer {
    server.request(warp::test::request().path(path)).await
}

#[tokio::test]
async fn the_public_key_can_be_had() {
    let server = Server::new();
    let key = keys::server().public_key().clone();
    let expected = json!({
        "N": key.n_decimal(),
        "e": "65537",
        "key_hash": key.key_hash().as_str(),
        "pem": key.to_pem(),
    });
    assert_eq!(get(&server, "/public_key").await.ok(), expected);
}

#[tokio::test]
async fn it_lives_and_is_ready() {
    let server = Server::new();
    assert_eq!(get(&server, "/healthz").await.ok(), json!({"status": "ok"}));
    assert_eq!(get(&server, "/readyz").await.ok(), json!({"status": "ok"}));
}

#[tokio::test]
async fn people_get_a_page_that_needs_nothing_from_elsewhere() {
    let server = Server::new();
    for (path, accept) in [
        ("/", "*/*"),
        ("/some/where/deep/er", "text/html,application/xhtml+xml"),
        ("/list_keys", "Text/HTML"),
        ("/a/b/c", "text/html"),
    ] {
        let request = warp::test::request().path(path).header("accept", accept);
        let answer = server.request(request).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        let page = answer.body.as_str().unwrap();
        let fingerprint = keys::server().public_key().fingerprint().to_hex();
        assert!(page.replace(' ', "").contains(&fingerprint));
        assert_eq!(page.contains("href=\"/docs\""), cfg!(feature = "openapi"));
        for foreign in ["<script", "src=", "http://", "https://", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let server = Server::new();
    for path in ["/", "/healthz", "/readyz", "/public_key", "/nowhere"] {
        let whole = get(&server, path).await;
        let request = warp::test::request().method("HEAD").path(path);
        let head = request.reply(&server.routes).await;
        assert_eq!(head.status(), whole.status, "{path}");
        assert!(head.body().is_empty());
        assert_eq!(
            head.headers()["content-type"],
            whole.headers["content-type"]
        );
        let length: usize = head.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(length > 10);
    }
}

#[tokio::test]
async fn unknown_paths_are_told_as_such() {
    let server = Server::new();
    for path in [
        "/nowhere",
        "/keyserver/nowhere",
        "/keyserver",
        "/a/b",
        "/a/b/c/d",
        "/list_keys/more",
        "/list%5fkeys",
        "/LIST_KEYS",
        "//b/c",
        "/%00",
    ] {
        for method in ["POST", "GET", "PUT", "DELETE"] {
            let request = warp::test::request().method(method).path(path).body("{}");
            let answer = server.request(request).await;
            assert_eq!(answer.error(), (404, "unknown_route"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_wrong_method_is_told_with_the_right_ones() {
    let server = Server::new();
    for (path, method, allow) in [
        ("/list_keys", "GET", "POST, OPTIONS"),
        ("/register", "PUT", "POST, OPTIONS"),
        ("/keyserver/logout", "DELETE", "POST, OPTIONS"),
        ("/statistics", "PATCH", "POST, OPTIONS"),
        ("/save_assembly/", "GET", "POST, OPTIONS"),
        ("/alice/Notes/store", "GET", "POST, OPTIONS"),
        ("/healthz", "POST", "GET, HEAD, OPTIONS"),
        ("/public_key", "POST", "GET, HEAD, OPTIONS"),
        ("/", "POST", "GET, HEAD, OPTIONS"),
    ] {
        let request = warp::test::request().method(method).path(path).body("{}");
        let answer = server.request(request).await;
        assert_eq!(answer.error(), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.headers["allow"], allow);
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_call() {
    let server = Server::new();
    for path in ["/list_keys", "/alice/Notes/store", "/nowhere", "/"] {
        let request = warp::test::request()
            .method("OPTIONS")
            .path(path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "content-type,authorization,x-other",
            );
        let answer = server.request(request).await;
        assert_eq!(answer.status, 204);
        for (header, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "POST, GET, OPTIONS"),
            (
                "access-control-allow-headers",
                "Content-Type, Authorization",
            ),
            ("access-control-max-age", "86400"),
        ] {
            assert_eq!(answer.headers[header], value);
        }
        assert!(
            !answer
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
}

#[tokio::test]
async fn what_serves_nothing_else_says_so_as_the_rest_does() {
    let mut server = Server::new();
    server.routes = pinyto_http::routes::nothing_else();
    for path in ["/", "/list_keys", "/nowhere"] {
        assert_eq!(get(&server, path).await.error(), (404, "unknown_route"));
    }
}

#[tokio::test]
async fn a_group_can_be_mounted_on_its_own_and_leaves_the_rest_alone() {
    use pinyto_http::{Api, routes};
    use warp::Filter;
    let api = Api::new(crate::support::cloud());
    let routes = warp::path("pinyto")
        .and(routes::health(api.clone()).or(routes::users(api)).unify())
        .or(warp::path!("own").map(warp::reply));
    let ask = async |method: Method, path: &str| {
        let request = warp::test::request().method(method.as_str()).path(path);
        request.body("{}").reply(&routes).await.status().as_u16()
    };
    assert_eq!(ask(Method::GET, "/pinyto/healthz").await, 200);
    assert_eq!(ask(Method::POST, "/pinyto/logout").await, 401);
    assert_eq!(ask(Method::GET, "/own").await, 200);
    assert_eq!(ask(Method::GET, "/healthz").await, 404);
}
