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
    response::Response,
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

/// `Authorization: Bearer` with a request token, as Pinyto's own routes take it. Without a session
/// the answer is what they answer.
async fn hello(
    State(api): State<Api>,
    Extension(from): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Result<String, Answer> {
    let session = api.session_of(&headers, Some(from)).await?;
    Ok(format!("Hello {}!\n", session.user.name))
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
mod both_served;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::both_served::{both_know, get, logged_in};

    #[tokio::test(flavor = "multi_thread")]
    async fn both_are_served_and_know_the_same_sessions() {
        let cloud = cloud().unwrap();
        let (key_hash, token) = logged_in(&cloud).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, app(Api::new(cloud)).unwrap()));
        let asking = tokio::task::spawn_blocking(move || {
            both_know(&server, &key_hash, &token);
            assert_eq!(get(&format!("{server}/"), "").0, 200);
        });
        asking.await.unwrap();
        serving.abort();
    }
}
