//! Backups: everything that a store keeps, in a file that both databases write and read.
//!
//! So a backup is also the way from SQLite to PostgreSQL, and back. The format is described in
//! `docs/backup-format.md`. What makes one and what takes one is with the stores:
//! `SqliteStore::backup` and `restore`, `PostgresStore::backup` and `restore`.
//!
//! | file | |
//! |---|---|
//! | `schema.rs` | which tables and columns are carried |
//! | `format.rs` | the lines |
//! | `sql.rs` | the statements |
//! | `output.rs`, `input.rs` | what the databases have in common when they write and read them |
//! | `../sqlite/backup.rs`, `../postgres/backup.rs` | how they get at rows |

pub(crate) mod format;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod schema;
pub(crate) mod sql;

use std::io;

use pinyto_core::clock::Timestamp;
use tokio::io::AsyncRead;

use crate::DatabaseState;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How far a backup or a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being written or read: the name of a table.
    pub subject: &'static str,
    /// How many rows have been.
    pub rows: u64,
    /// How many there are, if that is known.
    pub expected_rows: Option<u64>,
    /// How many bytes of the file have been.
    pub bytes: u64,
}

/// What is in a backup that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The moment that it shows.
    pub created: Timestamp,
    /// How many rows of each table.
    pub rows: Vec<(&'static str, u64)>,
    /// How long it is.
    pub bytes: u64,
    /// Its longest line, in bytes.
    pub longest_line: usize,
}

impl Summary {
    /// How many rows of a table there are.
    #[must_use]
    pub fn count(&self, table: &str) -> u64 {
        let mut rows = self.rows.iter();
        let found = rows.find(|(name, _)| *name == table);
        found.map_or(0, |(_, count)| *count)
    }
}

/// How a backup is restored.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    max_line: usize,
    end_sessions: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            max_line: Self::MAX_LINE,
            end_sessions: false,
        }
    }
}

impl RestoreOptions {
    /// The longest line that is read by default, in bytes: 64 MiB.
    pub const MAX_LINE: usize = 64 * 1024 * 1024;

    /// The longest line that is read, in bytes; default [`RestoreOptions::MAX_LINE`]. Reading it
    /// takes a few times as much memory.
    #[must_use]
    pub const fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Whether sessions are left out, so that everybody has to log in again; default false. A
    /// session that was ended after the backup was made would live again.
    #[must_use]
    pub const fn end_sessions(mut self, end_sessions: bool) -> Self {
        self.end_sessions = end_sessions;
        self
    }
}

/// Why a backup is not made: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The database can't be used.
    #[error(transparent)]
    Open(BoxError),
    /// There is nothing of which a backup could be made.
    #[error("There is nothing to back up: the database has no tables of Pinyto.")]
    Nothing,
    /// The tables are not what this program expects. (A backup changes nothing.)
    #[error(
        "The tables of the database are at version {found}, this program backs up {known}. Bring them up to date first: pinyto-server migrate."
    )]
    Outdated {
        /// The version of its tables.
        found: i64,
        /// The version this program expects.
        known: i64,
    },
    /// The database can't be read.
    #[error("The database can't be read: {0}.")]
    Read(#[source] BoxError),
    /// The backup can't be written.
    #[error("The backup can't be written: {0}.")]
    Write(#[source] io::Error),
    /// The database holds a row that this program can't have written.
    #[error("The database is damaged: {column} in the row {key} of {subject} can't be read.")]
    Damaged {
        /// The table.
        subject: &'static str,
        /// Which row.
        key: String,
        /// Its column.
        column: &'static str,
    },
    /// There are more or fewer rows than the database has counted.
    #[error(
        "The database is damaged: it counts {expected} rows of {subject}, but has given {found}."
    )]
    Miscounted {
        /// The table.
        subject: &'static str,
        /// How many there should be.
        expected: u64,
        /// How many there were.
        found: u64,
    },
}

impl BackupError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(_) => "database_not_opened",
            Self::Nothing => "backup_nothing",
            Self::Outdated { .. } => "backup_outdated",
            Self::Read(_) => "database_unavailable",
            Self::Write(_) => "backup_not_written",
            Self::Damaged { .. } | Self::Miscounted { .. } => "database_inconsistent",
        }
    }
}

/// Why a backup is not restored: one sentence for the operator. The database is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The database can't be used.
    #[error(transparent)]
    Open(BoxError),
    /// There is something in the database already.
    #[error(
        "The database is not empty: it has {rows} rows of {subject}. A backup is restored into an empty one only."
    )]
    NotEmpty {
        /// A table.
        subject: &'static str,
        /// How many rows it has.
        rows: u64,
    },
    /// The file can't be read.
    #[error("The backup can't be read: {0}.")]
    Read(#[source] io::Error),
    /// The file is of another version.
    #[error("The backup has version {found} of the format, this program knows {known}.")]
    Version {
        /// The file's.
        found: u64,
        /// This program's.
        known: u32,
    },
    /// The file is not what it has to be.
    #[error("Line {line} of the backup is wrong: {reason}.")]
    Invalid {
        /// Which line, the first being 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The database doesn't take rows.
    #[error(
        "The database refuses the rows of {subject} in the lines {first_line} to {last_line} of the backup: {source}."
    )]
    Refused {
        /// The table.
        subject: &'static str,
        /// The first of them.
        first_line: u64,
        /// The last of them.
        last_line: u64,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The database has more or fewer rows than were put there.
    #[error("The database counts {found} rows of {subject}, of {expected} that it was given.")]
    Miscounted {
        /// The table.
        subject: &'static str,
        /// How many the backup has.
        expected: u64,
        /// How many the database has.
        found: u64,
    },
    /// The database can't be written.
    #[error("The database can't be written: {0}.")]
    Database(#[source] BoxError),
}

impl RestoreError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(_) => "database_not_opened",
            Self::NotEmpty { .. } => "database_not_empty",
            Self::Read(_) => "backup_not_read",
            Self::Version { .. } => "backup_version",
            Self::Invalid { .. } => "backup_invalid",
            Self::Refused { .. } => "database_refused",
            Self::Miscounted { .. } => "database_inconsistent",
            Self::Database(_) => "database_unavailable",
        }
    }
}

/// That there are tables of which a backup can be made.
pub(crate) const fn check_state(state: DatabaseState) -> Result<(), BackupError> {
    match state {
        DatabaseState::Current => Ok(()),
        DatabaseState::Missing | DatabaseState::Outdated { found: 0, .. } => {
            Err(BackupError::Nothing)
        }
        DatabaseState::Outdated { found, known } => Err(BackupError::Outdated { found, known }),
    }
}

/// Reads a backup to its end and says what is in it, without restoring it anywhere.
///
/// # Errors
///
/// [`RestoreError`] with what would keep it from being restored, as far as the file tells.
pub async fn verify(
    from: impl AsyncRead + Send + Unpin,
    options: &RestoreOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Summary, RestoreError> {
    input::read(&mut input::Nowhere, from, options, progress).await
}
