//! Backups of a SQLite database, and what becomes of them in one.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::BoxStream};
use pinyto_core::{clock::Timestamp, store::StoreError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{SqliteOptions, SqliteStore, document::index, migration, options};
use crate::backup::{
    BackupError, BoxError, Progress, RestoreError, RestoreOptions, Summary, check_state,
    format::{Cell, Row, Sequences},
    input::{self, Sink},
    output::{self, Source},
    schema::{Kind, TABLES, Table},
    sql::{Dialect, bind_rows, read_row},
};

const DIALECT: Dialect = Dialect {
    prefix: "pinyto_",
    // 8: JSONB, checked all through.
    read_json: |column| format!("iif(json_valid({column}, 8), json({column}), '')"),
    write_json: |parameter| format!("jsonb({parameter})"),
};

impl SqliteStore {
    /// Writes a backup of what the database holds at one moment, which is called `at`, while stores
    /// may go on changing it. Nothing is changed, the tables have to be up to date.
    ///
    /// As long as it takes, SQLite keeps what is changed meanwhile in its write-ahead log.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; then what was written is to be thrown away.
    pub async fn backup(
        wanted: impl Into<SqliteOptions> + Send,
        to: impl AsyncWrite + Send + Unpin,
        at: Timestamp,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Summary, BackupError> {
        let wanted = wanted.into();
        let state = Self::inspect(wanted.clone()).await;
        check_state(state.map_err(|error| BackupError::Open(error.into()))?)?;
        let connect = wanted
            .writer()
            .map_err(|error| BackupError::Open(error.into()))?;
        let reader = options::reader(&connect, wanted.cache_kib);
        let unread = |error: sqlx::Error| BackupError::Read(error.into());
        let mut connection = reader.connect().await.map_err(unread)?;
        // The first that is read decides which state is seen from then on.
        let begun = sqlx::query("BEGIN").execute(&mut connection).await;
        begun.map_err(unread)?;
        let written = output::write(&mut Backup(&mut connection), to, at, progress).await;
        // Nothing was changed.
        let _ = connection.close().await;
        written
    }

    /// Puts what a backup says into the database, which is made if it is missing and has to be
    /// empty: all of it, or nothing.
    ///
    /// Indexes of documents are made afterwards, by whichever store is opened on the database next;
    /// [`SqliteStore::indexes_in_the_making`] says when that is done.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; then the database is empty.
    pub async fn restore(
        wanted: impl Into<SqliteOptions> + Send,
        from: impl AsyncRead + Send + Unpin,
        restore: &RestoreOptions,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Summary, RestoreError> {
        let wanted = wanted.into();
        let connect = wanted
            .writer()
            .map_err(|error| RestoreError::Open(error.into()))?;
        let opened = migration::open(&connect, migration::MIGRATIONS).await;
        let mut connection = opened.map_err(|error| RestoreError::Open(error.into()))?;
        let unwritten = |error: sqlx::Error| RestoreError::Database(error.into());
        let restored = async {
            // Others may look, but not write, until it is done.
            let begun = connection.begin_with("BEGIN IMMEDIATE").await;
            let mut transaction = begun.map_err(unwritten)?;
            let mut sink = Restore(&mut transaction);
            let summary = input::read(&mut sink, from, restore, progress).await?;
            transaction.commit().await.map_err(unwritten)?;
            Ok(summary)
        };
        let restored = restored.await;
        // Rolls back what is not committed.
        let closed = connection.close().await;
        let summary = restored?;
        closed.map_err(unwritten)?;
        Ok(summary)
    }

    /// How many indexes of documents are not ready yet, or not yet gone. Until they are, queries
    /// that would use them take longer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    pub async fn indexes_in_the_making(&self) -> Result<u64, StoreError> {
        let count = "SELECT count(*) FROM pinyto_indexes WHERE state <> 'ready'";
        let count = self.readers.one(sqlx::query_as::<_, (i64,)>(count)).await?;
        Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
    }
}

async fn count(db: &mut SqliteConnection, table: &Table) -> Result<u64, BoxError> {
    let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(DIALECT.count(table)));
    Ok(count.fetch_one(db).await?.unsigned_abs())
}

struct Backup<'a>(&'a mut SqliteConnection);

#[async_trait]
impl Source for Backup<'_> {
    const DATABASE: &'static str = "sqlite";

    async fn sequences(&mut self) -> Result<Sequences, BoxError> {
        // Only tables that have had a row are there.
        let given = sqlx::query_as::<_, (String, i64)>("SELECT name, seq FROM sqlite_sequence");
        let given: Sequences = given.fetch_all(&mut *self.0).await?.into_iter().collect();
        let numbered = TABLES.iter().filter(|table| table.is_numbered);
        let last = |table: &Table| {
            let name = format!("{}{}", DIALECT.prefix, table.name);
            let last = given.get(&name).copied();
            (table.name.to_owned(), last.unwrap_or(0))
        };
        Ok(numbered.map(last).collect())
    }

    async fn count(&mut self, table: &Table) -> Result<u64, BoxError> {
        count(self.0, table).await
    }

    fn rows<'a>(&'a mut self, table: &'a Table) -> BoxStream<'a, Result<Row, BoxError>> {
        let rows = sqlx::query(AssertSqlSafe(DIALECT.select(table))).fetch(&mut *self.0);
        rows.map(move |row| {
            let row = row?;
            Ok(read_row!(table, row)?)
        })
        .boxed()
    }
}

struct Restore<'a>(&'a mut SqliteConnection);

#[async_trait]
impl Sink for Restore<'_> {
    async fn count(&mut self, table: &Table) -> Result<u64, BoxError> {
        count(self.0, table).await
    }

    async fn insert(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), BoxError> {
        let insert = sqlx::query(AssertSqlSafe(DIALECT.insert(table, rows.len())));
        bind_rows!(insert, table, rows)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn set_sequences(&mut self, sequences: &Sequences) -> Result<(), BoxError> {
        for (name, last) in sequences {
            let name = format!("{}{name}", DIALECT.prefix);
            sqlx::query(FORGET_SEQUENCE)
                .bind(&name)
                .execute(&mut *self.0)
                .await?;
            if *last > 0 {
                sqlx::query(SET_SEQUENCE)
                    .bind(&name)
                    .bind(last)
                    .execute(&mut *self.0)
                    .await?;
            }
        }
        Ok(())
    }

    async fn derive(&mut self) -> Result<(), BoxError> {
        sqlx::query(INDEX_TYPES).execute(&mut *self.0).await?;
        sqlx::query(index::REFRESH_ALL)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

const FORGET_SEQUENCE: &str = "DELETE FROM sqlite_sequence WHERE name = ?1";

const SET_SEQUENCE: &str = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";

/// What every user has.
const INDEX_TYPES: &str = "
    INSERT INTO pinyto_indexes (user_id, path, state)
    SELECT id, 'type', iif(EXISTS (SELECT 1 FROM pinyto_documents d WHERE d.user_id = u.id),
                           'building', 'ready')
    FROM pinyto_users u ORDER BY id";
