//! From JSON to conditions.

use serde_json::{Map, Value};

use super::{
    Condition, ElemMatch, InvalidQuery, JsonType, Path, Pattern, Predicate, Query, compare,
    error::excerpt,
};

const A_QUERY: &str = "an object with a query";

/// Reads a query.
pub(super) fn query(value: &Value) -> Result<Condition, InvalidQuery> {
    // First, so that everything after may recurse.
    measure(value)?;
    let Some(object) = value.as_object() else {
        return Err(InvalidQuery::NotAnObject {
            found: describe(value),
        });
    };
    Parser::default().condition(object)
}

/// Checks how deep and how large `value` is. Doesn't recurse: nobody knows yet how deep it is.
fn measure(value: &Value) -> Result<(), InvalidQuery> {
    let mut bytes = 0_usize;
    let mut rest = vec![(value, 0)];
    while let Some((value, above)) = rest.pop() {
        bytes += 1;
        match value {
            Value::String(text) => bytes += text.len() + 2,
            Value::Array(_) | Value::Object(_) if above == Query::MAX_DEPTH => {
                return Err(InvalidQuery::TooDeep);
            }
            // Asked before the members are noted down, so that noting them down is bounded too.
            Value::Array(list) if list.len() > Query::MAX_BYTES => {
                return Err(InvalidQuery::TooLarge);
            }
            Value::Array(list) => rest.extend(list.iter().map(|member| (member, above + 1))),
            Value::Object(map) => {
                for (name, member) in map {
                    bytes += name.len() + 3;
                    if bytes > Query::MAX_BYTES {
                        return Err(InvalidQuery::TooLarge);
                    }
                    rest.push((member, above + 1));
                }
            }
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
        if bytes > Query::MAX_BYTES {
            return Err(InvalidQuery::TooLarge);
        }
    }
    Ok(())
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Counts what there may be only so many of.
#[derive(Default)]
struct Parser {
    conditions: usize,
    patterns: usize,
}

impl Parser {
    fn count_condition(&mut self) -> Result<(), InvalidQuery> {
        self.conditions += 1;
        if self.conditions > Query::MAX_CONDITIONS {
            return Err(InvalidQuery::TooManyConditions);
        }
        Ok(())
    }

    /// `{"a": 1, "$or": [...], ...}`
    fn condition(&mut self, object: &Map<String, Value>) -> Result<Condition, InvalidQuery> {
        if object.is_empty() {
            self.count_condition()?;
        }
        let mut all = Vec::with_capacity(object.len());
        for (name, operand) in object {
            match name.as_str() {
                "$and" => all.push(Condition::And(self.branches("$and", operand)?)),
                "$or" => all.push(Condition::Or(self.branches("$or", operand)?)),
                "$nor" => all.push(Condition::Nor(self.branches("$nor", operand)?)),
                operator if operator.starts_with('$') => return Err(no_such(operator, "")),
                path => self.field(&parse_path(path)?, operand, &mut all)?,
            }
        }
        Ok(match all.len() {
            1 => all.swap_remove(0),
            _ => Condition::And(all),
        })
    }

    fn branches(
        &mut self,
        operator: &'static str,
        operand: &Value,
    ) -> Result<Vec<Condition>, InvalidQuery> {
        self.count_condition()?;
        let wrong = || {
            invalid(
                operator,
                "",
                "an array with at least one query, each an object",
            )
        };
        let list = operand.as_array().filter(|list| !list.is_empty());
        list.ok_or_else(wrong)?
            .iter()
            .map(|branch| self.condition(branch.as_object().ok_or_else(wrong)?))
            .collect()
    }

    /// What stands at a path: a value, or operators.
    fn field(
        &mut self,
        path: &Path,
        operand: &Value,
        all: &mut Vec<Condition>,
    ) -> Result<(), InvalidQuery> {
        let predicates = match operand {
            Value::Object(object) if object.keys().any(|key| key.starts_with('$')) => {
                self.predicates(path, object)?
            }
            value => {
                self.count_condition()?;
                vec![Predicate::Eq(literal(path, value)?)]
            }
        };
        all.extend(predicates.into_iter().map(|predicate| Condition::Field {
            path: path.clone(),
            predicate,
        }));
        Ok(())
    }

    /// `{"$gt": 1, "$lt": 5, ...}`
    fn predicates(
        &mut self,
        path: &Path,
        object: &Map<String, Value>,
    ) -> Result<Vec<Predicate>, InvalidQuery> {
        let mut all = Vec::with_capacity(object.len());
        for (name, operand) in object {
            self.count_condition()?;
            all.push(match name.as_str() {
                "$eq" => Predicate::Eq(literal(path, operand)?),
                "$ne" => Predicate::Ne(literal(path, operand)?),
                "$gt" => Predicate::Gt(literal(path, operand)?),
                "$gte" => Predicate::Gte(literal(path, operand)?),
                "$lt" => Predicate::Lt(literal(path, operand)?),
                "$lte" => Predicate::Lte(literal(path, operand)?),
                "$in" => Predicate::In(set("$in", path, operand)?),
                "$nin" => Predicate::Nin(set("$nin", path, operand)?),
                "$exists" => Predicate::Exists(exists(path, operand)?),
                "$type" => Predicate::Type(types(path, operand)?),
                "$regex" => {
                    Predicate::Regex(self.pattern(path, operand, object.get("$options"))?)
                }
                "$options" if object.contains_key("$regex") => continue,
                "$not" => Predicate::Not(self.not(path, operand)?),
                "$all" => match self.all_elem_match(path, operand)? {
                    Some(members) => {
                        all.extend(members);
                        continue;
                    }
                    None => Predicate::All(members("$all", path, operand)?),
                },
                "$size" => Predicate::Size(size(path, operand)?),
                "$elemMatch" => Predicate::ElemMatch(self.elem_match(path, operand)?.into()),
                "$mod" => modulo(path, operand)?,
                operator if operator.starts_with('$') => {
                    return Err(no_such(operator, path.as_str()));
                }
                field => {
                    return Err(InvalidQuery::FieldAmongOperators {
                        field: excerpt(field),
                        path: path.to_string(),
                    });
                }
            });
        }
        Ok(all)
    }

    fn pattern(
        &mut self,
        path: &Path,
        pattern: &Value,
        options: Option<&Value>,
    ) -> Result<Pattern, InvalidQuery> {
        self.patterns += 1;
        if self.patterns > Query::MAX_PATTERNS {
            return Err(InvalidQuery::TooManyPatterns);
        }
        let pattern = pattern
            .as_str()
            .ok_or_else(|| invalid("$regex", path.as_str(), "a text"))?;
        let options = match options {
            None => "",
            Some(options) => options.as_str().ok_or_else(|| {
                invalid(
                    "$options",
                    path.as_str(),
                    "a text with some of the letters i, m, s and x",
                )
            })?,
        };
        Pattern::new(pattern, options).map_err(|reason| InvalidQuery::InvalidPattern {
            path: path.to_string(),
            reason,
        })
    }

    fn not(&mut self, path: &Path, operand: &Value) -> Result<Vec<Predicate>, InvalidQuery> {
        match operand.as_object() {
            Some(object) if !object.is_empty() => self.predicates(path, object),
            _ => Err(invalid(
                "$not",
                path.as_str(),
                "an object with operators, for example {\"$regex\": \"x\"}",
            )),
        }
    }

    fn elem_match(&mut self, path: &Path, operand: &Value) -> Result<ElemMatch, InvalidQuery> {
        let object = operand
            .as_object()
            .ok_or_else(|| invalid("$elemMatch", path.as_str(), A_QUERY))?;
        // `$and` and its kin join queries of a document, everything else with `$` looks at values.
        let of_values =
            |key: &String| key.starts_with('$') && !matches!(key.as_str(), "$and" | "$or" | "$nor");
        Ok(if object.keys().any(of_values) {
            ElemMatch::Values(self.predicates(path, object)?)
        } else {
            ElemMatch::Documents(self.condition(object)?)
        })
    }

    /// `{"$all": [{"$elemMatch": ...}, ...]}`, if it is that.
    fn all_elem_match(
        &mut self,
        path: &Path,
        operand: &Value,
    ) -> Result<Option<Vec<Predicate>>, InvalidQuery> {
        fn inside(member: &Value) -> Option<&Value> {
            let object = member.as_object().filter(|object| object.len() == 1)?;
            object.get("$elemMatch")
        }
        let Some(list) = operand.as_array() else {
            return Ok(None);
        };
        if !list.iter().any(|member| inside(member).is_some()) {
            return Ok(None);
        }
        let members = list.iter().map(|member| {
            self.count_condition()?;
            let operand = inside(member).ok_or_else(|| {
                invalid(
                    "$all",
                    path.as_str(),
                    "either only values or only objects with $elemMatch",
                )
            })?;
            self.elem_match(path, operand)
                .map(|member| Predicate::ElemMatch(member.into()))
        });
        members.collect::<Result<_, _>>().map(Some)
    }
}

fn parse_path(text: &str) -> Result<Path, InvalidQuery> {
    Path::parse(text).map_err(|reason| InvalidQuery::InvalidPath {
        path: excerpt(text),
        reason,
    })
}

fn invalid(operator: &'static str, path: &str, expected: &'static str) -> InvalidQuery {
    InvalidQuery::InvalidOperand {
        operator,
        path: path.to_owned(),
        expected,
    }
}

/// What to say to a key with `$` that isn't read where it stands.
fn no_such(operator: &str, path: &str) -> InvalidQuery {
    let hint = match operator {
        "$and" | "$or" | "$nor" => "it joins whole queries, so it stands outside of paths",
        "$options" => "it belongs beside $regex",
        "$not" if path.is_empty() => {
            "it stands at a path, as in {\"path\": {\"$not\": {...}}}; outside of paths there is $nor"
        }
        "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte" | "$in" | "$nin" | "$exists" | "$type"
        | "$regex" | "$all" | "$size" | "$elemMatch" | "$mod" => {
            "it stands at a path, as in {\"path\": {\"$eq\": ...}}"
        }
        _ => {
            return InvalidQuery::UnknownOperator {
                operator: excerpt(operator),
                path: path.to_owned(),
            };
        }
    };
    InvalidQuery::MisplacedOperator {
        operator: operator.to_owned(),
        path: path.to_owned(),
        hint,
    }
}

/// A value to compare with.
fn literal(path: &Path, value: &Value) -> Result<Value, InvalidQuery> {
    match key_with_dollar(value) {
        None => Ok(value.clone()),
        Some(key) => Err(InvalidQuery::MisplacedOperator {
            operator: excerpt(key),
            path: path.to_string(),
            hint: "this is inside a value to compare with, where no key begins with $",
        }),
    }
}

fn key_with_dollar(value: &Value) -> Option<&str> {
    match value {
        Value::Array(list) => list.iter().find_map(key_with_dollar),
        Value::Object(map) => map.iter().find_map(|(key, member)| {
            if key.starts_with('$') {
                Some(key.as_str())
            } else {
                key_with_dollar(member)
            }
        }),
        _ => None,
    }
}

fn members(
    operator: &'static str,
    path: &Path,
    operand: &Value,
) -> Result<Vec<Value>, InvalidQuery> {
    let list = operand
        .as_array()
        .ok_or_else(|| invalid(operator, path.as_str(), "an array of values"))?;
    if list.len() > Query::MAX_MEMBERS {
        return Err(InvalidQuery::TooManyMembers {
            operator,
            path: path.to_string(),
        });
    }
    list.iter().map(|member| literal(path, member)).collect()
}

/// In order, so that a value is found in it by bisection.
fn set(operator: &'static str, path: &Path, operand: &Value) -> Result<Vec<Value>, InvalidQuery> {
    let mut members = members(operator, path, operand)?;
    members.sort_by(compare);
    members.dedup_by(|one, other| compare(one, other).is_eq());
    Ok(members)
}

fn exists(path: &Path, operand: &Value) -> Result<bool, InvalidQuery> {
    match operand {
        Value::Bool(wanted) => Ok(*wanted),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        _ => Err(invalid("$exists", path.as_str(), "true or false")),
    }
}

fn types(path: &Path, operand: &Value) -> Result<Vec<JsonType>, InvalidQuery> {
    let one = |value: &Value| {
        let known = match value {
            Value::String(name) => JsonType::from_name(name),
            value => integer(value).and_then(JsonType::from_number),
        };
        known.ok_or_else(|| {
            invalid(
                "$type",
                path.as_str(),
                "the name or number of a type that JSON has: double (1), string (2), object (3), \
                 array (4), bool (8), null (10), int (16), long (18), number; or a list of them",
            )
        })
    };
    let mut types = match operand {
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(one).collect::<Result<Vec<_>, _>>()?
        }
        value => vec![one(value)?],
    };
    let mut seen = Vec::new();
    types.retain(|kind| {
        let new = !seen.contains(kind);
        if new {
            seen.push(*kind);
        }
        new
    });
    Ok(types)
}

fn size(path: &Path, operand: &Value) -> Result<u64, InvalidQuery> {
    integer(operand)
        .and_then(|size| u64::try_from(size).ok())
        .ok_or_else(|| invalid("$size", path.as_str(), "an integer that isn't negative"))
}

fn modulo(path: &Path, operand: &Value) -> Result<Predicate, InvalidQuery> {
    let numbers = operand.as_array().and_then(|list| match list.as_slice() {
        [divisor, remainder] => Some((truncated(divisor)?, truncated(remainder)?)),
        _ => None,
    });
    match numbers {
        Some((divisor, remainder)) if divisor != 0 => Ok(Predicate::Mod { divisor, remainder }),
        _ => Err(invalid(
            "$mod",
            path.as_str(),
            "an array of two numbers: the divisor, which isn't 0, and the remainder",
        )),
    }
}

/// The integer that `value` is, also if it is written as `2.0`.
fn integer(value: &Value) -> Option<i64> {
    let whole = truncated(value)?;
    compare(value, &whole.into()).is_eq().then_some(whole)
}

/// A number without its fraction, if that is a 64-bit integer.
fn truncated(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    i64::try_from(super::order::truncated(number)?).ok()
}
