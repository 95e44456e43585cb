//! The routes as a service for axum and others: the same answers, whatever is around them.

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use pinyto_core::testing::keys;
use pinyto_http::{Answer, Api, ApiError, PinytoService, service};
use serde_json::{Value, json};
use tower_service::Service;

use crate::support::{Server, cloud};

/// `Send`, but not `Sync`, as axum's own.
type Body = axum::body::Body;

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(body.into()).unwrap()
}

async fn read<B>(answer: Response<B>) -> Response<Bytes>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (head, body) = answer.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// What the service answers, on a thread that is not the caller's.
async fn ask(service: &PinytoService, request: Request<Body>) -> Response<Bytes> {
    let mut service = service.clone();
    let answer = tokio::spawn(async move { service.call(request).await });
    read(answer.await.unwrap().unwrap()).await
}

fn code(answer: &Response<Bytes>) -> Value {
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    body["code"].clone()
}

#[test]
fn it_can_be_shared_by_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&service(Api::new(cloud())));
}

#[tokio::test]
async fn it_answers_what_the_filters_answer() {
    let server = Server::new();
    let service = service(Api::new(server.cloud.clone()));
    let token = server.user("ada", 0).await;
    let with_token = json!({"token": token}).to_string();
    for (method, path, body) in [
        ("POST", "/list_keys", with_token.as_str()),
        ("POST", "/list_keys", "{}"),
        ("POST", "/list_keys", "{"),
        ("GET", "/list_keys", ""),
        ("GET", "/public_key", ""),
        ("HEAD", "/public_key", ""),
        ("GET", "/", ""),
        ("OPTIONS", "/list_keys", ""),
        ("POST", "/", "{}"),
        ("PUT", "/keyserver/logout", "{}"),
        ("GET", "/nowhere", ""),
        ("POST", "/a/b/c/d", "{}"),
        ("POST", "/ada/Notes/list", with_token.as_str()),
    ] {
        let filter = warp::test::request().method(method).path(path).body(body);
        let expected = filter.reply(&server.routes).await;
        let answer = ask(&service, request(method, path, body.to_owned())).await;
        assert_eq!(answer.status(), expected.status(), "{method} {path}");
        assert_eq!(answer.headers(), expected.headers(), "{method} {path}");
        assert_eq!(answer.body(), expected.body(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_may_come_in_parts_and_is_limited() {
    let server = Server::new();
    let service = service(Api::new(server.cloud.clone()));
    let token = server.user("ada", 0).await;
    let whole = json!({"token": token}).to_string();
    let (head, rest) = whole.split_at(7);
    let parts = [head, rest].map(|part| Ok::<_, std::io::Error>(part.to_owned()));
    let body = Body::from_stream(futures_util::stream::iter(parts));
    let answer = ask(&service, request("POST", "/list_keys", body)).await;
    assert_eq!(answer.status(), StatusCode::OK);

    let broken = [Ok(head.to_owned()), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures_util::stream::iter(broken));
    let answer = ask(&service, request("POST", "/list_keys", body)).await;
    assert_eq!(code(&answer), "body_incomplete");

    let large = "x".repeat(3 * 1024 * 1024);
    let answer = ask(&service, request("POST", "/list_keys", large)).await;
    assert_eq!(code(&answer), "body_too_large");
}

#[tokio::test]
async fn other_bodies_than_those_of_axum_do_too() {
    let mut service = service(Api::new(cloud()));
    let body = Full::new(Bytes::from_static(b"{}"));
    let request = Request::post("/list_keys").body(body).unwrap();
    let answer = read(service.call(request).await.unwrap()).await;
    assert_eq!(code(&answer), "unknown_token");
}

#[tokio::test]
async fn the_length_of_an_answer_is_known() {
    let mut service = service(Api::new(cloud()));
    let answer = service.call(request("GET", "/healthz", "")).await.unwrap();
    let hint = http_body::Body::size_hint(answer.body());
    let whole = read(answer).await;
    assert_eq!(hint.exact(), Some(whole.body().len() as u64));
}

#[tokio::test]
async fn axum_serves_it_beside_its_own_routes() {
    let server = Server::new();
    let device = keys::device(0);
    server.register("ada", &device).await;
    let token = server.login("ada", &device).await;
    let mut app = Router::new()
        .route("/hello", get(|| async { "world" }))
        .fallback_service(service(Api::new(server.cloud.clone())));
    let mut ask = async |request: Request<Body>| read(app.call(request).await.unwrap()).await;

    let own = ask(request("GET", "/hello", "")).await;
    assert_eq!(own.body(), "world");
    let body = json!({"token": token}).to_string();
    let keys = ask(request("POST", "/list_keys", body)).await;
    let keys: Value = serde_json::from_slice(keys.body()).unwrap();
    assert_eq!(keys[0]["key_hash"], device.key_hash().as_str());
    let unknown = ask(request("GET", "/nowhere", "")).await;
    assert_eq!(code(&unknown), "unknown_route");
}

#[tokio::test]
async fn an_error_is_an_answer_for_handlers_of_your_own() {
    let error = ApiError::from(pinyto_core::Error::UnknownToken);
    let answer = read(Answer::from(error)).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(code(&answer), "unknown_token");
    assert_eq!(answer.headers()["content-type"], "application/json");
}
