//! Opening a database.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::super::{
    OpenError, PostgresOptions, PostgresStore,
    migration::{self, MIGRATIONS},
};
use crate::DatabaseState;

async fn empty() -> Option<pinyto_postgres_cluster::Database> {
    let database = pinyto_postgres_cluster::database_if_any().await?;
    database
        .execute("DROP SCHEMA IF EXISTS pinyto CASCADE")
        .await;
    Some(database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_make_the_tables_once() {
    let Some(database) = empty().await else {
        return;
    };
    let state = PostgresStore::inspect(database.url()).await.unwrap();
    assert_eq!(state, DatabaseState::Outdated { found: 0, known: 3 });
    let starting: Vec<_> = (0..5)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { PostgresStore::open(url).await.map(drop) })
        })
        .collect();
    for started in starting {
        started.await.unwrap().unwrap();
    }
    let state = PostgresStore::inspect(database.url()).await.unwrap();
    assert_eq!(state, DatabaseState::Current);
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    PostgresStore::migrate(database.url()).await.unwrap();
    database
        .execute("INSERT INTO pinyto.migrations VALUES (99, 'later', now(), true, '', 0)")
        .await;
    let opened = PostgresStore::open(database.url()).await.unwrap_err();
    assert!(
        matches!(
            opened,
            OpenError::Newer {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{opened}"
    );
    let inspected = PostgresStore::inspect(database.url()).await.unwrap_err();
    assert_eq!(inspected.code(), "database_newer");
    database
        .execute("DELETE FROM pinyto.migrations WHERE version = 99")
        .await;
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let Some(database) = empty().await else {
        return;
    };
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let bad = &[
        MIGRATIONS[0],
        (2, "bad", "CREATE TABLE pinyto.new (); SELECT 1 / 0"),
    ];
    let failed = migration::migrate(&mut connection, "test", bad).await;
    assert!(
        matches!(failed, Err(OpenError::Migration { .. })),
        "{failed:?}"
    );
    let schema: bool = sqlx::query_scalar("SELECT to_regnamespace('pinyto') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(!schema);
    migration::migrate(&mut connection, "test", MIGRATIONS)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_role_that_may_only_read_and_write_opens_tables_that_are_up_to_date() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    PostgresStore::migrate(database.url()).await.unwrap();
    let role = format!("pinyto_serving_{}", std::process::id());
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA pinyto TO {role};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pinyto TO {role};
            GRANT USAGE ON ALL SEQUENCES IN SCHEMA pinyto TO {role}"
        ))
        .await;
    let url = database.url().replacen("pinyto@", &format!("{role}@"), 1);
    let opened = PostgresStore::open(url.as_str()).await;
    if let Ok(store) = &opened {
        store.close().await;
    }
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
    opened.unwrap();
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let Some(database) = pinyto_postgres_cluster::database_if_any().await else {
        return;
    };
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let name = format!("pinyto_ascii_{}", std::process::id());
    let create = format!(
        "CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut connection)
        .await
        .unwrap();
    let own: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let url = database.url().replacen(&own, &name, 1);
    let opened = PostgresStore::open(url).await.unwrap_err();
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(
        opened.to_string().contains("has the encoding SQL_ASCII"),
        "{opened}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_without_the_password() {
    for url in ["mysql://a:hunter2@h/d", "postgres:hunter2", "hunter2"] {
        let opened = PostgresStore::open(url).await.unwrap_err();
        assert!(matches!(opened, OpenError::Url), "{opened}");
    }
    let nowhere = "postgres://me:hunter2@localhost:1/d?sslmode=disable";
    let opened = PostgresStore::open(nowhere).await.unwrap_err();
    let sentence = opened.to_string();
    assert!(
        sentence.starts_with("The database d at localhost:1 can't be used: "),
        "{sentence}"
    );
    assert!(!sentence.contains("hunter2"));
    assert!(!format!("{:?}", PostgresOptions::new(nowhere)).contains("hunter2"));
}
