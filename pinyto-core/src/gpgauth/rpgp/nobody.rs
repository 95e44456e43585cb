//! Recipients that don't exist.
//!
//! Whoever asks for a token for a fingerprint gets a message, whether there is such a key here or
//! not. A message tells who it is for: the key id of a subkey, its algorithm, and by its length
//! the size of an RSA key. So for a fingerprint that is unknown there has to be a subkey, the same
//! each time, of a kind that a user would have. It is derived from the fingerprint with a secret;
//! nobody has its secret half.
//!
//! What this hides, and from whom: who knows only a fingerprint can't tell from the message
//! whether the key is registered here, if the key is of such a kind: a message for any other is for
//! somebody. Who has the *public key* of that fingerprint (from a key
//! server, from its owner) knows the ids of its subkeys, and sees by the message that it is for
//! one of them, or for none. The work is made alike, but not equal: what was measured over many
//! requests may tell the kinds of keys apart, and a key with unusually many signatures.

use hkdf::Hkdf;
use pgp::{
    crypto::{hash::HashAlgorithm, public_key::PublicKeyAlgorithm},
    packet::{PacketHeader, PublicSubkey},
    types::{KeyDetails as _, Mpi, SignatureBytes, Tag, VerifyingKey as _},
};
use sha2::Sha256;

use super::{certificate, server_key::ServerKey};
use crate::key::KeyFingerprint;

const PURPOSE: &[u8] = b"pinyto gpgauth recipient that does not exist";

/// What users have, in percent: the sizes of RSA keys in bytes, and Curve25519 for the rest. Keys of
/// version 6 are Curve25519's.
const RSA: [(u16, usize); 3] = [(35, 4096 / 8), (15, 3072 / 8), (10, 2048 / 8)];

/// Subkeys were made between 2014 and 2024.
const FIRST_CREATED: u32 = 1_388_534_400;
const CREATED_WITHIN: u32 = 10 * 365 * 24 * 60 * 60;

/// The object identifier of Curve25519 with its length (RFC 9580, 9.2).
const CURVE25519: [u8; 11] = [10, 0x2b, 6, 1, 4, 1, 0x97, 0x55, 1, 5, 1];

/// The recipient that belongs to `fingerprint`.
pub(super) fn recipient(secret: &[u8; 32], fingerprint: &KeyFingerprint) -> Option<PublicSubkey> {
    let body = body(secret, fingerprint)?;
    let header = PacketHeader::new_fixed(Tag::PublicSubkey, u32::try_from(body.len()).ok()?);
    PublicSubkey::try_from_reader(header, &body[..]).ok()
}

/// Does what judging a key of this recipient's kind would: two signatures are verified. Whether
/// they are right isn't asked.
pub(super) fn judge(server: &ServerKey, recipient: &PublicSubkey, now: i64) {
    if recipient.algorithm() == PublicKeyAlgorithm::RSA {
        let signature = SignatureBytes::Mpis(vec![Mpi::from_slice(&[1; 32])]);
        for _ in 0..2 {
            let _ = recipient.verify(HashAlgorithm::Sha256, &[0; 32], &signature);
        }
    } else {
        // The server's own key is usually such a one.
        let _ = certificate::judge(&server.certificate.packets, &[], now);
    }
}

/// A subkey's packet (RFC 9580, 5.5.2).
fn body(secret: &[u8; 32], fingerprint: &KeyFingerprint) -> Option<Vec<u8>> {
    let mut random = [0; 2 + 4 + 4096 / 8];
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(&[PURPOSE, fingerprint.as_bytes()], &mut random)
        .ok()?;
    let (kind, random) = random.split_first_chunk()?;
    let (created, random) = random.split_first_chunk()?;
    let created = FIRST_CREATED + u32::from_be_bytes(*created) % CREATED_WITHIN;

    let mut kind = u16::from_be_bytes(*kind) % 100;
    // Only a key of version 6 has so long a fingerprint.
    if fingerprint.as_bytes().len() == 32 {
        let mut body = vec![6];
        body.extend(created.to_be_bytes());
        body.push(25);
        body.extend(32_u32.to_be_bytes());
        body.extend(random.get(..32)?);
        return Some(body);
    }
    let mut body = vec![4];
    body.extend(created.to_be_bytes());
    for (percent, size) in RSA {
        if kind < percent {
            let mut modulus = random.get(..size)?.to_vec();
            *modulus.first_mut()? |= 0x80;
            *modulus.last_mut()? |= 1;
            body.push(1);
            body.extend(u16::try_from(size * 8).ok()?.to_be_bytes());
            body.extend(modulus);
            // 65537.
            body.extend([0, 17, 1, 0, 1]);
            return Some(body);
        }
        kind -= percent;
    }
    body.push(18);
    body.extend(CURVE25519);
    // 263 bits: the point behind a byte that says it is one; then SHA-256 and AES-128.
    body.extend([1, 7, 0x40]);
    body.extend(random.get(..32)?);
    body.extend([3, 1, 8, 7]);
    Some(body)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pgp::types::KeyVersion;

    use super::*;

    fn fingerprint(number: u16) -> KeyFingerprint {
        let mut bytes = [7; 20];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        KeyFingerprint::from_openpgp_v4(bytes)
    }

    #[test]
    fn a_fingerprint_has_the_same_recipient_each_time_and_no_other_has_it() {
        let one = |secret, number| {
            recipient(&[secret; 32], &fingerprint(number))
                .unwrap()
                .fingerprint()
        };
        assert_eq!(one(1, 1), one(1, 1));
        assert_ne!(one(1, 1), one(1, 2));
        assert_ne!(one(1, 1), one(2, 1));
    }

    #[test]
    fn a_long_fingerprint_is_of_a_key_of_version_6() {
        let fingerprint = KeyFingerprint::from_bytes([7; 32]);
        let recipient = recipient(&[1; 32], &fingerprint).unwrap();
        assert_eq!(recipient.algorithm(), PublicKeyAlgorithm::X25519);
        assert_eq!(recipient.version(), KeyVersion::V6);
    }

    #[test]
    fn kinds_are_as_common_as_among_users() {
        let mut lengths = BTreeMap::new();
        for number in 0..1000 {
            let body = body(&[1; 32], &fingerprint(number)).unwrap();
            assert!(recipient(&[1; 32], &fingerprint(number)).is_some());
            *lengths.entry(body.len()).or_insert(0) += 1;
        }
        let expected = [(56, 400), (269, 100), (397, 150), (525, 350)];
        assert_eq!(lengths.len(), expected.len(), "{lengths:?}");
        for (length, often) in expected {
            let is = lengths.get(&length).copied().unwrap_or(0);
            assert!((often - 60..often + 60).contains(&is), "{lengths:?}");
        }
    }
}
