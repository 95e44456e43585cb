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
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use pinyto_core::{challenge::DeviceKey, user::UserName};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

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
        let routes = app(Api::new(cloud)).unwrap();
        let serving = tokio::spawn(warp::serve(routes).incoming(listener).run());
        let asking = tokio::task::spawn_blocking(move || {
            let bearer = format!("Bearer {token}");
            let (status, hello) = get(&format!("{server}/hello"), &bearer);
            assert_eq!((status, hello.as_str()), (200, "Hello ada!\n"));
            let (status, refused) = get(&format!("{server}/hello"), "Bearer none");
            let refused: Value = serde_json::from_str(&refused).unwrap();
            assert_eq!((status, &refused["code"]), (401, &json!("unknown_token")));
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
