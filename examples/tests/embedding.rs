//! Code that `docs/embedding.md` shows does what the page says, as it stands there.
#![allow(clippy::unwrap_used, reason = "tests, though clippy can't tell")]

use std::sync::Arc;

use pinyto_core::{
    Cloud,
    assembly::AssemblySource,
    challenge::RequestToken,
    document::NewDocument,
    memory::MemoryStore,
    testing::{given, keys},
    user::UserName,
};

const PAGE: &str = include_str!("../../docs/embedding.md");

/// A cloud in which Ada is logged in, and her request token.
async fn logged_in() -> (Cloud, RequestToken) {
    let store = Arc::new(MemoryStore::new());
    let cloud = Cloud::builder(store, keys::server()).build().unwrap();
    let (ada, device) = (UserName::parse("ada").unwrap(), keys::device(0));
    let key = device.public_key().clone();
    cloud.register(ada.clone(), key).await.unwrap();
    let challenge = cloud.authenticate(&ada, &device.key_hash()).await.unwrap();
    let token = device.answer(&challenge, cloud.server_public_key());
    (cloud, token.unwrap())
}

mod greeting {
    include!("embedding/greeting.rs");

    use axum::{body::Body, http::Request, response::Response};
    use tower_service::Service as _;

    use super::{PAGE, logged_in};

    async fn asked(app: &Router, path: &str, authorization: &str) -> (u16, String) {
        let request = Request::get(path).header("authorization", authorization);
        let request = request.body(Body::empty()).unwrap();
        let answer: Response = app.clone().call(request).await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.into_body());
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn the_page_greets_who_is_logged_in_and_serves_pinyto_beside() {
        assert!(PAGE.contains(include_str!("embedding/greeting.rs")));
        let (cloud, token) = logged_in().await;
        let app = app(Api::new(cloud)).unwrap();
        let bearer = format!("Bearer {}", token.expose());
        let greeted = asked(&app, "/greeting", &bearer).await;
        assert_eq!(greeted, (200, "Hello ada!".to_owned()));
        let (status, refused) = asked(&app, "/greeting", "").await;
        assert_eq!(status, 401);
        assert!(refused.contains("unknown_token"), "{refused}");
        assert_eq!(asked(&app, "/pinyto/public_key", "").await.0, 200);
        let (status, _) = asked(&app, "/public_key", "").await;
        assert_eq!(status, 404);
    }
}

mod tick_off {
    include!("embedding/tick_off.rs");

    use super::{AssemblySource, NewDocument, PAGE, given, logged_in};

    #[tokio::test]
    async fn the_page_ticks_off_what_it_can_and_panics_at_nothing_that_is_stored() {
        assert!(PAGE.contains(include_str!("embedding/tick_off.rs")));
        let (cloud, token) = logged_in().await;
        let ada = cloud.session(&token).await.unwrap();
        let source = AssemblySource::builder(given::assembly_name("Todo")).build();
        let (source, todo) = (source.unwrap(), given::assembly_ref("ada/Todo"));
        cloud.save_assembly(&ada, None, &source).await.unwrap();
        cloud.install_assembly(&ada, &todo).await.unwrap();
        for data in [
            json!({"done": false, "title": "a"}),
            json!({"done": true}),
            json!([{"done": false}]),
        ] {
            let new = NewDocument::new(json!("todo"), json!([]), data).unwrap();
            let stored = cloud.store_document(&ada, todo.clone(), new).await;
            stored.unwrap();
        }
        // The list stays as it is.
        assert_eq!(tick_off(&cloud, &ada).await.unwrap(), 1);
        let done = Query::parse(&json!({"data.done": true})).unwrap();
        assert_eq!(cloud.count_documents(&ada, &done).await.unwrap(), 2);
    }
}
