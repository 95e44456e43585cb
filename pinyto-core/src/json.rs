//! From JSON text to values, whatever their keys are called.
//!
//! `serde_json` has keys of its own for what its [`Value`] can't express: if any crate of the
//! program turns on its feature `raw_value`, reading `{"$serde_json::private::RawValue": "[1]"}`
//! as a [`Value`] gives `[1]`, however deep that text nests, and an error if it is no JSON.
//! Whoever sends such a key would get past every limit that was checked on the text before. So
//! what comes from outside, and what was stored, is read by these functions.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// The value in `text`.
///
/// # Errors
///
/// If it is no JSON, or nested 128 levels deep or deeper.
///
/// ```
/// let text = r#"{"$serde_json::private::RawValue": "[1]"}"#;
/// assert!(pinyto_core::json::value(text)?.is_object());
/// # Ok::<_, serde_json::Error>(())
/// ```
pub fn value(text: &str) -> serde_json::Result<Value> {
    read(text, |reader| deserialize(reader))
}

/// The object in `text`.
///
/// # Errors
///
/// As [`value`], and if it is no object.
pub fn object(text: &str) -> serde_json::Result<Map<String, Value>> {
    read(text, |reader| reader.deserialize_map(AnyObject))
}

/// How many lists and objects are nested in the value in `text`, told without building it.
///
/// # Errors
///
/// As [`value`].
pub fn depth(text: &str) -> serde_json::Result<usize> {
    read(text, |reader| Depth.deserialize(reader))
}

fn read<'a, T>(
    text: &'a str,
    read: impl FnOnce(
        &mut serde_json::Deserializer<serde_json::de::StrRead<'a>>,
    ) -> serde_json::Result<T>,
) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// For fields: `#[serde(deserialize_with = "pinyto_core::json::deserialize")]`.
///
/// # Errors
///
/// Those of `deserializer`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    AnyValue.deserialize(deserializer)
}

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        AnyObject.visit_map(map).map(Value::Object)
    }
}

struct AnyObject;

impl<'de> Visitor<'de> for AnyObject {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key()? {
            object.insert(key, map.next_value_seed(AnyValue)?);
        }
        Ok(object)
    }
}

/// Looks at everything and keeps nothing.
#[derive(Clone, Copy)]
struct Depth;

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AnyValue.expecting(f)
    }

    fn visit_bool<E>(self, _: bool) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut deepest = 0;
        while let Some(depth) = list.next_element_seed(self)? {
            deepest = deepest.max(depth);
        }
        Ok(deepest + 1)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut deepest = 0;
        while map.next_key_seed(self)?.is_some() {
            deepest = deepest.max(map.next_value_seed(self)?);
        }
        Ok(deepest + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MAGIC: &str = "$serde_json::private::RawValue";

    #[test]
    fn no_key_means_anything() {
        for text in [
            format!(r#"{{"{MAGIC}":"[1,{{}}]"}}"#),
            format!(r#"{{"{MAGIC}":0,"a":1}}"#),
            format!(r#"{{"a":[{{"{MAGIC}":"no JSON"}}]}}"#),
        ] {
            assert_eq!(value(&text).unwrap().to_string(), text);
            assert_eq!(Value::Object(object(&text).unwrap()).to_string(), text);
            // Otherwise this module isn't needed any more.
            assert_ne!(
                serde_json::from_str::<Value>(&text)
                    .ok()
                    .map(|value| value.to_string()),
                Some(text)
            );
        }
    }

    #[test]
    fn nesting_stays_bounded_within_texts() {
        let mut text = "[]".to_owned();
        for _ in 0..8 {
            let inner = format!("{}{text}{}", "[".repeat(100), "]".repeat(100));
            text = json!({MAGIC: inner}).to_string();
        }
        assert_eq!(value(&text).unwrap().as_object().unwrap().len(), 1);
        assert!(value(&"[".repeat(128)).is_err());
    }

    #[test]
    fn depth_is_told_of_what_is_json() {
        for (text, levels) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{}],"b":{}}"#, 3),
            ("[\"[[[\"]", 1),
        ] {
            assert_eq!(depth(text).unwrap(), levels, "{text}");
        }
        for bad in [
            "",
            "[",
            "[] []",
            r#"["\ud83d"]"#,
            r#"{"\ud83d":1}"#,
            r#"{1:2}"#,
        ] {
            assert!(depth(bad).is_err(), "{bad}");
        }
        assert!(depth(&"[".repeat(128)).is_err());
    }

    #[test]
    fn only_a_whole_text_of_json_is_read() {
        for bad in ["", "{", "{} {}", "{'a': 1}", "NaN", r#"{"a"}"#, "1e400"] {
            assert!(value(bad).is_err(), "{bad}");
        }
        for bad in ["[]", "1", "null", "\"a\""] {
            assert!(value(bad).is_ok(), "{bad}");
            assert!(object(bad).is_err(), "{bad}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_serde_json_reads_it(any in any_value()) {
            let text = any.to_string();
            prop_assert_eq!(value(&text).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}
