//! Pinyto inside an axum application, under `/pinyto`, beside routes of its own and on its own pool
//! of database connections. One route knows who asks by the session that Pinyto gave her, and counts
//! her visits in a table of the application.
//!
//!     export DATABASE_URL=postgres://localhost/app
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example axum_app
//!     curl http://127.0.0.1:8080/ http://127.0.0.1:8080/hello http://127.0.0.1:8080/pinyto/public_key

use std::{env, error::Error, io, net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{self, Response},
    routing::get,
};
use pinyto_core::{Cloud, challenge::ServerKey, crypto::default_backend};
use pinyto_http::{Answer, Api, InvalidPathPrefix, PathPrefix, client_address::ClientAddress};
use pinyto_store::postgres::{PostgresOptions, PostgresStore};
use sqlx::PgPool;
use tokio::net::TcpListener;

#[derive(Clone)]
struct App {
    pinyto: Api,
    pool: PgPool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = PgPool::connect(&env::var("DATABASE_URL")?).await?;
    let listener = TcpListener::bind(("127.0.0.1", 8080)).await?;
    let app = App {
        pinyto: Api::new(cloud(&pool).await?),
        pool,
    };
    app.prepare().await?;
    serve(listener, app.router()?).await?;
    Ok(())
}

/// Pinyto's tables are in a schema of their own, with migrations of their own. A real application
/// keeps its key.
async fn cloud(pool: &PgPool) -> Result<Cloud, Box<dyn Error>> {
    let store = PostgresStore::open(PostgresOptions::sharing(pool.clone())).await?;
    let key = ServerKey::generate(default_backend())?;
    Ok(Cloud::builder(Arc::new(store), key).build()?)
}

impl App {
    /// What the application keeps itself.
    async fn prepare(&self) -> Result<(), sqlx::Error> {
        let visits =
            "CREATE TABLE IF NOT EXISTS visits (who text PRIMARY KEY, count bigint NOT NULL)";
        sqlx::query(visits).execute(&self.pool).await.map(drop)
    }

    fn router(self) -> Result<Router, InvalidPathPrefix> {
        let pinyto = self.pinyto.mounted_at(PathPrefix::parse("/pinyto")?);
        Ok(Router::new()
            .route(
                "/",
                get("An application of its own. Pinyto is at /pinyto.\n"),
            )
            .route("/hello", get(hello))
            .nest_service("/pinyto", pinyto_http::service(pinyto.clone()))
            .layer(middleware::from_fn(tell_address))
            .with_state(Self { pinyto, ..self }))
    }

    async fn count_visit(&self, who: &str) -> Result<i64, sqlx::Error> {
        let count = "INSERT INTO visits VALUES ($1, 1)
            ON CONFLICT (who) DO UPDATE SET count = visits.count + 1 RETURNING count";
        let count = sqlx::query_scalar(count).bind(who);
        count.fetch_one(&self.pool).await
    }
}

/// `Authorization: Bearer` with a request token, as Pinyto's own routes take it. Without a session
/// the answer is what they answer.
async fn hello(
    State(app): State<App>,
    Extension(from): Extension<ClientAddress>,
    headers: HeaderMap,
) -> response::Result<String> {
    let session = app
        .pinyto
        .session_of(&headers, Some(from))
        .await
        .map_err(Answer::from)?;
    let name = session.user.name;
    let visits = app.count_visit(name.as_str()).await;
    let visits = visits.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("Hello {name}!\nThis is your visit {visits}.\n"))
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
    async fn both_are_served_from_one_pool_and_know_the_same_sessions() {
        let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
            return;
        };
        database.execute("DROP TABLE IF EXISTS visits").await;
        let pool = PgPool::connect(database.url()).await.unwrap();
        let cloud = cloud(&pool).await.unwrap();
        let (key_hash, token) = logged_in(&cloud).await;
        let pinyto = Api::new(cloud);
        let app = App { pinyto, pool };
        app.prepare().await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, app.clone().router().unwrap()));
        let asking = tokio::task::spawn_blocking(move || {
            both_know(&server, &key_hash, &token);
            assert_eq!(get(&format!("{server}/"), "").0, 200);
            let (_, told) = get(&format!("{server}/hello"), &format!("Bearer {token}"));
            assert!(told.ends_with("This is your visit 2.\n"), "{told}");
        });
        asking.await.unwrap();
        serving.abort();
        let visits = sqlx::query_scalar("SELECT count FROM visits");
        let visits: i64 = visits.fetch_one(&app.pool).await.unwrap();
        assert_eq!(visits, 2);
    }
}
