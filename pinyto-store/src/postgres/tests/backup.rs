//! What backups carry is what the tables have.

use sqlx::{Connection as _, PgConnection};

use super::super::PostgresStore;
use crate::backup::schema::{Found, Kind, TABLES, compare};

const COLUMNS: &str = "
    SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' AS is_nullable
    FROM information_schema.columns WHERE table_schema = 'pinyto'";

#[tokio::test]
async fn backups_carry_every_column_or_leave_it_out_on_purpose() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    PostgresStore::migrate(database.url()).await.unwrap();
    let mut db = PgConnection::connect(database.url()).await.unwrap();
    let found: Vec<Found> = sqlx::query_as(COLUMNS).fetch_all(&mut db).await.unwrap();
    compare(&found, |column| match column.kind {
        Kind::Integer => "bigint",
        Kind::Bool => "boolean",
        Kind::Real => "double precision",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
        Kind::Json => "json",
    });
    let numbered: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns
        WHERE table_schema = 'pinyto' AND is_identity = 'YES' AND table_name <> 'indexes'
        ORDER BY 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let carried = TABLES.iter().filter(|table| table.is_numbered);
    let mut carried: Vec<_> = carried.map(|table| table.name).collect();
    carried.sort_unstable();
    assert_eq!(numbered, carried);
}
