//! Bringing the tables up to date.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, migrate::MigrateError};

use super::lock::migrations_lock;
use crate::migrations::{Migrations, migrator, newest_of};

/// Which migrations have run. In our own schema, so that an embedder can keep her tables and
/// migrations in the same database.
const TABLE: &str = "pinyto.migrations";

/// The oldest server that is served, as `server_version_num` has it.
const OLDEST_SERVER: i32 = 140_000;

/// Our migrations.
pub(super) const MIGRATIONS: &Migrations = &[
    (
        1,
        "begin",
        include_str!("../../migrations/postgres/0001_begin.sql"),
    ),
    (
        2,
        "failures",
        include_str!("../../migrations/postgres/0002_failures.sql"),
    ),
    (
        3,
        "runs kept back",
        include_str!("../../migrations/postgres/0003_runs_kept_back.sql"),
    ),
    (
        4,
        "openpgp keys",
        include_str!("../../migrations/postgres/0004_openpgp_keys.sql"),
    ),
    (
        5,
        "proven openpgp keys",
        include_str!("../../migrations/postgres/0005_proven_openpgp_keys.sql"),
    ),
    (
        6,
        "proofs of openpgp keys",
        include_str!("../../migrations/postgres/0006_proofs_of_openpgp_keys.sql"),
    ),
];

/// Why a database can't be used: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is none of a PostgreSQL database. (It is not shown, it may contain a password.)
    #[error("The database URL is none. Write it like postgres://USER:PASSWORD@HOST/DATABASE.")]
    Url,
    /// The server can't be reached, or doesn't let us in.
    #[error("The database {database} can't be used: {source}.")]
    Connection {
        /// Name and host.
        database: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The pool that is to be shared has too few connections.
    #[error("The pool has {found} connections at most. To share it takes {fewest}.")]
    SmallPool {
        /// How many it has.
        found: u32,
        /// How many it has to have.
        fewest: u32,
    },
    /// The server lacks what is needed.
    #[error(
        "The database {database} is served by PostgreSQL {found}. Version 14 is the oldest that can be used."
    )]
    OldServer {
        /// Name and host.
        database: String,
        /// The server's version.
        found: String,
    },
    /// Texts would not come back as they were.
    #[error(
        "The database {database} has the encoding {found}. Make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
    )]
    Encoding {
        /// Name and host.
        database: String,
        /// The database's encoding.
        found: String,
    },
    /// A newer version has changed the tables in a way this one doesn't know.
    #[error(
        "The database {database} was used by a newer version of Pinyto (its tables are at version {found}, this program knows {known}). Start that version, or restore a backup."
    )]
    Newer {
        /// Name and host.
        database: String,
        /// The version of its tables.
        found: i64,
        /// The version this program knows.
        known: i64,
    },
    /// The tables can't be brought up to date.
    #[error("The tables of the database {database} can't be brought up to date: {source}.")]
    Migration {
        /// Name and host.
        database: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url => "database_url",
            Self::Connection { .. } => "database_connection",
            Self::SmallPool { .. } => "database_pool",
            Self::OldServer { .. } => "database_server",
            Self::Encoding { .. } => "database_encoding",
            Self::Newer { .. } => "database_newer",
            Self::Migration { .. } => "database_migration",
        }
    }
}

/// Why the tables stay as they are.
enum Unmigrated {
    Newer(i64),
    Failed(Box<dyn std::error::Error + Send + Sync>),
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Unmigrated {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<MigrateError> for Unmigrated {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(found) => Self::Newer(found),
            MigrateError::Execute(error) => Self::Sql(error),
            error => Self::Failed(error.into()),
        }
    }
}

/// The version of the tables; 0 if there are none.
async fn version(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let exists = "SELECT to_regclass('pinyto.migrations') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(exists)
        .fetch_one(&mut *db)
        .await?
    {
        return Ok(0);
    }
    let version = "SELECT coalesce(max(version), 0) FROM pinyto.migrations WHERE success";
    sqlx::query_scalar(version).fetch_one(db).await
}

/// Says of what version the tables are, if the database can be used.
pub(super) async fn inspect(db: &mut PgConnection, database: &str) -> Result<i64, OpenError> {
    let server = "
        SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
               current_setting('server_encoding')";
    let read = async {
        let server: (i32, String, String) = sqlx::query_as(server).fetch_one(&mut *db).await?;
        Ok::<_, sqlx::Error>((server, version(db).await?))
    };
    let database = || database.to_owned();
    match read.await {
        Err(error) => Err(OpenError::Connection {
            database: database(),
            source: error.into(),
        }),
        Ok(((number, found, _), _)) if number < OLDEST_SERVER => Err(OpenError::OldServer {
            database: database(),
            found,
        }),
        Ok(((_, _, found), _)) if found != "UTF8" => Err(OpenError::Encoding {
            database: database(),
            found,
        }),
        Ok((_, found)) if found > newest_of(MIGRATIONS) => Err(OpenError::Newer {
            database: database(),
            found,
            known: newest_of(MIGRATIONS),
        }),
        Ok((_, found)) => Ok(found),
    }
}

/// Brings the tables up to date. If they are, nothing is asked for that a role without the right to
/// make tables may not do.
pub(super) async fn migrate(
    db: &mut PgConnection,
    database: &str,
    migrations: &Migrations,
) -> Result<(), OpenError> {
    let database = || database.to_owned();
    match run(db, migrations).await {
        Ok(()) => Ok(()),
        Err(Unmigrated::Newer(found)) => Err(OpenError::Newer {
            database: database(),
            found,
            known: newest_of(migrations),
        }),
        Err(Unmigrated::Sql(error)) => Err(OpenError::Migration {
            database: database(),
            source: error.into(),
        }),
        Err(Unmigrated::Failed(source)) => Err(OpenError::Migration {
            database: database(),
            source,
        }),
    }
}

/// All or nothing, and one server after the other.
async fn run(db: &mut PgConnection, migrations: &Migrations) -> Result<(), Unmigrated> {
    if version(db).await? == newest_of(migrations) {
        return Ok(());
    }
    let mut transaction = db.begin_with(AssertSqlSafe(migrations_lock())).await?;
    let found = version(&mut transaction).await?;
    if found > newest_of(migrations) {
        return Err(Unmigrated::Newer(found));
    }
    if found == 0 {
        sqlx::query("CREATE SCHEMA IF NOT EXISTS pinyto")
            .execute(&mut *transaction)
            .await?;
    }
    let mut migrator = migrator(migrations, TABLE);
    // What sqlx locks by itself belongs to the connection, which a proxy may share out.
    migrator.set_locking(false);
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}
