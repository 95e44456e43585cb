use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    clock::Timestamp,
    randomness::{Randomness, RandomnessUnavailable},
};

/// A document's `_id`: 12 bytes, written as 24 lower-case hex digits, time-ordered.
///
/// Made as a BSON `ObjectId` is: 4 bytes of Unix seconds, 5 random bytes of the process, 3 bytes
/// of a counter that starts anywhere (BSON specification 1.1, `ObjectId`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId([u8; 12]);

/// Why a text is no document identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A document's _id has 24 hexadecimal digits.")]
#[non_exhaustive]
pub struct InvalidDocumentId;

impl InvalidDocumentId {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_document_id"
    }
}

impl DocumentId {
    /// The identifier with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DocumentId {
    type Err = InvalidDocumentId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 24 {
            return Err(InvalidDocumentId);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(InvalidDocumentId),
        };
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// Makes identifiers, each once.
pub(crate) struct DocumentIds {
    process: [u8; 5],
    counter: AtomicU32,
}

impl DocumentIds {
    pub(crate) fn new(randomness: &dyn Randomness) -> Result<Self, RandomnessUnavailable> {
        let (mut process, mut start) = ([0; 5], [0; 4]);
        randomness.fill(&mut process)?;
        randomness.fill(&mut start)?;
        Ok(Self {
            process,
            counter: AtomicU32::new(u32::from_be_bytes(start)),
        })
    }

    pub(crate) fn next(&self, now: Timestamp) -> DocumentId {
        let seconds = u32::try_from(now.unix_seconds().max(0))
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        let count = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..9].copy_from_slice(&self.process);
        bytes[9..].copy_from_slice(&count[1..]);
        DocumentId(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::OsRandomness;

    #[test]
    fn identifiers_are_unique_time_ordered_and_round_trip_as_text() {
        let ids = DocumentIds::new(&OsRandomness).unwrap();
        let at = |s: i64| Timestamp::from_unix_millis(s * 1000);
        let (first, second) = (ids.next(at(1_800_000_000)), ids.next(at(1_800_000_000)));
        assert_ne!(first, second);
        assert!(ids.next(at(1_800_000_001)) > first);
        let text = first.to_string();
        assert_eq!(text.len(), 24);
        assert_eq!(text.parse(), Ok(first));
        for bad in [
            "",
            "0123",
            &text.to_uppercase().replace(|c: char| c.is_numeric(), "A"),
            &"g".repeat(24),
        ] {
            assert_eq!(bad.parse::<DocumentId>(), Err(InvalidDocumentId), "{bad}");
        }
    }
}
