//! `/whoami` and `/ticket`, on a store in memory and on SQLite.

use std::sync::Arc;

use pinyto_core::{
    Cloud,
    clock::Timestamp,
    crypto::default_backend,
    memory::MemoryStore,
    store::Store,
    testing::{ManualClock, given, keys},
    ticket::{Audience, InvalidTicket, TicketVerifier},
};
use serde_json::{Value, json};

use crate::support::{Answer, Server, quick_settings};

/// A server over `store`, at [`given::at`]`(0)`.
fn over(store: Arc<dyn Store>) -> Server {
    let cloud = Cloud::builder(store, keys::server())
        .clock(Arc::new(ManualClock::default()))
        .settings(quick_settings())
        .build();
    Server::over(cloud.unwrap())
}

/// One for each store that is compiled in; the folder goes last.
async fn servers() -> (Vec<Server>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<Arc<dyn Store>> = vec![
        Arc::new(MemoryStore::new()),
        #[cfg(feature = "server")]
        Arc::new({
            let file = folder.path().join("pinyto.db");
            let url = format!("sqlite:{}?mode=rwc", file.display());
            pinyto_store::sqlite::SqliteStore::open(&url).await.unwrap()
        }),
    ];
    (stores.into_iter().map(over).collect(), folder)
}

async fn ask(server: &Server, path: &str, token: &str, audience: Option<&str>) -> Answer {
    let mut body = json!({"token": token});
    if let Some(audience) = audience {
        body["audience"] = audience.into();
    }
    server.post(path, body).await
}

async fn with_bearer(server: &Server, path: &str, token: &str, body: &Value) -> Answer {
    let request = warp::test::request().method("POST").path(path);
    let request = request.header("authorization", format!("Bearer {token}"));
    server.request(request.body(body.to_string())).await
}

#[tokio::test]
async fn who_asks_learns_whose_session_it_is() {
    let (servers, _folder) = servers().await;
    for server in servers {
        let token = server.user("ada", 0).await;
        let other = server.user("bob", 1).await;
        for (token, name, device) in [(&token, "ada", 0), (&other, "bob", 1)] {
            let fingerprint = keys::device(device).public_key().fingerprint();
            let expected = json!({
                "username": name,
                "key_hash": fingerprint.short(),
                "fingerprint": fingerprint.to_hex(),
                "created": given::at(0).to_string(),
                "last_used": given::at(0).to_string(),
            });
            assert_eq!(ask(&server, "/whoami", token, None).await.ok(), expected);
            let asked = with_bearer(&server, "/whoami", token, &json!({})).await;
            assert_eq!(asked.ok(), expected);
        }
        ask(&server, "/logout", &token, None).await.success();
        for text in [&token, "", "none"] {
            let refused = ask(&server, "/whoami", text, None).await;
            assert_eq!(refused.error(), (401, "unknown_token"));
        }
        ask(&server, "/whoami", &other, None).await.ok();
    }
}

#[tokio::test]
async fn a_ticket_tells_its_audience_whose_session_it_is_and_opens_nothing_here() {
    let (servers, _folder) = servers().await;
    for server in servers {
        let token = server.user("ada", 0).await;
        let audience = "https://photos.example";
        let asked = ask(&server, "/ticket", &token, Some(audience)).await.ok();
        assert_eq!(asked["expires"], given::at(300).to_string());
        assert_eq!(asked.as_object().unwrap().len(), 2);
        let ticket = asked["ticket"].as_str().unwrap();

        // The service knows the key as it is served.
        let served = server.request(warp::test::request().path("/public_key"));
        let pem = served.await.ok()["pem"].as_str().unwrap().to_owned();
        let pinned = pinyto_core::key::PublicKey::from_pem(&pem).unwrap();
        let verifier = |audience: &str| {
            let audience = Audience::parse(audience).unwrap();
            TicketVerifier::new(&*default_backend(), &pinned, audience).unwrap()
        };
        let photos = verifier(audience);
        let verified = photos.verify(ticket, given::at(1)).unwrap();
        assert_eq!(verified.user.as_str(), "ada");
        let other = verifier("https://photos.example/").verify(ticket, given::at(1));
        assert_eq!(other, Err(InvalidTicket::OtherAudience));
        let late = photos.verify(ticket, given::at(331));
        assert_eq!(late, Err(InvalidTicket::Expired));

        for path in ["/list_keys", "/whoami", "/logout"] {
            let refused = ask(&server, path, ticket, None).await;
            assert_eq!(refused.error(), (401, "unknown_token"), "{path}");
        }
        let again = ask(&server, "/ticket", ticket, Some(audience)).await;
        assert_eq!(again.error(), (401, "unknown_token"));

        let body = json!({"audience": audience});
        let asked = with_bearer(&server, "/ticket", &token, &body).await.ok();
        let ticket = asked["ticket"].as_str().unwrap();
        photos.verify(ticket, given::at(1)).unwrap();

        ask(&server, "/logout", &token, None).await.success();
        let refused = ask(&server, "/ticket", &token, Some(audience)).await;
        assert_eq!(refused.error(), (401, "unknown_token"));
        // What was issued is good until it expires.
        photos.verify(ticket, given::at(299)).unwrap();
    }
}

#[tokio::test]
async fn what_is_no_audience_is_refused_but_first_who_has_no_session() {
    let server = Server::new();
    let token = server.user("ada", 0).await;
    let long = "a".repeat(256);
    for bad in ["", " ", "a b", "\u{0}", "ä", ":a", "\"", "1:2", &long] {
        let refused = ask(&server, "/ticket", &token, Some(bad)).await;
        assert_eq!(refused.error(), (400, "invalid_audience"), "{bad:?}");
        let refused = ask(&server, "/ticket", "none", Some(bad)).await;
        assert_eq!(refused.error(), (401, "unknown_token"), "{bad:?}");
    }
    let refused = ask(&server, "/ticket", &token, None).await;
    assert_eq!(refused.error(), (400, "missing_field"));
}

#[tokio::test]
async fn a_ticket_has_the_form_that_is_documented() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let server = over(Arc::new(MemoryStore::new()));
    let token = server.user("ada", 0).await;
    let asked = ask(&server, "/ticket", &token, Some("photos")).await.ok();
    let parts: Vec<Vec<u8>> = asked["ticket"]
        .as_str()
        .unwrap()
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
        .collect();
    let [header, claims, signature] = parts.as_slice() else {
        panic!("{}", parts.len())
    };
    let header: Value = serde_json::from_slice(header).unwrap();
    assert_eq!(header, json!({"alg": "PS256", "typ": "pinyto-ticket+jwt"}));
    let mut claims: Value = serde_json::from_slice(claims).unwrap();
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 22);
    let seconds = |moment: Timestamp| moment.unix_seconds();
    let expected = json!({
        "iss": keys::server().public_key().fingerprint().to_hex(),
        "sub": "ada",
        "aud": "photos",
        "iat": seconds(given::at(0)),
        "exp": seconds(given::at(300)),
    });
    assert_eq!(claims, expected);
    assert_eq!(signature.len(), 512);
}
