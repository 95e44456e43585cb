//! What goes into a function and what comes out of it.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, Serializer as _},
};
use serde_json::value::RawValue;

use crate::json;

/// A request to a function: the text of a JSON object, without the token it came with, which the
/// author's code must never see.
#[derive(Clone, PartialEq, Eq)]
pub struct CallRequest(Arc<str>);

/// Tells sizes only: it may have a user's data.
impl fmt::Debug for CallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallRequest({} bytes)", self.0.len())
    }
}

/// Why a text is no request to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "A request to a function is a JSON object, nested at most {} levels deep.",
    CallRequest::MAX_DEPTH
)]
pub struct InvalidCallRequest;

impl InvalidCallRequest {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_call_request"
    }
}

impl CallRequest {
    /// How deep lists and objects may be nested: code reads no deeper.
    pub const MAX_DEPTH: usize = 100;

    /// A request with no fields.
    #[must_use]
    pub fn empty() -> Self {
        Self("{}".into())
    }

    /// The request in the text of a JSON object. Its field `token` is left out; what the other
    /// fields hold stays as it is written.
    ///
    /// # Errors
    ///
    /// [`InvalidCallRequest`] if it is no JSON object.
    pub fn from_json(text: &str) -> Result<Self, InvalidCallRequest> {
        let Fields(fields) = serde_json::from_str(text).map_err(|_| InvalidCallRequest)?;
        let opens = text.bytes().filter(|byte| matches!(byte, b'[' | b'{'));
        // Hardly ever: halves of characters and nesting are found by reading all of it.
        if text.contains("\\u") || opens.count() > Self::MAX_DEPTH {
            let depth = json::depth(text).map_err(|_| InvalidCallRequest)?;
            if depth > Self::MAX_DEPTH {
                return Err(InvalidCallRequest);
            }
        }
        let mut written = Vec::with_capacity(text.len());
        let mut writer = serde_json::Serializer::new(&mut written);
        let mut object = writer.serialize_map(None).map_err(|_| InvalidCallRequest)?;
        for (name, value) in fields.iter().filter(|(name, _)| name != "token") {
            object
                .serialize_entry(name, value)
                .map_err(|_| InvalidCallRequest)?;
        }
        SerializeMap::end(object).map_err(|_| InvalidCallRequest)?;
        let text = String::from_utf8(written).map_err(|_| InvalidCallRequest)?;
        Ok(Self(text.into()))
    }

    /// The text of the JSON object.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn text(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// The fields of an object as they are written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(FieldName(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A name, borrowed if nothing in it is escaped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a function answered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallAnswer {
    /// The text of a JSON value.
    pub body: String,
    /// Whether it is an object with the key `error`: then the answer is one to a bad request.
    pub is_error: bool,
}

/// Tells sizes only: it may have a user's data.
impl fmt::Debug for CallAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAnswer")
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("is_error", &self.is_error)
            .finish()
    }
}

impl CallAnswer {
    /// The answer in `text`, if that is JSON.
    pub(crate) fn from_text(text: String) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(&text);
        let is_error = reader.deserialize_any(HasError).ok()?;
        reader.end().ok()?;
        Some(Self {
            body: text,
            is_error,
        })
    }
}

/// Looks through any JSON value, and says whether it is an object with the key `error`.
struct HasError;

impl<'de> Visitor<'de> for HasError {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut has_error = false;
        while let Some(FieldName(name)) = map.next_key()? {
            has_error |= name == "error";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(has_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_passed_on_as_it_is_written_but_for_the_token() {
        for (sent, passed_on) in [
            (r#"{"token":"abc"}"#, "{}"),
            (
                r#" { "a" : 1.50 , "token" : "abc","b":[ ] } "#,
                r#"{"a":1.50,"b":[ ]}"#,
            ),
            (
                r#"{"big":123456789012345678901234567890,"a":{"token":1}}"#,
                r#"{"big":123456789012345678901234567890,"a":{"token":1}}"#,
            ),
            (
                r#"{"to\u006ben":"abc","token":"def","b":1,"b":2}"#,
                r#"{"b":1,"b":2}"#,
            ),
            (r#"{"\u00e4":"\u00e4"}"#, r#"{"ä":"\u00e4"}"#),
        ] {
            assert_eq!(CallRequest::from_json(sent).unwrap().as_str(), passed_on);
        }
        let nested = |levels: usize| {
            let begin = "{\"a\":".repeat(levels - 1);
            format!("{begin}{{}}{}", "}".repeat(levels - 1))
        };
        assert!(CallRequest::from_json(&nested(CallRequest::MAX_DEPTH)).is_ok());
        let too_deep = nested(CallRequest::MAX_DEPTH + 1);
        let half = r#"{"a":"\ud83d"}"#;
        for bad in ["", "[]", "1", "{", "{} {}", r#"{"a"}"#, half, &too_deep] {
            assert_eq!(
                CallRequest::from_json(bad),
                Err(InvalidCallRequest),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_answer_is_json_and_an_error_if_it_says_so() {
        let is_error = |text: &str| CallAnswer::from_text(text.to_owned()).map(|a| a.is_error);
        for fine in [
            "null",
            "1",
            "-1",
            "1.5",
            "\"error\"",
            "[{\"error\":1}]",
            "{\"a\":{\"error\":1}}",
        ] {
            assert_eq!(is_error(fine), Some(false), "{fine}");
        }
        for error in [r#"{"error":null}"#, r#"{"a":1,"err\u006fr":"no"}"#] {
            assert_eq!(is_error(error), Some(true), "{error}");
        }
        for no_json in ["", "done", "{\"a\":1", "1 2", "{'a': 1}", "NaN"] {
            assert_eq!(is_error(no_json), None, "{no_json}");
        }
    }
}
