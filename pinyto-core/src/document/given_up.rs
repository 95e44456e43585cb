//! Why a query has no answer.

use std::fmt;

use super::{ScanLimit, ScanLimits};
use crate::query::Path;

/// A query that was given up because it would have cost too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryGivenUp {
    limit: ScanLimit,
    limits: ScanLimits,
    missing_index: Option<Path>,
}

impl QueryGivenUp {
    pub(crate) const fn new(
        limit: ScanLimit,
        limits: ScanLimits,
        missing_index: Option<Path>,
    ) -> Self {
        Self {
            limit,
            limits,
            missing_index,
        }
    }

    /// What there was too much of.
    #[must_use]
    pub const fn limit(&self) -> ScanLimit {
        self.limit
    }

    /// The limits that it had.
    #[must_use]
    pub const fn limits(&self) -> ScanLimits {
        self.limits
    }

    /// A path of which an index might have helped: an assembly that the user has installed can
    /// declare one.
    #[must_use]
    pub const fn missing_index(&self) -> Option<&Path> {
        self.missing_index.as_ref()
    }

    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "query_given_up"
    }

    /// A sentence about it, behind another one.
    pub(super) fn index_hint(path: &Path) -> String {
        format!(" An index on {path} would help: add it to the assembly's indexes.")
    }
}

impl std::error::Error for QueryGivenUp {}

impl fmt::Display for QueryGivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The query was given up: ")?;
        match self.limit {
            ScanLimit::Bytes => {
                let bytes = self.limits.bytes;
                return write!(
                    f,
                    "the documents found have more than {bytes} bytes. Use limit and skip."
                );
            }
            ScanLimit::LongSearch => {
                return f.write_str(
                    "a regular expression is too large for the length of a text it was looked \
                     for in. Use a simpler one.",
                );
            }
            ScanLimit::Examined => {
                let examined = self.limits.examined;
                write!(f, "it had to look at more than {examined} documents.")?;
            }
            ScanLimit::Time => {
                let seconds = self.limits.time.as_secs_f64();
                write!(f, "it took longer than {seconds} s.")?;
            }
        }
        match &self.missing_index {
            Some(path) => f.write_str(&Self::index_hint(path)),
            None => Ok(()),
        }
    }
}
