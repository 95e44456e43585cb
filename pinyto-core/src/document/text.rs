//! Documents as JSON text, for those who only pass them on.

use super::DocumentId;
use crate::{assembly::AssemblyRef, clock::Timestamp};

/// The text of [`Document::to_json`](super::Document::to_json), made of the text of the other
/// `fields`: a JSON object without any of those that the server itself sets. The order of the
/// fields may be another one.
///
/// # Errors
///
/// If `fields` doesn't look like an object. It is not read.
pub fn document_text(
    id: DocumentId,
    assembly: &AssemblyRef,
    time: Timestamp,
    fields: &str,
) -> Result<String, NoObject> {
    let inside = fields.strip_prefix('{').ok_or(NoObject)?;
    let inside = inside.strip_suffix('}').ok_or(NoObject)?;
    let comma = if inside.trim_ascii().is_empty() {
        ""
    } else {
        ","
    };
    // None of the three texts has anything to escape.
    Ok(format!(
        r#"{{"_id":"{id}","assembly":"{assembly}","time":"{time}"{comma}{inside}}}"#
    ))
}

/// The fields of a stored document are no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object")]
#[non_exhaustive]
pub struct NoObject;

impl NoObject {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "no_object"
    }
}

/// How many bytes a JSON text takes as a tree of values, about and at most, told without building
/// one.
#[must_use]
pub fn tree_size(json: &str) -> usize {
    /// What is told faster, with what stands in texts counted as if it were values.
    const SMALL: usize = 64 * 1024;
    let bytes = json.as_bytes();
    let count = |wanted: u8| bytes.iter().filter(|byte| **byte == wanted).count();
    let at_most = [b',', b'[', b'{', b':'].map(|sign| count(sign) * weight(sign));
    let at_most = json.len() + at_most.iter().sum::<usize>();
    if at_most <= SMALL {
        return at_most;
    }
    let (mut size, mut quoted, mut escaped) = (json.len(), false, false);
    for byte in bytes {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = *byte == b'\\';
            quoted = *byte != b'"';
        } else {
            quoted = *byte == b'"';
            size += weight(*byte);
        }
    }
    size
}

/// How many bytes a sign in a JSON text stands for.
const fn weight(sign: u8) -> usize {
    match sign {
        // A list grows by doubling.
        b',' => 48,
        b'[' => 160,
        // A map's least part has places for eleven members.
        b'{' => 700,
        b':' => 120,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::given;

    #[test]
    fn the_text_is_that_of_the_whole_document() {
        let notes = given::assembly_ref("ann/Notes");
        for data in [
            json!(null),
            json!({"a": [1, 1.0, 1e22, "\"\\\u{0}ü"], "": {}}),
            json!({"_id": 1, "time": [2]}),
        ] {
            let mut document = given::document(1, &notes, data);
            document.fields.insert("A".into(), json!(true));
            let fields = serde_json::to_string(&document.fields).unwrap();
            let text = document_text(document.id, &notes, document.time, &fields).unwrap();
            assert_eq!(crate::json::value(&text).unwrap(), document.to_json());
            assert_eq!(text.len() as u64, document.size());
        }
        let document = given::document(1, &notes, json!(1));
        let text = |fields| document_text(document.id, &notes, document.time, fields);
        assert!(text("{}").unwrap().ends_with("Z\"}"));
        for none in ["", "{", "}", "[]", "null", "\"{}\""] {
            assert_eq!(text(none), Err(NoObject), "{none}");
        }
    }

    #[test]
    fn a_tree_is_never_much_larger_than_told() {
        assert_eq!(tree_size("1"), 1);
        assert!(tree_size(r#"[{"":0},{"":0}]"#) > 1_500);
        let text = Value::from("{[,:\\\"".repeat(20_000)).to_string();
        assert_eq!(tree_size(&text), text.len());
        let list = format!("[{text},{}]", vec!["{}"; 1_000].join(","));
        assert_eq!(tree_size(&list), list.len() + 160 + 1_000 * (48 + 700));
    }
}
