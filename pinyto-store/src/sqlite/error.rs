//! What can go wrong in a statement, and what that means for a caller.

use std::sync::Arc;

use pinyto_core::store::StoreError;

pub(super) use crate::row::{Corrupt, corrupt};

/// Why an intent or a query failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite or the driver.
    Sql(sqlx::Error),
    /// A row that this crate can't have written.
    Corrupt(Corrupt),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Corrupt> for Failure {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => of_shared(&Arc::new(error)),
            Failure::Corrupt(corrupt) => corrupt.into(),
        }
    }
}

/// One failure of SQLite may concern several callers.
pub(super) fn of_shared(error: &Arc<sqlx::Error>) -> StoreError {
    match trouble(error) {
        Trouble::Busy | Trouble::Full | Trouble::Away => StoreError::unavailable(Arc::clone(error)),
        Trouble::Damaged => StoreError::corrupt("the database file", error.to_string()),
        Trouble::Row => StoreError::corrupt("a row", error.to_string()),
    }
}

/// What kind of trouble an error of the driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Another process holds the lock.
    Busy,
    /// The disk, or the size the database may have.
    Full,
    /// The database can't be read or written now (or this connection can't be used any more).
    Away,
    /// The file is no database, damaged, or lacks our tables.
    Damaged,
    /// A row contradicts its constraints or can't be decoded.
    Row,
}

/// Result codes: <https://www.sqlite.org/rescode.html>.
pub(super) fn trouble(error: &sqlx::Error) -> Trouble {
    let code = match error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => return Trouble::Row,
        _ => return Trouble::Away,
    };
    // The low byte of an extended code is the primary one.
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => Trouble::Busy,
        Some(13) => Trouble::Full,
        Some(1 | 11 | 17 | 26) => Trouble::Damaged,
        Some(18..=20) => Trouble::Row,
        _ => Trouble::Away,
    }
}
