//! Opening a database: its file, its tables.

#[cfg(unix)]
use std::path::Path;
use std::{fs, io, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio::time::Instant;

use super::{
    error::{Trouble, trouble},
    options::{is_in_memory, makes_missing},
};
use crate::migrations::{Migrations, migrator, newest_of};

/// Which migrations have run. A name of our own, so that an embedder can keep her tables and
/// migrations in the same database.
const TABLE: &str = "pinyto_migrations";

/// How long to wait for another process that opens the same new database.
const PATIENCE: Duration = Duration::from_secs(5);

/// Our migrations. One may rebuild a table that others refer to: foreign keys are off while they
/// run, and checked before the commit.
pub(super) const MIGRATIONS: &Migrations = &[
    (
        1,
        "accounts, assemblies, documents",
        include_str!("../../migrations/sqlite/0001_accounts_assemblies_documents.sql"),
    ),
    (
        2,
        "document indexes",
        include_str!("../../migrations/sqlite/0002_document_indexes.sql"),
    ),
    (
        3,
        "runs and jobs",
        include_str!("../../migrations/sqlite/0003_runs_and_jobs.sql"),
    ),
    (
        4,
        "hosts",
        include_str!("../../migrations/sqlite/0004_hosts.sql"),
    ),
    (
        6,
        "turns and holds",
        include_str!("../../migrations/sqlite/0006_turns_and_holds.sql"),
    ),
    (
        7,
        "run writers",
        include_str!("../../migrations/sqlite/0007_run_writers.sql"),
    ),
    (
        8,
        "failures",
        include_str!("../../migrations/sqlite/0008_failures.sql"),
    ),
    (
        9,
        "openpgp keys",
        include_str!("../../migrations/sqlite/0009_openpgp_keys.sql"),
    ),
    (
        10,
        "proven openpgp keys",
        include_str!("../../migrations/sqlite/0010_proven_openpgp_keys.sql"),
    ),
    (
        11,
        "proofs of openpgp keys",
        include_str!("../../migrations/sqlite/0011_proofs_of_openpgp_keys.sql"),
    ),
];

/// The version of the tables that this program expects.
pub(super) fn newest() -> i64 {
    newest_of(MIGRATIONS)
}

/// The version of the tables in a database; 0 if it has none of ours.
pub(super) async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let has_tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'pinyto_migrations'";
    if sqlx::query_scalar::<_, i64>(has_tables)
        .fetch_one(&mut *connection)
        .await?
        == 0
    {
        return Ok(0);
    }
    let version = "SELECT coalesce(max(version), 0) FROM pinyto_migrations WHERE success";
    sqlx::query_scalar(version).fetch_one(connection).await
}

/// Why a database can't be opened: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is none of a SQLite database.
    #[error("{url:?} is no database URL. Write it like sqlite:pinyto.db?mode=rwc.")]
    Url {
        /// What was given.
        url: String,
    },
    /// The file can't be opened, made, read or written.
    #[error("The database {path} can't be opened: {source}.")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer version has changed the tables in a way this one doesn't know.
    #[error(
        "The database {path} was used by a newer version of Pinyto (its tables are at version {found}, this program knows {known}). Start that version, or restore a backup."
    )]
    Newer {
        /// The file.
        path: String,
        /// The version of its tables.
        found: i64,
        /// The version this program knows.
        known: i64,
    },
    /// The tables can't be brought up to date.
    #[error("The tables of the database {path} can't be brought up to date: {source}.")]
    Migration {
        /// The file.
        path: String,
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
            Self::Url { .. } => "database_url",
            Self::File { .. } => "database_file",
            Self::Newer { .. } => "database_newer",
            Self::Migration { .. } => "database_migration",
        }
    }
}

/// Opens the connection that writes and brings the tables up to date.
pub(super) async fn open(
    options: &SqliteConnectOptions,
    migrations: &Migrations,
) -> Result<SqliteConnection, OpenError> {
    let path = options.get_filename().display().to_string();
    let unopened = |source: sqlx::Error| OpenError::File {
        path: path.clone(),
        source: source.into(),
    };
    make_private(options).map_err(|error| unopened(error.into()))?;
    // Within a transaction foreign keys can't be turned off.
    let migrating = options.clone().foreign_keys(false);
    let mut migrating = connect(&migrating).await.map_err(unopened)?;
    let migrated = migrate(&mut migrating, migrations).await;
    // Opened before the other is closed, with which a database in memory would go.
    let serving = match migrated {
        Ok(()) => options.connect().await.map_err(unopened),
        Err(Unmigrated::Migrate(MigrateError::VersionMissing(found))) => Err(OpenError::Newer {
            path: path.clone(),
            found,
            known: newest_of(migrations),
        }),
        Err(Unmigrated::Migrate(MigrateError::Execute(error)) | Unmigrated::Sql(error)) => {
            Err(unopened(error))
        }
        Err(error) => Err(OpenError::Migration {
            path: path.clone(),
            source: error.into(),
        }),
    };
    migrating.close().await.map_err(unopened)?;
    serving
}

/// Why the tables stay as they are.
#[derive(Debug, thiserror::Error)]
enum Unmigrated {
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("rows of {table} would refer to rows of {parent} that are not there")]
    Dangling { table: String, parent: String },
}

/// Switching a new database to its write-ahead log is the one thing SQLite doesn't wait for.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    // The file remembers it.
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let until = Instant::now() + PATIENCE;
    loop {
        match options.connect().await {
            Err(error) if trouble(&error) == Trouble::Busy && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

/// All or nothing, and one process after the other.
async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &Migrations,
) -> Result<(), Unmigrated> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let migrated = async {
        let before = version(&mut transaction).await?;
        migrator(migrations, TABLE)
            .run_direct(None, &mut *transaction, false)
            .await?;
        // It goes through all tables.
        if version(&mut transaction).await? != before {
            check_foreign_keys(&mut transaction).await?;
        }
        Ok(())
    };
    match migrated.await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(error) => {
            // If this fails, closing the connection rolls back.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// That all rows our tables refer to, and all of ours that others refer to, are there.
async fn check_foreign_keys(connection: &mut SqliteConnection) -> Result<(), Unmigrated> {
    let dangling = "
        SELECT \"table\", parent FROM pragma_foreign_key_check
        WHERE \"table\" LIKE 'pinyto\\_%' ESCAPE '\\' OR parent LIKE 'pinyto\\_%' ESCAPE '\\'
        LIMIT 1";
    match sqlx::query_as(dangling).fetch_optional(connection).await? {
        None => Ok(()),
        Some((table, parent)) => Err(Unmigrated::Dangling { table, parent }),
    }
}

/// Makes the file, if SQLite is to make it, such that only its owner can read it. SQLite gives
/// its other files the same mode.
fn make_private(options: &SqliteConnectOptions) -> io::Result<()> {
    if is_in_memory(options) {
        return Ok(());
    }
    let path = options.get_filename();
    if makes_missing(options) {
        let mut file = fs::OpenOptions::new();
        file.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        match file.open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(drop),
        }
    }
    #[cfg(unix)]
    warn_if_open_to_others(path);
    Ok(())
}

/// Whoever made the file may have meant it, so its mode stays.
#[cfg(unix)]
fn warn_if_open_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // If it can't be looked at, it can't be opened either, which is told better there.
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let mode = format_args!("{mode:o}");
        let path = path.display();
        tracing::warn!(%path, %mode, "others than the owner can get at the database file");
    }
}
