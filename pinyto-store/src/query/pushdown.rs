//! A query as an expression of SQL.
//!
//! Not everything can be said there, or not in the same way. So the expression has the three
//! values of SQL's own logic: true or false if the database knows, null if only the evaluator can
//! tell. `AND`, `OR` and `NOT` treat null as just that, so parts that can't be translated make
//! the rest neither wrong nor useless: where the whole is false, no document has to be handed
//! out, and where it is true, none has to be checked.

use pinyto_core::query::{Condition, JsonType, Path, Predicate, Query, TypeClass};
use serde_json::Value;

use super::dialect::{Binds, ByType, Column, Comparison, Dialect, Test, Truth};

/// How many predicates are translated; the rest is left to the evaluator. Databases bound how deep
/// an expression may be nested.
const MAX_PREDICATES: usize = 100;

/// How many bytes of a statement may be made of them. Databases bound that, too.
const MAX_BYTES: usize = 200_000;

/// How many values a statement may get for that.
const MAX_BINDS: usize = 2_000;

/// Translates the query, as far as that goes.
pub(crate) fn translate(query: &Query, dialect: &dyn Dialect, binds: &mut Binds) -> Truth {
    let mut translation = Translation {
        dialect,
        binds,
        predicates: 0,
        bytes: 0,
    };
    translation.condition(query.condition())
}

struct Translation<'a> {
    dialect: &'a dyn Dialect,
    binds: &'a mut Binds,
    predicates: usize,
    bytes: usize,
}

impl Translation<'_> {
    /// Recurses along the query, whose nesting is bounded.
    fn condition(&mut self, condition: &Condition) -> Truth {
        match condition {
            Condition::And(all) => {
                let all = all.iter().map(|one| self.condition(one)).collect();
                every(all)
            }
            Condition::Or(all) => {
                let all = all.iter().map(|one| self.condition(one)).collect();
                any(all)
            }
            Condition::Nor(all) => {
                let all = all.iter().map(|one| self.condition(one)).collect();
                not(any(all))
            }
            Condition::Field { path, predicate } => self.predicate(path, predicate),
            _ => Truth::Unknown,
        }
    }

    fn predicate(&mut self, path: &Path, predicate: &Predicate) -> Truth {
        match predicate {
            Predicate::Ne(value) => not(self.leaf(path, &by_value(value))),
            Predicate::Nin(values) => not(self.leaf(path, &by_values(values))),
            Predicate::Not(all) => {
                let all = all.iter().map(|one| self.predicate(path, one)).collect();
                not(every(all))
            }
            Predicate::All(values) if values.is_empty() => Truth::Never,
            Predicate::All(values) => {
                let all = values.iter().map(|value| self.leaf(path, &by_value(value)));
                every(all.collect())
            }
            predicate => match by_type(predicate) {
                Some(wanted) => self.leaf(path, &wanted),
                None => Truth::Unknown,
            },
        }
    }

    fn leaf(&mut self, path: &Path, wanted: &ByType) -> Truth {
        self.predicates += 1;
        if self.predicates > MAX_PREDICATES {
            return Truth::Unknown;
        }
        let more = values_in(&wanted.number) + values_in(&wanted.text);
        if self.binds.len() + more > MAX_BINDS {
            return Truth::Unknown;
        }
        let Some(first) = path.segments().first() else {
            return Truth::Unknown;
        };
        let column = match first.name() {
            "_id" => Column::Id,
            "time" => Column::Time,
            "assembly" => Column::Assembly,
            _ => return self.at_path(path, wanted),
        };
        if path.segments().len() > 1 {
            // They are texts, in which there is nothing.
            return wanted.missing.clone();
        }
        self.dialect.in_column(column, &wanted.text, self.binds)
    }
}

impl Translation<'_> {
    fn at_path(&mut self, path: &Path, wanted: &ByType) -> Truth {
        match self.dialect.at_path(path, wanted, self.binds) {
            Truth::Sql(sql) if self.bytes + sql.len() > MAX_BYTES => Truth::Unknown,
            Truth::Sql(sql) => {
                self.bytes += sql.len();
                Truth::Sql(sql)
            }
            truth => truth,
        }
    }
}

fn values_in<T>(test: &Test<T>) -> usize {
    match test {
        Test::Is(_) => 0,
        Test::OneOf(values) => values.len(),
        Test::Compare(..) => 2,
    }
}

fn every(all: Vec<Truth>) -> Truth {
    join(all, Truth::Always, Truth::Never, " AND ")
}

fn any(all: Vec<Truth>) -> Truth {
    join(all, Truth::Never, Truth::Always, " OR ")
}

fn join(all: Vec<Truth>, neutral: Truth, decisive: Truth, operator: &str) -> Truth {
    if all.contains(&decisive) {
        return decisive;
    }
    let unknown = all.contains(&Truth::Unknown);
    let mut parts: Vec<String> = all
        .into_iter()
        .filter_map(|truth| match truth {
            Truth::Sql(sql) => Some(sql),
            _ => None,
        })
        .collect();
    match (parts.len(), unknown) {
        (0, false) => neutral,
        (0, true) => Truth::Unknown,
        (1, false) => Truth::Sql(parts.remove(0)),
        (_, unknown) => {
            if unknown {
                parts.push("NULL".to_owned());
            }
            Truth::Sql(format!("({})", parts.join(operator)))
        }
    }
}

fn not(truth: Truth) -> Truth {
    match truth {
        Truth::Always => Truth::Never,
        Truth::Never => Truth::Always,
        Truth::Unknown => Truth::Unknown,
        Truth::Sql(sql) => Truth::Sql(format!("(NOT {sql})")),
    }
}

impl ByType {
    /// Nothing is as wanted; what an array has is for the evaluator.
    const fn nothing() -> Self {
        Self {
            null: Truth::Never,
            bools: (Truth::Never, Truth::Never),
            number: Test::Is(Truth::Never),
            text: Test::Is(Truth::Never),
            object: Truth::Never,
            array: Truth::Unknown,
            missing: Truth::Never,
        }
    }
}

fn by_value(value: &Value) -> ByType {
    by_values(std::slice::from_ref(value))
}

fn by_values(values: &[Value]) -> ByType {
    let mut wanted = ByType::nothing();
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Null => {
                wanted.null = Truth::Always;
                wanted.missing = Truth::Always;
            }
            Value::Bool(false) => wanted.bools.0 = Truth::Always,
            Value::Bool(true) => wanted.bools.1 = Truth::Always,
            Value::Number(number) => numbers.push(number.clone()),
            Value::String(text) => texts.push(text.clone()),
            Value::Object(_) => wanted.object = Truth::Unknown,
            Value::Array(_) => {}
        }
    }
    if !numbers.is_empty() {
        wanted.number = Test::OneOf(numbers);
    }
    if !texts.is_empty() {
        wanted.text = Test::OneOf(texts);
    }
    wanted
}

fn by_comparison(comparison: Comparison, bound: &Value) -> ByType {
    let mut wanted = ByType::nothing();
    match bound {
        Value::Null => {
            let or_equal = matches!(
                comparison,
                Comparison::GreaterOrEqual | Comparison::LessOrEqual
            );
            wanted.null = Truth::known(or_equal);
            wanted.missing = Truth::known(or_equal);
        }
        Value::Bool(bound) => {
            let fits = |value: bool| {
                Truth::known(match comparison {
                    Comparison::Greater => value & !bound,
                    Comparison::GreaterOrEqual => value | !bound,
                    Comparison::Less => !value & bound,
                    Comparison::LessOrEqual => !value | bound,
                })
            };
            wanted.bools = (fits(false), fits(true));
        }
        Value::Number(bound) => wanted.number = Test::Compare(comparison, bound.clone()),
        Value::String(bound) => wanted.text = Test::Compare(comparison, bound.clone()),
        Value::Object(_) => wanted.object = Truth::Unknown,
        Value::Array(_) => {}
    }
    wanted
}

/// What a predicate that isn't made of others asks of each type.
fn by_type(predicate: &Predicate) -> Option<ByType> {
    let nothing = ByType::nothing();
    Some(match predicate {
        Predicate::Eq(value) => by_value(value),
        Predicate::In(values) => by_values(values),
        Predicate::Gt(bound) => by_comparison(Comparison::Greater, bound),
        Predicate::Gte(bound) => by_comparison(Comparison::GreaterOrEqual, bound),
        Predicate::Lt(bound) => by_comparison(Comparison::Less, bound),
        Predicate::Lte(bound) => by_comparison(Comparison::LessOrEqual, bound),
        Predicate::Exists(wanted) => {
            let there = Truth::known(*wanted);
            ByType {
                null: there.clone(),
                bools: (there.clone(), there.clone()),
                number: Test::Is(there.clone()),
                text: Test::Is(there.clone()),
                object: there.clone(),
                array: there,
                missing: Truth::known(!wanted),
            }
        }
        Predicate::Type(types) => {
            let asks = |class| types.iter().any(|kind| class_of(*kind) == class);
            let number = if types.contains(&JsonType::Number) {
                Truth::Always
            } else if asks(TypeClass::Number) {
                Truth::Unknown
            } else {
                Truth::Never
            };
            let bools = Truth::known(asks(TypeClass::Bool));
            ByType {
                null: Truth::known(asks(TypeClass::Null)),
                bools: (bools.clone(), bools),
                number: Test::Is(number),
                text: Test::Is(Truth::known(asks(TypeClass::Text))),
                object: Truth::known(asks(TypeClass::Object)),
                ..nothing
            }
        }
        Predicate::Regex(_) => ByType {
            text: Test::Is(Truth::Unknown),
            ..nothing
        },
        Predicate::Mod { .. } => ByType {
            number: Test::Is(Truth::Unknown),
            ..nothing
        },
        Predicate::Size(_) | Predicate::ElemMatch(_) => nothing,
        _ => return None,
    })
}

fn class_of(kind: JsonType) -> TypeClass {
    match kind {
        JsonType::String => TypeClass::Text,
        JsonType::Object => TypeClass::Object,
        JsonType::Array => TypeClass::Array,
        JsonType::Bool => TypeClass::Bool,
        JsonType::Null => TypeClass::Null,
        // Numbers, of whatever kind.
        _ => TypeClass::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Truth {
        Truth::Sql(text.to_owned())
    }

    #[test]
    fn what_is_known_decides_and_what_is_unknown_stays_so() {
        use Truth::{Always, Never, Unknown};
        for (all, conjunction, disjunction) in [
            (vec![], Always, Never),
            (vec![Unknown], Unknown, Unknown),
            (vec![Unknown, Never], Never, Unknown),
            (vec![Unknown, Always], Unknown, Always),
            (vec![sql("a"), Never], Never, sql("a")),
            (vec![sql("a"), Always], sql("a"), Always),
            (vec![sql("a"), sql("b")], sql("(a AND b)"), sql("(a OR b)")),
            (
                vec![sql("a"), Unknown],
                sql("(a AND NULL)"),
                sql("(a OR NULL)"),
            ),
        ] {
            assert_eq!(every(all.clone()), conjunction, "{all:?}");
            assert_eq!(any(all.clone()), disjunction, "{all:?}");
        }
        assert_eq!(not(Unknown), Unknown);
        assert_eq!(not(Never), Always);
        assert_eq!(not(sql("a")), sql("(NOT a)"));
    }
}
