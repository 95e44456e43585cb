//! Whether a condition holds for a document.
//!
//! A query's nesting is bounded, so this may recurse along it. Everything a path leads to is
//! looked at once for each predicate.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    Condition, ElemMatch, Fields, Path, Predicate, TypeClass, compare, equal, fields::Members,
    order::truncated,
};

/// Whether `condition` holds for what has these fields.
pub(super) fn holds(condition: &Condition, document: &dyn Fields) -> bool {
    match condition {
        Condition::And(all) => all.iter().all(|one| holds(one, document)),
        Condition::Or(all) => all.iter().any(|one| holds(one, document)),
        Condition::Nor(all) => !all.iter().any(|one| holds(one, document)),
        Condition::Field { path, predicate } => holds_at(path, predicate, document),
    }
}

/// Whether `predicate` holds for what `path` leads to.
fn holds_at(path: &Path, predicate: &Predicate, document: &dyn Fields) -> bool {
    match predicate {
        Predicate::Eq(value) => leads_to_equal(path, value, document),
        Predicate::Ne(value) => !leads_to_equal(path, value, document),
        Predicate::In(values) => leads_to_one_of(path, values, document),
        Predicate::Nin(values) => !leads_to_one_of(path, values, document),
        Predicate::All(values) => {
            !values.is_empty()
                && values
                    .iter()
                    .all(|value| leads_to_equal(path, value, document))
        }
        Predicate::Not(all) => !all.iter().all(|one| holds_at(path, one, document)),
        Predicate::Exists(wanted) => path.leads_to(document, |end| end.is_some()) == *wanted,
        Predicate::Size(_) | Predicate::ElemMatch(_) => path.leads_to(document, |end| {
            end.is_some_and(|value| holds_for(predicate, value))
        }),
        Predicate::Gt(_) | Predicate::Gte(_) | Predicate::Lt(_) | Predicate::Lte(_) => {
            leads_to(path, document, true, |value| holds_for(predicate, value))
        }
        Predicate::Type(_) | Predicate::Regex(_) | Predicate::Mod { .. } => {
            leads_to(path, document, false, |value| holds_for(predicate, value))
        }
    }
}

fn leads_to_equal(path: &Path, wanted: &Value, document: &dyn Fields) -> bool {
    leads_to(path, document, true, |value| equal(value, wanted))
}

fn leads_to_one_of(path: &Path, wanted: &[Value], document: &dyn Fields) -> bool {
    leads_to(path, document, true, |value| is_one_of(value, wanted))
}

/// Whether one of the values that `path` leads to fits, an array's members among them.
fn leads_to(
    path: &Path,
    document: &dyn Fields,
    missing_is_null: bool,
    mut fits: impl FnMut(&Value) -> bool,
) -> bool {
    path.leads_to(document, |end| match end {
        None => missing_is_null && fits(&Value::Null),
        Some(Value::Array(list)) if list.iter().any(&mut fits) => true,
        Some(value) => fits(value),
    })
}

/// Whether `predicate` holds for `value` itself, which isn't looked into.
fn holds_for(predicate: &Predicate, value: &Value) -> bool {
    match predicate {
        Predicate::Eq(wanted) => equal(value, wanted),
        Predicate::Ne(wanted) => !equal(value, wanted),
        Predicate::Gt(bound) => ordered(value, bound, Ordering::is_gt),
        Predicate::Gte(bound) => ordered(value, bound, Ordering::is_ge),
        Predicate::Lt(bound) => ordered(value, bound, Ordering::is_lt),
        Predicate::Lte(bound) => ordered(value, bound, Ordering::is_le),
        Predicate::In(wanted) => is_one_of(value, wanted),
        Predicate::Nin(wanted) => !is_one_of(value, wanted),
        Predicate::Exists(wanted) => *wanted,
        Predicate::Type(types) => types.iter().any(|kind| kind.fits(value)),
        Predicate::Regex(pattern) => value.as_str().is_some_and(|text| pattern.occurs_in(text)),
        Predicate::Not(all) => !all.iter().all(|one| holds_for(one, value)),
        Predicate::All(wanted) => {
            !wanted.is_empty() && wanted.iter().all(|wanted| equal(value, wanted))
        }
        Predicate::Size(size) => value
            .as_array()
            .is_some_and(|list| u64::try_from(list.len()) == Ok(*size)),
        Predicate::ElemMatch(member) => value
            .as_array()
            .is_some_and(|list| list.iter().any(|value| member_matches(member, value))),
        Predicate::Mod { divisor, remainder } => value
            .as_number()
            .and_then(truncated)
            .is_some_and(|number| number % i128::from(*divisor) == i128::from(*remainder)),
    }
}

fn member_matches(wanted: &ElemMatch, member: &Value) -> bool {
    match (wanted, member) {
        (ElemMatch::Values(all), member) => all.iter().all(|one| holds_for(one, member)),
        (ElemMatch::Documents(condition), Value::Object(object)) => holds(condition, object),
        (ElemMatch::Documents(condition), Value::Array(list)) => holds(condition, &Members(list)),
        (ElemMatch::Documents(_), _) => false,
    }
}

fn ordered(value: &Value, bound: &Value, fits: fn(Ordering) -> bool) -> bool {
    TypeClass::of(value) == TypeClass::of(bound) && fits(compare(value, bound))
}

/// `wanted` is in order.
fn is_one_of(value: &Value, wanted: &[Value]) -> bool {
    wanted.binary_search_by(|one| compare(one, value)).is_ok()
}
