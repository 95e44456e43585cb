//! Everything under a prefix, as warp mounts it and as axum does.

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use pinyto_core::testing::keys;
use pinyto_http::{Api, PathPrefix, routes, service};
use serde_json::{Value, json};
use tower_service::Service;
use warp::{Filter, filters::BoxedFilter};

use crate::support::{Server, cloud};

fn api() -> Api {
    let prefix = PathPrefix::parse("/cloud/pinyto").unwrap();
    Api::new(cloud()).mounted_at(prefix)
}

/// The two ways to mount.
enum Mounted {
    Warp(BoxedFilter<(warp::reply::Response,)>),
    Axum(Router),
}

impl Mounted {
    fn both(api: &Api) -> [Self; 2] {
        let filter = warp::path("cloud")
            .and(warp::path("pinyto"))
            .and(routes::all(api.clone()));
        let router = Router::new().nest_service("/cloud/pinyto", service(api.clone()));
        [Self::Warp(filter.boxed()), Self::Axum(router)]
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Response<Bytes> {
        match self {
            Self::Warp(filter) => {
                let request = warp::test::request().method(method).path(path);
                request.body(body).reply(filter).await
            }
            Self::Axum(router) => {
                let request = Request::builder().method(method).uri(path);
                let request = request.body(axum::body::Body::from(body.to_owned()));
                let answer = router.clone().call(request.unwrap()).await.unwrap();
                let (head, body) = answer.into_parts();
                Response::from_parts(head, body.collect().await.unwrap().to_bytes())
            }
        }
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.ask(method, path, body).await;
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(answer.body()).unwrap())
    }
}

#[tokio::test]
async fn calls_are_found() {
    let api = api();
    let server = Server::over(api.cloud().clone());
    let token = server.user("ada", 0).await;
    let body = json!({"token": token}).to_string();
    for mounted in Mounted::both(&api) {
        let (status, keys) = mounted.json("POST", "/cloud/pinyto/list_keys", &body).await;
        assert_eq!(status, 200);
        assert_eq!(keys[0]["key_hash"], keys::device(0).key_hash().as_str());
        let (status, _) = mounted.json("GET", "/cloud/pinyto/healthz", "").await;
        assert_eq!(status, 200);
    }
}

#[tokio::test]
async fn the_wrong_method_is_told_with_the_right_ones() {
    for mounted in Mounted::both(&api()) {
        for (method, path, allow) in [
            ("GET", "/cloud/pinyto/list_keys", "POST, OPTIONS"),
            ("DELETE", "/cloud/pinyto/keyserver/logout", "POST, OPTIONS"),
            ("GET", "/cloud/pinyto/ada/Notes/store", "POST, OPTIONS"),
            ("POST", "/cloud/pinyto/public_key", "GET, HEAD, OPTIONS"),
            ("POST", "/cloud/pinyto/", "GET, HEAD, OPTIONS"),
            ("POST", "/cloud/pinyto", "GET, HEAD, OPTIONS"),
        ] {
            let answer = mounted.ask(method, path, "{}").await;
            assert_eq!(answer.status(), 405, "{path}");
            assert_eq!(answer.headers()["allow"], allow, "{path}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_told_as_such_and_where_the_calls_are_listed() {
    for mounted in Mounted::both(&api()) {
        for (method, path) in [
            ("GET", "/cloud/pinyto/nowhere"),
            // Three segments with a part of the prefix, and with all of it.
            ("GET", "/cloud/pinyto/Notes"),
            ("GET", "/cloud/pinyto/ada/Notes"),
            ("POST", "/cloud/pinyto/cloud/pinyto/list_keys/more"),
        ] {
            let (status, answer) = mounted.json(method, path, "{}").await;
            assert_eq!((status, &answer["code"]), (404, &json!("unknown_route")));
            let sentence = answer["error"].as_str().unwrap();
            assert!(sentence.contains("GET /cloud/pinyto/docs"), "{sentence}");
        }
    }
}

#[tokio::test]
async fn the_links_of_the_front_page_lead_there() {
    for mounted in Mounted::both(&api()) {
        for path in ["/cloud/pinyto", "/cloud/pinyto/"] {
            let page = mounted.ask("GET", path, "").await;
            assert_eq!(page.status(), 200, "{path}");
            let page = String::from_utf8(page.body().to_vec()).unwrap();
            let links: Vec<&str> = page.split("href=\"").skip(1).collect();
            assert!(!links.is_empty());
            for link in links {
                let link = link.split('"').next().unwrap();
                assert!(link.starts_with("/cloud/pinyto/"), "{link}");
                let linked = mounted.ask("GET", link, "").await;
                assert_eq!(linked.status(), 200, "{link}");
            }
        }
    }
}

#[cfg(feature = "openapi")]
#[tokio::test]
async fn the_description_tells_the_prefix() {
    for mounted in Mounted::both(&api()) {
        let (_, document) = mounted.json("GET", "/cloud/pinyto/openapi.json", "").await;
        assert_eq!(document["servers"], json!([{"url": "/cloud/pinyto"}]));
        assert!(document["paths"]["/list_keys"].is_object());
        let page = mounted.ask("GET", "/cloud/pinyto/docs", "").await;
        let page = String::from_utf8(page.body().to_vec()).unwrap();
        assert!(page.contains("<code>/cloud/pinyto/list_keys</code>"));
    }
    let at_root = pinyto_http::openapi::document(&pinyto_http::HttpSettings::default());
    assert_eq!(at_root.get("servers"), None);
}

#[tokio::test]
async fn what_is_beside_the_prefix_is_left_alone() {
    let api = api();
    let mine = warp::path!("cloud" / "mine").map(|| "mine");
    let [Mounted::Warp(pinyto), _] = Mounted::both(&api) else {
        panic!("warp comes first");
    };
    let routes = pinyto.or(mine);
    let answer = warp::test::request().path("/cloud/mine").reply(&routes);
    assert_eq!(answer.await.body(), "mine");
    let answer = warp::test::request().path("/list_keys").reply(&routes);
    assert!(answer.await.body().is_empty(), "warp's own");
}
