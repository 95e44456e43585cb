//! Where mingo is known to answer otherwise than MongoDB does. Each is as narrow as it can be said;
//! everything else has to agree.
//!
//! Each names the page of MongoDB's manual that we go by and what it says there. Where the manual
//! doesn't decide, the excuse says so, and the documentation of `pinyto_core::query` says what we
//! do.

use pinyto_core::query::{Condition, ElemMatch, JsonType, Path, Predicate, equal};
use serde_json::{Value, json};

/// Why a question isn't compared.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deviation {
    /// What mingo does.
    pub(crate) mingo: &'static str,
    /// The page of MongoDB's manual, as it is titled.
    pub(crate) page: &'static str,
    /// What is said there.
    pub(crate) manual: &'static str,
    /// The most of a thousand questions of one kind that it may excuse.
    pub(crate) per_mille: usize,
}

pub(crate) type Excuse = &'static Deviation;

macro_rules! excuses {
    ($($name:ident $per_mille:literal $mingo:literal $page:literal $manual:literal)+) => {
        $(const $name: Excuse = &Deviation {
            mingo: $mingo,
            page: $page,
            manual: $manual,
            per_mille: $per_mille,
        };)+

        #[test]
        fn every_excuse_names_its_page_and_sentence() {
            for excuse in [$($name),+] {
                assert!(!excuse.page.is_empty() && excuse.manual.len() > 20, "{excuse:?}");
            }
        }
    };
}

excuses! {
    GATHERED 60
        "gathers what a path leads to by way of several members in one array; then it can't tell \
         that array from arrays that are really there"
        "Query an Array of Embedded Documents"
        "\"the instock array has at least one embedded document that contains the field qty whose \
         value is less than or equal to 20\": each document's own field is compared"
    LOST 2
        "forgets the members of an array that lack the field, so null isn't found there"
        "Query for Null or Missing Fields"
        "\"the { item : null } query matches documents that either contain the item field whose \
         value is null or that do not contain the item field\"; of documents in an array it says \
         nothing else"
    LISTS_IN_LISTS 60
        "takes an array inside of an array for what the path leads to"
        "Query an Array of Embedded Documents"
        "\"concatenate the name of the array field, with a dot (.) and the name of the field in the \
         nested document\": it speaks of documents in an array, and not of arrays in arrays; we \
         don't go into those"
    SCALAR_MEMBERS 2
        "applies $elemMatch with fields to members that are no documents, taking the member for \
         any of its fields"
        "$elemMatch (query)"
        "\"at least one element that matches all the specified query criteria\"; its examples with \
         fields have embedded documents. It doesn't decide about other members: for us they have no \
         fields, not even missing ones"
    WHOLE_ARRAYS 10
        "orders only the members of an array when it compares with an array"
        "Comparison/Sort Order"
        "\"MongoDB enforces comparisons with Comparison Query Predicate Operators only on documents \
         where the BSON type of the target field matches the query operand type\": arrays with \
         arrays"
    OBJECTS 10
        "orders objects by all their names first"
        "Comparison/Sort Order"
        "\"Recursively compare key-value pairs in the order that they appear within the BSON \
         object\"; for us that is the order of their names"
    MISSING_AS_NULL 8
        "doesn't take what is missing as null in $gte and $lte"
        "Comparison/Sort Order"
        "documents without the field and with null there are \"equivalent in sort order\". It says \
         so of sorting only; that $gte and $lte with null find both is what follows for us"
    ALL_IS_AND 42
        "wants an array for $all, and looks at its members only"
        "$all"
        "\"The $all operator is equivalent to an $and operation of the specified values\""
    MEMBER_TYPES 6
        "looks only at the array for $type"
        "$type"
        "\"For documents where field is an array, $type returns documents in which at least one \
         array element matches a type passed to $type\""
    NUMBER_TYPES 2
        "has one type of numbers"
        "$type"
        "its table of types has double (1), int (16) and long (18) apart, and number for all of them. \
         Which one a number of JSON is, is ours to say: by how it was written"
    WHOLE_IN 8
        "looks only at an array's members for $in"
        "Query an Array, and Query Documents"
        "an array equals \"an exact array\", and $in is what \"you can express\" by $or of equalities"
    INNER_MEMBERS 3
        "looks into members of $elemMatch that are arrays"
        "$elemMatch (query)"
        "\"at least one element that matches all the specified query criteria\": an element, not one \
         of an element's own. Fields of arrays in arrays it doesn't mention"
    INNER_LISTS 2
        "looks into members of members for $eq on a dotted path, and for $regex"
        "Query an Array"
        "\"To query if the array field contains at least one element with the specified value\": an \
         element of the array, not one of an element's own"
    REMAINDER 17
        "divides whatever JavaScript can make a number of, fractions included"
        "$mod"
        "\"The $mod expression rounds decimal input towards zero\", and it is the value of a field \
         that is divided, which only numbers can be"
    ARRAY_ORDER 50
        "compares arrays in its own way"
        "Comparison/Sort Order"
        "\"an ascending sort compares the smallest element of the array\", and \"a descending sort \
         compares the largest element\""
    MISSING_BEFORE_NULL 2
        "puts what is missing before null"
        "Comparison/Sort Order"
        "documents without the field and with null there are \"equivalent in sort order\""
}

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
        _ => None,
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
