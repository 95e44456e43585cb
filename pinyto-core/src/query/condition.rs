use std::fmt;

use serde_json::Value;

use super::{Path, Pattern};

/// What a document has to be like. Only [`Query::parse`](super::Query::parse) makes those that
/// are evaluated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// All hold. An empty list always holds.
    And(Vec<Condition>),
    /// At least one holds. Never empty.
    Or(Vec<Condition>),
    /// None holds. Never empty.
    Nor(Vec<Condition>),
    /// The predicate holds for what the path leads to.
    Field {
        /// Where to look.
        path: Path,
        /// What to look for.
        predicate: Predicate,
    },
}

/// What the values at a path have to be like.
///
/// Unless said otherwise: of all values that the path leads to, one has to fit; where it leads to
/// an array, each member counts as a value beside the array itself; what is missing counts as
/// null.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Predicate {
    /// `$eq`, or a value alone.
    Eq(Value),
    /// `$ne`: [`Predicate::Eq`] doesn't hold.
    Ne(Value),
    /// `$gt`: greater, and of the same type class.
    Gt(Value),
    /// `$gte`: greater or equal, and of the same type class.
    Gte(Value),
    /// `$lt`: less, and of the same type class.
    Lt(Value),
    /// `$lte`: less or equal, and of the same type class.
    Lte(Value),
    /// `$in`: equal to one of these, which are in the order of [`compare`](super::compare) and
    /// different from each other. Nothing is in an empty list.
    In(Vec<Value>),
    /// `$nin`: [`Predicate::In`] doesn't hold.
    Nin(Vec<Value>),
    /// `$exists`: the path leads somewhere, or nowhere.
    Exists(bool),
    /// `$type`: of one of these types. What is missing has none. Never empty.
    Type(Vec<JsonType>),
    /// `$regex`: a text in which the pattern occurs.
    Regex(Pattern),
    /// `$not`: these don't hold all together. Never empty.
    Not(Vec<Predicate>),
    /// `$all`: [`Predicate::Eq`] holds for each of these. An empty list never holds. (`$all` with
    /// `$elemMatch` is parsed to several [`Predicate::ElemMatch`].)
    All(Vec<Value>),
    /// `$size`: an array with so many members. Members that are arrays don't count.
    Size(u64),
    /// `$elemMatch`: an array with such a member. Members that are arrays are not looked into.
    ElemMatch(Box<ElemMatch>),
    /// `$mod`: a number that, cut to an integer and divided, leaves that remainder, which has the
    /// sign of the number.
    Mod {
        /// Not zero.
        divisor: i64,
        /// What has to be left.
        remainder: i64,
    },
}

/// The operators without the values, which are a user's data.
impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |f: &mut fmt::Formatter<'_>, name: &str, values: &[Value]| {
            write!(f, "{name}({} values)", values.len())
        };
        match self {
            Self::Eq(_) => f.write_str("$eq"),
            Self::Ne(_) => f.write_str("$ne"),
            Self::Gt(_) => f.write_str("$gt"),
            Self::Gte(_) => f.write_str("$gte"),
            Self::Lt(_) => f.write_str("$lt"),
            Self::Lte(_) => f.write_str("$lte"),
            Self::In(values) => several(f, "$in", values),
            Self::Nin(values) => several(f, "$nin", values),
            Self::All(values) => several(f, "$all", values),
            Self::Exists(there) => write!(f, "$exists({there})"),
            Self::Type(types) => f.debug_tuple("$type").field(types).finish(),
            Self::Regex(_) => f.write_str("$regex"),
            Self::Not(predicates) => f.debug_tuple("$not").field(predicates).finish(),
            Self::Size(_) => f.write_str("$size"),
            Self::ElemMatch(member) => f.debug_tuple("$elemMatch").field(member).finish(),
            Self::Mod { .. } => f.write_str("$mod"),
        }
    }
}

/// What one member of an array has to be like.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ElemMatch {
    /// `{"$elemMatch": {"$gt": 1, "$lt": 5}}`: all of these hold for the member itself, which is
    /// not looked into if it is an array.
    Values(Vec<Predicate>),
    /// `{"$elemMatch": {"name": "x"}}`: the member is an object (or an array, taken as an object
    /// whose fields are called `0`, `1`, ...) for which this holds.
    Documents(Condition),
}

/// A type that `$type` can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JsonType {
    /// `double`, 1: a number written with a fraction or an exponent.
    Double,
    /// `string`, 2.
    String,
    /// `object`, 3.
    Object,
    /// `array`, 4.
    Array,
    /// `bool`, 8.
    Bool,
    /// `null`, 10.
    Null,
    /// `int`, 16: an integer of at most 32 bits.
    Int,
    /// `long`, 18: any other integer.
    Long,
    /// `number`: any number.
    Number,
}

impl JsonType {
    /// All types, with MongoDB's names and numbers (`number` has none).
    const ALL: [(Self, &'static str, Option<i64>); 9] = [
        (Self::Double, "double", Some(1)),
        (Self::String, "string", Some(2)),
        (Self::Object, "object", Some(3)),
        (Self::Array, "array", Some(4)),
        (Self::Bool, "bool", Some(8)),
        (Self::Null, "null", Some(10)),
        (Self::Int, "int", Some(16)),
        (Self::Long, "long", Some(18)),
        (Self::Number, "number", None),
    ];

    /// The type with this name, as MongoDB has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, own, _)| *own == name);
        found.map(|(kind, ..)| kind)
    }

    /// The type with this number, as BSON has it.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(.., own)| *own == Some(number));
        found.map(|(kind, ..)| kind)
    }

    /// Whether `value` is of this type.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::String(_))
            | (Self::Object, Value::Object(_))
            | (Self::Array, Value::Array(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::Null, Value::Null)
            | (Self::Number, Value::Number(_)) => true,
            (Self::Double, Value::Number(number)) => number.is_f64(),
            (Self::Int, Value::Number(number)) => is_int(number),
            (Self::Long, Value::Number(number)) => !number.is_f64() && !is_int(number),
            _ => false,
        }
    }
}

fn is_int(number: &serde_json::Number) -> bool {
    number
        .as_i64()
        .is_some_and(|integer| i32::try_from(integer).is_ok())
}
