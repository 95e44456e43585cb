//! Documents and queries at random, from few names and values so that they often meet.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

pub(crate) struct Generator {
    random: StdRng,
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const PATHS: [&str; 11] = [
    "a", "b", "c", "a.b", "a.c", "b.a", "a.b.c", "a.0", "a.1", "a.0.b", "a.b.0",
];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.random).unwrap().clone()
    }

    fn up_to(&mut self, most: u32) -> u32 {
        self.random.random_range(0..=most)
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u32) -> bool {
        self.random.random_range(0..times) == 0
    }

    fn scalar(&mut self) -> Value {
        self.one(&[
            json!(null),
            json!(true),
            json!(false),
            json!(-3),
            json!(0),
            json!(1),
            json!(2),
            json!(2.0),
            json!(2.5),
            json!(4),
            json!(1e10),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("B"),
            json!("b\na"),
            json!("2"),
            json!("é"),
        ])
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.up_to(9) {
            0..=1 if depth > 0 => self.object(depth - 1).into(),
            2..=4 if depth > 0 => {
                let length = self.up_to(3);
                // Lists of one kind of members are the usual ones.
                let objects = self.once_in(2);
                let member = |own: &mut Self| match objects {
                    true => own.object(depth - 1).into(),
                    false => own.value(depth - 1),
                };
                (0..length).map(|_| member(self)).collect()
            }
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: u32) -> Map<String, Value> {
        let mut object = Map::new();
        for name in NAMES {
            if !self.once_in(3) {
                object.insert(name.to_owned(), self.value(depth));
            }
        }
        object
    }

    /// One query about one document.
    pub(crate) fn question(&mut self) -> Value {
        let document: Value = self.object(3).into();
        let query = self.query(&document, 2);
        json!({ "document": document, "query": query })
    }

    /// Documents, and a path and a direction to sort them by.
    pub(crate) fn sorting(&mut self) -> Value {
        let path = self.one(&["a", "a.b", "a.b.c", "a.0", "a.1.b"]);
        let documents: Vec<Value> = (0..6)
            .map(|id| {
                let mut end = match self.scalar() {
                    _ if self.once_in(40) => Some(self.value(2)),
                    Value::Null => None,
                    scalar => Some(scalar),
                };
                for name in path.split('.').rev() {
                    end = Some(match name.parse::<usize>() {
                        Err(_) => end
                            .map(|value| (name.to_owned(), value))
                            .into_iter()
                            .collect(),
                        // A list in which it has that index, if it isn't too short.
                        Ok(index) => {
                            let before = (0..index).map(|_| self.scalar());
                            before.chain(end).collect()
                        }
                    });
                }
                let mut document = end.unwrap_or_default();
                // In no order.
                document["_id"] = (id * 5 % 6).to_string().into();
                document
            })
            .collect();
        json!({ "documents": documents, "path": path, "direction": self.one(&[1, -1]) })
    }

    /// Documents, and a path to collect values from.
    pub(crate) fn distinct(&mut self) -> Value {
        let documents: Vec<Value> = (0..4).map(|_| self.object(2).into()).collect();
        json!({ "documents": documents, "path": self.one(&PATHS) })
    }

    fn query(&mut self, document: &Value, depth: u32) -> Value {
        if depth > 0 && self.once_in(5) {
            let count = 1 + self.up_to(2);
            let branches: Vec<_> = (0..count)
                .map(|_| self.query(document, depth - 1))
                .collect();
            return json!({ self.one(&["$and", "$or", "$nor"]): branches });
        }
        let mut query = Map::new();
        for _ in 0..=u32::from(self.once_in(4)) {
            let path = self.one(&PATHS);
            query.insert(path.to_owned(), self.condition(document, path));
        }
        query.into()
    }

    /// What stands at a path.
    fn condition(&mut self, document: &Value, path: &str) -> Value {
        if self.once_in(6) {
            return self.operand(document, path);
        }
        let mut condition = self.operator(document, path, 2);
        if self.once_in(4) {
            condition.extend(self.operator(document, path, 2));
        }
        condition.into()
    }

    /// Something to compare with: every other time what is there, or a part of it.
    fn operand(&mut self, document: &Value, path: &str) -> Value {
        if self.once_in(2) {
            return self.value(1);
        }
        let mut value = document;
        for name in path.split('.') {
            value = match value {
                Value::Object(object) => object.get(name).unwrap_or(&Value::Null),
                Value::Array(list) => match name.parse::<usize>() {
                    Ok(index) => list.get(index).unwrap_or(&Value::Null),
                    Err(_) => list
                        .choose(&mut self.random)
                        .unwrap_or(&Value::Null)
                        .get(name)
                        .unwrap_or(&Value::Null),
                },
                _ => &Value::Null,
            };
        }
        match value {
            Value::Array(list) if !list.is_empty() && !self.once_in(4) => self.one(list),
            Value::Null if !self.once_in(4) => self.scalar(),
            other => other.clone(),
        }
    }

    /// Something to compare the order with: mostly a number or a text.
    fn bound(&mut self, document: &Value, path: &str) -> Value {
        let operand = self.operand(document, path);
        if operand.is_number() || operand.is_string() || self.once_in(8) {
            return operand;
        }
        self.one(&[
            json!(0),
            json!(2),
            json!(2.5),
            json!(""),
            json!("a"),
            json!("b"),
        ])
    }

    fn operator(&mut self, document: &Value, path: &str, depth: u32) -> Map<String, Value> {
        let several = |own: &mut Self| -> Value {
            let count = own.up_to(3);
            (0..count).map(|_| own.operand(document, path)).collect()
        };
        let (name, operand) = match self.up_to(if depth > 0 { 19 } else { 16 }) {
            0 => ("$eq", self.operand(document, path)),
            1 => ("$ne", self.operand(document, path)),
            2..=3 => ("$gt", self.bound(document, path)),
            4 => ("$gte", self.bound(document, path)),
            5..=6 => ("$lt", self.bound(document, path)),
            7 => ("$lte", self.bound(document, path)),
            8..=9 => ("$in", several(self)),
            10 => ("$nin", several(self)),
            11 => ("$exists", self.once_in(2).into()),
            12 => {
                let count = if self.once_in(3) { self.up_to(3) } else { 0 };
                let types: Value = match count {
                    0 => self.json_type(),
                    _ => (0..count).map(|_| self.json_type()).collect(),
                };
                ("$type", types)
            }
            13 => {
                let (pattern, options) = self.one(&[
                    ("^a", ""),
                    ("b$", ""),
                    ("A", "i"),
                    ("^a$", "m"),
                    ("b.a", ""),
                    ("b.a", "s"),
                    ("[ab]+|2", "im"),
                    ("^ a b? # a, perhaps b\n $", "x"),
                    ("b . A", "xsi"),
                ]);
                let mut both = Map::new();
                both.insert("$regex".to_owned(), pattern.into());
                both.insert("$options".to_owned(), options.into());
                return both;
            }
            14 => ("$all", several(self)),
            15 => ("$size", self.up_to(3).into()),
            16 => ("$mod", json!([self.one(&[2, 3, -2]), self.up_to(2)])),
            17 => ("$not", self.operator(document, path, depth - 1).into()),
            18 => (
                "$elemMatch",
                self.operator(document, path, depth - 1).into(),
            ),
            _ => {
                let field = |own: &mut Self| {
                    let name = own.one(&NAMES);
                    let inner = own.operator(document, &format!("{path}.{name}"), depth - 1);
                    json!({ name: inner })
                };
                let mut wanted = field(self);
                if self.once_in(3) {
                    let branches = [wanted, field(self)];
                    wanted = json!({ self.one(&["$and", "$or", "$nor"]): branches });
                }
                ("$elemMatch", wanted)
            }
        };
        Map::from_iter([(name.to_owned(), operand)])
    }

    /// What `$type` may ask for, by its name or its number.
    fn json_type(&mut self) -> Value {
        self.one(&[
            json!("string"),
            json!("number"),
            json!("int"),
            json!("double"),
            json!("bool"),
            json!("object"),
            json!("array"),
            json!("null"),
            json!(1),
            json!(2),
            json!(3),
            json!(4),
            json!(8),
            json!(10),
            json!(16),
        ])
    }
}
