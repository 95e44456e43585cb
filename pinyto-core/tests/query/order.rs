//! The order of values and of documents.

use std::cmp::Ordering;

use pinyto_core::query::{Direction, Sort, SortKey, compare, equal};
use serde_json::{Value, json};

use crate::support::all;

/// Each value is less than the next one.
#[track_caller]
fn check_rising(values: &[Value]) {
    for (index, left) in values.iter().enumerate() {
        for (other, right) in values.iter().enumerate() {
            let expected = index.cmp(&other);
            assert_eq!(compare(left, right), expected, "{left} {right}");
            let keys = SortKey::of(left).cmp(&SortKey::of(right));
            assert_eq!(keys, expected, "the keys of {left} {right}");
        }
    }
}

#[test]
fn types_come_in_the_order_of_mongodb() {
    check_rising(all![
        null, (-1e300), (-1), 0, 0.5, 1, (u64::MAX), "", "1", "B", "a", "aa", "é", "\u{ffff}", "\u{10000}",
        {}, {"a": 1}, {"a": 1, "b": 0}, {"b": 1}, {"a": "x"}, [], [null], [0], [0, 0], [1], ["a"], [[]], [true],
        false, true
    ]);
}

#[test]
fn numbers_are_ordered_exactly() {
    check_rising(all![
        (f64::MIN),
        (-9_223_372_036_854_777_856.0),
        (i64::MIN),
        (i64::MIN + 1),
        (-9_007_199_254_740_993_i64),
        (-9_007_199_254_740_992.0),
        (-5e-324),
        0,
        5e-324,
        9_007_199_254_740_992.0,
        9_007_199_254_740_993_i64,
        9_007_199_254_740_994.0,
        (i64::MAX - 1),
        (i64::MAX),
        9_223_372_036_854_775_808.0,
        (u64::MAX - 1),
        (u64::MAX),
        18_446_744_073_709_551_616.0,
        (f64::MAX),
    ]);
    for (left, right) in [
        (json!(0), json!(-0.0)),
        (json!(1), json!(1.0)),
        (json!(i64::MIN), json!(-9_223_372_036_854_775_808.0)),
        (
            json!(9_223_372_036_854_775_808_u64),
            json!(9_223_372_036_854_775_808.0),
        ),
    ] {
        assert!(equal(&left, &right));
        assert_eq!(SortKey::of(&left), SortKey::of(&right));
    }
}

#[test]
fn texts_with_nul_are_ordered_by_their_bytes() {
    check_rising(all![
        "", "\0", "\0\0", "\0a", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab"
    ]);
    check_rising(all![["a"], ["a", "\0"], ["a\0"], ["ab"]]);
    check_rising(all![{"a": 1}, {"a\0": 1}, {"ab": 1}]);
}

#[test]
fn keys_have_the_documented_bytes() {
    let bytes = |value: Value| SortKey::of(&value).into_bytes();
    assert_eq!(bytes(json!(null)), [5]);
    assert_eq!(bytes(json!("a\0")), [15, b'a', 0, 255, 0, 0]);
    assert_eq!(bytes(json!(0)), [10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0]);
    assert_eq!(bytes(json!([true])), [25, 40, 1, 0]);
    assert_eq!(bytes(json!({"a": null})), [20, 5, b'a', 0, 0, 5, 0]);
}

#[test]
fn depth_is_bounded_however_deep_a_value_is() {
    let nested = |levels, inner: Value| (0..levels).fold(inner, |inner, _| json!([inner]));
    assert_eq!(
        compare(&nested(150, json!(1)), &nested(150, json!(2))),
        Ordering::Less
    );
    let (one, two) = (nested(400, json!(1)), nested(400, json!(2)));
    assert_eq!(compare(&one, &two), Ordering::Equal);
    assert_eq!(SortKey::of(&one), SortKey::of(&two));
    assert!(SortKey::of(&one).as_bytes().len() < 500);
}

/// The `_id`s of the documents in that order.
fn sorted(documents: &[Value], sort: &Sort) -> String {
    let mut documents = documents.to_vec();
    sort.sort(&mut documents);
    documents
        .iter()
        .filter_map(|document| document["_id"].as_str())
        .collect()
}

#[test]
fn documents_are_sorted_by_a_path_and_then_by_id_in_the_same_direction() {
    let documents = all![
        {"_id": "c", "a": {"b": 1}},
        {"_id": "a", "a": {"b": 2}},
        {"_id": "d", "a": {"b": 1.0}},
        {"_id": "b", "a": {"b": "1"}},
        {"_id": "f"},
        {"_id": "e", "a": {"b": null}},
    ];
    let by = |direction| Sort::by("a.b", direction).unwrap();
    assert_eq!(sorted(documents, &by(Direction::Ascending)), "efcdab");
    assert_eq!(sorted(documents, &by(Direction::Descending)), "badcfe");
    assert_eq!(sorted(documents, &Sort::default()), "abcdef");
    assert_eq!(
        sorted(documents, &Sort::by_id(Direction::Descending)),
        "fedcba"
    );
}

#[test]
fn arrays_are_sorted_by_their_least_or_greatest_member() {
    let documents = all![
        {"_id": "a", "a": [5, 1]},
        {"_id": "b", "a": 2},
        {"_id": "c", "a": [3]},
        {"_id": "d", "a": []},
        {"_id": "e"},
        {"_id": "f", "a": [[9]]},
        {"_id": "g", "a": ["x", 4]},
    ];
    let by = |direction| Sort::by("a", direction).unwrap();
    assert_eq!(sorted(documents, &by(Direction::Ascending)), "deabcgf");
    assert_eq!(sorted(documents, &by(Direction::Descending)), "fgacbed");
}

#[test]
fn a_path_through_an_array_sorts_by_what_all_members_have() {
    let documents = all![
        {"_id": "a", "a": [{"b": 5}, {"b": 1}]},
        {"_id": "b", "a": [{"b": 2}]},
        {"_id": "c", "a": [{"b": 3}, {}]},
        {"_id": "d", "a": [{"b": [4, 7]}]},
        {"_id": "e", "a": [7, {"b": 9}]},
    ];
    let by = |direction| Sort::by("a.b", direction).unwrap();
    assert_eq!(sorted(documents, &by(Direction::Ascending)), "ceabd");
    assert_eq!(sorted(documents, &by(Direction::Descending)), "edacb");
}
