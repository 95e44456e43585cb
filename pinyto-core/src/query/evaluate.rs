//! Whether a condition holds for a document.
//!
//! A query's nesting is bounded, so this may recurse along it. Everything a path leads to is
//! looked at once for each predicate.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    Condition, ElemMatch, Fields, Path, Predicate, Stopped, TypeClass, Watch,
    fields::Members,
    order::{counted_compare, counted_equal, truncated},
};

type Answer = Result<bool, Stopped>;

/// Whether `condition` holds for what has these fields.
pub(super) fn holds(condition: &Condition, document: &dyn Fields, watch: &mut Watch<'_>) -> Answer {
    watch.charge(1)?;
    match condition {
        Condition::And(all) => every(all, |one| holds(one, document, watch)),
        Condition::Or(all) => some(all, |one| holds(one, document, watch)),
        Condition::Nor(all) => not(some(all, |one| holds(one, document, watch))),
        Condition::Field { path, predicate } => holds_at(path, predicate, document, watch),
    }
}

/// Whether `predicate` holds for what `path` leads to.
fn holds_at(
    path: &Path,
    predicate: &Predicate,
    document: &dyn Fields,
    watch: &mut Watch<'_>,
) -> Answer {
    match predicate {
        Predicate::Eq(value) => leads_to_equal(path, value, document, watch),
        Predicate::Ne(value) => not(leads_to_equal(path, value, document, watch)),
        Predicate::In(values) => leads_to_one_of(path, values, document, watch),
        Predicate::Nin(values) => not(leads_to_one_of(path, values, document, watch)),
        Predicate::All(values) => Ok(!values.is_empty()
            && every(values, |value| leads_to_equal(path, value, document, watch))?),
        Predicate::Not(all) => not(every(all, |one| holds_at(path, one, document, watch))),
        Predicate::Exists(wanted) => {
            let is_there = path.leads_to(document, watch, |end, _| Ok(end.is_some()))?;
            Ok(is_there == *wanted)
        }
        Predicate::Size(_) | Predicate::ElemMatch(_) => {
            path.leads_to(document, watch, |end, watch| match end {
                Some(value) => holds_for(predicate, value, watch),
                None => Ok(false),
            })
        }
        Predicate::Gt(_) | Predicate::Gte(_) | Predicate::Lt(_) | Predicate::Lte(_) => {
            leads_to(path, document, true, watch, |value, watch| {
                holds_for(predicate, value, watch)
            })
        }
        Predicate::Type(_) | Predicate::Regex(_) | Predicate::Mod { .. } => {
            leads_to(path, document, false, watch, |value, watch| {
                holds_for(predicate, value, watch)
            })
        }
    }
}

fn leads_to_equal(
    path: &Path,
    wanted: &Value,
    document: &dyn Fields,
    watch: &mut Watch<'_>,
) -> Answer {
    leads_to(path, document, true, watch, |value, watch| {
        equals(value, wanted, watch)
    })
}

fn leads_to_one_of(
    path: &Path,
    wanted: &[Value],
    document: &dyn Fields,
    watch: &mut Watch<'_>,
) -> Answer {
    leads_to(path, document, true, watch, |value, watch| {
        is_one_of(value, wanted, watch)
    })
}

/// Whether one of the values that `path` leads to fits, an array's members among them.
fn leads_to(
    path: &Path,
    document: &dyn Fields,
    missing_is_null: bool,
    watch: &mut Watch<'_>,
    mut fits: impl FnMut(&Value, &mut Watch<'_>) -> Answer,
) -> Answer {
    path.leads_to(document, watch, |end, watch| match end {
        None => Ok(missing_is_null && fits(&Value::Null, watch)?),
        Some(value) => Ok(match value {
            Value::Array(list) => some(list, |member| fits(member, watch))?,
            _ => false,
        } || fits(value, watch)?),
    })
}

/// Whether `predicate` holds for `value` itself, which isn't looked into.
fn holds_for(predicate: &Predicate, value: &Value, watch: &mut Watch<'_>) -> Answer {
    watch.charge(1)?;
    match predicate {
        Predicate::Eq(wanted) => equals(value, wanted, watch),
        Predicate::Ne(wanted) => not(equals(value, wanted, watch)),
        Predicate::Gt(bound) => ordered(value, bound, Ordering::is_gt, watch),
        Predicate::Gte(bound) => ordered(value, bound, Ordering::is_ge, watch),
        Predicate::Lt(bound) => ordered(value, bound, Ordering::is_lt, watch),
        Predicate::Lte(bound) => ordered(value, bound, Ordering::is_le, watch),
        Predicate::In(wanted) => is_one_of(value, wanted, watch),
        Predicate::Nin(wanted) => not(is_one_of(value, wanted, watch)),
        Predicate::Exists(wanted) => Ok(*wanted),
        Predicate::Type(types) => Ok(types.iter().any(|kind| kind.fits(value))),
        Predicate::Regex(pattern) => match value {
            Value::String(text) => watch.occurs(pattern, text),
            _ => Ok(false),
        },
        Predicate::Not(all) => not(every(all, |one| holds_for(one, value, watch))),
        Predicate::All(wanted) => {
            Ok(!wanted.is_empty() && every(wanted, |wanted| equals(value, wanted, watch))?)
        }
        Predicate::Size(size) => Ok(value
            .as_array()
            .is_some_and(|list| u64::try_from(list.len()) == Ok(*size))),
        Predicate::ElemMatch(wanted) => match value {
            Value::Array(list) => some(list, |member| member_matches(wanted, member, watch)),
            _ => Ok(false),
        },
        Predicate::Mod { divisor, remainder } => Ok(value
            .as_number()
            .and_then(truncated)
            .is_some_and(|number| number % i128::from(*divisor) == i128::from(*remainder))),
    }
}

fn member_matches(wanted: &ElemMatch, member: &Value, watch: &mut Watch<'_>) -> Answer {
    watch.charge(1)?;
    match (wanted, member) {
        (ElemMatch::Values(all), member) => every(all, |one| holds_for(one, member, watch)),
        (ElemMatch::Documents(condition), Value::Object(object)) => holds(condition, object, watch),
        (ElemMatch::Documents(condition), Value::Array(list)) => {
            holds(condition, &Members(list), watch)
        }
        (ElemMatch::Documents(_), _) => Ok(false),
    }
}

fn equals(value: &Value, wanted: &Value, watch: &mut Watch<'_>) -> Answer {
    let mut looked_at = 1;
    let is_equal = counted_equal(value, wanted, &mut looked_at);
    watch.charge(looked_at)?;
    Ok(is_equal)
}

fn ordered(
    value: &Value,
    bound: &Value,
    fits: fn(Ordering) -> bool,
    watch: &mut Watch<'_>,
) -> Answer {
    if TypeClass::of(value) != TypeClass::of(bound) {
        return Ok(false);
    }
    let mut looked_at = 1;
    let order = counted_compare(value, bound, &mut looked_at);
    watch.charge(looked_at)?;
    Ok(fits(order))
}

/// `wanted` is in order.
fn is_one_of(value: &Value, wanted: &[Value], watch: &mut Watch<'_>) -> Answer {
    let mut looked_at = 1;
    let found = wanted.binary_search_by(|one| counted_compare(one, value, &mut looked_at));
    watch.charge(looked_at)?;
    Ok(found.is_ok())
}

fn not(answer: Answer) -> Answer {
    answer.map(|is_so| !is_so)
}

fn every<T>(all: impl IntoIterator<Item = T>, mut fits: impl FnMut(T) -> Answer) -> Answer {
    for one in all {
        if !fits(one)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn some<T>(all: impl IntoIterator<Item = T>, mut fits: impl FnMut(T) -> Answer) -> Answer {
    for one in all {
        if fits(one)? {
            return Ok(true);
        }
    }
    Ok(false)
}
