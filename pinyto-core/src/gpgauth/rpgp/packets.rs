//! Packets (RFC 9580, 4): where each begins and ends. What is in them is the library's to read.
//!
//! Its own parsers of packet sequences skip what they don't understand, and look for more behind
//! errors. Here whatever isn't one packet exactly after the other is an error.

use pgp::{packet::PacketHeader, types::Tag};
use zeroize::Zeroizing;

/// The identifiers of packet types that are used here (5).
pub(super) mod tag {
    pub(in super::super) const SESSION_KEY: u8 = 1;
    pub(in super::super) const SIGNATURE: u8 = 2;
    pub(in super::super) const ONE_PASS_SIGNATURE: u8 = 4;
    pub(in super::super) const SECRET_KEY: u8 = 5;
    pub(in super::super) const PUBLIC_KEY: u8 = 6;
    pub(in super::super) const SECRET_SUBKEY: u8 = 7;
    pub(in super::super) const COMPRESSED: u8 = 8;
    pub(in super::super) const MARKER: u8 = 10;
    pub(in super::super) const LITERAL: u8 = 11;
    pub(in super::super) const TRUST: u8 = 12;
    pub(in super::super) const USER_ID: u8 = 13;
    pub(in super::super) const PUBLIC_SUBKEY: u8 = 14;
    pub(in super::super) const USER_ATTRIBUTE: u8 = 17;
    pub(in super::super) const PROTECTED: u8 = 18;
    pub(in super::super) const GNUPG_PROTECTED: u8 = 20;
    pub(in super::super) const PADDING: u8 = 21;
}

/// A packet: its type and its body, in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) tag: u8,
    /// Wiped, since it may be what a message said.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The bytes are no sequence of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPackets;

impl Packet {
    /// The header as the library wants to have it beside a body.
    pub(super) fn header(&self) -> Option<PacketHeader> {
        let length = u32::try_from(self.body.len()).ok()?;
        Some(PacketHeader::new_fixed(Tag::from(self.tag), length))
    }

    /// Writes it in the current format (4.2.1).
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(0xc0 | self.tag);
        let length = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        let [.., high, low] = length.to_be_bytes();
        match length {
            0..192 => out.push(low),
            192..8384 => {
                let [.., high, low] = (length - 192).to_be_bytes();
                out.extend([high + 192, low]);
            }
            _ => out.extend([
                0xff,
                length.to_be_bytes()[0],
                length.to_be_bytes()[1],
                high,
                low,
            ]),
        }
        out.extend(self.body.iter());
    }
}

/// Splits `bytes` into at most `limit` packets.
///
/// Partial and indeterminate lengths are for packets of data only (4.2.1.4).
pub(super) fn split(mut bytes: &[u8], limit: usize) -> Result<Vec<Packet>, NoPackets> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        if packets.len() == limit {
            return Err(NoPackets);
        }
        packets.push(next(&mut bytes).ok_or(NoPackets)?);
    }
    Ok(packets)
}

fn next(bytes: &mut &[u8]) -> Option<Packet> {
    let first = byte(bytes)?;
    if first & 0x80 == 0 {
        return None;
    }
    if first & 0x40 == 0 {
        let tag = first >> 2 & 0x0f;
        let body = match first & 3 {
            0 => number(bytes, 1).and_then(|length| take(bytes, length))?,
            1 => number(bytes, 2).and_then(|length| take(bytes, length))?,
            2 => number(bytes, 4).and_then(|length| take(bytes, length))?,
            _ if is_data(tag) => std::mem::take(bytes),
            _ => return None,
        };
        return (tag != 0).then(|| Packet {
            tag,
            body: Zeroizing::new(body.to_vec()),
        });
    }
    let tag = first & 0x3f;
    let mut parts = Vec::new();
    loop {
        let first = usize::from(byte(bytes)?);
        let length = match first {
            0..192 => first,
            192..224 => ((first - 192) << 8) + usize::from(byte(bytes)?) + 192,
            255 => number(bytes, 4)?,
            _ if !is_data(tag) => return None,
            partial => {
                parts.push(take(bytes, 1 << (partial & 0x1f))?);
                continue;
            }
        };
        parts.push(take(bytes, length)?);
        return (tag != 0).then(|| Packet {
            tag,
            body: Zeroizing::new(parts.concat()),
        });
    }
}

fn is_data(tag: u8) -> bool {
    matches!(
        tag,
        tag::COMPRESSED | tag::LITERAL | tag::PROTECTED | tag::GNUPG_PROTECTED
    )
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8], digits: usize) -> Option<usize> {
    let digits = take(bytes, digits)?;
    Some(
        digits
            .iter()
            .fold(0, |number, digit| number << 8 | usize::from(*digit)),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_of_lengths_are_read() {
        let literal = |body: &[u8]| {
            Ok(vec![Packet {
                tag: tag::LITERAL,
                body: body.to_vec().into(),
            }])
        };
        assert_eq!(split(&[0xcb, 2, 1, 2], 9), literal(&[1, 2]));
        assert_eq!(split(&[0xcb, 255, 0, 0, 0, 2, 1, 2], 9), literal(&[1, 2]));
        assert_eq!(split(&[0xac, 2, 1, 2], 9), literal(&[1, 2]));
        assert_eq!(split(&[0xad, 0, 2, 1, 2], 9), literal(&[1, 2]));
        assert_eq!(split(&[0xae, 0, 0, 0, 2, 1, 2], 9), literal(&[1, 2]));
        // Of indeterminate length; in two parts of two and one of one byte.
        assert_eq!(split(&[0xaf, 1, 2], 9), literal(&[1, 2]));
        let partial = [0xcb, 0xe1, 1, 2, 0xe1, 3, 4, 1, 5];
        assert_eq!(split(&partial, 9), literal(&[1, 2, 3, 4, 5]));
        assert_eq!(split(&[0xcb, 0, 0xcb, 0], 1), Err(NoPackets));
    }

    #[test]
    fn keys_and_signatures_have_definite_lengths() {
        assert_eq!(split(&[0x9b, 1, 2], 9), Err(NoPackets));
        assert_eq!(split(&[0xc6, 0xe0, 1, 1, 2], 9), Err(NoPackets));
        // No packet type is 0, and the highest bit is always set.
        assert_eq!(split(&[0xc0, 0], 9), Err(NoPackets));
        assert_eq!(split(&[0x80, 0], 9), Err(NoPackets));
        assert_eq!(split(&[0x4b, 0], 9), Err(NoPackets));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            tag in 1_u8..64,
            length in prop_oneof![0_usize..400, 8380_usize..8390, Just(70_000)],
        ) {
            let packet = Packet { tag, body: vec![tag; length].into() };
            let mut bytes = Vec::new();
            packet.write(&mut bytes);
            prop_assert_eq!(split(&bytes, 9), Ok(vec![packet]));
            for end in 1..bytes.len().min(9) {
                prop_assert_eq!(split(&bytes[..end], 9), Err(NoPackets));
            }
        }

        #[test]
        fn no_packet_has_more_than_there_is(bytes: Vec<u8>) {
            if let Ok(packets) = split(&bytes, 99) {
                let total: usize = packets.iter().map(|packet| packet.body.len()).sum();
                prop_assert!(total <= bytes.len());
            }
        }
    }
}
