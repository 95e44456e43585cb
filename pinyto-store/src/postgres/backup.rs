//! Backups of a PostgreSQL database, and what becomes of them in one.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::BoxStream};
use pinyto_core::{clock::Timestamp, store::StoreError};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{OpenError, PostgresOptions, PostgresStore, connect, document::index};
use crate::backup::{
    BackupError, BoxError, Progress, RestoreError, RestoreOptions, Summary, check_state,
    format::{Cell, Row, Sequences},
    input::{self, Sink},
    output::{self, Source},
    schema::{Kind, TABLES, Table},
    sql::{Dialect, bind_rows, read_row},
};

const DIALECT: Dialect = Dialect {
    prefix: "pinyto.",
    read_json: |column| format!("{column}::text"),
    write_json: |parameter| format!("{parameter}::json"),
};

/// Whoever reads a backup from us, or gives us one, may take his time.
macro_rules! begin {
    ($mode:literal) => {
        concat!(
            "BEGIN ISOLATION LEVEL ",
            $mode,
            "; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
            SET LOCAL idle_in_transaction_session_timeout = 0"
        )
    };
}

/// With one state of the database for all statements. Rows are taken in the order of their key, not
/// sorted, for which the server would need the room that the table takes again.
const BEGIN_BACKUP: &str = concat!(
    begin!("REPEATABLE READ READ ONLY"),
    "; SET LOCAL enable_sort = off"
);

/// Others may look, but not write, until it is done.
const BEGIN_RESTORE: &str = concat!(
    begin!("READ COMMITTED READ WRITE"),
    "; LOCK TABLE pinyto.users IN EXCLUSIVE MODE"
);

impl PostgresStore {
    /// Writes a backup of what the database holds at one moment, which is called `at`, while stores
    /// may go on changing it. Nothing is changed, the tables have to be up to date.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; then what was written is to be thrown away.
    pub async fn backup(
        options: impl Into<PostgresOptions> + Send,
        to: impl AsyncWrite + Send + Unpin,
        at: Timestamp,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Summary, BackupError> {
        let options = options.into();
        let unopened = |error: OpenError| BackupError::Open(error.into());
        let state = Self::inspect(options.clone()).await;
        check_state(state.map_err(unopened)?)?;
        let hosts = options.hosts().map_err(unopened)?;
        let (mut connection, _) = connect(&hosts).await.map_err(unopened)?;
        let unread = |error: sqlx::Error| BackupError::Read(error.into());
        let mut transaction = connection.begin_with(BEGIN_BACKUP).await.map_err(unread)?;
        let written = output::write(&mut Backup(&mut transaction), to, at, progress).await;
        drop(transaction);
        // Nothing was changed.
        let _ = connection.close().await;
        written
    }

    /// Puts what a backup says into the database, whose tables are made if they are missing and have
    /// to be empty: all of it, or nothing.
    ///
    /// Indexes of documents are made afterwards, by whichever store is opened on the database next;
    /// [`PostgresStore::indexes_in_the_making`] says when that is done.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; then the database is empty.
    pub async fn restore(
        options: impl Into<PostgresOptions> + Send,
        from: impl AsyncRead + Send + Unpin,
        restore: &RestoreOptions,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Summary, RestoreError> {
        let options = options.into();
        let unopened = |error: OpenError| RestoreError::Open(error.into());
        let hosts = options.hosts().map_err(unopened)?;
        Self::migrate_with(&hosts).await.map_err(unopened)?;
        let (mut connection, _) = connect(&hosts).await.map_err(unopened)?;
        let unwritten = |error: sqlx::Error| RestoreError::Database(error.into());
        let begun = connection.begin_with(BEGIN_RESTORE).await;
        let mut transaction = begun.map_err(unwritten)?;
        let summary = input::read(&mut Restore(&mut transaction), from, restore, progress).await?;
        transaction.commit().await.map_err(unwritten)?;
        // Everything is committed.
        let _ = connection.close().await;
        Ok(summary)
    }

    /// How many indexes of documents are not ready yet, or not yet gone. Until they are, queries
    /// that would use them take longer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    pub async fn indexes_in_the_making(&self) -> Result<u64, StoreError> {
        let count = "SELECT count(*) FROM pinyto.indexes WHERE state <> 'ready'";
        let count = self
            .database
            .one(|| sqlx::query_as::<_, (i64,)>(count))
            .await?;
        Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
    }
}

async fn count(db: &mut PgConnection, table: &Table) -> Result<u64, BoxError> {
    let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(DIALECT.count(table)));
    Ok(count.fetch_one(db).await?.unsigned_abs())
}

struct Backup<'a>(&'a mut PgConnection);

/// The last number that was given in a table, 0 if none was. Sequences take no part in
/// transactions, so it can be later than the state that is seen, never earlier.
const LAST_GIVEN: &str = "
    SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, 'id')::regclass), 0)";

/// `true`: the next one is the one after.
const SET_SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence($1, 'id'), $2, true)";

#[async_trait]
impl Source for Backup<'_> {
    const DATABASE: &'static str = "postgres";

    async fn sequences(&mut self) -> Result<Sequences, BoxError> {
        let mut sequences = Sequences::new();
        for table in TABLES.iter().filter(|table| table.is_numbered) {
            let last: i64 = sqlx::query_scalar(LAST_GIVEN)
                .bind(format!("{}{}", DIALECT.prefix, table.name))
                .fetch_one(&mut *self.0)
                .await?;
            sequences.insert(table.name.to_owned(), last);
        }
        Ok(sequences)
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

struct Restore<'a>(&'a mut PgConnection);

/// For how many users the indexes are made at once.
const USERS: usize = 1000;

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
            if *last > 0 {
                sqlx::query(SET_SEQUENCE)
                    .bind(format!("{}{name}", DIALECT.prefix))
                    .bind(last)
                    .execute(&mut *self.0)
                    .await?;
            }
        }
        sqlx::query(SET_TURNS).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn derive(&mut self) -> Result<(), BoxError> {
        sqlx::query(INDEX_TYPES).execute(&mut *self.0).await?;
        let users: Vec<i64> = sqlx::query_scalar("SELECT id FROM pinyto.users ORDER BY id")
            .fetch_all(&mut *self.0)
            .await?;
        for some in users.chunks(USERS) {
            sqlx::query(index::REFRESH)
                .bind(some)
                .execute(&mut *self.0)
                .await?;
        }
        Ok(())
    }
}

/// SQLite needs no sequence for them.
const SET_TURNS: &str = "
    SELECT setval('pinyto.turns', turn, true)
    FROM (SELECT max(turn) AS turn FROM pinyto.job_users) t WHERE turn > 0";

/// What every user has.
const INDEX_TYPES: &str = "
    INSERT INTO pinyto.indexes (user_id, path, state)
    SELECT id, 'type', CASE WHEN EXISTS (SELECT 1 FROM pinyto.documents d WHERE d.user_id = u.id)
                            THEN 'building' ELSE 'ready' END
    FROM pinyto.users u ORDER BY id";
