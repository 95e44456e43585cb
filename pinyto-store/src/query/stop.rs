//! Why a query ends without an answer.

use pinyto_core::{document::ScanLimit, query::Stopped};

use super::evaluation::Unfinished;
use crate::row::Corrupt;

/// Why a query stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Limit(ScanLimit),
    /// A document takes long to be looked at.
    Evaluation(Stopped),
    /// The database or the driver.
    Sql(sqlx::Error),
    Corrupt(Corrupt),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Corrupt> for Stop {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<Stopped> for Stop {
    fn from(stopped: Stopped) -> Self {
        Self::Evaluation(stopped)
    }
}

impl From<Unfinished> for Stop {
    fn from(unfinished: Unfinished) -> Self {
        Self::Sql(unfinished.into())
    }
}
