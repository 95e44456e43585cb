//! From the bytes of a body to a request, or to a sentence about what is wrong.

use std::fmt;

use serde::de::IgnoredAny;
use serde_path_to_error::Segment;

use super::Request;

/// As many levels of nesting are read: `serde_json`'s own limit (it counts to 128 and refuses that
/// level), which it forgets in fields that are skipped.
const MAX_DEPTH: usize = 127;

/// How `serde_json` begins what it says about such a number.
const OUT_OF_RANGE: &str = "number out of range";

/// Why a body is not the request it should be. Repeats nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is no UTF-8, no object, or nested too deeply.
    NotObject(String),
    /// It is no JSON.
    NotJson(String),
    /// A field is missing.
    Missing {
        /// Its path.
        field: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A field is not what it has to be.
    Invalid {
        /// Its path.
        field: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A field is or has a number that no JSON reader's number can hold, such as `1e400`.
    OutOfRange {
        /// Its path.
        field: String,
    },
    /// A field is there twice, maybe under two names.
    Twice {
        /// Its path.
        field: String,
    },
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotObject(reason) => write!(f, "The body has to be a JSON object, but {reason}."),
            Self::NotJson(reason) => write!(f, "The body is no valid JSON: {reason}."),
            Self::OutOfRange { field } => write!(
                f,
                "The field {field} has a number that is out of range. Numbers that large can be sent as strings only, where these are allowed."
            ),
            Self::Missing { field, expected } => {
                write!(f, "The field {field} is missing. It has to be {expected}.")
            }
            Self::Invalid { field, expected } => {
                write!(f, "The field {field} has to be {expected}.")
            }
            Self::Twice { field } => write!(f, "The field {field} is there twice. Send it once."),
        }
    }
}

impl std::error::Error for Undecodable {}

/// Reads a request from the bytes of a body.
///
/// Takes time and memory in proportion to `body`, whatever is in it.
///
/// # Errors
///
/// [`Undecodable`] says what is wrong with it.
pub fn decode<T: Request>(body: &[u8]) -> Result<T, Undecodable> {
    if is_too_deep(body) {
        return Err(not_object(format_args!(
            "it is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let text = std::str::from_utf8(body).map_err(|_| not_object("it is not UTF-8"))?;
    match text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .chars()
        .next()
    {
        Some('{') => {}
        None => return Err(not_object("it is empty")),
        Some(_) => return Err(not_object("it begins with something else than {")),
    }
    serde_json::from_str(text).map_err(|error| {
        // What is only skipped is not looked at closely, so a number may be what is wrong.
        if error.is_data() || error.to_string().starts_with(OUT_OF_RANGE) {
            name_field::<T>(text)
        } else {
            Undecodable::NotJson(error.to_string())
        }
    })
}

fn not_object(reason: impl fmt::Display) -> Undecodable {
    Undecodable::NotObject(reason.to_string())
}

/// Reads the body again, slower, to find where it goes wrong.
fn name_field<T: Request>(text: &str) -> Undecodable {
    // The first reading ended at the field, there may be worse behind it.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Undecodable::NotJson(error.to_string());
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        return not_object("it can be read in two ways");
    };
    let (mut shown, mut known) = (String::new(), String::new());
    // The innermost field that is described: what is inside of it has the client's names.
    let mut described = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => {
                shown.push_str(&format!("[{index}]"));
                known.push_str("[]");
            }
            Segment::Map { key } => push(&mut shown, &mut known, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
        if known == "token" || T::FIELDS.iter().any(|(field, _)| *field == known) {
            described.clone_from(&shown);
        }
    }
    let message = error.inner().to_string();
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let expected = |known: &str| {
        let listed = T::FIELDS.iter().find(|(field, _)| *field == known);
        listed.map_or("a string", |(_, expected)| expected)
    };
    if message.starts_with(OUT_OF_RANGE) {
        Undecodable::OutOfRange { field: described }
    } else if message.starts_with("missing field ") {
        push(&mut shown, &mut known, quoted);
        Undecodable::Missing {
            expected: expected(&known),
            field: shown,
        }
    } else if message.starts_with("duplicate field ") {
        if !known.ends_with(quoted) {
            push(&mut shown, &mut known, quoted);
        }
        Undecodable::Twice { field: shown }
    } else {
        Undecodable::Invalid {
            expected: expected(&known),
            field: shown,
        }
    }
}

fn push(shown: &mut String, known: &mut String, key: &str) {
    for path in [shown, known] {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
}

/// Whether brackets and braces are nested deeper than [`MAX_DEPTH`].
fn is_too_deep(body: &[u8]) -> bool {
    let opens = |byte: &&u8| matches!(byte, b'[' | b'{');
    // Nearly always true, and much faster than looking closely.
    if body.iter().filter(opens).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
