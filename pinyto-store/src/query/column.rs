//! Texts that are kept as something else: `_id` as bytes, `time` as a number. Queries see them as
//! text, and the order of the texts is the order of what is kept.

use pinyto_core::{clock::Timestamp, document::DocumentId};

/// The first moment that is written as RFC 3339. (Other moments are written otherwise, and out of
/// order.)
pub(crate) const FIRST_TIME: i64 = -62_167_219_200_000;
/// The last moment that is written as RFC 3339.
pub(crate) const LAST_TIME: i64 = 253_402_300_799_999;

/// How many of the numbers from 0 to `count` (exclusive) are `before`, if those come first.
fn partition_point(count: u128, before: impl Fn(u128) -> bool) -> u128 {
    let (mut least, mut most) = (0, count);
    while least < most {
        let middle = least + (most - least) / 2;
        if before(middle) {
            least = middle + 1;
        } else {
            most = middle;
        }
    }
    least
}

/// The first of the moments that are written as RFC 3339 whose text isn't less than `text` (or,
/// with `beyond`, is greater); [`LAST_TIME`] + 1 if there is none.
pub(crate) fn first_time(text: &str, beyond: bool) -> i64 {
    let count = LAST_TIME.abs_diff(FIRST_TIME) + 1;
    let before = |offset: u128| {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let written = Timestamp::from_unix_millis(FIRST_TIME.saturating_add(offset)).to_string();
        is_before(&written, text, beyond)
    };
    let offset = partition_point(count.into(), before);
    FIRST_TIME.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX))
}

/// The first identifier whose text isn't less than `text` (or, with `beyond`, is greater), if
/// there is one.
pub(crate) fn first_id(text: &str, beyond: bool) -> Option<DocumentId> {
    const COUNT: u128 = 1 << 96;
    let id = |number: u128| {
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&number.to_be_bytes()[4..]);
        DocumentId::from_bytes(bytes)
    };
    let first = partition_point(COUNT, |number| {
        is_before(&id(number).to_string(), text, beyond)
    });
    (first < COUNT).then(|| id(first))
}

fn is_before(written: &str, text: &str, beyond: bool) -> bool {
    if beyond {
        written <= text
    } else {
        written < text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_time_are_found_by_any_beginning() {
        let millis = |text: &str| first_time(text, false);
        assert_eq!(millis("1970-01-01T00:00:00.000Z"), 0);
        assert_eq!(first_time("1970-01-01T00:00:00.000Z", true), 1);
        assert_eq!(millis("1970"), 0);
        assert_eq!(millis("1970-01-01T00:00:00.0005"), 0, "0005 is before 000Z");
        assert_eq!(millis("1970-01-01T00:00:00.001"), 1);
        assert_eq!(millis("2026-03-01T12:00:00.007Z"), 1_772_366_400_007);
        assert_eq!(millis(""), FIRST_TIME);
        assert_eq!(millis("x"), LAST_TIME + 1);
        let edge = |time| Timestamp::from_unix_millis(time).to_string();
        assert_eq!(edge(FIRST_TIME), "0000-01-01T00:00:00.000Z");
        assert_eq!(edge(LAST_TIME), "9999-12-31T23:59:59.999Z");
        assert!(edge(FIRST_TIME - 1).ends_with("ms") && edge(LAST_TIME + 1).ends_with("ms"));
    }

    #[test]
    fn texts_of_identifiers_are_found_by_any_beginning() {
        let first = |text: &str, beyond| first_id(text, beyond).map(|id| id.to_string());
        let id = "00112233445566778899aabb";
        assert_eq!(first(id, false).as_deref(), Some(id));
        assert_eq!(first(id, true).as_deref(), Some("00112233445566778899aabc"));
        assert_eq!(first("8", false), Some(format!("8{}", "0".repeat(23))));
        assert_eq!(first("", false), Some("0".repeat(24)));
        assert_eq!(first(&"f".repeat(24), false), Some("f".repeat(24)));
        assert_eq!(first(&"f".repeat(24), true), None);
        assert_eq!(first("g", false), None);
        assert_eq!(first("A", false), Some(format!("a{}", "0".repeat(23))));
    }
}
