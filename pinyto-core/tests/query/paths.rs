//! Where paths lead.

use pinyto_core::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{Document, DocumentId},
    query::{Direction, Fields, Path, Sort, SortValue},
};
use serde_json::{Value, json};

use crate::support::{all, check, parse};

#[test]
fn a_path_goes_through_objects_and_into_every_member_of_arrays() {
    check(
        &json!({"a.b.c": 1}),
        all![{"a": {"b": {"c": 1}}}, {"a": [{"b": {"c": 1}}]}, {"a": {"b": [{"c": 0}, {"c": [1]}]}},
             {"a": [0, {"b": [{"c": 1}]}]}],
        all![{}, {"a": {"b.c": 1}}, {"a.b.c": 1}, {"a": [[{"b": {"c": 1}}]]}, {"a": {"b": 1}}],
    );
}

#[test]
fn an_index_leads_to_a_member_or_a_field_of_that_name() {
    check(
        &json!({"a.1": 7}),
        all![{"a": [0, 7]}, {"a": {"1": 7}}, {"a": [{"1": 7}]}, {"a": [0, [7]]}],
        all![{"a": [7]}, {"a": [7, 0]}, {"a": 7}, {"a": [[0, 7]]}],
    );
    check(
        &json!({"a.0.b": 1}),
        all![{"a": [{"b": 1}]}, {"a": [[{"b": 1}]]}, {"a": {"0": {"b": 1}}}],
        all![{"a": [{"b": 2}, {"b": 1}]}, {"a": {"b": 1}}],
    );
    check(
        &json!({"a.b.0": 1}),
        all![{"a": {"b": [1, 2]}}, {"a": [{"b": [1]}]}],
        all![{"a": {"b": [2, 1]}}],
    );
    check(
        &json!({"a.0.1": 1}),
        all![{"a": [[0, 1]]}],
        all![{"a": [[1, 0]]}, {"a": [1, 1]}],
    );
    check(
        &json!({"a.5": null}),
        all![{"a": [1]}, {"a": []}, {}],
        all![{"a": [1, 2, 3, 4, 5, 6]}],
    );
    check(
        &json!({"a.0.b": null}),
        all![{"a": [1]}, {"a": [{}]}],
        all![{"a": [{"b": 1}]}],
    );
    // No index: leading zeros, signs, more than 32 bits.
    for name in ["01", "+1", "4294967296"] {
        let query = json!({format!("a.{name}"): {"$exists": true}});
        check(
            &query,
            &[json!({"a": {name: 1}}), json!({"a": [{name: 1}]})],
            all![{"a": [1, 2]}],
        );
    }
}

#[test]
fn names_can_have_any_other_characters() {
    for name in ["a b", "ä", "'; --", "\"", "a$", "_id", "-1", "[0]", "*"] {
        let query = json!({format!("data.{name}"): 1});
        check(
            &query,
            &[json!({"data": {name: 1}})],
            &[json!({"data": {}})],
        );
    }
}

#[test]
fn a_path_tells_its_parts() {
    let path = Path::parse("data.authors.10.name").unwrap();
    assert_eq!(path.to_string(), "data.authors.10.name");
    let names: Vec<_> = path
        .segments()
        .iter()
        .map(|segment| segment.name())
        .collect();
    assert_eq!(names, ["data", "authors", "10", "name"]);
    let indices: Vec<_> = path
        .segments()
        .iter()
        .map(|segment| segment.index())
        .collect();
    assert_eq!(indices, [None, None, Some(10), None]);
    assert_eq!("data.authors.10.name".parse(), Ok(path));
}

fn values(path: &str, document: &Value) -> Vec<Value> {
    let path = Path::parse(path).unwrap();
    path.values(document)
        .into_iter()
        .map(|value| value.into_owned())
        .collect()
}

fn distinct(path: &str, document: &Value) -> Vec<Value> {
    let path = Path::parse(path).unwrap();
    path.distinct_values(document)
        .into_iter()
        .map(|value| value.into_owned())
        .collect()
}

#[test]
fn values_are_what_an_equality_finds() {
    assert_eq!(values("a", &json!({"a": 1})), [json!(1)]);
    assert_eq!(values("a", &json!({})), [json!(null)]);
    assert_eq!(
        values("a", &json!({"a": [1, [2]]})),
        [json!(1), json!([2]), json!([1, [2]])]
    );
    assert_eq!(values("a", &json!({"a": []})), [json!([])]);
    assert_eq!(
        values("a.b", &json!({"a": [{"b": 1}, {}, 3]})),
        [json!(1), json!(null)]
    );
    assert_eq!(values("a.b", &json!({"a": [3]})), Vec::<Value>::new());
}

#[test]
fn distinct_takes_members_of_arrays_one_by_one() {
    assert_eq!(distinct("a", &json!({"a": 1})), [json!(1)]);
    assert_eq!(distinct("a", &json!({"a": null})), [json!(null)]);
    assert_eq!(
        distinct("a", &json!({"a": [1, [2], 1]})),
        [json!(1), json!([2]), json!(1)]
    );
    assert_eq!(
        distinct("a.b", &json!({"a": [{"b": [1]}, {"b": 2}, {}]})),
        [json!(1), json!(2)]
    );
    for nothing in [json!({}), json!({"a": []}), json!({"b": 1})] {
        assert_eq!(distinct("a", &nothing), Vec::<Value>::new());
    }
}

fn stored() -> Document {
    Document::new(
        DocumentId::from_bytes([7; 12]),
        AssemblyRef::parse("ada/books").unwrap(),
        Timestamp::from_unix_millis(1_800_000_000_000),
        json!({"type": "book", "data": {"isbn": "x"}, "_id": "not this"})
            .as_object()
            .unwrap()
            .clone(),
    )
}

#[test]
fn a_document_is_seen_as_its_json_is() {
    let document = stored();
    let json = document.to_json();
    for name in ["_id", "assembly", "time", "type", "data", "tags"] {
        assert_eq!(document.field(name), json.field(name), "{name}");
    }
    let id = document.id.to_string();
    for query in [
        json!({ "_id": id }),
        json!({"_id": {"$in": ["", id]}, "assembly": "ada/books", "data.isbn": "x"}),
        json!({"time": {"$gt": "2027-01-01T00:00:00Z", "$lt": "2028"}}),
        json!({"tags": null}),
    ] {
        assert!(parse(&query).matches(&document), "{query}");
        assert!(parse(&query).matches(&json), "{query}");
    }
    assert!(!parse(&json!({"_id": "not this"})).matches(&document));
    let path = Path::parse("assembly").unwrap();
    assert_eq!(path.values(&document)[0].as_ref(), "ada/books");
    assert_eq!(path.distinct_values(&document)[0].as_ref(), "ada/books");
    let SortValue::Value(value) = path.sort_value(&document, Direction::Ascending) else {
        panic!("it has an assembly")
    };
    assert_eq!(value.as_ref(), "ada/books");
    let mut later = stored();
    later.id = DocumentId::from_bytes([8; 12]);
    let sort = Sort::by("time", Direction::Descending).unwrap();
    assert!(sort.compare(&later, &document).is_lt());
}

#[test]
fn no_value_is_looked_at_twice_for_one_predicate() {
    // If an index also led into the object at that index, ways would double at each level.
    let levels = 15;
    let deep = (0..levels).fold(json!("end"), |inner, _| json!([{ "0": inner }]));
    let document = json!({ "a": deep });
    let path = format!("a{}", ".0".repeat(2 * levels));
    assert_eq!(values(&path, &document), [json!("end")]);
    let half = Path::parse(&format!("a{}", ".0".repeat(levels))).unwrap();
    assert_eq!(half.distinct_values(&document).len(), 1);
}
