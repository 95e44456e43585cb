//! Base64 (RFC 4648, section 4) as clients write it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Longer texts than this are refused unseen: 8192 bits take 1368 characters, and 20 more for
/// line breaks.
pub(super) const MAX_LENGTH: usize = 4096;

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes padded base64 to exactly `length` bytes; `None` if `text` is anything else.
///
/// ASCII white space is skipped, because encoders of old (Android's `Base64.DEFAULT`, Python's
/// `encodebytes`) break lines.
///
/// The buffers are wiped, because who has a request token has the session.
pub(super) fn decode(text: &str, length: usize) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut compact = Zeroizing::new(Vec::with_capacity(text.len()));
    compact.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let bytes = Zeroizing::new(STANDARD.decode(&*compact).ok()?);
    (bytes.len() == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_padded_standard_alphabet_is_read() {
        assert_eq!(*decode("+/8=", 2).unwrap(), [0xfb, 0xff]);
        for bad in [
            "-_8=",
            "+/8",
            "+/8==",
            "+/9=",
            "+/8=\u{a0}",
            "",
            "=",
            "+/8=+/8=",
            "\u{0}",
        ] {
            assert_eq!(decode(bad, 2), None, "{bad:?}");
        }
        assert_eq!(decode("+/8=", 3), None);
        assert_eq!(decode(&" ".repeat(MAX_LENGTH + 1), 0), None);
    }

    proptest! {
        #[test]
        fn line_breaks_anywhere_change_nothing(
            bytes: Vec<u8>,
            breaks in prop::collection::vec((0_usize..100, "[ \t\r\n]{1,2}"), 0..8),
        ) {
            let mut text = encode(&bytes);
            for (at, space) in breaks {
                text.insert_str(at % (text.len() + 1), &space);
            }
            prop_assert_eq!(&*decode(&text, bytes.len()).unwrap(), &bytes);
        }
    }
}
