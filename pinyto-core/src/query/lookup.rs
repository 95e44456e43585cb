//! What a path leads to in a document.

use std::borrow::Cow;

use serde_json::Value;

use super::{Direction, Fields, Path, Segment, SortValue};

/// What a member of an array means if the path wants a field of it and it is no object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoObject {
    /// Nothing: the path doesn't lead there.
    PassedOver,
    /// That the field is missing there.
    LacksField,
}

impl Path {
    /// Calls `fits` with each place that this path leads to (none if something is missing there)
    /// until it says yes, and says whether it did. Arrays at the end of the path are one place.
    pub(super) fn leads_to(
        &self,
        document: &dyn Fields,
        mut fits: impl FnMut(Option<&Value>) -> bool,
    ) -> bool {
        // A path has at least one segment.
        let Some((first, rest)) = self.segments().split_first() else {
            return false;
        };
        match document.field(first.name()) {
            None => fits(None),
            Some(value) => below(&value, rest, NoObject::PassedOver, &mut fits),
        }
    }

    /// All values that an equality at this path finds the document by: what the path leads to,
    /// with the members of an array before the array itself, and null where something is missing.
    /// A value can be there several times.
    #[must_use]
    pub fn values<'a>(&self, document: &'a impl Fields) -> Vec<Cow<'a, Value>> {
        let mut values = Vec::new();
        self.collect(document, NoObject::PassedOver, |end| match end {
            None => values.push(Cow::Owned(Value::Null)),
            Some(Cow::Borrowed(value)) => {
                values.extend(members(value).iter().map(Cow::Borrowed));
                values.push(Cow::Borrowed(value));
            }
            Some(Cow::Owned(value)) => {
                values.extend(members(&value).iter().cloned().map(Cow::Owned));
                values.push(Cow::Owned(value));
            }
        });
        values
    }

    /// The values that `find_distinct` takes from the document: what the path leads to, of an
    /// array its members (one level) instead of itself. What is missing gives nothing. A value
    /// can be there several times.
    #[must_use]
    pub fn distinct_values<'a>(&self, document: &'a impl Fields) -> Vec<Cow<'a, Value>> {
        let mut values = Vec::new();
        self.collect(document, NoObject::PassedOver, |end| match end {
            None => {}
            Some(Cow::Borrowed(Value::Array(list))) => {
                values.extend(list.iter().map(Cow::Borrowed));
            }
            Some(Cow::Owned(Value::Array(list))) => {
                values.extend(list.into_iter().map(Cow::Owned));
            }
            Some(value) => values.push(value),
        });
        values
    }

    /// What the document is sorted by at this path: of several values (those of
    /// [`Path::distinct_values`], and null where something is missing) the least going up, the
    /// greatest going down.
    #[must_use]
    pub fn sort_value<'a>(&self, document: &'a impl Fields, direction: Direction) -> SortValue<'a> {
        let mut best: Option<SortValue<'a>> = None;
        let mut take = |new: SortValue<'a>| {
            let better = best
                .as_ref()
                .is_none_or(|old| direction.apply(new.compare(old)).is_lt());
            if better {
                best = Some(new);
            }
        };
        self.collect(document, NoObject::LacksField, |end| match end {
            None => take(SortValue::Value(Cow::Owned(Value::Null))),
            Some(value) if value.as_array().is_some_and(Vec::is_empty) => {
                take(SortValue::EmptyArray);
            }
            Some(Cow::Borrowed(Value::Array(list))) => {
                for member in list {
                    take(SortValue::Value(Cow::Borrowed(member)));
                }
            }
            Some(Cow::Owned(Value::Array(list))) => {
                for member in list {
                    take(SortValue::Value(Cow::Owned(member)));
                }
            }
            Some(value) => take(SortValue::Value(value)),
        });
        best.unwrap_or(SortValue::Value(Cow::Owned(Value::Null)))
    }

    /// Calls `take` with each place that this path leads to.
    fn collect<'a>(
        &self,
        document: &'a dyn Fields,
        no_object: NoObject,
        mut take: impl FnMut(Option<Cow<'a, Value>>),
    ) {
        let Some((first, rest)) = self.segments().split_first() else {
            return;
        };
        match document.field(first.name()) {
            None => take(None),
            Some(Cow::Borrowed(value)) => {
                below(value, rest, no_object, &mut |end| {
                    take(end.map(Cow::Borrowed));
                    false
                });
            }
            Some(Cow::Owned(value)) => {
                below(&value, rest, no_object, &mut |end| {
                    take(end.cloned().map(Cow::Owned));
                    false
                });
            }
        }
    }
}

fn members(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// As [`Path::leads_to`], from `value` on. Recurses once for each segment, which are bounded, and
/// gets to each value at most once.
fn below<'a>(
    value: &'a Value,
    segments: &[Segment],
    no_object: NoObject,
    fits: &mut impl FnMut(Option<&'a Value>) -> bool,
) -> bool {
    let Some((next, rest)) = segments.split_first() else {
        return fits(Some(value));
    };
    let list = match value {
        Value::Object(map) => {
            return match map.get(next.name()) {
                Some(value) => below(value, rest, no_object, fits),
                None => fits(None),
            };
        }
        Value::Array(list) => list,
        _ => return fits(None),
    };
    let Some(index) = next.index() else {
        return list.iter().any(|member| match member {
            Value::Object(_) => below(member, segments, no_object, fits),
            _ => no_object == NoObject::LacksField && fits(None),
        });
    };
    let mut somewhere = false;
    for (at, member) in list.iter().enumerate() {
        // Not both for one member: if its field were looked up too, the ways through nested
        // arrays would double at each level.
        let found = if at == index {
            Some(member)
        } else {
            member.get(next.name())
        };
        if let Some(found) = found {
            somewhere = true;
            if below(found, rest, no_object, fits) {
                return true;
            }
        }
    }
    !somewhere && fits(None)
}
