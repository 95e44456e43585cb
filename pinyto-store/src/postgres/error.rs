//! What can go wrong in a statement, and what that means for a caller.

use pinyto_core::store::StoreError;

use crate::row::Corrupt;

/// Why an intent or a query failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// PostgreSQL or the driver.
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
            // Here the tables are in a schema of that name.
            Failure::Corrupt(Corrupt { place, detail }) => {
                Self::corrupt(place.replacen("pinyto_", "pinyto.", 1), detail)
            }
            Failure::Sql(error) => match trouble(&error) {
                Trouble::Conflict | Trouble::Lost | Trouble::Late | Trouble::Away => {
                    Self::unavailable(error)
                }
                Trouble::Damaged => Self::corrupt("the database", error.to_string()),
                Trouble::Row => Self::corrupt(place(&error), error.to_string()),
            },
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
        sqlx::Error::Io(_) => return Trouble::Lost,
        _ => return Trouble::Away,
    };
    let code = code.as_deref().unwrap_or_default();
    match (code.get(..2).unwrap_or_default(), code) {
        (_, "40001" | "40P01") => Trouble::Conflict,
        // The server is shut down, or somebody has ended this connection.
        (_, "57P01" | "57P02") => Trouble::Lost,
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
