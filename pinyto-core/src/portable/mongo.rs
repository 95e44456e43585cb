//! Documents as MongoDB's `mongoexport` writes them: Extended JSON, version 2 or the older one.
//!
//! JSON has no dates, identifiers or 64-bit integers of their own, so they come as objects whose
//! fields begin with a dollar sign. What Pinyto can't keep is refused rather than changed.

use serde_json::{Map, Number, Value};

use super::lines::check_depth;
use crate::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::{Document, DocumentId},
};

/// What documents have that don't say it themselves.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) assembly: Option<&'a AssemblyRef>,
    pub(super) kind: Option<&'a str>,
}

/// Makes a document of ours of one of MongoDB's:
///
/// - `_id` has to be an ObjectId, and stays;
/// - `time` has to be a date; without one it is the time in the `_id`;
/// - `assembly` has to be `author/name`; without one it is the default;
/// - `type` has to be a text or a number (kept as its text); without one it is the default;
/// - `tags` has to be a text or a list of texts and numbers; without any there are none;
/// - if there is `data`, it stays, and so does every other field, where it is; otherwise all other
///   fields become `data`.
pub(super) fn document(
    mut object: Map<String, Value>,
    defaults: Defaults<'_>,
) -> Result<Document, String> {
    let id = object.remove("_id").ok_or("it has no _id")?;
    let id = identifier(&id).ok_or("its _id is no ObjectId")?;
    let time = match object.remove("time") {
        None => in_identifier(id),
        Some(Value::String(text)) => date_text(&text).ok_or("its time is no date")?,
        Some(Value::Object(time)) if time.contains_key("$date") => {
            date(&time).ok_or("its time is no date")?
        }
        Some(_) => return Err("its time is no date".to_owned()),
    };
    let assembly = match object.remove("assembly") {
        None => defaults.assembly.cloned(),
        Some(name) => {
            let name = name.as_str().and_then(AssemblyRef::parse);
            Some(name.ok_or("its assembly is not author/name")?)
        }
    };
    let assembly =
        assembly.ok_or("it doesn't say of which assembly it is, so one has to be named")?;
    let kind = match object.remove("type") {
        None => defaults.kind.map(str::to_owned),
        Some(value) => Some(match plain(value, "type")? {
            Value::String(text) if !text.is_empty() => text,
            Value::Number(number) => number.to_string(),
            _ => return Err("its type is no text".to_owned()),
        }),
    };
    let kind = kind.ok_or("it has no type, so one has to be named")?;
    let tags = match object.remove("tags") {
        None | Some(Value::Null) => Vec::new(),
        Some(value) => match plain(value, "tags")? {
            text @ Value::String(_) => vec![text],
            Value::Array(tags) if tags.iter().all(|tag| tag.is_string() || tag.is_number()) => tags,
            _ => return Err("its tags are no list of texts and numbers".to_owned()),
        },
    };
    let has_data = object.contains_key("data");
    let rest = plain_object(object, "")?;
    let mut fields = if has_data {
        rest
    } else {
        [("data".to_owned(), Value::Object(rest))]
            .into_iter()
            .collect()
    };
    fields.insert("type".to_owned(), kind.into());
    fields.insert("tags".to_owned(), tags.into());
    check_depth(&fields)?;
    Ok(Document {
        id,
        assembly,
        time,
        fields,
    })
}

fn identifier(value: &Value) -> Option<DocumentId> {
    let text = match value {
        Value::Object(object) if object.len() == 1 => object.get("$oid")?.as_str()?,
        // As some programs write them.
        Value::String(text) => text,
        _ => return None,
    };
    text.to_ascii_lowercase().parse().ok()
}

/// The seconds that an ObjectId begins with.
fn in_identifier(id: DocumentId) -> Timestamp {
    let [a, b, c, d, ..] = *id.as_bytes();
    let seconds = u32::from_be_bytes([a, b, c, d]);
    Timestamp::from_unix_millis(i64::from(seconds) * 1000)
}

/// What `{"$date": ...}` means: a text, a number of milliseconds, or that as a `$numberLong`.
fn date(object: &Map<String, Value>) -> Option<Timestamp> {
    if object.len() != 1 {
        return None;
    }
    match object.get("$date")? {
        Value::String(text) => date_text(text),
        Value::Number(millis) => millis.as_i64().map(Timestamp::from_unix_millis),
        Value::Object(long) if long.len() == 1 => {
            let millis = match long.get("$numberLong")? {
                Value::String(text) => text.parse().ok()?,
                other => other.as_i64()?,
            };
            Some(Timestamp::from_unix_millis(millis))
        }
        _ => None,
    }
}

/// RFC 3339, also with the offset of older versions of `mongoexport`, which lacks its colon.
fn date_text(text: &str) -> Option<Timestamp> {
    let with_colon = || {
        let at = text.len().checked_sub(2)?;
        let (head, minutes) = (text.get(..at)?, text.get(at..)?);
        Timestamp::parse_rfc3339(&format!("{head}:{minutes}"))
    };
    Timestamp::parse_rfc3339(text).or_else(with_colon)
}

/// The same without anything of Extended JSON; `path` is where it stands.
fn plain(value: Value, path: &str) -> Result<Value, String> {
    match value {
        Value::Array(list) => {
            let list = list.into_iter().zip(0_u64..);
            let list = list.map(|(value, at)| plain(value, &format!("{path}.{at}")));
            list.collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(object) => match object.keys().find(|key| key.starts_with('$')) {
            None => plain_object(object, path).map(Value::Object),
            Some(_) => special(&object, path),
        },
        value => Ok(value),
    }
}

fn plain_object(object: Map<String, Value>, path: &str) -> Result<Map<String, Value>, String> {
    let fields = object.into_iter().map(|(name, value)| {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        plain(value, &path).map(|value| (name, value))
    });
    fields.collect()
}

/// What an object means some of whose fields begin with a dollar sign.
fn special(object: &Map<String, Value>, path: &str) -> Result<Value, String> {
    let mut keys = object.keys().filter(|key| key.starts_with('$'));
    let kind = keys.next().map_or("", String::as_str);
    let refused = || Err(format!("{path} is a {kind}, which can't be kept"));
    if object.len() != 1 {
        return refused();
    }
    let Some(value) = object.get(kind) else {
        return refused();
    };
    let malformed = || format!("{path} is no {kind}");
    Ok(match kind {
        "$oid" => identifier(&Value::Object(object.clone()))
            .ok_or_else(malformed)?
            .to_string()
            .into(),
        "$date" => {
            let moment = date(object).ok_or_else(malformed)?.to_string();
            // Others can't be read as a date any more.
            Timestamp::parse_rfc3339(&moment).ok_or_else(malformed)?;
            moment.into()
        }
        "$numberInt" | "$numberLong" => {
            let number = match value {
                Value::String(text) => text.parse::<i64>().ok(),
                other => other.as_i64(),
            };
            number.ok_or_else(malformed)?.into()
        }
        "$numberDouble" => {
            let number = match value {
                Value::String(text) => text.parse::<f64>().ok(),
                other => other.as_f64(),
            };
            // JSON has no infinities, and no value that is no number.
            let number = number.and_then(Number::from_f64);
            Value::Number(number.ok_or_else(malformed)?)
        }
        _ => return refused(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: Value) -> Result<Document, String> {
        let Value::Object(object) = document else {
            panic!("an object");
        };
        let assembly = AssemblyRef::parse("ann/Notes");
        let defaults = Defaults {
            assembly: assembly.as_ref(),
            kind: Some("entry"),
        };
        super::document(object, defaults)
    }

    const ID: &str = "507f1f77bcf86cd799439011";

    #[test]
    fn fields_stay_where_they_are_if_there_is_data() {
        let found = read(json!({
            "_id": {"$oid": ID}, "time": {"$date": "2026-03-01T14:00:00.007+02:00"},
            "assembly": "bob/Books", "type": "book", "tags": ["a", {"$numberInt": "7"}],
            "data": {"at": {"$date": {"$numberLong": "-1"}}, "n": {"$numberLong": "9007199254740993"}},
            "rating": {"$numberDouble": "1.0"}, "of": {"$oid": ID.to_uppercase()},
        }));
        let found = found.unwrap().to_json();
        assert_eq!(
            found,
            json!({
                "_id": ID, "time": "2026-03-01T12:00:00.007Z", "assembly": "bob/Books",
                "type": "book", "tags": ["a", 7],
                "data": {"at": "1969-12-31T23:59:59.999Z", "n": 9_007_199_254_740_993_i64},
                "rating": 1.0, "of": ID,
            })
        );
    }

    #[test]
    fn without_data_the_other_fields_become_it() {
        let found = read(json!({"_id": {"$oid": ID}, "name": "x", "deep": [{"a": null}]}));
        assert_eq!(
            found.unwrap().to_json(),
            json!({
                "_id": ID, "time": "2012-10-17T21:13:27.000Z", "assembly": "ann/Notes",
                "type": "entry", "tags": [], "data": {"name": "x", "deep": [{"a": null}]},
            })
        );
    }

    #[test]
    fn dates_have_many_forms() {
        for date in [
            json!({"$date": "2026-03-01T12:00:00Z"}),
            json!({"$date": "2026-03-01T13:00:00.000+0100"}),
            json!({"$date": 1_772_366_400_000_i64}),
            json!({"$date": {"$numberLong": "1772366400000"}}),
            json!("2026-03-01T12:00:00Z"),
        ] {
            let found = read(json!({"_id": {"$oid": ID}, "time": date})).unwrap();
            assert_eq!(found.time.to_string(), "2026-03-01T12:00:00.000Z");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_reason() {
        let with = |name: &str, value: Value| {
            let mut document = json!({"_id": {"$oid": ID}, "data": {}});
            document[name] = value;
            read(document).unwrap_err()
        };
        for (name, value, reason) in [
            ("_id", json!(7), "its _id is no ObjectId"),
            ("_id", json!({"$oid": "x"}), "its _id is no ObjectId"),
            ("time", json!(7), "its time is no date"),
            ("time", json!({"$date": "soon"}), "its time is no date"),
            ("assembly", json!("a"), "its assembly is not author/name"),
            ("type", json!([]), "its type is no text"),
            (
                "tags",
                json!({"a": 1}),
                "its tags are no list of texts and numbers",
            ),
            (
                "data",
                json!({"a": [1, {"$numberDecimal": "0.1"}]}),
                "data.a.1 is a $numberDecimal, which can't be kept",
            ),
            (
                "picture",
                json!({"$binary": {"base64": "", "subType": "00"}}),
                "picture is a $binary, which can't be kept",
            ),
            (
                "old",
                json!({"$binary": "", "$type": "00"}),
                "old is a $binary, which can't be kept",
            ),
            (
                "ref",
                json!({"$ref": "a", "$id": 1}),
                "ref is a $id, which can't be kept",
            ),
            (
                "n",
                json!({"$numberDouble": "NaN"}),
                "n is no $numberDouble",
            ),
            ("n", json!({"$numberLong": "1.5"}), "n is no $numberLong"),
        ] {
            assert_eq!(with(name, value), reason);
        }
        assert_eq!(read(json!({"a": 1})).unwrap_err(), "it has no _id");
    }
}
