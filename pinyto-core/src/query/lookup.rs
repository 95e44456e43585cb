//! What a path leads to in a document.

use std::{borrow::Cow, convert::Infallible};

use serde_json::Value;

use super::{Direction, Fields, Path, Segment, SortValue, Stopped, Watch};

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
    pub(super) fn leads_to<'w>(
        &self,
        document: &dyn Fields,
        watch: &mut Watch<'w>,
        mut fits: impl FnMut(Option<&Value>, &mut Watch<'w>) -> Result<bool, Stopped>,
    ) -> Result<bool, Stopped> {
        // A path has at least one segment.
        let Some((first, rest)) = self.segments().split_first() else {
            return Ok(false);
        };
        match document.field(first.name()) {
            None => fits(None, watch),
            Some(value) => {
                let mut ends = Fitting { watch, fits };
                below(&value, rest, NoObject::PassedOver, &mut ends)
            }
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
                let all = |end: Option<&'a Value>| take(end.map(Cow::Borrowed));
                let Ok(_) = below(value, rest, no_object, &mut All(all));
            }
            Some(Cow::Owned(value)) => {
                let all = |end: Option<&Value>| take(end.cloned().map(Cow::Owned));
                let Ok(_) = below(&value, rest, no_object, &mut All(all));
            }
        }
    }
}

/// Who is told where a path leads.
trait Ends<'a> {
    /// Why that may end early.
    type Stop;

    /// Here, or to something missing. Whether that was enough.
    fn end(&mut self, end: Option<&'a Value>) -> Result<bool, Self::Stop>;

    /// Through a list with so many members.
    fn passes(&mut self, members: usize) -> Result<(), Self::Stop>;
}

/// Looks for one that fits.
struct Fitting<'s, 'w, F> {
    watch: &'s mut Watch<'w>,
    fits: F,
}

impl<'a, 'w, F> Ends<'a> for Fitting<'_, 'w, F>
where
    F: FnMut(Option<&'a Value>, &mut Watch<'w>) -> Result<bool, Stopped>,
{
    type Stop = Stopped;

    fn end(&mut self, end: Option<&'a Value>) -> Result<bool, Stopped> {
        (self.fits)(end, self.watch)
    }

    fn passes(&mut self, members: usize) -> Result<(), Stopped> {
        self.watch.charge(members)
    }
}

/// Takes all.
struct All<F>(F);

impl<'a, F: FnMut(Option<&'a Value>)> Ends<'a> for All<F> {
    type Stop = Infallible;

    fn end(&mut self, end: Option<&'a Value>) -> Result<bool, Infallible> {
        (self.0)(end);
        Ok(false)
    }

    fn passes(&mut self, _members: usize) -> Result<(), Infallible> {
        Ok(())
    }
}

fn members(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// As [`Path::leads_to`], from `value` on. Recurses once for each segment, which are bounded, and
/// gets to each value at most once.
fn below<'a, E: Ends<'a>>(
    value: &'a Value,
    segments: &[Segment],
    no_object: NoObject,
    ends: &mut E,
) -> Result<bool, E::Stop> {
    let Some((next, rest)) = segments.split_first() else {
        return ends.end(Some(value));
    };
    let list = match value {
        Value::Object(map) => {
            return match map.get(next.name()) {
                Some(value) => below(value, rest, no_object, ends),
                None => ends.end(None),
            };
        }
        Value::Array(list) => list,
        _ => return ends.end(None),
    };
    ends.passes(list.len())?;
    let Some(index) = next.index() else {
        for member in list {
            let is_enough = match member {
                Value::Object(_) => below(member, segments, no_object, ends)?,
                _ => no_object == NoObject::LacksField && ends.end(None)?,
            };
            if is_enough {
                return Ok(true);
            }
        }
        return Ok(false);
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
            if below(found, rest, no_object, ends)? {
                return Ok(true);
            }
        }
    }
    Ok(!somewhere && ends.end(None)?)
}
