//! What both targets about OpenPGP need.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pinyto_core::{clock::Timestamp, gpgauth::RPgp};

pub const NOW: Timestamp = Timestamp::from_unix_millis(1_772_366_400_000);

pub fn server() -> RPgp {
    let key = include_str!("../../../pinyto-core/tests/gpgauth/keys/ed25519.asc");
    RPgp::from_armored(key, NOW).expect("the key was good once")
}

pub fn armored(label: &str, packets: &[u8]) -> String {
    let body = STANDARD.encode(packets);
    format!("-----BEGIN PGP {label}-----\n\n{body}\n-----END PGP {label}-----\n")
}

pub fn dearmored(text: &str) -> Vec<u8> {
    let (_, body) = text.split_once("\n\n").expect("armor");
    let lines = body
        .lines()
        .take_while(|line| !line.starts_with(['=', '-']));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

/// Packets made of `input`: these alone, or `good` with changes, since a fuzzer makes no
/// signatures. A change is where, what (a byte replaced, taken out or put in) and a byte.
pub fn packets(input: &[u8], good: &[u8]) -> Vec<u8> {
    let Some((1, changes)) = input.split_first().map(|(first, rest)| (first & 1, rest)) else {
        return input.get(1..).unwrap_or_default().to_vec();
    };
    let mut packets = good.to_vec();
    for change in changes.chunks_exact(4) {
        let [high, low, what, byte] = [change[0], change[1], change[2], change[3]];
        let at = usize::from(u16::from_be_bytes([high, low])) % packets.len().max(1);
        match what % 4 {
            _ if packets.is_empty() => packets.push(byte),
            0 => packets.insert(at, byte),
            1 => drop(packets.remove(at)),
            2 => packets.truncate(at),
            _ => packets[at] = byte,
        }
    }
    packets
}
