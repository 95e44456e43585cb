//! MongoDB's order of all values.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// How deep [`compare`] and [`SortKey`](super::SortKey) look into values: deeper than any
/// document is nested. What is further down counts as equal if it is of one type class.
pub(super) const MAX_DEPTH: usize = 192;

/// What can be compared with each other, in MongoDB's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypeClass {
    /// Null, and what is missing.
    Null,
    /// All numbers.
    Number,
    /// Texts.
    Text,
    /// Objects.
    Object,
    /// Arrays.
    Array,
    /// False and true.
    Bool,
}

impl TypeClass {
    /// The class that `value` is of.
    #[must_use]
    pub const fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Object(_) => Self::Object,
            Value::Array(_) => Self::Array,
            Value::Bool(_) => Self::Bool,
        }
    }

    /// Its place in the order, as a number greater than 0 (MongoDB's own numbers).
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Null => 5,
            Self::Number => 10,
            Self::Text => 15,
            Self::Object => 20,
            Self::Array => 25,
            Self::Bool => 40,
        }
    }
}

/// A number such that all JSON numbers are ordered exactly, across integers and floats: the
/// nearest float, then what an integer differs from it. Rounding keeps the order, so the first
/// part decides if it differs; if it doesn't, the second part is exact (2 × 512 at most).
#[derive(Clone, Copy)]
pub(super) struct Exact {
    nearest: f64,
    rest: i16,
}

impl Exact {
    pub(super) fn of(number: &Number) -> Self {
        // Rounding is what is wanted here.
        if let Some(integer) = number.as_i64() {
            Self::split(integer.into(), integer as f64)
        } else if let Some(integer) = number.as_u64() {
            Self::split(integer.into(), integer as f64)
        } else {
            // Plus zero makes a zero of minus zero.
            let nearest = number.as_f64().unwrap_or_default() + 0.0;
            Self { nearest, rest: 0 }
        }
    }

    fn split(integer: i128, nearest: f64) -> Self {
        let rest = i16::try_from(integer - nearest as i128).unwrap_or_default();
        Self { nearest, rest }
    }

    pub(super) fn cmp(self, other: Self) -> Ordering {
        self.nearest
            .total_cmp(&other.nearest)
            .then(self.rest.cmp(&other.rest))
    }

    /// Bytes in the same order.
    pub(super) fn bytes(self) -> [u8; 10] {
        let bits = self.nearest.to_bits();
        // Negative floats are ordered the other way round, and come first.
        let ordered = if self.nearest.is_sign_negative() {
            !bits
        } else {
            bits | 1 << 63
        };
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&ordered.to_be_bytes());
        bytes[8..].copy_from_slice(&(self.rest as u16 ^ 1 << 15).to_be_bytes());
        bytes
    }
}

/// A number without its fraction; none if it is far outside of 64 bits.
pub(super) fn truncated(number: &Number) -> Option<i128> {
    if let Some(integer) = number.as_i64() {
        return Some(integer.into());
    }
    if let Some(integer) = number.as_u64() {
        return Some(integer.into());
    }
    let float = number.as_f64().filter(|float| float.abs() < 1e30)?;
    Some(float as i128)
}

/// Compares any two values: by [`TypeClass`], then numbers by their exact value, texts by code
/// points, arrays member by member, and objects member by member in the order of their names (of
/// two members, first their type class is compared, then their name, then their value).
#[must_use]
pub fn compare(left: &Value, right: &Value) -> Ordering {
    counted_compare(left, right, &mut 0)
}

/// As [`compare`]; adds about how many values were looked at (long texts are several).
pub(super) fn counted_compare(left: &Value, right: &Value, looked_at: &mut usize) -> Ordering {
    compare_at(left, right, 0, looked_at)
}

/// How many bytes of a text are compared in the time that a value takes.
const BYTES_PER_VALUE: usize = 64;

fn compare_at(left: &Value, right: &Value, depth: usize, looked_at: &mut usize) -> Ordering {
    *looked_at += 1;
    match (left, right) {
        (Value::String(left), Value::String(right)) => {
            *looked_at += left.len().min(right.len()) / BYTES_PER_VALUE;
            left.cmp(right)
        }
        (Value::Number(left), Value::Number(right)) => Exact::of(left).cmp(Exact::of(right)),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_))
            if depth == MAX_DEPTH =>
        {
            Ordering::Equal
        }
        (Value::Array(left), Value::Array(right)) => first_difference(
            left.iter().zip(right),
            |(left, right)| compare_at(left, right, depth + 1, looked_at),
            left.len().cmp(&right.len()),
        ),
        (Value::Object(left), Value::Object(right)) => {
            // To know whether their names are in order all of them are looked at.
            *looked_at += left.len() + right.len();
            first_difference(
                by_name(left).zip(by_name(right)),
                |((left_name, left), (right_name, right))| {
                    (TypeClass::of(left).cmp(&TypeClass::of(right)))
                        .then_with(|| left_name.cmp(right_name))
                        .then_with(|| compare_at(left, right, depth + 1, looked_at))
                },
                left.len().cmp(&right.len()),
            )
        }
        (left, right) => TypeClass::of(left).cmp(&TypeClass::of(right)),
    }
}

fn first_difference<T>(
    pairs: impl Iterator<Item = T>,
    compare: impl FnMut(T) -> Ordering,
    otherwise: Ordering,
) -> Ordering {
    pairs
        .map(compare)
        .find(|order| order.is_ne())
        .unwrap_or(otherwise)
}

/// The members in the order of their names. They are, unless someone who depends on us turned on
/// `preserve_order` in `serde_json`.
pub(super) fn by_name(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let (sorted, unsorted) = if map.keys().is_sorted() {
        (Some(map.iter()), None)
    } else {
        let mut members: Vec<_> = map.iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        (None, Some(members))
    };
    sorted
        .into_iter()
        .flatten()
        .chain(unsorted.into_iter().flatten())
}

/// Whether two values are the same as far as queries are concerned: [`compare`] finds no
/// difference.
#[must_use]
pub fn equal(left: &Value, right: &Value) -> bool {
    counted_equal(left, right, &mut 0)
}

/// As [`equal`]; adds about how many values were looked at.
pub(super) fn counted_equal(left: &Value, right: &Value, looked_at: &mut usize) -> bool {
    match (left, right) {
        // Lengths first, that is quicker.
        (Value::String(left), Value::String(right)) if left.len() != right.len() => false,
        (Value::Array(left), Value::Array(right)) if left.len() != right.len() => false,
        (Value::Object(left), Value::Object(right)) if left.len() != right.len() => false,
        (left, right) => counted_compare(left, right, looked_at).is_eq(),
    }
}
