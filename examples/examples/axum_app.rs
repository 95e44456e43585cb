//! Pinyto inside an axum application, under `/pinyto`, beside routes of its own and on its own pool
//! of database connections. One route knows who asks by the session that Pinyto gave her, and counts
//! her visits in a table of the application.
//!
//!     export DATABASE_URL=postgres://localhost/app    # as the owner of that database
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example axum_app
//!     curl http://127.0.0.1:8080/ http://127.0.0.1:8080/hello http://127.0.0.1:8080/pinyto/public_key
//!
//! It makes its key once, `server-key.pem` in the working directory, and Ctrl-C ends it in order.

use std::{
    env,
    error::Error,
    fs,
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

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
use pinyto_store::postgres::{OpenError, PostgresOptions, PostgresStore};
use sqlx::PgPool;
use tokio::{net::TcpListener, signal, sync::oneshot};

#[derive(Clone)]
struct App {
    pinyto: Api,
    pool: PgPool,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let pool = PgPool::connect(&env::var("DATABASE_URL")?).await?;
    let listener = TcpListener::bind(("127.0.0.1", 8080)).await?;
    let store = store(&pool).await?;
    let key = server_key(Path::new("server-key.pem"))?;
    let cloud = Cloud::builder(store.clone(), key).build()?;
    let pinyto = Api::new(cloud);
    let app = App { pinyto, pool };
    app.prepare().await?;
    serve(listener, app, async { drop(signal::ctrl_c().await) }).await?;
    store.close().await;
    Ok(())
}

/// Pinyto's tables are in a schema of their own, with migrations of their own.
async fn store(pool: &PgPool) -> Result<Arc<PostgresStore>, OpenError> {
    let sharing = PostgresOptions::sharing(pool.clone());
    PostgresStore::open(sharing).await.map(Arc::new)
}

/// Clients pin its public half, so it is made only if there is none.
fn server_key(file: &Path) -> Result<ServerKey, Failure> {
    match fs::read_to_string(file) {
        Ok(pem) => Ok(ServerKey::from_pem(default_backend(), &pem)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = ServerKey::generate(default_backend())?;
            let (pem, mut new) = (key.to_pkcs8_pem()?, fs::OpenOptions::new());
            let mut file = new.write(true).create_new(true).mode(0o600).open(file)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
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

/// Until `stop` is ready; then requests end first, and what they have begun last.
async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let cloud = app.pinyto.cloud().clone();
    let (ending, ended) = oneshot::channel::<()>();
    // Writes the history of calls and deletes what has expired.
    let background = tokio::spawn(cloud.background().run(async { drop(ended.await) }));
    let routes = app.router()?;
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop)
        .await?;
    drop(ending);
    background.await?;
    cloud.close(Duration::from_secs(5)).await;
    Ok(())
}

#[cfg(test)]
mod both_served;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use pinyto_core::testing::keys;

    use super::*;
    use crate::both_served::{both_know, get, logged_in};

    #[test]
    fn the_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server-key.pem");
        let made = server_key(&file).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = server_key(&file).unwrap();
        assert_eq!(read.public_key(), made.public_key());
        fs::write(&file, "no key").unwrap();
        assert!(server_key(&file).is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_are_served_from_one_pool_and_know_the_same_sessions() {
        let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
            return;
        };
        database.execute("DROP TABLE IF EXISTS visits").await;
        let pool = PgPool::connect(database.url()).await.unwrap();
        let store = store(&pool).await.unwrap();
        let cloud = Cloud::builder(store.clone(), keys::server())
            .build()
            .unwrap();
        let (key_hash, token) = logged_in(&cloud).await;
        let pinyto = Api::new(cloud);
        let app = App { pinyto, pool };
        app.prepare().await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve(listener, app.clone(), async { drop(stopped.await) });
        let serving = tokio::spawn(serving);
        let asking = tokio::task::spawn_blocking(move || {
            both_know(&server, &key_hash, &token);
            assert_eq!(get(&format!("{server}/"), "").0, 200);
            let (_, told) = get(&format!("{server}/hello"), &format!("Bearer {token}"));
            assert!(told.ends_with("This is your visit 2.\n"), "{told}");
        });
        asking.await.unwrap();
        drop(stop);
        serving.await.unwrap().unwrap();
        store.close().await;
        let visits = sqlx::query_scalar("SELECT count FROM visits");
        let visits: i64 = visits.fetch_one(&app.pool).await.unwrap();
        assert_eq!(visits, 2);
    }
}
