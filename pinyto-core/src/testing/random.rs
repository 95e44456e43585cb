//! Documents and queries by chance, from so few values that they often fit.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    assembly::AssemblyRef,
    document::{Document, Search},
    id::AssemblyId,
    query::{Direction, Query, Sort},
    testing::given,
};

/// Chance that is the same in each run: Knuth's MMIX generator.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins with `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        // Neighbouring seeds begin alike.
        (0..4).for_each(|_| _ = dice.roll(1));
        dice
    }

    /// One of the numbers from 0 on that are less than `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The upper bits are the good ones.
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides
    }

    /// One of them.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len())]
    }
}

const NAMES: &[&str] = &[
    "a", "a", "a", "b", "b", "l", "l", "0", "1", "q\"r", "ä", "x y", "c\\d", "x.y", "'", "$k",
];

const PATHS: &[&str] = &[
    "data",
    "data.a",
    "data.a",
    "data.a.b",
    "data.b",
    "data.l",
    "data.l",
    "data.l.0",
    "data.l.a",
    "data.0",
    "data.a.0.b",
    "tags",
    "tags.1",
    "type",
    "type",
    "time",
    "_id",
    "assembly",
    "missing",
    "data.q\"r",
    "data.ä",
    "data.x y",
    "data.c\\d",
    "data.'",
    "time.x",
    "_id.0",
    "data.a.b.a",
];

/// Too long for the key of an index; the ends differ.
fn long(end: usize) -> Value {
    format!("{}{end}", "long ".repeat(300)).into()
}

fn scalar(dice: &mut Dice) -> Value {
    match dice.roll(40) {
        0..4 => Value::Null,
        4..7 => (dice.roll(2) == 0).into(),
        7..20 => json!(dice.roll(4)),
        20..26 => (*dice.one_of(&["", "a", "b", "z", "Z", "ä", "\u{1f600}", "\u{ffff}"])).into(),
        26 => (*dice.one_of(&["a\u{0}", "a\u{0}b", "\u{0}", "\u{1}\"\\/", "a'b", "%_"])).into(),
        27 => (*dice.one_of(&["true", "null", "1", "[]", "{}", "$.a"])).into(),
        28..30 => long(dice.roll(3)),
        30..34 => json!(dice.roll(7) as f64 / 2.0),
        34 => json!(*dice.one_of(&[-0.0, 0.1, 1e300, -1e300, 5e-324, 1e19, 0.1 + 0.2])),
        35 => json!(*dice.one_of(&[9_007_199_254_740_993_i64, i64::MIN, -1, -2])),
        36 => json!(*dice.one_of(&[9_007_199_254_740_992.0, 1.844_674_407_370_955_2e19])),
        37 => json!(*dice.one_of(&[u64::MAX, u64::MAX - 1, 1 << 63])),
        38 => json!(i64::MAX),
        _ => (*dice.one_of(&["book", "film"])).into(),
    }
}

/// A value nested at most so deep. Names with `$` can be in documents only.
fn value(dice: &mut Dice, levels: usize, names: &[&str]) -> Value {
    match dice.roll(if levels == 0 { 5 } else { 10 }) {
        0..5 => scalar(dice),
        5..7 => {
            let length = dice.roll(4);
            let mut member = || value(dice, levels - 1, names);
            (0..length).map(|_| member()).collect()
        }
        _ => {
            let length = dice.roll(4);
            let mut member = || {
                let name = *dice.one_of(names);
                (name.to_owned(), value(dice, levels - 1, names))
            };
            (0..length).map(|_| member()).collect()
        }
    }
}

fn object(dice: &mut Dice, levels: usize) -> Value {
    let mut member = || {
        let name = *dice.one_of(NAMES);
        (name.to_owned(), value(dice, levels, NAMES))
    };
    (0..4).map(|_| member()).collect()
}

/// A document with any fields.
#[must_use]
pub fn document(dice: &mut Dice, n: u64, assembly: &AssemblyRef) -> Document {
    let mut fields = Map::new();
    if dice.roll(10) > 0 {
        let kind = match dice.roll(8) {
            0 => value(dice, 1, NAMES),
            _ => (*dice.one_of(&["book", "book", "film", "test"])).into(),
        };
        fields.insert("type".into(), kind);
    }
    if dice.roll(3) > 0 {
        let count = dice.roll(4);
        let tags = (0..count).map(|_| scalar(dice)).collect();
        fields.insert("tags".into(), tags);
    }
    let data = match dice.roll(8) {
        0 => value(dice, 2, NAMES),
        1 => (0..dice.roll(30)).map(Value::from).collect(),
        _ => object(dice, 3),
    };
    fields.insert("data".into(), data);
    // What the server sets can't be feigned.
    if dice.roll(8) == 0 {
        fields.insert("time".into(), json!("2020"));
        fields.insert("_id".into(), json!(1));
        fields.insert("assembly".into(), json!([]));
    }
    let seconds = i64::try_from(dice.roll(20)).unwrap();
    let mut document = Document {
        time: given::at(seconds),
        fields,
        ..given::document(n, assembly, Value::Null)
    };
    // As it comes back from any store.
    for name in ["time", "_id", "assembly"] {
        document.fields.remove(name);
    }
    document
}

/// A path that may lead somewhere in such a document.
#[must_use]
pub fn path(dice: &mut Dice) -> &'static str {
    PATHS[dice.roll(PATHS.len())]
}

/// Something that might be there.
fn operand(dice: &mut Dice, path: &str, documents: &Documents) -> Value {
    let names: &[&str] = &["a", "b", "l", "0"];
    // What some document really has there, or nearly.
    if dice.roll(2) == 0 && !documents.is_empty() {
        let all: Vec<_> = documents.values().collect();
        let (_, document) = dice.one_of(&all);
        let values = given::path(path).values(document);
        if !values.is_empty() {
            let value = dice.one_of(&values).clone().into_owned();
            return match value {
                Value::String(text) if dice.roll(4) == 0 => {
                    let cut = text.chars().take(text.chars().count() / 2);
                    cut.collect::<String>().into()
                }
                value if has_dollar(&value) => Value::Null,
                value => value,
            };
        }
    }
    value(dice, 1, names)
}

fn has_dollar(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_dollar),
        Value::Object(map) => map
            .iter()
            .any(|(name, value)| name.starts_with('$') || has_dollar(value)),
        _ => false,
    }
}

/// Documents with the assemblies that stored them, by the number they are made with.
pub type Documents = BTreeMap<u64, (AssemblyId, Document)>;

fn operator(dice: &mut Dice, path: &str, documents: &Documents) -> (String, Value) {
    let operand = |dice: &mut Dice| operand(dice, path, documents);
    let several = |dice: &mut Dice| (0..dice.roll(5)).map(|_| operand(dice)).collect::<Value>();
    let (name, value) = match dice.roll(26) {
        0..2 => ("$eq", operand(dice)),
        2 => ("$ne", operand(dice)),
        3..6 => ("$gt", operand(dice)),
        6..8 => ("$gte", operand(dice)),
        8..11 => ("$lt", operand(dice)),
        11..13 => ("$lte", operand(dice)),
        13..16 => ("$in", several(dice)),
        16 => ("$nin", several(dice)),
        17 => ("$exists", json!(dice.roll(2) == 0)),
        18 => {
            let names = &[
                "string", "number", "int", "long", "double", "bool", "object", "array", "null",
            ];
            ("$type", json!([*dice.one_of(names), *dice.one_of(names)]))
        }
        19 => (
            "$regex",
            json!(*dice.one_of(&["^a", "b", "o+", "", "long 1$"])),
        ),
        20..22 => ("$all", several(dice)),
        22 => ("$size", json!(dice.roll(4))),
        23 => ("$mod", json!([dice.roll(3) + 1, dice.roll(2)])),
        24 => {
            let (name, value) = operator(dice, path, documents);
            ("$not", json!({name: value}))
        }
        _ => {
            let (name, value) = operator(dice, path, documents);
            match dice.roll(2) {
                0 => ("$elemMatch", json!({name: value})),
                _ => ("$elemMatch", json!({"a": {name: value}})),
            }
        }
    };
    (name.to_owned(), value)
}

/// A range of numbers or texts, through which members of an array may fall on both sides.
fn between(dice: &mut Dice) -> Value {
    let (lower, upper) = (dice.one_of(&["$gt", "$gte"]), dice.one_of(&["$lt", "$lte"]));
    let middle = dice.roll(4);
    match dice.roll(3) {
        0 => json!({*lower: "a", *upper: *dice.one_of(&["b", "z"])}),
        _ => json!({*lower: middle, *upper: middle + dice.roll(3)}),
    }
}

fn condition(dice: &mut Dice, levels: usize, documents: &Documents) -> Value {
    let mut members = Map::new();
    for _ in 0..1 + dice.roll(3) / 2 + dice.roll(8) / 7 {
        if levels > 0 && dice.roll(5) == 0 {
            let name = *dice.one_of(&["$and", "$or", "$nor"]);
            let branches = 1 + dice.roll(3);
            let branches = (0..branches).map(|_| condition(dice, levels - 1, documents));
            members.insert(name.to_owned(), branches.collect());
            continue;
        }
        let path = self::path(dice);
        let wanted = match dice.roll(5) {
            0 => operand(dice, path, documents),
            1 => between(dice),
            _ => {
                let first = operator(dice, path, documents);
                let second = operator(dice, path, documents);
                let count = 1 + dice.roll(3) / 2;
                [first, second].into_iter().take(count).collect()
            }
        };
        members.insert(path.to_owned(), wanted);
    }
    members.into()
}

/// A search for some of these documents with any query, order and part.
#[must_use]
pub fn search(dice: &mut Dice, documents: &Documents) -> Search {
    let query = loop {
        let query = match dice.roll(12) {
            0 => json!({}),
            _ => condition(dice, 2, documents),
        };
        // A few combinations are none, such as an object that only begins like operators.
        if let Ok(query) = Query::parse(&query) {
            break query;
        }
    };
    let direction = *dice.one_of(&[Direction::Ascending, Direction::Descending]);
    let sort = match dice.roll(3) {
        0 => Sort::default(),
        1 => Sort::by_id(direction),
        _ => Sort::by(path(dice), direction).unwrap(),
    };
    Search {
        query,
        sort,
        skip: *dice.one_of(&[0, 0, 0, 1, 5]),
        limit: *dice.one_of(&[1, 2, 10, 1000, u64::MAX]),
    }
}
