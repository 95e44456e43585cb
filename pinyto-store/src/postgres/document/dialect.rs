//! How PostgreSQL says what queries ask.
//!
//! The table of documents is called `d`, as everywhere; `d.j` is a document's body as `jsonb`, or
//! null if that can't hold it because there is a U+0000 in it.

use pinyto_core::{document::DocumentId, query::Path};
use serde_json::Number;

use crate::query::{
    column::{FIRST_TIME, LAST_TIME, first_id, first_time},
    dialect::{Bind, Binds, ByType, Column, Comparison, Dialect, Test, Truth},
};

/// `d.j`, made of a body named `$body`. A backslash in a body that comes before `u0000` may itself
/// be escaped; then it is null for nothing, and the evaluator is asked.
macro_rules! as_jsonb {
    ($body:literal) => {
        concat!(
            "CASE WHEN strpos(",
            $body,
            "::text, chr(92) || 'u0000') = 0 THEN ",
            $body,
            "::jsonb END"
        )
    };
}
pub(super) use as_jsonb;

pub(super) struct Postgres;

impl Dialect for Postgres {
    fn at_path(&self, path: &Path, wanted: &ByType, binds: &mut Binds) -> Truth {
        if wanted.is_unknown() {
            return Truth::Unknown;
        }
        let mut names: Vec<String> = path
            .segments()
            .iter()
            .map(|segment| binds.add(Bind::Text(segment.name().to_owned())))
            .collect();
        let Some(last) = names.pop() else {
            return Truth::Unknown;
        };
        // With a text on its right, the operator looks into objects only.
        let mut value = "d.j".to_owned();
        let mut on_the_way = Vec::new();
        for name in names {
            value = format!("({value} -> {name}::text)");
            on_the_way.push(format!("jsonb_typeof{value}"));
        }
        let as_text = format!("({value} ->> {last}::text)");
        let value = format!("({value} -> {last}::text)");
        let missing = sql(&wanted.missing);
        let missing = if on_the_way.is_empty() {
            missing.to_owned()
        } else {
            // In an array the path may lead on.
            let on_the_way = on_the_way.join(", ");
            format!("CASE WHEN 'array' IN ({on_the_way}) THEN NULL ELSE {missing} END")
        };
        let text = text(&as_text, &wanted.text, binds);
        let number = number(&value, &wanted.number, binds);
        let (if_false, if_true) = (sql(&wanted.bools.0), sql(&wanted.bools.1));
        Truth::Sql(format!(
            "CASE WHEN d.j IS NULL THEN NULL::boolean ELSE CASE jsonb_typeof{value} \
            WHEN 'string' THEN {} WHEN 'number' THEN {} WHEN 'null' THEN {} \
            WHEN 'boolean' THEN CASE WHEN {value} = 'true'::jsonb THEN {if_true} ELSE {if_false} END \
            WHEN 'array' THEN {} WHEN 'object' THEN {} ELSE {missing} END END",
            sql(&text),
            sql(&number),
            sql(&wanted.null),
            sql(&wanted.array),
            sql(&wanted.object),
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

fn sql(truth: &Truth) -> &str {
    match truth {
        Truth::Always => "true",
        Truth::Never => "false",
        Truth::Unknown => "NULL::boolean",
        Truth::Sql(sql) => sql,
    }
}

fn list(values: impl Iterator<Item = Bind>, cast: &str, binds: &mut Binds) -> String {
    let references: Vec<String> = values
        .map(|value| format!("{}{cast}", binds.add(value)))
        .collect();
    references.join(", ")
}

/// No text of PostgreSQL has it.
const NUL: char = '\0';

/// Texts are compared byte by byte, as queries do.
fn text(value: &str, wanted: &Test<String>, binds: &mut Binds) -> Truth {
    match wanted {
        Test::Is(truth) => truth.clone(),
        Test::OneOf(texts) => {
            let texts = texts.iter().filter(|text| !text.contains(NUL)).cloned();
            let texts = list(texts.map(Bind::Text), "", binds);
            if texts.is_empty() {
                return Truth::Never;
            }
            Truth::Sql(format!("({value} COLLATE \"C\" IN ({texts}))"))
        }
        Test::Compare(_, bound) if bound.contains(NUL) => Truth::Unknown,
        Test::Compare(comparison, bound) => {
            let bound = binds.add(Bind::Text(bound.clone()));
            Truth::Sql(format!(
                "({value} COLLATE \"C\" {} {bound})",
                comparison.sql()
            ))
        }
    }
}

/// From here on (2^53) a number in a document may be a double that is not exactly what is written,
/// so that PostgreSQL would compare something else. Below, what is written is in the same order as
/// what is meant.
const INEXACT: &str = "9007199254740992";

/// Exact, as decimal digits.
fn number(value: &str, wanted: &Test<Number>, binds: &mut Binds) -> Truth {
    let decimal = |number: &Number| Bind::Text(number.to_string());
    let test = match wanted {
        Test::Is(truth) => return truth.clone(),
        Test::OneOf(numbers) => format!(
            "{value}::numeric IN ({})",
            list(numbers.iter().map(decimal), "::numeric", binds)
        ),
        Test::Compare(comparison, bound) => format!(
            "{value}::numeric {} {}::numeric",
            comparison.sql(),
            binds.add(decimal(bound))
        ),
    };
    Truth::Sql(format!(
        "CASE WHEN abs({value}::numeric) < {INEXACT} THEN {test} END"
    ))
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
            let ids = list(ids.into_iter().map(bytes), "", binds);
            Truth::Sql(format!("(d.id IN ({ids}))"))
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
            if ranges.is_empty() {
                "false".to_owned()
            } else {
                format!("({})", ranges.join(" OR "))
            }
        }
        Test::Compare(comparison, bound) => {
            let beyond = matches!(comparison, Comparison::Greater | Comparison::LessOrEqual);
            let first = binds.add(Bind::Integer(first_time(bound, beyond)));
            let operator = if comparison.is_upwards() { ">=" } else { "<" };
            format!("d.time {operator} {first}")
        }
    };
    Truth::Sql(format!(
        "CASE WHEN d.time BETWEEN {FIRST_TIME} AND {LAST_TIME} THEN {test} END"
    ))
}
