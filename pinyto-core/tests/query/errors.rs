//! What is refused, and what is said then.

use pinyto_core::query::{Direction, InvalidPath, InvalidPattern, InvalidQuery, Path, Query, Sort};
use serde_json::{Value, json};

#[track_caller]
fn refused(query: &Value) -> InvalidQuery {
    match Query::parse(query) {
        Ok(query) => panic!("{query:?} has to be refused"),
        Err(error) => error,
    }
}

/// The error has that code, and its text names all of these.
#[track_caller]
fn check(query: &Value, code: &str, names: &[&str]) {
    let error = refused(query);
    assert_eq!(error.code(), code, "{query}: {error}");
    for name in names {
        assert!(error.to_string().contains(name), "{query}: {error}");
    }
}

#[test]
fn a_query_is_an_object() {
    for other in [json!(null), json!(true), json!(1), json!("a"), json!([{}])] {
        check(&other, "query_not_an_object", &["A query is an object"]);
    }
}

#[test]
fn an_unknown_operator_is_named_with_its_path() {
    let unknown = "query_unknown_operator";
    check(
        &json!({"a.b": {"$above": 1}}),
        unknown,
        &["$above", "\"a.b\"", "$gte"],
    );
    check(&json!({"a": {"$gt": 1, "$near": 1}}), unknown, &["$near"]);
    check(
        &json!({"a": {"$elemMatch": {"b": {"$above": 1}}}}),
        unknown,
        &["$above", "\"b\""],
    );
    check(&json!({"a": {"$not": {"$above": 1}}}), unknown, &["$above"]);
    for top in [
        "$where",
        "$expr",
        "$text",
        "$comment",
        "$jsonSchema",
        "$",
        "$$or",
    ] {
        check(&json!({top: "x"}), unknown, &[top]);
        check(&json!({"$or": [{"a": 1}, {top: "x"}]}), unknown, &[top]);
        check(&json!({"a": {top: "x"}}), unknown, &[top, "\"a\""]);
    }
}

#[test]
fn an_operator_in_the_wrong_place_is_told_where_it_belongs() {
    let misplaced = "query_misplaced_operator";
    for operator in [
        "$eq",
        "$gt",
        "$in",
        "$regex",
        "$elemMatch",
        "$not",
        "$type",
        "$mod",
    ] {
        check(&json!({operator: 1}), misplaced, &[operator, "path"]);
    }
    for operator in ["$and", "$or", "$nor"] {
        check(
            &json!({"a": {operator: [{"b": 1}]}}),
            misplaced,
            &[operator, "\"a\""],
        );
    }
    check(
        &json!({"a": {"$options": "i"}}),
        misplaced,
        &["$options", "$regex"],
    );
    check(
        &json!({"a": {"$not": {"$options": "i"}}}),
        misplaced,
        &["$options"],
    );
    for value in [json!({"b": {"$gt": 1}}), json!([{"$gt": 1}])] {
        check(&json!({ "a": value }), misplaced, &["$gt", "\"a\""]);
        check(&json!({"a": {"$eq": value}}), misplaced, &["$gt", "\"a\""]);
        check(
            &json!({"a": {"$in": [value]}}),
            misplaced,
            &["$gt", "\"a\""],
        );
        check(
            &json!({"a": {"$all": [1, value]}}),
            misplaced,
            &["$gt", "\"a\""],
        );
        check(&json!({"a": {"$lt": value}}), misplaced, &["$gt", "\"a\""]);
    }
    check(
        &json!({"a": {"$in": [{"$regex": "x"}]}}),
        misplaced,
        &["$regex"],
    );
}

#[test]
fn operators_and_fields_are_not_mixed() {
    let mixed = "query_field_among_operators";
    check(
        &json!({"a": {"$gt": 1, "b": 2}}),
        mixed,
        &["\"b\"", "\"a\""],
    );
    check(&json!({"a": {"$not": {"b": 2}}}), mixed, &["\"b\""]);
    check(
        &json!({"a": {"$elemMatch": {"$gt": 1, "b": 2}}}),
        mixed,
        &["\"b\""],
    );
}

#[test]
fn an_operator_says_what_it_needs() {
    for (operator, bad) in [
        ("$in", json!(1)),
        ("$nin", json!({})),
        ("$exists", json!("yes")),
        ("$exists", json!(null)),
        ("$type", json!("text")),
        ("$type", json!("date")),
        ("$type", json!(7)),
        ("$type", json!(2.5)),
        ("$type", json!([])),
        ("$type", json!(["string", "nothing"])),
        ("$type", json!(null)),
        ("$regex", json!(1)),
        ("$not", json!(1)),
        ("$not", json!("x")),
        ("$not", json!({})),
        ("$not", json!([])),
        ("$all", json!("x")),
        ("$all", json!([{"$elemMatch": {}}, 1])),
        ("$all", json!([1, {"$elemMatch": {}}])),
        ("$size", json!(-1)),
        ("$size", json!(1.5)),
        ("$size", json!("1")),
        ("$elemMatch", json!(1)),
        ("$elemMatch", json!([])),
        ("$mod", json!(2)),
        ("$mod", json!([])),
        ("$mod", json!([2])),
        ("$mod", json!([2, 1, 0])),
        ("$mod", json!([0, 1])),
        ("$mod", json!([0.9, 1])),
        ("$mod", json!(["2", 1])),
        ("$mod", json!([1e300, 1])),
        ("$mod", json!([u64::MAX, 1])),
    ] {
        check(
            &json!({"a.b": {operator: bad}}),
            "query_invalid_operand",
            &[operator, "\"a.b\""],
        );
    }
    for operator in ["$and", "$or", "$nor"] {
        for bad in [
            json!([]),
            json!({}),
            json!(1),
            json!([1]),
            json!([{}, null]),
        ] {
            check(
                &json!({operator: bad}),
                "query_invalid_operand",
                &[operator],
            );
        }
    }
    let options = json!({"a": {"$regex": "x", "$options": 1}});
    check(&options, "query_invalid_operand", &["$options"]);
}

#[test]
fn a_path_has_names_between_its_dots() {
    let bad = |path: &str, reason| {
        assert_eq!(Path::parse(path), Err(reason), "{path}");
        assert!(Sort::by(path, Direction::Ascending).is_err());
        if !path.starts_with('$') {
            check(
                &json!({path: 1}),
                "query_invalid_path",
                &[&reason.to_string()],
            );
        }
    };
    for path in ["", ".", "a.", ".a", "a..b"] {
        bad(path, InvalidPath::EmptySegment);
    }
    bad("$a", InvalidPath::Dollar);
    bad("a.$", InvalidPath::Dollar);
    bad("a.$[].b", InvalidPath::Dollar);
    bad("a\0b", InvalidPath::Nul);
    bad(&"a".repeat(Path::MAX_BYTES + 1), InvalidPath::TooLong);
    bad(
        &vec!["a"; Path::MAX_SEGMENTS + 1].join("."),
        InvalidPath::TooManySegments,
    );
    assert!(Path::parse(&"a".repeat(Path::MAX_BYTES)).is_ok());
    assert!(Path::parse(&vec!["a"; Path::MAX_SEGMENTS].join(".")).is_ok());
}

#[test]
fn a_bad_regular_expression_says_why() {
    let pattern = |pattern: &str, options: &str| {
        let query = json!({"a": {"$regex": pattern, "$options": options}});
        match refused(&query) {
            InvalidQuery::InvalidPattern { path, reason } => {
                assert_eq!(path, "a");
                reason
            }
            other => panic!("{other}"),
        }
    };
    for bad in ["(", "[", "a{2,1}", "\\", "(?=x)", "(a)\\1", "(?<!x)"] {
        let InvalidPattern::Syntax(text) = pattern(bad, "") else {
            panic!("{bad}")
        };
        assert!(text.len() > 10, "{text}");
    }
    assert_eq!(pattern("a", "ig"), InvalidPattern::UnknownOption('g'));
    assert_eq!(pattern(&"a".repeat(1_001), ""), InvalidPattern::TooLong);
    assert_eq!(
        pattern("(((a{100}){100}){100})", ""),
        InvalidPattern::TooLarge
    );
}

#[test]
fn every_limit_has_its_error() {
    let many = |count| json!({"$or": vec![json!({"a": 1}); count]});
    assert!(Query::parse(&many(Query::MAX_CONDITIONS - 1)).is_ok());
    assert_eq!(
        refused(&many(Query::MAX_CONDITIONS)),
        InvalidQuery::TooManyConditions
    );
    let empty = json!({"$and": vec![json!({}); Query::MAX_CONDITIONS]});
    assert_eq!(refused(&empty), InvalidQuery::TooManyConditions);
    let elem_match = vec![json!({"$elemMatch": {}}); Query::MAX_CONDITIONS];
    assert_eq!(
        refused(&json!({"a": {"$all": elem_match}})),
        InvalidQuery::TooManyConditions
    );

    for operator in ["$in", "$nin", "$all"] {
        let members = |count: usize| json!({"a": {operator: (0..count).collect::<Vec<_>>()}});
        assert!(Query::parse(&members(Query::MAX_MEMBERS)).is_ok());
        let error = members(Query::MAX_MEMBERS + 1);
        check(
            &error,
            "query_too_many_members",
            &[operator, "\"a\"", "1000"],
        );
    }

    let patterns = |count| json!({"$and": vec![json!({"a": {"$regex": "x"}}); count]});
    assert!(Query::parse(&patterns(Query::MAX_PATTERNS)).is_ok());
    assert_eq!(
        refused(&patterns(Query::MAX_PATTERNS + 1)),
        InvalidQuery::TooManyPatterns
    );

    let long = |length| json!({"a": "x".repeat(length)});
    assert!(Query::parse(&long(Query::MAX_BYTES - 20)).is_ok());
    assert_eq!(refused(&long(Query::MAX_BYTES)), InvalidQuery::TooLarge);
    assert_eq!(
        refused(&json!({"a": vec![0; Query::MAX_BYTES + 1]})),
        InvalidQuery::TooLarge
    );
    assert_eq!(
        refused(&json!({"a": vec![0; Query::MAX_BYTES]})),
        InvalidQuery::TooLarge
    );
    let wide: serde_json::Map<_, _> = (0..Query::MAX_BYTES / 4)
        .map(|number| (number.to_string(), Value::Null))
        .collect();
    assert_eq!(refused(&wide.into()), InvalidQuery::TooLarge);
}

#[test]
fn nesting_has_a_limit_in_every_direction() {
    type Wrap = fn(Value) -> Value;
    let wraps: [(usize, Wrap); 5] = [
        (2, |inner| json!({"$and": [inner]})),
        (2, |inner| json!({"a": {"$elemMatch": inner}})),
        (1, |inner| json!({ "a": inner })),
        (1, |inner| json!([inner])),
        (1, |inner| json!({ "$not": inner })),
    ];
    for (index, (levels, wrap)) in wraps.into_iter().enumerate() {
        let nested = |count: usize| {
            let inner = if index == 4 {
                json!({"$eq": 1})
            } else {
                json!({"a": 1})
            };
            let value = (0..count).fold(inner, |inner, _| wrap(inner));
            if index < 3 {
                value
            } else {
                json!({ "a": value })
            }
        };
        let around = if index < 3 { 1 } else { 2 };
        let most = (Query::MAX_DEPTH - around) / levels;
        assert!(Query::parse(&nested(most)).is_ok(), "{index}");
        assert_eq!(refused(&nested(most + 1)), InvalidQuery::TooDeep, "{index}");
    }
}

#[test]
fn errors_are_short_whatever_was_sent() {
    let long = "x".repeat(10_000);
    for query in [
        json!({format!("${long}"): 1}),
        json!({"a": {format!("${long}"): 1}}),
        json!({"a": {"b": {format!("${long}"): 1}}}),
        json!({"a": {"$gt": 1, long.as_str(): 1}}),
        json!({long.as_str(): 1}),
        json!({"a": {"$regex": format!("({}", "x".repeat(900))}}),
        json!({"a": {"$regex": format!("\\p{{{}}}", "x".repeat(900))}}),
    ] {
        let text = refused(&query).to_string();
        assert!(text.len() < 500, "{text}");
    }
}

#[test]
fn a_direction_is_asc_or_desc() {
    assert_eq!("asc".parse(), Ok(Direction::Ascending));
    assert_eq!("desc".parse(), Ok(Direction::Descending));
    for bad in ["", "ASC", "up", "1"] {
        assert!(bad.parse::<Direction>().is_err(), "{bad}");
    }
}
