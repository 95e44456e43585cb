//! Which keys a query leaves to be looked up.

use std::ops::Bound;

use pinyto_core::{
    document::DocumentId,
    query::{Condition, Path, Predicate, Query, TypeClass},
};
use serde_json::Value;

use super::{
    column::{FIRST_TIME, LAST_TIME, first_id, first_time},
    entry,
};

/// How many are looked for; more would help nobody.
const MAX_CONSTRAINTS: usize = 50;

/// Something that holds for every document a query asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constraint<'q> {
    pub(crate) path: &'q Path,
    pub(crate) span: Span,
    /// Whether a document that fits is what the part of the query asks for, in any case.
    pub(crate) is_exact: bool,
}

/// Where the values at a path are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Span {
    /// Nowhere.
    Nothing,
    /// One of the entries of the document has one of these keys, which are different.
    Keys(Vec<Vec<u8>>),
    /// One of the entries of the document has a key between these.
    KeyRange {
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
        /// Of which class the values are.
        class: TypeClass,
    },
    /// One of these identifiers.
    Ids(Vec<DocumentId>),
    /// An identifier that is not less than the one and less than the other.
    IdRange {
        from: Option<DocumentId>,
        to: Option<DocumentId>,
    },
    /// A time that is not less than the one and less than the other.
    TimeRange { from: i64, to: i64 },
}

/// What holds for every document that a query asks for.
#[derive(Debug)]
pub(crate) struct Constraints<'q> {
    pub(crate) all: Vec<Constraint<'q>>,
    /// Whether they say all that the query does.
    pub(crate) is_complete: bool,
}

impl<'q> Constraints<'q> {
    pub(crate) fn of(query: &'q Query) -> Self {
        let mut constraints = Self {
            all: Vec::new(),
            is_complete: true,
        };
        constraints.collect(query.condition());
        constraints
    }

    /// Recurses along the query, whose nesting is bounded.
    fn collect(&mut self, condition: &'q Condition) {
        match condition {
            Condition::And(all) => all.iter().for_each(|one| self.collect(one)),
            Condition::Field { path, predicate } => match predicate {
                // One of them is enough to look documents up, and usual is one.
                Predicate::All(values) if values.len() == 1 => {
                    self.add(path, &Predicate::Eq(values[0].clone()));
                }
                Predicate::All(values) if !values.is_empty() => {
                    for value in values {
                        self.add(path, &Predicate::Eq(value.clone()));
                    }
                }
                predicate => self.add(path, predicate),
            },
            _ => self.is_complete = false,
        }
    }

    fn add(&mut self, path: &'q Path, predicate: &Predicate) {
        if self.all.len() == MAX_CONSTRAINTS {
            self.is_complete = false;
            return;
        }
        let found = match path.as_str() {
            "_id" => id_span(predicate),
            "time" => time_span(predicate),
            // Which assembly is told by its number, not by the name it had.
            "assembly" => None,
            _ => key_span(predicate),
        };
        match found {
            Some((span, is_exact)) => self.all.push(Constraint {
                path,
                span,
                is_exact,
            }),
            None => self.is_complete = false,
        }
    }
}

fn keys<'a>(values: impl IntoIterator<Item = &'a Value>) -> (Span, bool) {
    let (mut keys, mut is_exact) = (Vec::new(), true);
    for value in values {
        let (key, is_long) = entry::key(value);
        keys.push(key);
        is_exact &= !is_long;
    }
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return (Span::Nothing, true);
    }
    (Span::Keys(keys), is_exact)
}

fn key_span(predicate: &Predicate) -> Option<(Span, bool)> {
    Some(match predicate {
        Predicate::Eq(value) => keys([value]),
        Predicate::In(values) => keys(values),
        Predicate::Gt(value) if value.is_null() => (Span::Nothing, true),
        Predicate::Lt(value) if value.is_null() => (Span::Nothing, true),
        Predicate::Gte(value) | Predicate::Lte(value) if value.is_null() => keys([value]),
        Predicate::Gt(value) => key_range(value, true, true),
        Predicate::Gte(value) => key_range(value, true, false),
        Predicate::Lt(value) => key_range(value, false, true),
        Predicate::Lte(value) => key_range(value, false, false),
        _ => return None,
    })
}

/// The keys of `value`'s class above (or below) its own.
fn key_range(value: &Value, is_lower: bool, is_strict: bool) -> (Span, bool) {
    let (key, is_long) = entry::key(value);
    let class = TypeClass::of(value);
    // What is cut may have become equal.
    let bound = if is_strict && !is_long {
        Bound::Excluded(key)
    } else {
        Bound::Included(key)
    };
    let (first, end) = entry::keys_of(class);
    let (from, to) = if is_lower {
        (bound, Bound::Excluded(end))
    } else {
        (Bound::Included(first), bound)
    };
    (Span::KeyRange { from, to, class }, !is_long)
}

fn id_span(predicate: &Predicate) -> Option<(Span, bool)> {
    let ids = |values: &[Value]| {
        let mut ids: Vec<DocumentId> = values
            .iter()
            .filter_map(|value| value.as_str()?.parse().ok())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            Span::Nothing
        } else {
            Span::Ids(ids)
        }
    };
    let from = |text, beyond| match first_id(text, beyond) {
        from @ Some(_) => Span::IdRange { from, to: None },
        None => Span::Nothing,
    };
    let to = |text, beyond| Span::IdRange {
        from: None,
        to: first_id(text, beyond),
    };
    let span = match predicate {
        Predicate::Eq(value) => ids(std::slice::from_ref(value)),
        Predicate::In(values) => ids(values),
        Predicate::Gt(Value::String(text)) => from(text, true),
        Predicate::Gte(Value::String(text)) => from(text, false),
        Predicate::Lt(Value::String(text)) => to(text, false),
        Predicate::Lte(Value::String(text)) => to(text, true),
        Predicate::Gt(_) | Predicate::Gte(_) | Predicate::Lt(_) | Predicate::Lte(_) => {
            Span::Nothing
        }
        _ => return None,
    };
    Some((span, true))
}

fn time_span(predicate: &Predicate) -> Option<(Span, bool)> {
    let range = |from, to| {
        if from < to {
            Span::TimeRange { from, to }
        } else {
            Span::Nothing
        }
    };
    let span = match predicate {
        Predicate::Eq(Value::String(text)) => {
            range(first_time(text, false), first_time(text, true))
        }
        Predicate::Gt(Value::String(text)) => range(first_time(text, true), LAST_TIME + 1),
        Predicate::Gte(Value::String(text)) => range(first_time(text, false), LAST_TIME + 1),
        Predicate::Lt(Value::String(text)) => range(FIRST_TIME, first_time(text, false)),
        Predicate::Lte(Value::String(text)) => range(FIRST_TIME, first_time(text, true)),
        Predicate::Eq(_)
        | Predicate::Gt(_)
        | Predicate::Gte(_)
        | Predicate::Lt(_)
        | Predicate::Lte(_) => Span::Nothing,
        _ => return None,
    };
    Some((span, true))
}

impl Span {
    pub(crate) const fn is_one_key(&self) -> bool {
        matches!(self, Self::Keys(keys) if keys.len() == 1)
    }

    /// Where both are, if that is one of these spans again and a document has one value only.
    pub(crate) fn intersected(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (
                Self::KeyRange { from, to, class },
                Self::KeyRange {
                    from: other_from,
                    to: other_to,
                    class: other_class,
                },
            ) if class == other_class && *class != TypeClass::Array => Some(Self::KeyRange {
                from: greater(from, other_from),
                to: less(to, other_to),
                class: *class,
            }),
            (
                Self::IdRange { from, to },
                Self::IdRange {
                    from: other_from,
                    to: other_to,
                },
            ) => Some(Self::IdRange {
                // None is less than everything.
                from: (*from).max(*other_from),
                to: match (to, other_to) {
                    (Some(to), Some(other)) => Some(*to.min(other)),
                    (to, other) => to.or(*other),
                },
            }),
            (
                Self::TimeRange { from, to },
                Self::TimeRange {
                    from: other_from,
                    to: other_to,
                },
            ) => Some(Self::TimeRange {
                from: *from.max(other_from),
                to: *to.min(other_to),
            }),
            _ => None,
        }
    }
}

fn greater(one: &Bound<Vec<u8>>, other: &Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match (one, other) {
        (Bound::Unbounded, bound) | (bound, Bound::Unbounded) => bound.clone(),
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            match a.cmp(b) {
                std::cmp::Ordering::Greater => one.clone(),
                std::cmp::Ordering::Less => other.clone(),
                std::cmp::Ordering::Equal => stricter(one, other),
            }
        }
    }
}

fn less(one: &Bound<Vec<u8>>, other: &Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match (one, other) {
        (Bound::Unbounded, bound) | (bound, Bound::Unbounded) => bound.clone(),
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            match a.cmp(b) {
                std::cmp::Ordering::Less => one.clone(),
                std::cmp::Ordering::Greater => other.clone(),
                std::cmp::Ordering::Equal => stricter(one, other),
            }
        }
    }
}

fn stricter(one: &Bound<Vec<u8>>, other: &Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match one {
        Bound::Excluded(_) => one.clone(),
        _ => other.clone(),
    }
}
