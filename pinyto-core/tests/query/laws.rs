//! What holds for every query, document and value.

use std::cmp::Ordering;

use pinyto_core::query::{Direction, Path, Query, Sort, SortKey, compare, equal};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

fn object(pairs: Vec<(impl Into<String>, Value)>) -> Value {
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value));
    Value::Object(pairs.collect())
}

/// Numbers near to where integers and floats part, and any others.
fn number() -> impl Strategy<Value = Value> {
    let corners = select(vec![
        0,
        1 << 31,
        1 << 53,
        1 << 54,
        i64::MAX,
        i64::MIN,
        -(1 << 53),
    ]);
    prop_oneof![
        3 => (-3..4_i64).prop_map(Value::from),
        1 => (corners.clone(), -3..4_i64).prop_map(|(at, by)| at.wrapping_add(by).into()),
        1 => (corners, -3..4_i64).prop_map(|(at, by)| (at as f64 + by as f64).into()),
        1 => (0..5_u64).prop_map(|by| (u64::MAX - by).into()),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        2 => any::<f64>().prop_map(Value::from),
        1 => select(vec![0.0, -0.0, 0.5, -1.5, 1.0, 5e-324, 1.844_674_407_370_955_2e19])
            .prop_map(Value::from),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{0,3}",
        "[a\\x00\\x01\u{7f}é\u{ffff}\u{10000}]{0,4}",
        any::<String>()
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(object),
        ]
    })
}

/// Few different values and names, so that queries match now and then.
fn small() -> impl Strategy<Value = Value> {
    let leaf = select(vec![
        json!(null),
        json!(false),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(2.5),
        json!(""),
        json!("a"),
        json!("ab"),
        json!([]),
        json!({}),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(vec!["a", "b", "0", "1"]), inner), 0..3).prop_map(object),
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    vec((select(vec!["a", "b"]), small()), 0..3).prop_map(object)
}

fn path() -> impl Strategy<Value = &'static str> {
    select(vec![
        "a", "b", "a.b", "a.a", "a.0", "a.1", "a.0.b", "a.b.0", "a.0.0", "a.0.1.a",
    ])
}

fn predicate() -> impl Strategy<Value = Value> {
    let comparing = select(vec!["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]);
    let listing = select(vec!["$in", "$nin", "$all"]);
    let leaf = prop_oneof![
        (comparing, small()).prop_map(|(operator, value)| json!({ operator: value })),
        (listing, vec(small(), 0..4)).prop_map(|(operator, list)| json!({ operator: list })),
        any::<bool>().prop_map(|wanted| json!({ "$exists": wanted })),
        select(vec![
            "string", "number", "int", "double", "array", "object", "null", "bool"
        ])
        .prop_map(|name| json!({ "$type": name })),
        select(vec!["a", "^$", "b$"]).prop_map(|pattern| json!({ "$regex": pattern })),
        (0..3).prop_map(|size| json!({ "$size": size })),
        (1..3, 0..3).prop_map(|(divisor, rest)| json!({ "$mod": [divisor, rest] })),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| json!({ "$not": inner })),
            inner
                .clone()
                .prop_map(|inner| json!({ "$elemMatch": inner })),
            (path(), inner).prop_map(|(path, inner)| json!({"$elemMatch": {path: inner}})),
        ]
    })
}

fn query() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (path(), predicate()).prop_map(|(path, predicate)| json!({ path: predicate })),
        (path(), small()).prop_map(|(path, value)| json!({ path: value })),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let logic = select(vec!["$and", "$or", "$nor"]);
        (logic, vec(inner, 1..4)).prop_map(|(logic, inner)| json!({ logic: inner }))
    })
}

/// What looks like a query and mostly is none.
fn nonsense() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        select(vec![
            "$and",
            "$or",
            "$nor",
            "$not",
            "$eq",
            "$gt",
            "$in",
            "$nin",
            "$exists",
            "$type",
            "$regex",
            "$options",
            "$all",
            "$size",
            "$elemMatch",
            "$mod",
            "$where",
            "$",
            "a",
            "b",
            "a.b",
            "a..b",
            "a.0",
            "",
            ".",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    scalar().prop_recursive(6, 40, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..4).prop_map(object),
        ]
    })
}

fn matches(query: &Value, document: &Value) -> bool {
    crate::support::parse(query).matches(document)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn keys_are_ordered_as_their_values(left in value(), right in value()) {
        let order = compare(&left, &right);
        prop_assert_eq!(SortKey::of(&left).cmp(&SortKey::of(&right)), order);
        prop_assert_eq!(compare(&right, &left), order.reverse());
        prop_assert_eq!(equal(&left, &right), order == Ordering::Equal);
        prop_assert!(equal(&left, &left));
    }

    #[test]
    fn numbers_are_compared_exactly(left in number(), right in number()) {
        fn integer(value: &Value) -> Option<i128> {
            value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
        }
        fn order(left: &Value, right: &Value) -> Ordering {
            match (integer(left), integer(right)) {
                (Some(left), Some(right)) => left.cmp(&right),
                (None, None) => left.as_f64().unwrap().partial_cmp(&right.as_f64().unwrap()).unwrap(),
                (None, Some(_)) => order(right, left).reverse(),
                (Some(left), None) => {
                    let right = right.as_f64().unwrap();
                    // The cast is exact, or saturates far outside of 64 bits.
                    let below = right.floor();
                    left.cmp(&(below as i128)).then(if right > below { Ordering::Less } else { Ordering::Equal })
                }
            }
        }
        prop_assert_eq!(compare(&left, &right), order(&left, &right));
    }

    #[test]
    fn nothing_makes_parsing_panic(query in nonsense(), document in document()) {
        match Query::parse(&query) {
            Ok(query) => drop(query.matches(&document)),
            Err(error) => prop_assert!(error.to_string().len() < 600, "{}", error),
        }
    }

    #[test]
    fn not_is_the_complement(path in path(), predicate in predicate(), document in document()) {
        let plain = matches(&json!({ path: predicate }), &document);
        prop_assert_eq!(matches(&json!({path: {"$not": predicate}}), &document), !plain);
        prop_assert_eq!(matches(&json!({"$nor": [{path: predicate}]}), &document), !plain);
    }

    #[test]
    fn de_morgan(left in query(), right in query(), document in document()) {
        let (a, b) = (matches(&left, &document), matches(&right, &document));
        let check = |query: Value, expected: bool| {
            prop_assert_eq!(matches(&query, &document), expected, "{}", query);
            Ok(())
        };
        check(json!({"$and": [left, right]}), a && b)?;
        check(json!({"$or": [left, right]}), a || b)?;
        check(json!({"$nor": [left, right]}), !(a || b))?;
        check(json!({"$nor": [{"$nor": [left]}, {"$nor": [right]}]}), a && b)?;
    }

    #[test]
    fn lists_of_values_are_several_equalities(
        path in path(),
        list in vec(small(), 0..5),
        document in document(),
    ) {
        let each = list.iter().map(|value| matches(&json!({path: {"$eq": value}}), &document));
        let each: Vec<bool> = each.collect();
        let holds = |operator: &str| matches(&json!({path: {operator: list}}), &document);
        prop_assert_eq!(holds("$in"), each.contains(&true));
        prop_assert_eq!(holds("$nin"), !each.contains(&true));
        prop_assert_eq!(holds("$all"), !list.is_empty() && !each.contains(&false));
    }

    #[test]
    fn comparisons_fit_together(path in path(), value in small(), document in document()) {
        let holds = |operator: &str| matches(&json!({path: {operator: value}}), &document);
        prop_assert_eq!(holds("$ne"), !holds("$eq"));
        prop_assert_eq!(holds("$gte"), holds("$gt") || holds("$eq"));
        prop_assert_eq!(holds("$lte"), holds("$lt") || holds("$eq"));
        prop_assert_eq!(matches(&json!({ path: value }), &document), holds("$eq"));
    }

    #[test]
    fn a_document_is_found_by_exactly_the_values_of_its_path(
        path in path(),
        value in small(),
        document in document(),
    ) {
        let parsed = Path::parse(path).unwrap();
        let values = parsed.values(&document);
        for value in &values {
            prop_assert!(matches(&json!({ path: value }), &document), "{}", value);
        }
        let found = matches(&json!({ path: value }), &document);
        prop_assert_eq!(values.iter().any(|own| equal(own, &value)), found);
        for distinct in parsed.distinct_values(&document) {
            prop_assert!(values.iter().any(|own| equal(own, &distinct)));
        }
    }

    #[test]
    fn sorting_is_what_comparing_says(
        documents in vec(document(), 0..8),
        path in path(),
        down in any::<bool>(),
    ) {
        let direction = if down { Direction::Descending } else { Direction::Ascending };
        let mut documents: Vec<Value> = documents
            .into_iter()
            .enumerate()
            .map(|(id, mut document)| {
                document["_id"] = (id * 5 % 8).to_string().into();
                document
            })
            .collect();
        let sort = Sort::by(path, direction).unwrap();
        sort.sort(&mut documents);
        let parsed = Path::parse(path).unwrap();
        for pair in documents.windows(2) {
            prop_assert_eq!(sort.compare(&pair[0], &pair[1]), Ordering::Less);
            let values = [0, 1].map(|at: usize| parsed.sort_value(&pair[at], direction));
            let keys = values[0].key().cmp(&values[1].key());
            prop_assert_eq!(values[0].compare(&values[1]), keys);
            prop_assert!(direction.apply(keys).is_le());
        }
    }
}
