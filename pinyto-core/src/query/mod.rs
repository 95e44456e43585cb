//! MongoDB's find language over JSON documents: what a query says, and in which order documents
//! come.
//!
//! ```
//! use pinyto_core::query::Query;
//! use serde_json::json;
//!
//! let query = Query::parse(&json!({"type": "book", "data.year": {"$gte": 1900}}))?;
//! let book = json!({"type": "book", "data": {"year": 1949}});
//! assert!(query.matches(&book));
//! let error = Query::parse(&json!({"data.year": {"$above": 1900}})).unwrap_err();
//! assert!(error.to_string().contains("$above"));
//! # Ok::<_, pinyto_core::query::InvalidQuery>(())
//! ```
//!
//! [`Query::matches`] *is* the meaning. A store that translates the [`Condition`]s to its own
//! language may give more documents than match, never fewer, and asks [`Query::matches`] where
//! its translation isn't exact.
//!
//! # Meaning
//!
//! - A [`Path`] goes through objects by name, and through arrays by index or, if the next segment
//!   is no index, into every member that is an object.
//! - A predicate on a path that ends at an array holds if it holds for a member or for the array
//!   as a whole. `$size`, `$exists` and `$elemMatch` look at the array only.
//! - Numbers are compared by their exact value, however they are written: `1` equals `1.0`.
//! - `$gt` and its kin compare within one [`TypeClass`] only.
//! - What is missing equals `null`. A member of an array that is no object isn't a place where
//!   something could be missing: `{"a.b": null}` doesn't match `{"a": [1]}`.
//!
//! # Where it differs from MongoDB
//!
//! - Objects are equal if they have the same members, in whatever order: JSON maps don't keep it.
//!   Ordered, their members are compared by name.
//! - A key that begins with `$` inside a value to compare with is an error, not a field's name.
//! - Documents are JSON. `$type` knows no types that JSON hasn't; `int`, `long` and `double` go by
//!   how a number was written (`1.0` is a `double`). `_id` and `time` are text.
//! - Regular expressions are those of the crate `regex`: linear time, no look-around, no back
//!   references; `\d`, `\w`, `\s` and `\b` know Unicode; `$` is the very end.
//! - Text is ordered by its code points; there are no collations.
//! - A path's index that lies outside an array leads to something missing, so `{"a.5": null}`
//!   matches `{"a": [1]}`. With `a.0`, the member 0 of an array is meant, and the field `0` of the
//!   *other* members.
//! - A path that ends with an index at an inner array finds its members too: `{"a.0": 1}` matches
//!   `{"a": [[1, 2]]}`.
//! - Where MongoDB's manual doesn't decide: `$elemMatch` with fields looks only at members that are
//!   objects, a path doesn't go into arrays in arrays, and `$gte` and `$lte` with `null` find what
//!   is missing, too.
//! - The operators that need something else than a document (`$expr`, `$where`, `$text`, ...) and
//!   `$comment` don't exist.
//!
//! # Limits
//!
//! A query has at most [`Query::MAX_BYTES`] bytes, [`Query::MAX_DEPTH`] levels,
//! [`Query::MAX_CONDITIONS`] conditions, [`Query::MAX_PATTERNS`] regular expressions, and
//! [`Query::MAX_MEMBERS`] members in each `$in`, `$nin` and `$all`. The work of
//! [`Query::matches`] is at most proportional to the document's size times the query's. That can
//! be much: [`Query::matches_within`] can be interrupted.

mod condition;
mod error;
mod evaluate;
mod fields;
mod lookup;
mod order;
mod parse;
mod path;
mod pattern;
mod sort;
mod sort_key;
mod watch;

pub use condition::{Condition, ElemMatch, JsonType, Predicate};
pub use error::{InvalidPath, InvalidPattern, InvalidQuery};
pub use fields::Fields;
pub use order::{TypeClass, compare, equal};
pub use path::{Path, Segment};
pub use pattern::Pattern;
use serde_json::Value;
pub use sort::{Direction, InvalidDirection, Sort, SortValue};
pub use sort_key::SortKey;
pub use watch::{Stopped, Watch};

/// A checked query. The default one matches every document.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    condition: Condition,
}

impl Query {
    /// The most bytes of all texts and values of a query together; every value counts at least
    /// one, and every text two more than it has.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// How deep a query's objects and arrays may be nested, itself included.
    pub const MAX_DEPTH: usize = 32;
    /// The most conditions: every `$and`, `$or`, `$nor` and every operator at a path is one.
    pub const MAX_CONDITIONS: usize = 1_000;
    /// The most members of the array of one `$in`, `$nin` or `$all`.
    pub const MAX_MEMBERS: usize = 1_000;
    /// The most regular expressions.
    pub const MAX_PATTERNS: usize = 16;

    /// Reads a query as clients and assemblies write it.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery`] names what is wrong and where. Whatever isn't understood is an error.
    pub fn parse(query: &Value) -> Result<Self, InvalidQuery> {
        parse::query(query).map(|condition| Self { condition })
    }

    /// What has to hold.
    #[must_use]
    pub const fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Whether a document is one of those the query asks for.
    #[must_use]
    pub fn matches(&self, document: &impl Fields) -> bool {
        // Nothing stops it.
        self.matches_within(document, &mut Watch::unbounded())
            .unwrap_or(false)
    }

    /// As [`Query::matches`], as long as nothing speaks against going on: for documents and
    /// queries that anybody may have written.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the watch ended it.
    pub fn matches_within(
        &self,
        document: &impl Fields,
        watch: &mut Watch<'_>,
    ) -> Result<bool, Stopped> {
        evaluate::holds(&self.condition, document, watch)
    }
}

impl Default for Query {
    fn default() -> Self {
        Self {
            condition: Condition::And(Vec::new()),
        }
    }
}
