//! What is asked of documents, and what an answer may cost.

use std::time::Duration;

use crate::{
    Page,
    query::{Condition, Path, Predicate, Query, Sort, Stopped},
};

/// Which documents are wanted, in which order.
///
/// ```
/// use pinyto_core::{
///     Page,
///     document::Search,
///     query::{Direction, Query, Sort},
/// };
/// use serde_json::json;
///
/// let books = Query::parse(&json!({"type": "book"}))?;
/// let newest = Sort::by_id(Direction::Descending);
/// let search = Search::new(books).sorted_by(newest).page(Page::first(20));
/// assert_eq!(search.limit, 20);
/// # Ok::<_, pinyto_core::query::InvalidQuery>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Search {
    /// What they are like.
    pub query: Query,
    /// In which order.
    pub sort: Sort,
    /// How many of the first are left out.
    pub skip: u64,
    /// How many at the most.
    pub limit: u64,
}

impl Search {
    /// All documents that a query asks for, by `_id`.
    #[must_use]
    pub fn new(query: Query) -> Self {
        Self {
            query,
            sort: Sort::default(),
            skip: 0,
            limit: u64::MAX,
        }
    }

    /// The same in another order.
    #[must_use]
    pub fn sorted_by(self, sort: Sort) -> Self {
        Self { sort, ..self }
    }

    /// A part of them.
    #[must_use]
    pub fn page(self, page: Page) -> Self {
        Self {
            skip: page.skip,
            limit: page.count,
            ..self
        }
    }
}

/// What one query may use, and all queries and changes of a call together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryLimits {
    /// Documents that it finds: there are never more in an answer. Default: 10,000.
    pub found: u64,
    /// Documents that it looks at; more end it. Default: 200,000.
    pub examined: u64,
    /// How long the store may work on it. Default: 2 s.
    pub time: Duration,
    /// How long the store may work for all queries and changes of one call or job together, or for
    /// one operation of the program around the cloud; more ends it. Default: 5 s.
    pub all_together: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            found: 10_000,
            examined: 200_000,
            time: Duration::from_secs(2),
            all_together: Duration::from_secs(5),
        }
    }
}

/// How much of a user's documents one query may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Documents looked at. What an index alone answers doesn't count.
    pub examined: u64,
    /// How long the store may work on it; waiting in queues doesn't count.
    pub time: Duration,
    /// Bytes of what is found: of documents [`Document::size`](super::Document::size), of values
    /// their length as JSON and [`ScanLimits::VALUE`] for each.
    pub bytes: u64,
}

impl ScanLimits {
    /// What a value takes beside its text, about.
    pub const VALUE: u64 = 64;
}

/// What a query was stopped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanLimit {
    /// [`ScanLimits::examined`].
    Examined,
    /// [`ScanLimits::time`].
    Time,
    /// [`ScanLimits::bytes`].
    Bytes,
    /// A regular expression in a text that is too long for it:
    /// [`Stopped::LongSearch`](crate::query::Stopped::LongSearch).
    LongSearch,
}

impl From<Stopped> for ScanLimit {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            // Nobody interrupts what has time.
            Stopped::Interrupted => Self::Time,
            Stopped::LongSearch => Self::LongSearch,
        }
    }
}

/// What a query has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Documents looked at. What an index alone answers doesn't count.
    pub examined: u64,
    /// How long the store worked on it; waiting in queues doesn't count.
    pub work: Duration,
    /// A path that the query looks at and of which an index might have helped. Only if more than
    /// [`Scan::MANY`] documents were looked at, or the query was given up.
    pub missing_index: Option<Path>,
}

/// What became of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Searched<T> {
    /// It was answered.
    Found(T, Scan),
    /// It was stopped.
    TooMuch(ScanLimit, Scan),
}

impl<T> Searched<T> {
    /// The same after the store has worked for longer.
    #[must_use]
    pub fn with_more_work(mut self, more: Duration) -> Self {
        let (Self::Found(_, scan) | Self::TooMuch(_, scan)) = &mut self;
        scan.work = scan.work.saturating_add(more);
        self
    }

    /// Makes something else of what was found.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Searched<U> {
        match self {
            Self::Found(found, scan) => Searched::Found(make(found), scan),
            Self::TooMuch(limit, scan) => Searched::TooMuch(limit, scan),
        }
    }
}

impl Scan {
    /// How many documents may be looked at without anybody asking for an index.
    pub const MANY: u64 = 1_000;

    /// Paths whose values every store finds documents by, or as good as.
    pub const ALWAYS_INDEXED: [&str; 4] = ["_id", "assembly", "time", "type"];

    /// The cost of a query that looked at so many documents. `is_indexed` says of which paths the
    /// store has an index.
    #[must_use]
    pub fn new(
        examined: u64,
        work: Duration,
        query: &Query,
        sort: Option<&Sort>,
        is_indexed: impl Fn(&Path) -> bool,
    ) -> Self {
        let mut scan = Self::given_up(examined, work, query, sort, is_indexed);
        scan.missing_index.take_if(|_| examined <= Self::MANY);
        scan
    }

    /// The same of a query that was given up because it took too long or looked at too much:
    /// however many documents that were, an index might have helped.
    #[must_use]
    pub fn given_up(
        examined: u64,
        work: Duration,
        query: &Query,
        sort: Option<&Sort>,
        is_indexed: impl Fn(&Path) -> bool,
    ) -> Self {
        let missing =
            |path: &&Path| !Self::ALWAYS_INDEXED.contains(&path.as_str()) && !is_indexed(path);
        let mut paths = Vec::new();
        collect_selecting(query.condition(), &mut paths);
        paths.extend(sort.and_then(|sort| sort.path.as_ref()));
        Self {
            examined,
            work,
            missing_index: paths.into_iter().find(missing).cloned(),
        }
    }
}

/// The paths at which every document that is found has certain values. Recurses along the query,
/// whose nesting is bounded.
fn collect_selecting<'a>(condition: &'a Condition, paths: &mut Vec<&'a Path>) {
    match condition {
        Condition::And(all) => all.iter().for_each(|one| collect_selecting(one, paths)),
        Condition::Field {
            path,
            predicate:
                Predicate::Eq(_)
                | Predicate::In(_)
                | Predicate::All(_)
                | Predicate::Gt(_)
                | Predicate::Gte(_)
                | Predicate::Lt(_)
                | Predicate::Lte(_),
        } => paths.push(path),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::query::Direction;

    fn missing(examined: u64, query: &Value, sort: Option<&str>) -> Option<String> {
        let query = Query::parse(query).unwrap();
        let sort = sort.map(|path| Sort::by(path, Direction::Ascending).unwrap());
        let indexed = |path: &Path| path.as_str() == "data.isbn";
        let scan = Scan::new(examined, Duration::ZERO, &query, sort.as_ref(), indexed);
        scan.missing_index.map(|path| path.to_string())
    }

    #[test]
    fn an_index_is_missed_where_many_documents_had_to_be_looked_at() {
        let query = json!({"type": "book", "data.year": 1949});
        assert_eq!(missing(1_001, &query, None).as_deref(), Some("data.year"));
        assert_eq!(missing(1_000, &query, None), None);
    }

    #[test]
    fn an_index_is_missed_that_might_have_helped() {
        for (query, sort, path) in [
            (json!({"$and": [{"a": {"$gt": 1}}]}), None, Some("a")),
            (json!({"a": {"$ne": 1}}), None, None),
            (json!({"$or": [{"a": 1}, {"b": 1}]}), None, None),
            (json!({"type": "book", "time": "x", "_id": "x"}), None, None),
            (json!({"data.isbn": 1}), Some("data.isbn"), None),
            (
                json!({"data.isbn": 1}),
                Some("data.year"),
                Some("data.year"),
            ),
            (json!({"data.isbn": 1, "a": {"$in": [1]}}), None, Some("a")),
        ] {
            assert_eq!(missing(9_999, &query, sort).as_deref(), path, "{query}");
        }
    }
}
