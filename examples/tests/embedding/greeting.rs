use axum::{Extension, Router, extract::State, http::HeaderMap, routing::get};
use pinyto_http::{Answer, Api, InvalidPathPrefix, PathPrefix, client_address::ClientAddress};

async fn greeting(
    State(api): State<Api>,
    from: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
) -> Result<String, Answer> {
    let from = from.map(|Extension(from)| from);
    let session = api.session_of(&headers, from).await?;
    Ok(format!("Hello {}!", session.user.name))
}

fn app(api: Api) -> Result<Router, InvalidPathPrefix> {
    let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
    Ok(Router::new()
        .route("/greeting", get(greeting))
        .nest_service("/pinyto", pinyto_http::service(api.clone()))
        .with_state(api))
}
