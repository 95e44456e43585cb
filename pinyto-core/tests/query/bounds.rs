//! What an evaluation may cost, and how it is ended.

use pinyto_core::{
    query::{Pattern, Query, Stopped, Watch},
    testing::random::Dice,
};
use serde_json::{Value, json};

/// How often a watch asks until the evaluation ends by itself.
fn questions(query: &Value, document: &Value) -> (bool, usize) {
    let query = Query::parse(query).unwrap();
    let mut asked = 0;
    let mut ask = || {
        asked += 1;
        false
    };
    let answer = query.matches_within(document, &mut Watch::new(&mut ask));
    assert_eq!(answer, Ok(query.matches(document)));
    (query.matches(document), asked)
}

fn hostile() -> Vec<(Value, Value)> {
    let numbers: Value = (0..20_000).map(|_| json!(0)).collect();
    let texts: Value = (0..2_000).map(|_| json!("x".repeat(1_000))).collect();
    let objects: Value = (0..20_000).map(|_| json!({"b": [0]})).collect();
    let same: Value = (0..5_000).map(|_| json!(0)).collect();
    let branches = |condition: &dyn Fn(usize) -> Value, count| -> Value {
        (0..count).map(condition).collect()
    };
    let long = "x".repeat(1_000);
    let map: Value = (0..20_000)
        .map(|n| (n.to_string(), json!(0)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    vec![
        (
            json!({"$nor": branches(&|n| json!({"a": n + 1}), 300)}),
            json!({"a": numbers}),
        ),
        (
            json!({"$nor": branches(&|n| json!({"a.b": n + 1}), 300)}),
            json!({"a": objects}),
        ),
        (
            json!({"$nor": branches(&|n| json!({"a.b": n + 1}), 300)}),
            json!({"a": numbers}),
        ),
        (
            json!({"$nor": branches(&|_| json!({"a": {"$elemMatch": {"$gt": 1}}}), 300)}),
            json!({"a": numbers}),
        ),
        (
            json!({"$nor": branches(&|n| json!({"a": format!("{long}{n}")}), 200)}),
            json!({"a": texts}),
        ),
        (
            json!({"$nor": branches(&|n| json!({"a": {"$gt": format!("{long}{n}")}}), 100)}),
            json!({"a": texts}),
        ),
        (
            json!({"$nor": branches(&|_| json!({"a": {"$lt": same}}), 20)}),
            json!({"a": vec![same; 10]}),
        ),
        (
            json!({"$nor": branches(&|_| json!({"a": {"$gt": {"z": 1}}}), 300)}),
            json!({"a": map}),
        ),
    ]
}

#[test]
fn whatever_takes_long_can_be_interrupted() {
    for (at, (query, document)) in hostile().into_iter().enumerate() {
        let (_, asked) = questions(&query, &document);
        assert!(asked > 10, "{at}: {asked}");
        let query = Query::parse(&query).unwrap();
        let mut asked = 0;
        let mut ask = || {
            asked += 1;
            asked == 3
        };
        let answer = query.matches_within(&document, &mut Watch::new(&mut ask));
        assert_eq!(answer, Err(Stopped::Interrupted));
        assert_eq!(asked, 3, "it ends at once");
    }
}

#[test]
fn nobody_is_asked_about_what_is_quick() {
    let query = json!({"type": "book", "data.year": {"$in": [1, 2]}, "$nor": [{"a": 1}]});
    let document = json!({"type": "book", "data": {"year": [3, 2]}});
    assert_eq!(questions(&query, &document), (true, 0));
}

#[test]
fn a_search_is_refused_if_it_would_take_long() {
    // Every text of 800 digits leads somewhere else, so no table of it can be made.
    let pattern = "[01]*1[01]{800}2";
    let query = Query::parse(&json!({"a": {"$regex": pattern}})).unwrap();
    let states = Pattern::new(pattern, "").unwrap().states();
    assert!((800..2_000).contains(&states), "{states}");
    let longest = usize::try_from(Watch::LONGEST_SEARCH).unwrap() / states;
    let mut dice = Dice::new(1);
    let digits: String = (0..=longest).map(|_| ["0", "1"][dice.roll(2)]).collect();
    let ask = |text: &str, watch: Watch<'_>| {
        let mut watch = watch;
        query.matches_within(&json!({"a": text}), &mut watch)
    };
    assert_eq!(ask(&digits[1..], Watch::new(&mut || false)), Ok(false));
    let refused = ask(&digits, Watch::new(&mut || false));
    assert_eq!(refused, Err(Stopped::LongSearch));
    // Of a text without variety, it can.
    let zeros = "0".repeat(longest * 2);
    assert_eq!(ask(&zeros, Watch::new(&mut || false)), Ok(false));
    let found = format!("{zeros}1{}2", "0".repeat(800));
    assert_eq!(ask(&found, Watch::new(&mut || false)), Ok(true));
    let cost = states as u64;
    let quick = |text| ask(text, Watch::new(&mut || false).quick_searches(cost));
    assert_eq!(quick("0"), Ok(false));
    assert_eq!(quick("00"), Err(Stopped::LongSearch));
}

#[test]
fn ordinary_patterns_look_through_ordinary_texts() {
    let text = "Ein Fräulein stand am Meere ".repeat(4_000);
    for (pattern, options) in [
        ("müller", "i"),
        (r"\bmeer\w*\b", "i"),
        (r"^\d{4}-\d{2}-\d{2}$", "m"),
        (r"[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}", "i"),
        (r"(\w+\s+){3}\w+!", ""),
        ("(Goethe|Schiller|Heine|Lessing)", "i"),
    ] {
        let fields = ["a", "b", "c", "d", "e", "f"];
        let document: Value = fields
            .iter()
            .map(|field| ((*field).to_owned(), json!(text)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let any: Vec<Value> = fields
            .iter()
            .map(|field| json!({*field: {"$regex": pattern, "$options": options}}))
            .collect();
        let query = Query::parse(&json!({"$or": any})).unwrap();
        let mut never = || false;
        let answer = query.matches_within(&document, &mut Watch::new(&mut never));
        assert!(answer.is_ok(), "{pattern}");
    }
}
