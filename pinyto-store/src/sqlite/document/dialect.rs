//! How SQLite says what queries ask.

use pinyto_core::{document::DocumentId, query::Path};
use serde_json::Number;

use crate::query::{
    column::{FIRST_TIME, LAST_TIME, first_id, first_time},
    dialect::{Bind, Binds, ByType, Column, Comparison, Dialect, Test, Truth},
};

pub(super) struct Sqlite;

impl Dialect for Sqlite {
    fn at_path(&self, path: &Path, wanted: &ByType, binds: &mut Binds) -> Truth {
        let Some(paths) = json_paths(path) else {
            return Truth::Unknown;
        };
        let Some((end, way)) = paths.split_last() else {
            return Truth::Unknown;
        };
        let value = format!("(d.body ->> {end})");
        let by_type = [
            ("text", text(&value, &wanted.text, binds)),
            ("integer", integer(&value, &wanted.number, binds)),
            ("real", real(&value, &wanted.number, binds)),
            ("null", wanted.null.clone()),
            ("false", wanted.bools.0.clone()),
            ("true", wanted.bools.1.clone()),
            ("array", wanted.array.clone()),
            ("object", wanted.object.clone()),
        ];
        if by_type.iter().all(|(_, truth)| *truth == Truth::Unknown)
            && wanted.missing == Truth::Unknown
        {
            return Truth::Unknown;
        }
        let cases: String = by_type
            .iter()
            .map(|(kind, truth)| format!(" WHEN '{kind}' THEN {}", sql(truth)))
            .collect();
        let missing = sql(&wanted.missing);
        let missing = if way.is_empty() {
            missing.to_owned()
        } else {
            // In an array the path may lead on.
            let on_the_way: Vec<String> = way
                .iter()
                .map(|path| format!("json_type(d.body, {path})"))
                .collect();
            let on_the_way = on_the_way.join(", ");
            format!("CASE WHEN 'array' IN ({on_the_way}) THEN NULL ELSE {missing} END")
        };
        Truth::Sql(format!(
            "CASE json_type(d.body, {end}){cases} ELSE {missing} END"
        ))
    }

    fn in_column(&self, column: Column, wanted: &Test<String>, binds: &mut Binds) -> Truth {
        match column {
            Column::Assembly => text("d.assembly", wanted, binds),
            Column::Id => id(wanted, binds),
            Column::Time => time(wanted, binds),
        }
    }
}

/// SQL's literals of the path and, before it, of each part of it. None if SQLite could take a name
/// for something else.
fn json_paths(path: &Path) -> Option<Vec<String>> {
    let mut written = String::from("$");
    path.segments()
        .iter()
        .map(|segment| {
            let name = segment.name();
            // There is no way to write these inside of quotes.
            if name
                .chars()
                .any(|c| matches!(c, '"' | '\\') || c.is_control())
            {
                return None;
            }
            written.push_str(&format!(".\"{name}\""));
            Some(format!("'{}'", written.replace('\'', "''")))
        })
        .collect()
}

fn sql(truth: &Truth) -> &str {
    match truth {
        Truth::Always => "1",
        Truth::Never => "0",
        Truth::Unknown => "NULL",
        Truth::Sql(sql) => sql,
    }
}

fn list(values: impl Iterator<Item = Bind>, binds: &mut Binds) -> String {
    let references: Vec<String> = values.map(|value| binds.add(value)).collect();
    references.join(", ")
}

/// Texts are compared byte by byte, as queries do.
fn text(value: &str, wanted: &Test<String>, binds: &mut Binds) -> Truth {
    match wanted {
        Test::Is(truth) => truth.clone(),
        Test::OneOf(texts) => {
            let texts = list(texts.iter().cloned().map(Bind::Text), binds);
            Truth::Sql(format!("({value} IN ({texts}))"))
        }
        Test::Compare(comparison, bound) => {
            let bound = binds.add(Bind::Text(bound.clone()));
            Truth::Sql(format!("({value} {} {bound})", comparison.sql()))
        }
    }
}

/// A number as SQLite compares it: exactly, if it is one of theirs.
enum Exact {
    Integer(i64),
    Float(f64),
}

impl Exact {
    /// None: too large an integer.
    fn of(number: &Number) -> Option<Self> {
        if let Some(integer) = number.as_i64() {
            Some(Self::Integer(integer))
        } else if number.is_f64() {
            number.as_f64().map(Self::Float)
        } else {
            None
        }
    }

    /// Rounded.
    #[allow(clippy::cast_precision_loss, reason = "rounding is wanted")]
    const fn nearest(&self) -> f64 {
        match self {
            Self::Integer(integer) => *integer as f64,
            Self::Float(float) => *float,
        }
    }
}

fn exact(number: &Number) -> Option<Bind> {
    Some(match Exact::of(number)? {
        Exact::Integer(integer) => Bind::Integer(integer),
        Exact::Float(float) => Bind::Float(float),
    })
}

/// An integer that needs more than 64 bits with sign is rounded by SQLite, which shows by its type.
fn integer(value: &str, wanted: &Test<Number>, binds: &mut Binds) -> Truth {
    let test = match wanted {
        Test::Is(truth) => return truth.clone(),
        Test::OneOf(numbers) => {
            let Some(numbers) = numbers.iter().map(exact).collect::<Option<Vec<_>>>() else {
                return Truth::Unknown;
            };
            format!("{value} IN ({})", list(numbers.into_iter(), binds))
        }
        Test::Compare(comparison, bound) => {
            let Some(bound) = exact(bound) else {
                return Truth::Unknown;
            };
            format!("{value} {} {}", comparison.sql(), binds.add(bound))
        }
    };
    Truth::Sql(format!("iif(typeof{value} = 'integer', {test}, NULL)"))
}

/// SQLite doesn't always read a fraction to the last bit, so near to equal it doesn't know.
fn real(value: &str, wanted: &Test<Number>, binds: &mut Binds) -> Truth {
    const NEAR: f64 = 1e-12;
    let around = |number: &Number| {
        let nearest = Exact::of(number)?.nearest();
        let margin = (nearest.abs() * NEAR).max(f64::MIN_POSITIVE);
        Some((nearest - margin, nearest + margin))
    };
    match wanted {
        Test::Is(truth) => truth.clone(),
        Test::OneOf(numbers) => {
            let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
            for number in numbers {
                let Some((below, above)) = around(number) else {
                    return Truth::Unknown;
                };
                least = least.min(below);
                greatest = greatest.max(above);
            }
            let (least, greatest) = (
                binds.add(Bind::Float(least)),
                binds.add(Bind::Float(greatest)),
            );
            Truth::Sql(format!(
                "iif({value} BETWEEN {least} AND {greatest}, NULL, 0)"
            ))
        }
        Test::Compare(comparison, bound) => {
            let Some((below, above)) = around(bound) else {
                return Truth::Unknown;
            };
            let (below, above) = (binds.add(Bind::Float(below)), binds.add(Bind::Float(above)));
            let (if_less, if_greater) = if comparison.is_upwards() {
                (0, 1)
            } else {
                (1, 0)
            };
            Truth::Sql(format!(
                "CASE WHEN {value} < {below} THEN {if_less} WHEN {value} > {above} THEN {if_greater} END"
            ))
        }
    }
}

fn id(wanted: &Test<String>, binds: &mut Binds) -> Truth {
    let bytes = |id: DocumentId| Bind::Bytes(id.as_bytes().to_vec());
    match wanted {
        Test::Is(truth) => truth.clone(),
        Test::OneOf(texts) => {
            let ids: Vec<DocumentId> = texts.iter().filter_map(|text| text.parse().ok()).collect();
            if ids.is_empty() {
                return Truth::Never;
            }
            Truth::Sql(format!(
                "(d.id IN ({}))",
                list(ids.into_iter().map(bytes), binds)
            ))
        }
        Test::Compare(comparison, bound) => {
            // `>` and `<=` part what is greater from the rest, `>=` and `<` what isn't less.
            let beyond = matches!(comparison, Comparison::Greater | Comparison::LessOrEqual);
            let Some(first) = first_id(bound, beyond) else {
                return Truth::known(!comparison.is_upwards());
            };
            let operator = if comparison.is_upwards() { ">=" } else { "<" };
            Truth::Sql(format!("(d.id {operator} {})", binds.add(bytes(first))))
        }
    }
}

/// Each is a range of its own.
const MAX_TIMES: usize = 20;

fn time(wanted: &Test<String>, binds: &mut Binds) -> Truth {
    let test = match wanted {
        Test::Is(truth) => return truth.clone(),
        Test::OneOf(texts) if texts.len() > MAX_TIMES => return Truth::Unknown,
        Test::OneOf(texts) => {
            let ranges: Vec<String> = texts
                .iter()
                .map(|text| {
                    let from = binds.add(Bind::Integer(first_time(text, false)));
                    let to = binds.add(Bind::Integer(first_time(text, true)));
                    format!("(d.time >= {from} AND d.time < {to})")
                })
                .collect();
            format!("({})", ranges.join(" OR "))
        }
        Test::Compare(comparison, bound) => {
            let beyond = matches!(comparison, Comparison::Greater | Comparison::LessOrEqual);
            let first = binds.add(Bind::Integer(first_time(bound, beyond)));
            let operator = if comparison.is_upwards() { ">=" } else { "<" };
            format!("d.time {operator} {first}")
        }
    };
    Truth::Sql(format!(
        "iif(d.time BETWEEN {FIRST_TIME} AND {LAST_TIME}, {test}, NULL)"
    ))
}
