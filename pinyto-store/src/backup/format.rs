//! The lines of a backup: what stands in each, written and read.
//!
//! Fields stand in the order of the [schema](super::schema); a line with other ones, or in another
//! order, is not read.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use pinyto_core::json;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::schema::{Kind, TABLES, Table};

/// The version of the format that is written, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// What a column of a row holds.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// The text of a JSON object.
    Json(String),
}

pub(crate) type Row = Vec<Cell>;

/// The last number given in each table that never gives one twice.
pub(crate) type Sequences = BTreeMap<String, i64>;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) version: u32,
    /// The moment that the backup shows, RFC 3339.
    pub(crate) created: String,
    /// The version of the program that wrote it.
    pub(crate) program: String,
    /// What kind of database it was made of.
    pub(crate) database: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine<H> {
    pinyto_backup: H,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trailer {
    /// How many rows of each table there are.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Of everything before this line, in hexadecimal digits.
    pub(crate) sha256: String,
}

/// Any line but the first.
#[derive(Debug)]
pub(crate) enum Line {
    Sequences(Sequences),
    /// A row of the table at that place in [`TABLES`].
    Row(usize, Row),
    End(Trailer),
}

/// Why a cell can't be written.
#[derive(Debug)]
pub(crate) struct Unwritable(pub(crate) &'static str);

/// Writes a line, without its end.
pub(crate) fn header(header: &Header) -> String {
    let line = HeaderLine {
        pinyto_backup: header,
    };
    // Texts and numbers always become JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Why a first line is none of a backup that can be read.
pub(crate) enum NoHeader {
    /// It isn't one at all.
    Not,
    /// Of a version that this program doesn't know.
    Version(u64),
    /// It is one, but wrong.
    Wrong(String),
}

/// Reads a first line.
pub(crate) fn read_header(line: &str) -> Result<Header, NoHeader> {
    #[derive(Deserialize)]
    struct OfAnyVersion {
        version: u64,
    }
    let any: HeaderLine<OfAnyVersion> = serde_json::from_str(line).map_err(|_| NoHeader::Not)?;
    let version = any.pinyto_backup.version;
    if version != u64::from(VERSION) {
        return Err(NoHeader::Version(version));
    }
    let line: Result<HeaderLine<Header>, _> = serde_json::from_str(line);
    line.map(|line| line.pinyto_backup)
        .map_err(|error| NoHeader::Wrong(error.to_string()))
}

/// Writes a line, without its end.
pub(crate) fn sequences(sequences: &Sequences) -> String {
    serde_json::json!({ "sequences": sequences }).to_string()
}

/// Writes a line, without its end.
pub(crate) fn trailer(trailer: &Trailer) -> String {
    serde_json::json!({ "end": trailer }).to_string()
}

/// Writes a line, without its end.
pub(crate) fn row(table: &Table, row: &[Cell], line: &mut Vec<u8>) -> Result<(), Unwritable> {
    line.extend_from_slice(b"{\"");
    line.extend_from_slice(table.name.as_bytes());
    line.extend_from_slice(b"\":{");
    for (column, cell) in table.columns.iter().zip(row) {
        if line.last() != Some(&b'{') {
            line.push(b',');
        }
        line.push(b'"');
        line.extend_from_slice(column.name.as_bytes());
        line.extend_from_slice(b"\":");
        put(cell, line).map_err(|()| Unwritable(column.name))?;
    }
    line.extend_from_slice(b"}}");
    Ok(())
}

fn put(cell: &Cell, line: &mut Vec<u8>) -> Result<(), ()> {
    let written = match cell {
        Cell::Null => serde_json::to_writer(line, &()),
        Cell::Integer(number) => serde_json::to_writer(line, number),
        // JSON has no infinities.
        Cell::Real(number) if !number.is_finite() => return Err(()),
        Cell::Real(number) => serde_json::to_writer(line, number),
        Cell::Bool(is) => serde_json::to_writer(line, is),
        Cell::Text(text) => serde_json::to_writer(line, text),
        Cell::Bytes(bytes) => serde_json::to_writer(line, &BASE64.encode(bytes)),
        Cell::Json(text) => {
            check_object(text).map_err(drop)?;
            // Between tokens an end of a line is like a space, and within them there is none.
            let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
            let bytes = text.bytes();
            line.extend(bytes.map(|byte| if is_break(byte) { b' ' } else { byte }));
            Ok(())
        }
    };
    // Writing to memory doesn't fail.
    written.map_err(drop)
}

/// That `text` is a JSON object that documents can have as their body.
fn check_object(text: &str) -> Result<(), String> {
    if !text.starts_with('{') {
        return Err("it is no JSON object".to_owned());
    }
    // Looks at everything, but makes no values of it.
    json::depth(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Reads any line but the first.
pub(crate) fn read_line(line: &str) -> Result<Line, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let line = reader.deserialize_map(LineVisitor)?;
    reader.end()?;
    Ok(line)
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one field")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let Some(name) = map.next_key::<Cow<'de, str>>()? else {
            return Err(A::Error::custom("the object is empty"));
        };
        let line = match &*name {
            "end" => Line::End(map.next_value()?),
            "sequences" => Line::Sequences(map.next_value()?),
            name => {
                let place = TABLES.iter().position(|table| table.name == name);
                let Some((place, table)) = place.and_then(|at| Some((at, TABLES.get(at)?))) else {
                    return Err(A::Error::custom(format!(
                        "there is nothing called {name:?}"
                    )));
                };
                Line::Row(place, map.next_value_seed(RowOf(table))?)
            }
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(line),
            Some(_) => Err(A::Error::custom("the object has more than one field")),
        }
    }
}

struct RowOf(&'static Table);

impl<'de> DeserializeSeed<'de> for RowOf {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowOf {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the fields of {}", self.0.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row = Vec::with_capacity(self.0.columns.len());
        for column in self.0.columns {
            let name = map.next_key::<Cow<'de, str>>()?;
            if name.as_deref() != Some(column.name) {
                let found = name.as_deref().unwrap_or("nothing");
                let wanted = column.name;
                let wrong = format!("{wanted:?} is to come here, not {found:?}");
                return Err(A::Error::custom(wrong));
            }
            let cell = cell(&mut map, column.kind, column.is_nullable);
            let named = |error| A::Error::custom(format!("{}: {error}", column.name));
            row.push(cell.map_err(named)?);
        }
        match map.next_key::<Cow<'de, str>>()? {
            None => Ok(row),
            Some(more) => Err(A::Error::custom(format!("{more:?} is one field too many"))),
        }
    }
}

fn cell<'de, A: MapAccess<'de>>(
    map: &mut A,
    kind: Kind,
    is_nullable: bool,
) -> Result<Cell, A::Error> {
    let cell = match kind {
        Kind::Integer => map.next_value::<Option<i64>>()?.map(Cell::Integer),
        Kind::Real => map.next_value::<Option<f64>>()?.map(Cell::Real),
        Kind::Bool => map.next_value::<Option<bool>>()?.map(Cell::Bool),
        Kind::Text => map.next_value::<Option<String>>()?.map(Cell::Text),
        Kind::Bytes => {
            let text = map.next_value::<Option<Cow<'de, str>>>()?;
            let bytes = text.map(|text| BASE64.decode(text.as_bytes()));
            let bytes = bytes.transpose().map_err(A::Error::custom)?;
            bytes.map(Cell::Bytes)
        }
        Kind::Json => {
            let text = map.next_value::<&'de RawValue>()?.get();
            check_object(text).map_err(A::Error::custom)?;
            Some(Cell::Json(text.to_owned()))
        }
    };
    match cell {
        None if !is_nullable => Err(A::Error::custom("null is not allowed here")),
        cell => Ok(cell.unwrap_or(Cell::Null)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_cell(kind: Kind) -> BoxedStrategy<Cell> {
        match kind {
            Kind::Integer => any::<i64>().prop_map(Cell::Integer).boxed(),
            Kind::Real => any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(Cell::Real)
                .boxed(),
            Kind::Bool => any::<bool>().prop_map(Cell::Bool).boxed(),
            Kind::Text => any::<String>().prop_map(Cell::Text).boxed(),
            Kind::Bytes => any::<Vec<u8>>().prop_map(Cell::Bytes).boxed(),
            Kind::Json => any::<String>()
                .prop_map(|text| Cell::Json(serde_json::json!({ "a": [1.0, text] }).to_string()))
                .boxed(),
        }
    }

    fn any_row() -> impl Strategy<Value = (usize, Row)> {
        (0..TABLES.len()).prop_flat_map(|at| {
            let cells: Vec<_> = TABLES[at]
                .columns
                .iter()
                .map(|column| {
                    let cell = any_cell(column.kind);
                    match column.is_nullable {
                        true => prop_oneof![Just(Cell::Null), cell].boxed(),
                        false => cell,
                    }
                })
                .collect();
            (Just(at), cells)
        })
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written((at, cells) in any_row()) {
            let mut line = Vec::new();
            row(&TABLES[at], &cells, &mut line).unwrap();
            let line = String::from_utf8(line).unwrap();
            prop_assert!(!line.contains(['\n', '\r']));
            match read_line(&line).unwrap() {
                Line::Row(place, found) => {
                    prop_assert_eq!(place, at);
                    prop_assert_eq!(found, cells);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn nothing_that_is_no_line_makes_it_panic(text in ".{0,60}") {
            let _ = read_line(&text);
            let _ = read_header(&text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, reason) in [
            ("", "EOF"),
            ("[]", "an object with one field"),
            ("{}", "empty"),
            (r#"{"pets":{}}"#, "nothing called \"pets\""),
            (
                r#"{"jobs":{"assembly_id":1}}"#,
                "\"position\" is to come here",
            ),
            (
                r#"{"jobs":{"assembly_id":"1"}}"#,
                "assembly_id: invalid type: string",
            ),
            (r#"{"jobs":{"assembly_id":null}}"#, "null is not allowed"),
            (
                r#"{"jobs":{"assembly_id":1.5}}"#,
                "assembly_id: invalid type",
            ),
            (r#"{"run_writers":{"id":"a!"}}"#, "id: "),
            (r#"{"sequences":{"users":"a"}}"#, "invalid type"),
            (r#"{"sequences":{}} x"#, "trailing characters"),
            (r#"{"sequences":{},"end":{}}"#, "more than one field"),
        ] {
            let error = read_line(line).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for body in ["[1]", "1", "null", &deep, "{\"a\":1e999}"] {
            let line = format!(
                r#"{{"documents":{{"user_id":1,"id":"","assembly":"a/b","assembly_id":1,"time":0,"size":1,"body":{body}}}}}"#
            );
            let error = read_line(&line).unwrap_err().to_string();
            assert!(error.starts_with("body: "), "{body}: {error}");
        }
    }
}
