//! What a transferable public key consists of (RFC 9580, 10.1.1): keys and user ids, each with the
//! signatures behind it.

use pgp::packet::Signature;

use super::{
    packets::{Packet, tag},
    policy,
};
use crate::gpgauth::InvalidOpenPgpKey;

/// The most characters of a user id that are shown.
const MAX_USER_ID: usize = 256;

/// A packet and the signatures behind it.
pub(super) struct Component<'a> {
    pub(super) packet: &'a Packet,
    pub(super) signatures: Vec<(&'a Packet, Signature)>,
}

/// A signature that was found right.
#[derive(Clone, Copy)]
pub(super) struct SelfSignature<'a> {
    pub(super) packet: &'a Packet,
    pub(super) signature: &'a Signature,
    pub(super) created: i64,
}

impl SelfSignature<'_> {
    pub(super) fn end(&self) -> Option<i64> {
        policy::end(self.created, self.signature.signature_expiration_time())
    }
}

/// Refuses what no key of a user has, and takes the rest apart.
pub(super) fn sift(
    packets: &[Packet],
) -> Result<(Component<'_>, Vec<Component<'_>>), InvalidOpenPgpKey> {
    let secret = |packet: &Packet| matches!(packet.tag, tag::SECRET_KEY | tag::SECRET_SUBKEY);
    if packets.iter().any(secret) {
        return Err(InvalidOpenPgpKey::Secret);
    }
    // Whether it is right isn't asked: nobody but the owner has a reason to spread one.
    let revokes = |packet: &Packet| packet.tag == tag::SIGNATURE && policy::revokes(packet);
    if packets.iter().any(revokes) {
        return Err(InvalidOpenPgpKey::Revoked);
    }
    let mut components: Vec<Component<'_>> = Vec::new();
    for packet in packets {
        match packet.tag {
            tag::PUBLIC_KEY if !components.is_empty() => return Err(InvalidOpenPgpKey::NotArmored),
            tag::PUBLIC_KEY => {}
            tag::MARKER | tag::TRUST | tag::PADDING | 40.. => continue,
            _ if components.is_empty() => return Err(InvalidOpenPgpKey::Malformed),
            tag::SIGNATURE => {
                // One that can't be read says nothing.
                let signature = parse(packet, |header, body| {
                    Signature::try_from_reader(header, body)
                });
                if let (Some(component), Ok(signature)) = (components.last_mut(), signature) {
                    component.signatures.push((packet, signature));
                }
                continue;
            }
            tag::USER_ID | tag::USER_ATTRIBUTE | tag::PUBLIC_SUBKEY => {}
            _ => return Err(InvalidOpenPgpKey::Malformed),
        }
        components.push(Component {
            packet,
            signatures: Vec::new(),
        });
    }
    let mut components = components.into_iter();
    let first = components.next().ok_or(InvalidOpenPgpKey::Malformed)?;
    Ok((first, components.collect()))
}

/// The body of a packet, read by the library, if it writes the same again: fingerprints and
/// signatures are over what it writes.
pub(super) fn parse<T: pgp::ser::Serialize>(
    packet: &Packet,
    read: impl FnOnce(pgp::packet::PacketHeader, &[u8]) -> pgp::errors::Result<T>,
) -> Result<T, InvalidOpenPgpKey> {
    let header = packet.header().ok_or(InvalidOpenPgpKey::Malformed)?;
    let parsed = read(header, &packet.body).map_err(|_| InvalidOpenPgpKey::Malformed)?;
    match parsed.to_bytes() {
        Ok(bytes) if bytes == *packet.body => Ok(parsed),
        _ => Err(InvalidOpenPgpKey::Malformed),
    }
}

/// A user id as it can be shown anywhere: no control characters, line or paragraph separators, or
/// characters that change the direction of what follows.
pub(super) fn shown(id: &[u8]) -> String {
    String::from_utf8_lossy(id)
        .chars()
        .take(MAX_USER_ID)
        .map(|character| match character {
            '\u{200e}' | '\u{200f}' | '\u{061c}' => '\u{fffd}',
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            control if control.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}
