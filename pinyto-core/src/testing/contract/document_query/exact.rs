//! Whatever is asked, the answer is what the evaluator says.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{assembly_id, count, distinct, hugo, indexed, numbers, search};
use crate::{
    document::{Document, Scope, Search},
    query::{Direction, Path, Query, SortKey},
    store::Store,
    testing::{
        given,
        random::{self, Dice, Documents},
    },
};

/// What a store has to find, told by the meaning of queries alone.
pub(super) fn expected(documents: &Documents, scope: Scope, wanted: &Search) -> Vec<u64> {
    let mut found: Vec<&Document> = documents
        .values()
        .filter(|(assembly, _)| scope.assembly.is_none_or(|own| own == *assembly))
        .map(|(_, document)| document)
        .filter(|document| wanted.query.matches(*document))
        .collect();
    wanted.sort.sort(&mut found);
    let bound = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let part = found
        .into_iter()
        .skip(bound(wanted.skip))
        .take(bound(wanted.limit));
    numbers(&part.cloned().collect::<Vec<_>>())
}

pub(super) fn expected_values(
    documents: &Documents,
    scope: Scope,
    query: &Query,
    path: &Path,
) -> Vec<Value> {
    let mut values = BTreeMap::new();
    for (assembly, document) in documents.values() {
        let in_scope = scope.assembly.is_none_or(|own| own == *assembly);
        if in_scope && query.matches(document) {
            for value in path.distinct_values(document) {
                let key = SortKey::of(&value);
                values.entry(key).or_insert_with(|| value.into_owned());
            }
        }
    }
    values.into_values().collect()
}

/// Asks everything that can be asked with one query, and compares.
pub(super) async fn ask(
    store: &dyn Store,
    documents: &Documents,
    scope: Scope,
    wanted: &Search,
    path: &Path,
) {
    let told = numbers(&search(store, scope, wanted).await);
    assert_eq!(
        told,
        expected(documents, scope, wanted),
        "{scope:?} {wanted:#?}"
    );
    let all = Search {
        skip: 0,
        limit: u64::MAX,
        ..wanted.clone()
    };
    let counted = count(store, scope, &wanted.query).await;
    let matching = expected(documents, scope, &all).len() as u64;
    assert_eq!(counted, matching, "{scope:?} {wanted:#?}");
    let values = distinct(store, scope, &wanted.query, path).await;
    let right = expected_values(documents, scope, &wanted.query, path);
    assert_eq!(
        json!(values).to_string(),
        json!(right).to_string(),
        "{scope:?} {wanted:#?} {path}"
    );
}

/// Nothing of this is useful, but nothing may fail.
pub async fn queries_may_be_as_large_as_they_may(store: Arc<dyn Store>) {
    let long = ["long", &"x".repeat(100)].concat();
    let deep_path = format!("data{}", ".abcdefghijklm".repeat(31));
    let (hugo, notes) = hugo(&*store, &["data.a", &deep_path]).await;
    let id = assembly_id(&*store, &notes).await;
    let mut documents = Documents::new();
    for n in 0..20 {
        let data = json!({"a": n, "b": [n, long], long.clone(): n});
        let document = given::document(n, &notes, data);
        given::stored(&*store, &hugo, &document).await;
        documents.insert(n, (id, document));
    }
    let (numbers, texts): (Value, Value) = (
        (0..1_000).map(Value::from).collect(),
        (0..1_000).map(|n| Value::from(n.to_string())).collect(),
    );
    let many = |condition: &dyn Fn(usize) -> Value, count| -> Vec<Value> {
        (0..count).map(condition).collect()
    };
    let nested = |level: Value, n: usize| match n % 4 {
        0 => json!({"$nor": [level, {"data.a": 99}]}),
        1 => json!({"$and": [level, {"data.a": {"$ne": 98}}]}),
        2 => json!({"$or": [level, {"data.b": 97}]}),
        _ => json!({"$nor": [level]}),
    };
    for query in [
        json!({"$and": many(&|n| json!({"data.a": {"$gte": n % 7}}), 900)}),
        json!({"$or": many(&|n| json!({"data.a": n}), 900)}),
        json!({"$and": many(&|_| json!({"type": "test"}), 900)}),
        json!({"$and": many(&|n| json!({"data.b": {"$ne": n + 5}}), 900)}),
        json!({"$and": many(&|_| json!({"data.a": {"$in": numbers}}), 25)}),
        json!({"$and": many(&|_| json!({"data.a": {"$in": numbers}, "data.b": {"$in": numbers}}), 12)}),
        json!({"data.a": {"$in": numbers}, "data.b": {"$nin": texts}}),
        json!({"_id": {"$in": many(&|n| json!(given::document_id(n as u64).to_string()), 1_000)}}),
        json!({"time": {"$in": texts}}),
        json!({"$or": many(&|n| json!({deep_path.as_str(): {"$in": [null, n]}}), 400)}),
        json!({"$nor": many(&|n| json!({"data.b": {"$elemMatch": {"$eq": n}}}), 400)}),
        (0..14).fold(json!({"data.a": {"$gt": 3}}), nested),
        json!({"data.a": (0..25).fold(json!({"$gt": 3}), |inner, _| json!({"$not": inner}))}),
    ] {
        let scope = Scope::all_of(hugo.id);
        for sort in [None, Some(("data.a", Direction::Descending))] {
            let wanted = given::search(&query, sort);
            ask(&*store, &documents, scope, &wanted, &given::path("data.b")).await;
        }
    }
}

/// Values that databases confuse: too large, too small, too near or too long.
fn hard_values() -> Vec<Value> {
    let long = |end: &str| json!("long ".repeat(2_000) + end);
    let floats = [
        0.1,
        0.2,
        0.3,
        0.1 + 0.2,
        -0.0,
        5e-324,
        1e-323,
        1e22,
        1e23,
        8.41e21,
        1e300,
        5e15,
        -0.1,
        f64::MIN_POSITIVE,
        9_007_199_254_740_992.0,
        9_223_372_036_854_775_808.0,
        1.5e19,
        1.844_674_407_370_955_2e19,
        123_456.789_012_345_67,
    ];
    let next = floats.map(|float: f64| f64::from_bits(float.to_bits() + 1));
    let floats = floats.into_iter().chain(next).map(Value::from);
    let others = [
        json!(0),
        json!(i64::MAX),
        json!(i64::MAX - 1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(u64::MAX - 1),
        json!(1_u64 << 63),
        json!((1_u64 << 63) + 1),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_991_i64),
        long(""),
        long("a"),
        long("b"),
        json!([long("b")]),
        json!("a\u{0}b"),
        json!("a\u{0}"),
        json!("a"),
        json!("a\u{1}"),
        json!(null),
        json!(true),
        json!(false),
        json!([1, 5]),
        json!([]),
        json!({}),
    ];
    floats.chain(others).collect()
}

pub async fn what_is_hard_to_compare_is_compared_exactly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.a"]).await;
    let id = assembly_id(&*store, &notes).await;
    let mut documents = Documents::new();
    let values = hard_values();
    // Not in order.
    for (n, value) in (0_u64..).zip(values.iter().rev()) {
        let data = json!({"a": value, "b": value, "c": {"d": value}});
        let document = given::document(n, &notes, data);
        given::stored(&*store, &hugo, &document).await;
        documents.insert(n, (id, document));
    }
    let scope = Scope::all_of(hugo.id);
    for path in ["data.a", "data.b", "data.c.d"] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let all = given::search(&json!({}), Some((path, direction)));
            let found = numbers(&search(&*store, scope, &all).await);
            assert_eq!(
                found,
                expected(&documents, scope, &all),
                "{path} {direction:?}"
            );
        }
        for value in &values {
            for operator in ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"] {
                let query = json!({path: {operator: value}});
                let all = given::search(&query, None);
                let right = expected(&documents, scope, &all);
                let found = numbers(&search(&*store, scope, &all).await);
                assert_eq!(found, right, "{query}");
                let counted = count(&*store, scope, &all.query).await;
                assert_eq!(counted, right.len() as u64, "{query}");
            }
        }
    }
}

pub(super) const INDEXES: &[&str] = &["data", "data.a", "data.a.b", "data.l", "tags"];

pub async fn whatever_is_asked_the_answer_is_what_the_query_means(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, INDEXES).await;
    let other = indexed(&*store, &hugo, "Other", "Other", &[]).await;
    given::installed(&*store, &hugo, &other).await;
    let ids = [
        assembly_id(&*store, &notes).await,
        assembly_id(&*store, &other).await,
    ];
    let mut dice = Dice::new(2);
    let mut documents = BTreeMap::new();
    for n in 0..150 {
        let own = dice.roll(3) / 2;
        let document = random::document(&mut dice, n, [&notes, &other][own]);
        given::stored(&*store, &hugo, &document).await;
        documents.insert(n, (ids[own], document));
    }
    for _ in 0..1_500 {
        let scope = Scope {
            user: hugo.id,
            assembly: *dice.one_of(&[None, None, Some(ids[0]), Some(ids[1])]),
        };
        let wanted = random::search(&mut dice, &documents);
        let path = given::path(random::path(&mut dice));
        ask(&*store, &documents, scope, &wanted, &path).await;
    }
}
