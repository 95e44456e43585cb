//! What can go wrong in a statement, and what that means for a caller.
//!
//! | what | SQLSTATE | tried again | else the caller gets | the connection |
//! |---|---|---|---|---|
//! | [`Conflict`](Trouble::Conflict) | 40001, 40P01, 55P03 | yes, nothing was changed | unavailable | is kept |
//! | [`Lost`](Trouble::Lost) | none, 08..., 57P01, 57P02, 57P05, 25P03, 25P04 | unless it was lost in a `COMMIT` | unavailable | goes, older ones with it |
//! | [`ReadOnly`](Trouble::ReadOnly) | 25006 | yes, perhaps there is another server | unavailable | goes, older ones with it |
//! | [`Stale`](Trouble::Stale) | 0A000, 26000 | yes, nothing was done | unavailable | goes |
//! | [`Starting`](Trouble::Starting), [`Full`](Trouble::Full) | 57P03; 53300 | connecting, as long as the patience lasts | unavailable | was none |
//! | [`Late`](Trouble::Late) | 57014 | no | unavailable | is kept |
//! | [`Away`](Trouble::Away) | 42501 and all others | no | unavailable | is kept |
//! | [`Damaged`](Trouble::Damaged), [`Row`](Trouble::Row) | 3F..., 42..., XX...; 22..., 23... | no | corrupt | is kept |
//!
//! A statement that is a transaction of its own is tried again also if it may have come about: such
//! ones can be repeated (see [`Intent`](super::pool::Intent::locks)).

use pinyto_core::store::StoreError;

use crate::row::Corrupt;

/// Why an intent or a query failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// PostgreSQL or the driver.
    Sql(sqlx::Error),
    /// A row that this crate can't have written.
    Corrupt(Corrupt),
    /// There is no server that can be written.
    ReadOnly,
}

impl Failure {
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Sql(error) => trouble(error),
            Self::Corrupt(_) => Trouble::Row,
            Self::ReadOnly => Trouble::ReadOnly,
        }
    }

    /// Why the database can't be used, in words that anybody may read.
    pub(super) fn reason(&self) -> &'static str {
        match self.trouble() {
            Trouble::ReadOnly => "it can only be read, not written",
            Trouble::Starting => "it is starting up or shutting down",
            Trouble::Full => "it takes no more connections",
            Trouble::Late => "it takes too long to answer",
            Trouble::Lost => "it can't be reached",
            Trouble::Away => "it doesn't let the server in, or can't be reached",
            Trouble::Conflict | Trouble::Stale => "it is busy",
            Trouble::Damaged | Trouble::Row => "it lacks tables, or is damaged",
        }
    }
}

/// A standby, or a database that is not to be written.
#[derive(Debug, thiserror::Error)]
#[error("it can only be read, not written")]
pub(super) struct ReadOnly;

impl From<Failure> for Box<dyn std::error::Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => error.into(),
            Failure::Corrupt(Corrupt { place, detail }) => format!("{place}: {detail}").into(),
            Failure::ReadOnly => ReadOnly.into(),
        }
    }
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
            // Here the tables are in a schema of that name.
            Failure::Corrupt(Corrupt { place, detail }) => {
                Self::corrupt(place.replacen("pinyto_", "pinyto.", 1), detail)
            }
            Failure::Sql(error) => match trouble(&error) {
                Trouble::Damaged => Self::corrupt("the database", error.to_string()),
                Trouble::Row => Self::corrupt(place(&error), error.to_string()),
                _ => Self::unavailable(error),
            },
            Failure::ReadOnly => Self::unavailable(ReadOnly),
        }
    }
}

/// What kind of trouble an error of the driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Two transactions were in each other's way; nothing was changed, and the next try may succeed.
    Conflict,
    /// The connection broke.
    Lost,
    /// The server is a standby (by now), or told to write nothing; nothing was changed.
    ReadOnly,
    /// What was prepared on the connection is of another time, or is gone; nothing was done.
    Stale,
    /// The server doesn't let anybody in yet, or not any more.
    Starting,
    /// The server has as many connections as it takes.
    Full,
    /// It took too long.
    Late,
    /// The database can't be reached or can't serve now.
    Away,
    /// The database is damaged or lacks our tables.
    Damaged,
    /// A row contradicts its constraints or can't be decoded.
    Row,
}

/// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn trouble(error: &sqlx::Error) -> Trouble {
    let code = match error {
        sqlx::Error::Database(error) => error.code(),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => return Trouble::Row,
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => return Trouble::Lost,
        sqlx::Error::PoolTimedOut => return Trouble::Late,
        _ => return Trouble::Away,
    };
    let code = code.as_deref().unwrap_or_default();
    match (code.get(..2).unwrap_or_default(), code) {
        (_, "40001" | "40P01" | "55P03") => Trouble::Conflict,
        // The server is shut down, or somebody or a timeout has ended this connection.
        (_, "57P01" | "57P02" | "57P05" | "25P03" | "25P04") | ("08", _) => Trouble::Lost,
        (_, "25006") => Trouble::ReadOnly,
        (_, "0A000" | "26000") => Trouble::Stale,
        (_, "57P03") => Trouble::Starting,
        (_, "53300") => Trouble::Full,
        (_, "57014") => Trouble::Late,
        (_, "42501") => Trouble::Away,
        ("42" | "3F" | "XX", _) => Trouble::Damaged,
        ("22" | "23", _) => Trouble::Row,
        _ => Trouble::Away,
    }
}

/// Table and column of a row that can't be what it is, as far as the error tells.
fn place(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::ColumnDecode { index, .. } => format!("a row's column {index}"),
        sqlx::Error::Database(error) => match (error.table(), error.constraint()) {
            (Some(table), Some(constraint)) => format!("pinyto.{table} ({constraint})"),
            (Some(table), None) => format!("pinyto.{table}"),
            _ => "a row".to_owned(),
        },
        _ => "a row".to_owned(),
    }
}
