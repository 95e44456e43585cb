//! Pinyto under `/pinyto` of a warp server, beside filters of its own. One of them knows who asks by
//! the session that Pinyto gave her.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example warp_prefix
//!     curl http://127.0.0.1:8080/hello http://127.0.0.1:8080/pinyto/public_key

use std::{error::Error, sync::Arc};

use pinyto_core::{
    Cloud, challenge::ServerKey, crypto::default_backend, memory::MemoryStore, session::Session,
};
use pinyto_http::{Api, ApiError, InvalidPathPrefix, PathPrefix, routes, session};
use warp::{Filter, Reply, filters::BoxedFilter, reply::Response};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let routes = app(Api::new(cloud()?))?;
    warp::serve(routes).run(([127, 0, 0, 1], 8080)).await;
    Ok(())
}

/// A real one keeps its key, and its data in a store of `pinyto-store`.
fn cloud() -> Result<Cloud, Box<dyn Error>> {
    let key = ServerKey::generate(default_backend())?;
    Ok(Cloud::builder(Arc::new(MemoryStore::new()), key).build()?)
}

fn app(api: Api) -> Result<BoxedFilter<(impl Reply,)>, InvalidPathPrefix> {
    let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
    let hello = warp::path!("hello")
        .and(warp::get())
        .and(session(api.clone()))
        .map(hello);
    let pinyto = warp::path("pinyto").and(routes::all(api));
    Ok(hello.or(pinyto).boxed())
}

fn hello(asking: Result<Session, ApiError>) -> Response {
    match asking {
        Ok(session) => format!("Hello {}!\n", session.user.name).into_response(),
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod both_served;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::both_served::{both_know, logged_in};

    #[tokio::test(flavor = "multi_thread")]
    async fn both_are_served_and_know_the_same_sessions() {
        let cloud = cloud().unwrap();
        let (key_hash, token) = logged_in(&cloud).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let routes = app(Api::new(cloud)).unwrap();
        let serving = tokio::spawn(warp::serve(routes).incoming(listener).run());
        let asking = tokio::task::spawn_blocking(move || {
            both_know(&server, &key_hash, &token);
        });
        asking.await.unwrap();
        serving.abort();
    }
}
