//! The session of a request, for routes that are not Pinyto's.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Response};
use pinyto_core::session::Session;
use pinyto_http::{Api, ApiError, client_address::ClientAddress, session};
use warp::{Filter, Reply};

use crate::support::Server;

fn bearer(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", text.parse().unwrap());
    headers
}

#[tokio::test]
async fn a_token_opens_its_session_and_nothing_else_does() {
    let server = Server::new();
    let token = server.user("ada", 0).await;
    let other = server.user("bob", 1).await;
    let api = Api::new(server.cloud.clone());
    let from = Some(ClientAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    for (token, name) in [(&token, "ada"), (&other, "bob")] {
        for text in [format!("Bearer {token}"), format!("bearer  {token}")] {
            let session = api.session_of(&bearer(&text), from).await.unwrap();
            assert_eq!(session.user.name.as_str(), name);
        }
    }
    let mut refused = vec![HeaderMap::new(), bearer("Bearer "), bearer("Bearer abc")];
    refused.push(bearer(&token));
    refused.push(bearer(&format!("Basic {token}")));
    for headers in refused {
        let error = api.session_of(&headers, from).await.unwrap_err();
        assert_eq!(error.code(), "unknown_token", "{headers:?}");
    }

    let body = serde_json::json!({"token": token});
    server.post("/logout", body).await.success();
    let headers = bearer(&format!("Bearer {token}"));
    let error = api.session_of(&headers, None).await.unwrap_err();
    assert_eq!(error.status(), 401);
}

#[tokio::test]
async fn a_filter_of_ones_own_knows_who_asks() {
    let server = Server::new();
    let token = server.user("ada", 0).await;
    let api = Api::new(server.cloud.clone());
    let greet = |asking: Result<Session, ApiError>| match asking {
        Ok(session) => format!("Hello {}!", session.user.name).into_response(),
        Err(error) => error.into_response(),
    };
    let mine = warp::path!("hello").and(session(api)).map(greet);
    let request = || warp::test::request().path("/hello");
    let header = format!("Bearer {token}");
    let answer = request().header("authorization", header).reply(&mine);
    assert_eq!(answer.await.body(), "Hello ada!");
    let answer: Response<_> = request().reply(&mine).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let request = request().header("authorization", "Bearer x").path("/other");
    assert_eq!(request.reply(&mine).await.status(), 404);
}
