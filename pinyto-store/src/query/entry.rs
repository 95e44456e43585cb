//! Under which keys an index lists a document.
//!
//! An index of a path has, for each document, an entry per value that
//! [finds it](Path::values), and one for what it is sorted by in each direction. Mostly that is
//! one and the same entry; what each is good for is said by its role.

use std::collections::BTreeMap;

use pinyto_core::{
    document::Document,
    query::{Direction, Path, SortKey, TypeClass},
};
use serde_json::Value;

/// The entry's key is that of a value at the path.
pub(crate) const VALUE: i64 = 1;
/// The entry's key is what the document is sorted by going up.
pub(crate) const LEAST: i64 = 2;
/// The entry's key is what the document is sorted by going down.
pub(crate) const GREATEST: i64 = 4;

/// Some document has several values other than arrays, or is sorted by something else than its
/// only one.
pub(crate) const SEVERAL: i64 = 1;
/// Some document is sorted by something whose key was shortened.
pub(crate) const LONG: i64 = 2;
/// Some document has too many values to list them: it is listed under [`OVERFLOW_KEY`] instead.
pub(crate) const OVERFLOW: i64 = 4;

/// Comes before all keys.
pub(crate) const OVERFLOW_KEY: &[u8] = &[];

/// The most bytes of a key; a longer one is cut there and marked.
pub(crate) const MAX_KEY: usize = 400;

/// The most values of a document that an index lists.
const MAX_VALUES: usize = 1_000;

/// How a document is listed in an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Roles by key, at least one.
    pub(crate) entries: BTreeMap<Vec<u8>, i64>,
    /// What an index has to know of its entries.
    pub(crate) traits: i64,
}

/// Begins the keys of arrays that documents are found by, so that they come after everything that
/// documents are sorted by. (An array is sorted by one of its members.)
pub(crate) const ARRAYS: u8 = 0xfe;

/// The key of `value` that documents are found by, and whether it was shortened.
///
/// Keys of one type class are in the order of values, apart from those that became equal by being
/// shortened. What was shortened is never equal to what wasn't.
pub(crate) fn key(value: &Value) -> (Vec<u8>, bool) {
    let key = SortKey::of(value);
    match value {
        Value::Array(_) => shortened([&[ARRAYS], key.as_bytes()].concat()),
        _ => shortened(key.into_bytes()),
    }
}

/// What the keys of a type class are not less than, and what they are less than.
pub(crate) fn keys_of(class: TypeClass) -> (Vec<u8>, Vec<u8>) {
    match class {
        TypeClass::Array => (vec![ARRAYS], vec![ARRAYS + 1]),
        // All keys of a class begin with its rank.
        class => (vec![class.rank()], vec![class.rank() + 1]),
    }
}

fn shortened(mut key: Vec<u8>) -> (Vec<u8>, bool) {
    let is_long = key.len() > MAX_KEY;
    if is_long {
        key.truncate(MAX_KEY);
        key.push(0xff);
    }
    (key, is_long)
}

/// How an index of `path` lists the document.
pub(crate) fn listing(path: &Path, document: &Document) -> Listing {
    let mut listing = Listing::default();
    let mut several = BTreeMap::new();
    for value in path.values(document) {
        let (key, _) = key(&value);
        if TypeClass::of(&value) != TypeClass::Array {
            several.insert(key.clone(), ());
        }
        listing.entries.insert(key, VALUE);
        if listing.entries.len() > MAX_VALUES {
            break;
        }
    }
    if listing.entries.len() > MAX_VALUES {
        listing.entries.clear();
        listing.entries.insert(OVERFLOW_KEY.to_vec(), VALUE);
        listing.traits |= OVERFLOW | SEVERAL;
    }
    for (role, direction) in [
        (LEAST, Direction::Ascending),
        (GREATEST, Direction::Descending),
    ] {
        let (key, is_long) = shortened(path.sort_value(document, direction).key().into_bytes());
        if several.keys().any(|other| *other != key) {
            listing.traits |= SEVERAL;
        }
        if is_long {
            listing.traits |= LONG;
        }
        *listing.entries.entry(key).or_default() |= role;
    }
    listing
}

/// How an index lists a document that can't be read.
pub(crate) fn unreadable() -> Listing {
    Listing {
        entries: BTreeMap::from([(OVERFLOW_KEY.to_vec(), VALUE | LEAST | GREATEST)]),
        traits: OVERFLOW | SEVERAL | LONG,
    }
}

#[cfg(test)]
mod tests {
    use pinyto_core::testing::given;
    use serde_json::json;

    use super::*;

    fn of(data: Value) -> Listing {
        let assembly = given::assembly_ref("ann/Notes");
        listing(&given::path("data.a"), &given::document(1, &assembly, data))
    }

    fn key_of(value: &Value) -> Vec<u8> {
        key(value).0
    }

    #[test]
    fn a_single_value_has_one_entry_for_everything() {
        for (data, value) in [
            (json!({"a": 5}), json!(5)),
            (json!({"a": "x"}), json!("x")),
            (json!({"a": {"b": [1, 2]}}), json!({"b": [1, 2]})),
            (json!({"a": null}), json!(null)),
            (json!({}), json!(null)),
            (json!(1), json!(null)),
        ] {
            let listing = of(data);
            let entry = (key_of(&value), VALUE | LEAST | GREATEST);
            assert_eq!(listing.entries, BTreeMap::from([entry]));
            assert_eq!(listing.traits, 0);
        }
    }

    #[test]
    fn an_array_is_listed_by_its_members_and_as_a_whole() {
        let listing = of(json!({"a": [3, 1, 3]}));
        let entries = [
            (key_of(&json!(1)), VALUE | LEAST),
            (key_of(&json!(3)), VALUE | GREATEST),
            (key_of(&json!([3, 1, 3])), VALUE),
        ];
        assert_eq!(listing.entries, BTreeMap::from(entries));
        assert_eq!(listing.traits, SEVERAL);
        // Its only value is what it is sorted by.
        assert_eq!(of(json!({"a": [7]})).traits, 0);
        assert_eq!(of(json!({"a": []})).traits, 0);
    }

    #[test]
    fn a_value_that_is_not_what_its_document_is_sorted_by_is_one_of_several() {
        let assembly = given::assembly_ref("ann/Notes");
        let document = given::document(1, &assembly, json!([{"a": 5}, 1]));
        let listing = listing(&given::path("data.a"), &document);
        let entries = [
            (key_of(&json!(null)), LEAST),
            (key_of(&json!(5)), VALUE | GREATEST),
        ];
        assert_eq!(listing.entries, BTreeMap::from(entries));
        assert_eq!(listing.traits, SEVERAL);
    }

    #[test]
    fn long_keys_are_shortened_and_stay_in_order() {
        let long = |end: &str| json!({"a": format!("{}{end}", "x".repeat(MAX_KEY))});
        let listing = of(long("a"));
        assert_eq!(listing.traits, LONG);
        assert_eq!(listing, of(long("b")));
        let cut = listing.entries.keys().next().unwrap();
        assert_eq!(cut.len(), MAX_KEY + 1);
        assert!(*cut > key_of(&json!("x")));
        assert!(*cut < key_of(&json!("y")));
    }

    #[test]
    fn too_many_values_are_one_entry() {
        let all = |count: usize| (0..count).map(Value::from).collect::<Value>();
        assert_eq!(
            of(json!({"a": all(MAX_VALUES - 1)})).entries.len(),
            MAX_VALUES
        );
        let listing = of(json!({"a": all(MAX_VALUES)}));
        let entries = [
            (OVERFLOW_KEY.to_vec(), VALUE),
            (key_of(&json!(0)), LEAST),
            (key_of(&json!(MAX_VALUES - 1)), GREATEST),
        ];
        assert_eq!(listing.entries, BTreeMap::from(entries));
        assert_eq!(listing.traits, SEVERAL | OVERFLOW);
    }
}
