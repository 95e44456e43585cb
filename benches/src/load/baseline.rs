//! What the figures are compared with.

use std::{env, net::SocketAddr, path::Path, time::Duration};

use pinyto_core::{challenge::SessionToken, randomness::OsRandomness, testing::keys};
use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::Instant;

use crate::process::own_cpu_time;
use warp::Filter;

/// A bare warp route that parses and echoes JSON.
pub(crate) async fn serve_echo() {
    let address: SocketAddr = env::var("ECHO_ADDRESS").unwrap().parse().unwrap();
    let echo = warp::post()
        .and(warp::path("list_keys"))
        .and(warp::body::content_length_limit(2 << 20))
        .and(warp::body::json())
        .map(|value: serde_json::Value| warp::reply::json(&value));
    warp::serve(echo).run(address).await;
}

/// CPU time of one bare RSA-4096 private operation of the server's backend (a decryption; signing
/// takes as long), on as many threads at once as the server uses.
pub(crate) fn private_operation(duration: Duration) -> Duration {
    let server = keys::server();
    let token = SessionToken::generate(&OsRandomness).unwrap();
    let sealed = server.seal(&token).unwrap();
    let threads = std::thread::available_parallelism().unwrap().get();
    let before = own_cpu_time();
    let operations: u32 = std::thread::scope(|scope| {
        let count = || {
            let begin = std::time::Instant::now();
            let mut operations = 0;
            while begin.elapsed() < duration {
                server.open(&sealed).unwrap();
                operations += 1;
            }
            operations
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    (own_cpu_time() - before) / operations
}

/// Rows per second of a plain batch: documents of 300 bytes, `group` to a durable transaction.
pub(crate) async fn plain_batch(folder: &Path, group: usize, duration: Duration) -> f64 {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("batch.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(
        "CREATE TABLE documents (number INTEGER PRIMARY KEY, user INTEGER, id BLOB, assembly TEXT, \
         time INTEGER, size INTEGER, body BLOB, UNIQUE (user, id)) STRICT",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let body = serde_json::json!({"type": "t", "tags": [], "data": "x".repeat(240)}).to_string();
    let (begin, mut rows) = (Instant::now(), 0_u64);
    while begin.elapsed() < duration {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        for _ in 0..group {
            rows += 1;
            sqlx::query(
                "INSERT INTO documents (user, id, assembly, time, size, body) \
                 VALUES (1, ?, 'pinyto/Todo', ?, 300, jsonb(?))",
            )
            .bind(&rows.to_be_bytes()[..])
            .bind(i64::try_from(rows).unwrap())
            .bind(&body)
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        transaction.commit().await.unwrap();
    }
    rows as f64 / begin.elapsed().as_secs_f64()
}
