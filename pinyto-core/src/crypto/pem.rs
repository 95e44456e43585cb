//! The textual form of keys (RFC 7468), as people paste it.

use zeroize::Zeroizing;

/// Several times the length of the longest key's PEM.
const MAX_LENGTH: usize = 64 * 1024;

/// The label and content of the first block in `text`; what stands around it doesn't matter.
pub(crate) fn decode(text: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let block = text.get(text.find("-----BEGIN ")?..)?;
    let label_start = block.find("-----END ")? + "-----END ".len();
    let end = label_start + block.get(label_start..)?.find("-----")? + "-----".len();
    let (label, content) = pem_rfc7468::decode_vec(block.get(..end)?.as_bytes()).ok()?;
    Some((label, Zeroizing::new(content)))
}
