//! ASCII armor (RFC 9580, 6): exactly one block, with nothing but white space around it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

pub(super) const MESSAGE: &str = "PGP MESSAGE";
pub(super) const PUBLIC_KEY: &str = "PGP PUBLIC KEY BLOCK";
pub(super) const PRIVATE_KEY: &str = "PGP PRIVATE KEY BLOCK";

const LINE: usize = 64;

/// The packets in `text`, if it is one armored block with this label.
///
/// Headers are skipped. The checksum is as well: implementations must not refuse anything for it
/// (6.1), and it protects nothing.
pub(super) fn decode(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text
        .trim_ascii()
        .strip_prefix("-----BEGIN ")?
        .strip_prefix(label)?
        .strip_prefix("-----")?
        .strip_suffix("-----")?
        .strip_suffix(label)?
        .strip_suffix("-----END ")?;
    let mut lines = body.lines().map(str::trim_ascii);
    // What follows the label on its line.
    if lines.next() != Some("") {
        return None;
    }
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        if !line.contains(": ") && !line.ends_with(':') {
            return None;
        }
    }
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    let mut ended = false;
    for line in lines.filter(|line| !line.is_empty()) {
        if ended {
            return None;
        }
        // Base64 has no `=` at the beginning of a line.
        ended = line.starts_with('=');
        if !ended {
            base64.push_str(line);
        }
    }
    let packets = STANDARD.decode(base64.as_bytes()).ok()?;
    Some(Zeroizing::new(packets)).filter(|packets| !packets.is_empty())
}

/// `packets` as an armored block with this label, without headers.
///
/// With the checksum, though RFC 9580 asks for none: older implementations miss it.
pub(super) fn encode(label: &str, packets: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(packets));
    let length = base64.len() + base64.len() / LINE + 2 * label.len() + 64;
    // Never grows, so no copy of a secret is left behind.
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut push = |parts: [&str; 3]| parts.iter().for_each(|part| text.push_str(part));
    push(["-----BEGIN ", label, "-----\n\n"]);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        push([line, "\n", ""]);
        rest = after;
    }
    let [_, sum @ ..] = crc24(packets).to_be_bytes();
    push(["=", &STANDARD.encode(sum), "\n"]);
    push(["-----END ", label, "-----\n"]);
    text
}

/// RFC 9580, 6.1.1.
fn crc24(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(0x00b7_04ce, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 16, |sum, _| {
            let shifted = sum << 1;
            if shifted & 0x0100_0000 == 0 {
                shifted
            } else {
                shifted ^ 0x0186_4cfb
            }
        })
    });
    sum & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Vec<u8>> {
        decode(MESSAGE, text).map(|packets| packets.to_vec())
    }

    #[test]
    fn one_block_is_read_however_its_lines_end() {
        let text = encode(MESSAGE, b"packets").to_string();
        assert_eq!(
            text,
            "-----BEGIN PGP MESSAGE-----\n\ncGFja2V0cw==\n=dWPq\n-----END PGP MESSAGE-----\n"
        );
        let with_header = text.replacen("\n\n", "\nVersion: 1\nComment:\n\n", 1);
        let without_sum = text.replace("=dWPq\n", "");
        let around = format!("\n \t{text}\r\n");
        for good in [
            &text,
            &text.replace('\n', "\r\n"),
            &with_header,
            &without_sum,
            &around,
        ] {
            assert_eq!(read(good).as_deref(), Some(&b"packets"[..]), "{good}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let text = encode(MESSAGE, b"packets").to_string();
        let bad = [
            String::new(),
            format!("{text}{text}"),
            format!("hello\n{text}"),
            format!("{text}hello"),
            text.replace("MESSAGE", "SIGNATURE"),
            text.replace("=dWPq", "=dWPq\ncGFja2V0cw=="),
            text.replace("cGFja2V0cw==", "cGFja2V0cw=!"),
            text.replace("cGFja2V0cw==\n=dWPq\n", ""),
            text.replacen("\n\n", "\n", 1),
            text.replacen("-----\n", "----- x\n", 1),
        ];
        for bad in bad {
            assert_eq!(read(&bad), None, "{bad}");
        }
        for end in 0..text.trim_end().len() {
            assert_eq!(read(&text[..end]), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn everything_written_is_read(packets in proptest::collection::vec(any::<u8>(), 1..400)) {
            let text = encode(PUBLIC_KEY, &packets);
            prop_assert!(text.lines().all(|line| line.len() <= LINE));
            prop_assert_eq!(decode(PUBLIC_KEY, &text).map(|read| read.to_vec()), Some(packets));
            prop_assert_eq!(decode(MESSAGE, &text), None);
        }

        #[test]
        fn reading_never_panics(text: String) {
            let _ = decode(MESSAGE, &format!("-----BEGIN PGP MESSAGE-----{text}-----END PGP MESSAGE-----"));
        }
    }
}
