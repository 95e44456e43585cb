//! Pinyto as what an application logs its users in with, and nothing else: the application has routes
//! of its own, in which it calls the keyserver. No documents, no assemblies, nothing that runs code;
//! none of Pinyto's own routes is there.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example keyserver_only
//!     curl http://127.0.0.1:8080/signup --json '{"name": "ada", "password": "correct horse"}'
//!     curl http://127.0.0.1:8080/login --json '{"name": "ada", "password": "correct horse"}'
//!     curl http://127.0.0.1:8080/me -H "Authorization: Bearer TOKEN"
//!
//! The calls print `{"name":"ada"}`, `{"token":"..."}` and `{"name":"ada"}`.

use std::{error::Error, future::pending, io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use pinyto_core::{
    Cloud, Error as CloudError, challenge::ServerKey, crypto::default_backend, keyserver::Password,
    memory::MemoryStore, user::UserName,
};
use pinyto_http::{Answer, Api, ApiError, client_address::ClientAddress};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

/// More than any name and password take.
const MAX_BODY: usize = 32 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cloud = cloud()?;
    // Making a key pair takes a second or more, so some are made in advance.
    let _refill = cloud.key_stock().start_refill(|| {})?;
    // Expired sessions are dead without that, but they pile up.
    tokio::spawn(cloud.background().run(pending()));
    let listener = TcpListener::bind(("127.0.0.1", 8080)).await?;
    serve(listener, app(cloud)).await?;
    Ok(())
}

/// A real one keeps its key, and its data in a store of `pinyto-store`.
fn cloud() -> Result<Cloud, Box<dyn Error>> {
    let key = ServerKey::generate(default_backend())?;
    Ok(Cloud::builder(Arc::new(MemoryStore::new()), key).build()?)
}

/// `Api` is here for what it knows of HTTP: the header `Authorization`, and errors as answers.
fn app(cloud: Cloud) -> Router {
    Router::new()
        .route("/signup", post(sign_up))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/me", get(me))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Api::new(cloud))
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    #[serde(deserialize_with = "password")]
    password: Zeroizing<String>,
}

fn password<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

async fn sign_up(
    State(api): State<Api>,
    from: ConnectInfo<SocketAddr>,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Refused> {
    let name = UserName::parse(&credentials.name).map_err(CloudError::from)?;
    let password = Password::choose(&credentials.password).map_err(CloudError::from)?;
    let user = cloud_for(&api, from)
        .keyserver_register(name, password)
        .await?;
    let answer = Json(json!({"name": user.name.as_str()}));
    Ok((StatusCode::CREATED, answer).into_response())
}

async fn log_in(
    State(api): State<Api>,
    from: ConnectInfo<SocketAddr>,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Refused> {
    let name = UserName::parse(&credentials.name).map_err(CloudError::from)?;
    let password = Password::attempt(&credentials.password);
    let token = cloud_for(&api, from)
        .keyserver_authenticate(&name, password)
        .await?;
    Ok(Json(json!({"token": token.expose()})).into_response())
}

async fn log_out(
    State(api): State<Api>,
    from: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let session = api.session_of(&headers, Some(address(from))).await?;
    api.cloud().logout(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A route of the application's, for its users.
async fn me(
    State(api): State<Api>,
    from: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let session = api.session_of(&headers, Some(address(from))).await?;
    Ok(Json(json!({"name": session.user.name.as_str()})).into_response())
}

/// The cloud that counts failed tries for this address, too. Behind a proxy it is
/// `ClientAddress::behind_proxy`.
fn cloud_for(api: &Api, from: ConnectInfo<SocketAddr>) -> Cloud {
    api.cloud().for_address(address(from).0)
}

fn address(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> ClientAddress {
    ClientAddress::of_peer(peer.ip())
}

/// A refusal of Pinyto's, answered as its own routes do: status, sentence, code, `Retry-After`.
struct Refused(ApiError);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<CloudError> for Refused {
    fn from(error: CloudError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Answer::from(self.0).into_response()
    }
}

async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    use pinyto_core::testing::keys;
    use serde_json::Value;

    use super::*;

    /// The status and what it says, `null` if that is no JSON.
    fn post(url: &str, authorization: &str, body: &Value) -> (u16, Value) {
        let request = ureq::post(url).header("authorization", authorization);
        let request = request.config().http_status_as_error(false).build();
        read(request.send_json(body).unwrap())
    }

    fn get(url: &str, authorization: &str) -> (u16, Value) {
        let request = ureq::get(url).header("authorization", authorization);
        let request = request.config().http_status_as_error(false).build();
        read(request.call().unwrap())
    }

    fn read(mut answer: ureq::http::Response<ureq::Body>) -> (u16, Value) {
        let status = answer.status().as_u16();
        (status, answer.body_mut().read_json().unwrap_or_default())
    }

    fn credentials(name: &str, password: &str) -> Value {
        json!({"name": name, "password": password})
    }

    /// Asks a server of its own.
    async fn asking(questions: impl FnOnce(String) + Send + 'static) {
        let store = Arc::new(MemoryStore::new());
        let cloud = Cloud::builder(store, keys::server()).build().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, app(cloud)));
        let asked = tokio::task::spawn_blocking(move || questions(server)).await;
        serving.abort();
        asked.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_signs_up_logs_in_and_is_known_until_she_logs_out() {
        asking(|server| {
            let [signup, login, logout, me] =
                ["signup", "login", "logout", "me"].map(|path| format!("{server}/{path}"));
            let ada = credentials("ada", "correct horse");
            assert_eq!(post(&signup, "", &ada), (201, json!({"name": "ada"})));
            let (status, taken) = post(&signup, "", &ada);
            assert_eq!((status, &taken["code"]), (409, &json!("user_name_taken")));

            let (status, token) = post(&login, "", &ada);
            assert_eq!(status, 200);
            let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
            assert_eq!(get(&me, &bearer), (200, json!({"name": "ada"})));
            assert_eq!(post(&logout, &bearer, &json!({})).0, 204);
            for authorization in [bearer.as_str(), "Bearer none", ""] {
                let (status, refused) = get(&me, authorization);
                assert_eq!((status, &refused["code"]), (401, &json!("unknown_token")));
            }
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_refused_is_told_as_pinyto_tells_it() {
        asking(|server| {
            let refused = |path: &str, body: Value| {
                let (status, refused) = post(&format!("{server}/{path}"), "", &body);
                (status, refused["code"].clone())
            };
            let short = refused("signup", credentials("ada", "short"));
            assert_eq!(short, (400, json!("invalid_password")));
            let no_name = refused("signup", credentials("a b", "correct horse"));
            assert_eq!(no_name, (400, json!("invalid_user_name")));
            // Whether there is an Ada is not told, and guessing comes to an end.
            for _ in 0..10 {
                let wrong = refused("login", credentials("ada", "battery staple"));
                assert_eq!(wrong, (403, json!("wrong_password")));
            }
            let throttled = refused("login", credentials("ada", "battery staple"));
            assert_eq!(throttled, (429, json!("throttled")));
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_that_is_too_long_is_refused() {
        asking(|server| {
            let address = server.trim_start_matches("http://");
            let mut stream = TcpStream::connect(address).unwrap();
            let head = "POST /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: ";
            // One byte too many.
            let body = "x".repeat(MAX_BODY + 1);
            write!(stream, "{head}{}\r\n\r\n{body}", body.len()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn none_of_pinytos_own_routes_is_there() {
        asking(|server| {
            for path in ["list_keys", "keyserver/register", "ada/Notes/store"] {
                let (status, _) = post(&format!("{server}/{path}"), "", &json!({}));
                assert_eq!(status, 404, "{path}");
            }
            for path in ["", "docs", "public_key", "healthz"] {
                assert_eq!(get(&format!("{server}/{path}"), "").0, 404, "{path}");
            }
        })
        .await;
    }
}
