//! Says in one line which documents a query is about.

use pinyto_core::query::Query;
use serde_json::Value;

#[track_caller]
pub(crate) fn parse(query: &Value) -> Query {
    Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// `query` matches each of the `yes` and none of the `no`.
#[track_caller]
pub(crate) fn check(query: &Value, yes: &[Value], no: &[Value]) {
    let parsed = parse(query);
    for document in yes {
        assert!(parsed.matches(document), "{query} has to match {document}");
    }
    for document in no {
        assert!(
            !parsed.matches(document),
            "{query} must not match {document}"
        );
    }
}

/// An array of JSON values, without writing `json!` before each.
macro_rules! all {
    ($($value:tt),* $(,)?) => { &[$(serde_json::json!($value)),*] };
}
pub(crate) use all;
