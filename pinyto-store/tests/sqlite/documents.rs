use pinyto_core::{document::Scope, store::Store, testing::given};
use pinyto_store::sqlite::SqliteStore;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Number, Value, json};

use super::Place;

fn any_number() -> impl Strategy<Value = Value> {
    let float = any::<f64>().prop_filter_map("JSON has finite numbers only", |float| {
        Number::from_f64(float).map(Value::from)
    });
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        float
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\u{0}-\u{1f}\"\\\\/\u{7f}\u{2028}]{0,8}",
        Just(String::new())
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any_number(),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Stores documents with these fields and reads them back.
async fn assert_unchanged(store: &SqliteStore, fields: Vec<Map<String, Value>>) {
    let ann = given::user(store, "ann", 1).await;
    let notes = given::assembly(store, &ann, "Notes").await;
    given::installed(store, &ann, &notes).await;
    for (n, fields) in fields.into_iter().enumerate() {
        let mut document = given::document(n as u64, &notes, Value::Null);
        document.fields = fields;
        given::stored(store, &ann, &document).await;
        let found = store
            .documents()
            .find(Scope::all_of(ann.id), document.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found, document);
        // Equality of numbers is generous; text is not.
        assert_eq!(found.to_json().to_string(), document.to_json().to_string());
    }
}

#[test]
fn whatever_json_is_stored_comes_back_exactly() {
    let fields = prop::collection::vec((any_text(), any_json()), 0..8);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let documents = (0..300)
        .map(|_| fields.new_tree(&mut runner).unwrap().current())
        .map(|members| members.into_iter().collect())
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let place = Place::new();
        assert_unchanged(&place.store().await, documents).await;
    });
}

#[tokio::test]
async fn the_extremes_come_back_exactly() {
    let nested = |levels| (1..levels).fold(json!({"": []}), |inner, _| json!({"": inner}));
    let extremes = [
        json!({"numbers": [u64::MAX, i64::MIN, i64::MAX, 0, -0.0, 0.1, 1e300, -1e-300, f64::MAX,
                           f64::MIN_POSITIVE, 5e-324, 1e15, 1e16, 1e17, 123_456_789.123_456_79]}),
        json!({"texts": ["\u{0}", "\u{0}\u{1}\u{1f}", "\"\\/\u{8}\u{c}\n\r\t", "\u{10ffff}",
                         "\u{d7ff}\u{e000}", "\\u0000", "\u{feff}"]}),
        json!({"": {"": ""}, "\u{0}": 1, "a.b[0]$": 2, "\"": 3}),
        json!({}),
        // As deep as a client's JSON may be.
        nested(126),
        json!({"long": "x".repeat(2_000_000), "many": vec![1; 100_000]}),
    ];
    let fields = extremes.map(|value| value.as_object().unwrap().clone());
    let place = Place::new();
    assert_unchanged(&place.store().await, fields.to_vec()).await;
}
