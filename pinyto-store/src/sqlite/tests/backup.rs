//! What backups carry is what the tables have.

use sqlx::{Connection as _, SqliteConnection};

use super::store;
use crate::backup::schema::{Found, Kind, TABLES, compare};

const COLUMNS: &str = "
    SELECT substr(t.name, 8) AS table_name, c.name AS column_name, lower(c.type) AS data_type,
           c.\"notnull\" = 0 AND c.pk = 0 AS is_nullable
    FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c
    WHERE t.type = 'table' AND t.name LIKE 'pinyto\\_%' ESCAPE '\\'";

#[tokio::test]
async fn backups_carry_every_column_or_leave_it_out_on_purpose() {
    let (_store, directory) = store(|options| options).await;
    let url = format!("sqlite:{}", directory.path().join("pinyto.db").display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    let found: Vec<Found> = sqlx::query_as(COLUMNS).fetch_all(&mut db).await.unwrap();
    compare(&found, |column| match column.kind {
        Kind::Integer | Kind::Bool => "integer",
        Kind::Real => "real",
        Kind::Text => "text",
        Kind::Bytes | Kind::Json => "blob",
    });
    let numbered: Vec<String> = sqlx::query_scalar(
        "SELECT substr(name, 8) FROM sqlite_schema WHERE type = 'table'
            AND name LIKE 'pinyto\\_%' ESCAPE '\\' AND sql LIKE '%AUTOINCREMENT%'
            AND name <> 'pinyto_indexes' ORDER BY 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let carried = TABLES.iter().filter(|table| table.is_numbered);
    let mut carried: Vec<_> = carried.map(|table| table.name).collect();
    carried.sort_unstable();
    assert_eq!(numbered, carried);
}
