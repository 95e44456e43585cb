use std::fmt;

use serde_json::Value;

use super::{
    TypeClass,
    order::{Exact, MAX_DEPTH, by_name},
};

/// A value as bytes in the order of values: comparing two keys byte by byte gives what
/// [`compare`](super::compare) gives for the values, for all values. So it can be the key of a
/// database's index.
///
/// A byte for the type class, then: numbers as 10 bytes; texts as UTF-8, ended by two zero bytes,
/// with 255 after each zero byte inside; arrays and objects as their members' keys (before each
/// member of an object: its type class and name), ended by a zero byte. The format is stable.
///
/// A key is about as long as its value. A store that has to shorten keys may cut them anywhere:
/// prefixes are in the same order, apart from those that became equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey(Vec<u8>);

impl SortKey {
    /// The key of `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let mut bytes = Vec::with_capacity(16);
        push(value, 0, &mut bytes);
        Self(bytes)
    }

    /// Where an empty array is sorted: before everything else.
    pub(super) fn of_nothing() -> Self {
        Self(vec![0])
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

fn push(value: &Value, depth: usize, bytes: &mut Vec<u8>) {
    bytes.push(TypeClass::of(value).rank());
    match value {
        Value::Null => {}
        Value::Bool(value) => bytes.push(u8::from(*value)),
        Value::Number(number) => bytes.extend(Exact::of(number).bytes()),
        Value::String(text) => push_text(text, bytes),
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => {}
        Value::Array(list) => {
            for member in list {
                push(member, depth + 1, bytes);
            }
            bytes.push(0);
        }
        Value::Object(map) => {
            for (name, member) in by_name(map) {
                bytes.push(TypeClass::of(member).rank());
                push_text(name, bytes);
                push(member, depth + 1, bytes);
            }
            bytes.push(0);
        }
    }
}

fn push_text(text: &str, bytes: &mut Vec<u8>) {
    for piece in text.as_bytes().split_inclusive(|byte| *byte == 0) {
        bytes.extend(piece);
        if piece.ends_with(&[0]) {
            bytes.push(255);
        }
    }
    bytes.extend([0, 0]);
}

/// Tells how long it is: it has the bytes of a document's value.
impl fmt::Debug for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SortKey({} bytes)", self.0.len())
    }
}
