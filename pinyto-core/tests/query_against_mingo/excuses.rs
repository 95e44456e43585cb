//! Where mingo is known to answer otherwise than MongoDB's manual or server. Each is as narrow as
//! it can be said; everything else has to agree.

use pinyto_core::query::{Condition, ElemMatch, JsonType, Path, Predicate, equal};
use serde_json::{Value, json};

/// Why a question isn't compared.
pub(crate) type Excuse = &'static str;

const GATHERED: Excuse = "mingo gathers what a path leads to by way of several members in one \
    array; then it can't tell that array from arrays that are really there";
const LOST: Excuse = "mingo forgets the members of an array that lack the field, so null isn't \
    found there; the manual: null matches what doesn't contain the field";
const LISTS_IN_LISTS: Excuse = "mingo takes an array inside of an array for what the path leads \
    to; the manual: a path goes into the documents in an array";
const SCALAR_MEMBERS: Excuse = "mingo applies $elemMatch with fields to members that are no \
    documents, taking the member for any of its fields";
const WHOLE_ARRAYS: Excuse =
    "mingo orders only the members of an array; the manual also compares arrays with arrays";
const OBJECTS: Excuse =
    "mingo orders objects by all their names first; the manual goes field by field";
const MISSING_AS_NULL: Excuse = "mingo doesn't take what is missing as null in $gte and $lte";
const ALL_IS_AND: Excuse = "mingo wants an array for $all, and looks at its members only; the \
    manual: $all is an $and of equalities";
const MEMBER_TYPES: Excuse =
    "mingo looks only at the array for $type; the manual also at its members";
const NUMBER_TYPES: Excuse = "mingo has one type of numbers";
const WHOLE_IN: Excuse = "mingo looks only at an array's members for $in; the manual: $in is an \
    $or of equalities";
const INNER_MEMBERS: Excuse = "mingo looks into members of $elemMatch that are arrays; the server \
    takes a member as it is";
const INNER_LISTS: Excuse = "mingo looks into members of members for $eq on a dotted path, and \
    for $regex; the manual says members";
const REMAINDER: Excuse = "mingo divides whatever JavaScript can make a number of; \
    the manual: fractions are cut off, and only numbers are divided";

const ARRAY_ORDER: Excuse = "mingo compares arrays in its own way; the manual: by the least \
    member going up, by the greatest going down";
const MISSING_BEFORE_NULL: Excuse =
    "mingo puts what is missing before null; the manual: they are equal";

/// Why it may not be agreed whether `document` matches, if it may.
pub(crate) fn of_match(condition: &Condition, document: &Value) -> Option<Excuse> {
    match condition {
        Condition::And(all) | Condition::Or(all) | Condition::Nor(all) => {
            all.iter().find_map(|one| of_match(one, document))
        }
        Condition::Field { path, predicate } => at_path(path, predicate, document),
        _ => None,
    }
}

/// Why the order of `documents` may not be agreed, if it may.
pub(crate) fn of_order(documents: &[Value], path: &str) -> Option<Excuse> {
    let names: Vec<_> = path.split('.').collect();
    let reached: Vec<_> = documents
        .iter()
        .map(|document| Reached::by(&names, document))
        .collect();
    let ends = || reached.iter().flat_map(|reached| &reached.ends);
    if reached.iter().any(|reached| reached.times > 0) || ends().flatten().any(|end| end.is_array())
    {
        return Some(ARRAY_ORDER);
    }
    if ends().any(Option::is_none) && ends().flatten().any(|end| end.is_null()) {
        return Some(MISSING_BEFORE_NULL);
    }
    (ends().flatten().filter(|end| end.is_object()).count() > 1).then_some(OBJECTS)
}

/// Why it may not be agreed which values there are, if it may.
pub(crate) fn of_distinct(documents: &[Value], path: &str) -> Option<Excuse> {
    let names: Vec<_> = path.split('.').collect();
    documents.iter().find_map(|document| {
        let reached = Reached::by(&names, document);
        let array = reached.ends.iter().flatten().any(|end| end.is_array());
        if reached.lists_in_lists {
            Some(LISTS_IN_LISTS)
        } else {
            (reached.times > 0 && (array || reached.times > 1)).then_some(GATHERED)
        }
    })
}

fn at_path(path: &Path, predicate: &Predicate, document: &Value) -> Option<Excuse> {
    if let Predicate::Not(all) = predicate {
        return all.iter().find_map(|one| at_path(path, one, document));
    }
    let names: Vec<_> = path.as_str().split('.').collect();
    let reached = Reached::by(&names, document);
    let dotted = names.len() > 1;
    let index_after_members = names
        .last()
        .is_some_and(|name| name.parse::<usize>().is_ok());
    let ends: Vec<&Value> = reached.ends.iter().copied().flatten().collect();
    let arrays = || ends.iter().filter_map(|end| end.as_array());
    let lacking = reached.ends.iter().any(Option::is_none);

    if reached.lists_in_lists {
        return Some(LISTS_IN_LISTS);
    }
    let gathers = reached.times > 1 || index_after_members || asks_for_arrays(predicate);
    if reached.times > 0 && (gathers || arrays().next().is_some()) {
        return Some(GATHERED);
    }
    if reached.times > 0 && lacking && asks_for_null(predicate) {
        return Some(LOST);
    }
    let nested = arrays().flatten().any(Value::is_array);
    match predicate {
        Predicate::Eq(_) | Predicate::Ne(_) if dotted && nested => Some(INNER_LISTS),
        Predicate::Regex(_) if nested => Some(INNER_LISTS),
        Predicate::Gt(bound)
        | Predicate::Gte(bound)
        | Predicate::Lt(bound)
        | Predicate::Lte(bound) => match bound {
            Value::Array(_) => Some(WHOLE_ARRAYS),
            Value::Object(_) => Some(OBJECTS),
            Value::Null if lacking => Some(MISSING_AS_NULL),
            _ => None,
        },
        Predicate::In(values) | Predicate::Nin(values) => {
            (values.iter().any(Value::is_array) && arrays().next().is_some()).then_some(WHOLE_IN)
        }
        Predicate::All(values) => {
            let whole = values.iter().any(Value::is_array) && arrays().next().is_some();
            let same = values.windows(2).all(|pair| equal(&pair[0], &pair[1]));
            let no_array = reached
                .ends
                .iter()
                .any(|end| !end.is_some_and(Value::is_array));
            (whole || no_array && same).then_some(ALL_IS_AND)
        }
        Predicate::Type(types) => {
            let numeric = |kind: &JsonType| kind.fits(&json!(1)) || kind.fits(&json!(1.5));
            if arrays().next().is_some() {
                Some(MEMBER_TYPES)
            } else if types
                .iter()
                .any(|kind| numeric(kind) && *kind != JsonType::Number)
                && ends.iter().any(|end| end.is_number())
            {
                Some(NUMBER_TYPES)
            } else {
                None
            }
        }
        Predicate::Mod { .. } => (ends.iter().filter(|end| !end.is_array()).copied())
            .chain(arrays().flatten())
            .any(|value| !value.is_i64())
            .then_some(REMAINDER),
        Predicate::ElemMatch(member) => arrays()
            .flatten()
            .find_map(|value| in_member(member, value)),
        _ => None,
    }
}

fn in_member(wanted: &ElemMatch, member: &Value) -> Option<Excuse> {
    match wanted {
        _ if member.is_array() => Some(INNER_MEMBERS),
        ElemMatch::Documents(_) if !member.is_object() => Some(SCALAR_MEMBERS),
        ElemMatch::Documents(condition) => of_match(condition, member),
        // The way mingo does it, too.
        ElemMatch::Values(all) => {
            let path = Path::parse("field").unwrap();
            let document = json!({ "field": member });
            all.iter().find_map(|one| at_path(&path, one, &document))
        }
    }
}

/// Equality with null, or a comparison that null could fulfil.
fn asks_for_null(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Eq(value)
        | Predicate::Ne(value)
        | Predicate::Gte(value)
        | Predicate::Lte(value) => value.is_null(),
        Predicate::In(values) | Predicate::Nin(values) | Predicate::All(values) => {
            values.contains(&Value::Null)
        }
        _ => false,
    }
}

fn asks_for_arrays(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Eq(value) | Predicate::Ne(value) => value.is_array(),
        Predicate::Size(_) | Predicate::ElemMatch(_) | Predicate::Type(_) | Predicate::All(_) => {
            true
        }
        _ => false,
    }
}

/// What a path leads to.
#[derive(Default)]
struct Reached<'a> {
    /// How often in a row it goes into the members of an array, at most.
    times: usize,
    /// Whether such an array has arrays among its members.
    lists_in_lists: bool,
    /// Each end; none where something is missing.
    ends: Vec<Option<&'a Value>>,
}

impl<'a> Reached<'a> {
    fn by(names: &[&str], document: &'a Value) -> Self {
        let mut reached = Self::default();
        reached.walk(document, names, 0);
        reached
    }

    fn walk(&mut self, value: &'a Value, names: &[&str], times: usize) {
        self.times = self.times.max(times);
        let Some((name, rest)) = names.split_first() else {
            return self.ends.push(Some(value));
        };
        let next = match (value, name.parse::<usize>()) {
            (Value::Array(list), Ok(index)) => list.get(index),
            (Value::Array(list), Err(_)) => {
                self.times = self.times.max(times + 1);
                self.lists_in_lists |= list.iter().any(Value::is_array);
                for member in list.iter().filter(|member| member.is_object()) {
                    self.walk(member, names, times + 1);
                }
                return;
            }
            (value, _) => value.get(name),
        };
        match next {
            Some(next) => self.walk(next, rest, times),
            None => self.ends.push(None),
        }
    }
}
