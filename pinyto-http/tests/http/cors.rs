//! Whose pages may read the answers.

use http::HeaderMap;
use pinyto_http::{AllowedOrigins, HttpSettings, Origin};

use crate::support::{Server, cloud};

const APP: &str = "https://app.example";
const OTHER: &str = "http://localhost:8080";

fn server(allowed: &[&str]) -> Server {
    let origins = allowed.iter().map(|text| Origin::parse(text).unwrap());
    let mut settings = HttpSettings::default();
    settings.allowed_origins = AllowedOrigins::Only(origins.collect());
    Server::with(cloud(), settings)
}

async fn headers(server: &Server, method: &str, path: &str, origin: Option<&str>) -> HeaderMap {
    let request = warp::test::request().method(method).path(path).body("{}");
    let request = match origin {
        Some(origin) => request.header("origin", origin),
        None => request,
    };
    server.request(request).await.headers
}

/// What is asked of each group, and of what answers the rest.
const REQUESTS: [(&str, &str); 12] = [
    ("POST", "/register"),
    ("POST", "/list_keys"),
    ("POST", "/keyserver/authenticate"),
    ("POST", "/list_own_assemblies"),
    ("POST", "/ada/Notes/store"),
    ("POST", "/list_runs"),
    ("POST", "/list_jobs"),
    ("GET", "/public_key"),
    ("HEAD", "/healthz"),
    ("OPTIONS", "/register"),
    ("DELETE", "/register"),
    ("POST", "/nowhere"),
];

#[tokio::test]
async fn only_pages_of_the_allowed_origins_may_read_any_answer() {
    let server = server(&[APP, OTHER]);
    for (method, path) in REQUESTS {
        for (origin, told) in [
            (Some(APP), Some(APP)),
            (Some(OTHER), Some(OTHER)),
            (Some("https://app.example.org"), None),
            (Some("http://app.example"), None),
            (Some("null"), None),
            (None, None),
        ] {
            let headers = headers(&server, method, path, origin).await;
            let allowed = headers.get("access-control-allow-origin");
            let allowed = allowed.map(|value| value.to_str().unwrap());
            assert_eq!(allowed, told, "{method} {path} from {origin:?}");
            // A cache must not give one origin what another may read.
            assert_eq!(headers["vary"], "origin", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_origin_at_all_can_be_allowed_and_by_default_all_are() {
    let (nobody, everybody) = (server(&[]), Server::new());
    for (method, path) in REQUESTS {
        for origin in [Some(APP), None] {
            let closed = headers(&nobody, method, path, origin).await;
            assert!(!closed.contains_key("access-control-allow-origin"));
            let open = headers(&everybody, method, path, origin).await;
            assert_eq!(open["access-control-allow-origin"], "*", "{method} {path}");
            assert!(!open.contains_key("vary"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_page_of_the_server_itself_is_nobody_elses_affair() {
    let headers = headers(&server(&[APP]), "GET", "/", Some(APP)).await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(!headers.contains_key("access-control-allow-origin"));
    assert!(!headers.contains_key("vary"));
}
