//! Pinyto inside an axum application, under `/pinyto`, beside routes of its own. One of them knows
//! who asks by the session that Pinyto gave her.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example axum_app
//!     curl http://127.0.0.1:8080/ http://127.0.0.1:8080/hello http://127.0.0.1:8080/pinyto/public_key

use std::{error::Error, io, net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request, State},
    http::HeaderMap,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use pinyto_core::{Cloud, challenge::ServerKey, crypto::default_backend, memory::MemoryStore};
use pinyto_http::{Answer, Api, InvalidPathPrefix, PathPrefix, client_address::ClientAddress};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 8080)).await?;
    serve(listener, app(Api::new(cloud()?))?).await?;
    Ok(())
}

/// A real one keeps its key, and its data in a store of `pinyto-store`.
fn cloud() -> Result<Cloud, Box<dyn Error>> {
    let key = ServerKey::generate(default_backend())?;
    Ok(Cloud::builder(Arc::new(MemoryStore::new()), key).build()?)
}

fn app(api: Api) -> Result<Router, InvalidPathPrefix> {
    let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
    Ok(Router::new()
        .route(
            "/",
            get("An application of its own. Pinyto is at /pinyto.\n"),
        )
        .route("/hello", get(hello))
        .nest_service("/pinyto", pinyto_http::service(api.clone()))
        .layer(middleware::from_fn(tell_address))
        .with_state(api))
}

/// `Authorization: Bearer` with a request token, as Pinyto's own routes take it.
async fn hello(
    State(api): State<Api>,
    Extension(from): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Response {
    match api.session_of(&headers, Some(from)).await {
        Ok(session) => format!("Hello {}!\n", session.user.name).into_response(),
        Err(error) => Answer::from(error).into_response(),
    }
}

/// Has failed tries throttled by address. Behind a proxy it is `ClientAddress::behind_proxy`.
async fn tell_address(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = ClientAddress::of_peer(peer.ip());
    request.extensions_mut().insert(address);
    next.run(request).await
}

async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use pinyto_core::{challenge::DeviceKey, user::UserName};
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn both_are_served_and_know_the_same_sessions() {
        let cloud = cloud().unwrap();
        let device = DeviceKey::generate(default_backend()).unwrap();
        let ada = UserName::parse("ada").unwrap();
        let key = device.public_key().clone();
        cloud.register(ada.clone(), key).await.unwrap();
        let challenge = cloud.authenticate(&ada, &device.key_hash()).await.unwrap();
        let token = device.answer(&challenge, cloud.server_public_key());
        let token = token.unwrap().expose().to_owned();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, app(Api::new(cloud)).unwrap()));
        let asking = tokio::task::spawn_blocking(move || {
            let bearer = format!("Bearer {token}");
            let (status, hello) = get(&format!("{server}/hello"), &bearer);
            assert_eq!((status, hello.as_str()), (200, "Hello ada!\n"));
            let (status, refused) = get(&format!("{server}/hello"), "Bearer none");
            let refused: Value = serde_json::from_str(&refused).unwrap();
            assert_eq!((status, &refused["code"]), (401, &json!("unknown_token")));
            assert_eq!(get(&format!("{server}/"), "").0, 200);
            assert_eq!(get(&format!("{server}/list_keys"), "").0, 404);
            assert_eq!(get(&format!("{server}/pinyto/list_keys"), "").0, 405);

            let keys = ureq::post(format!("{server}/pinyto/list_keys"));
            let mut keys = keys.send_json(json!({"token": token})).unwrap();
            let keys: Value = keys.body_mut().read_json().unwrap();
            assert_eq!(keys[0]["key_hash"], device.key_hash().as_str());
        });
        asking.await.unwrap();
        serving.abort();
    }

    fn get(url: &str, authorization: &str) -> (u16, String) {
        let request = ureq::get(url).header("authorization", authorization);
        let request = request.config().http_status_as_error(false).build();
        let mut answer = request.call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }
}
