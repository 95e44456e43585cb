//! Which algorithms and signatures are accepted.
//!
//! The library checks signatures, but has no policy: it calls expired, revoked and unsigned keys
//! valid. Whatever isn't accepted here doesn't count.

use pgp::{
    crypto::{
        ecc_curve::{ECCCurve, ecc_curve_from_oid},
        hash::HashAlgorithm,
        sym::SymmetricKeyAlgorithm,
    },
    packet::{Signature, SignatureVersion, SubpacketData},
    types::{EcdhPublicParams, KeyVersion, PublicParams},
};

use super::packets::Packet;
use crate::gpgauth::InvalidOpenPgpKey;

/// How far a key's or signature's clock may be ahead of ours, in seconds.
pub(super) const CLOCK_SKEW: i64 = 5 * 60;

/// What is longer takes others' time at each login.
const RSA_BITS: std::ops::RangeInclusive<u16> = 2048..=4096;

/// The greatest usual exponent is 65537: a greater one only takes others' time as well.
const EXPONENT_BITS: u16 = 17;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Certify,
    Encrypt,
}

/// What a key packet is (RFC 9580, 5.5.2 and 9.1), in words, if it is accepted in this role.
///
/// Decided before the library parses the packet, so what is refused need not be parsed.
pub(super) fn algorithm(packet: &Packet, role: Role) -> Result<String, InvalidOpenPgpKey> {
    let malformed = InvalidOpenPgpKey::Malformed;
    let refused = |algorithm: String| InvalidOpenPgpKey::Algorithm { algorithm };
    let numbers = match packet.body.first() {
        Some(4) => 6,
        Some(6) => 10,
        Some(version) => return Err(refused(format!("a key of version {version}"))),
        None => return Err(malformed),
    };
    let algorithm = *packet.body.get(5).ok_or(malformed.clone())?;
    let numbers = packet.body.get(numbers..).ok_or(malformed.clone())?;
    let curve = || {
        let (length, rest) = numbers.split_first()?;
        ecc_curve_from_oid(rest.get(..usize::from(*length))?)
    };
    let (name, wanted) = match algorithm {
        // Hardly anybody has them, and who is encrypted for tells what a key is: recipients that
        // don't exist are of none of these kinds.
        1 | 2 if role == Role::Encrypt && packet.body.first() == Some(&6) => {
            return Err(refused("rsa in a key of version 6".to_owned()));
        }
        2 if role == Role::Encrypt => {
            return Err(refused("rsa that can do nothing but encrypt".to_owned()));
        }
        1..=3 => {
            let bits = numbers.first_chunk().ok_or(malformed)?;
            let bits = u16::from_be_bytes(*bits);
            if bits < *RSA_BITS.start() {
                return Err(InvalidOpenPgpKey::TooWeak);
            }
            if bits > *RSA_BITS.end() {
                return Err(refused(format!("rsa{bits}")));
            }
            let exponent = numbers.get(2 + usize::from(bits).div_ceil(8)..);
            let exponent = exponent.and_then(|rest| rest.first_chunk());
            let exponent = u16::from_be_bytes(*exponent.ok_or(InvalidOpenPgpKey::Malformed)?);
            if exponent > EXPONENT_BITS {
                let name = format!("rsa{bits} with an exponent of {exponent} bits");
                return Err(refused(name));
            }
            let wanted = match role {
                Role::Certify => algorithm != 2,
                Role::Encrypt => algorithm != 3,
            };
            return named(format!("rsa{bits}"), wanted, role);
        }
        16 | 20 => return Err(refused("elgamal".to_owned())),
        17 => return Err(refused("dsa".to_owned())),
        18 => match curve() {
            Some(ECCCurve::Curve25519Legacy) => ("cv25519", Role::Encrypt),
            Some(other) => (
                nist(&other).ok_or_else(|| refused(unknown(&other)))?,
                Role::Encrypt,
            ),
            None => return Err(refused("ecdh over an unknown curve".to_owned())),
        },
        19 => match curve() {
            Some(other) => (
                nist(&other).ok_or_else(|| refused(unknown(&other)))?,
                Role::Certify,
            ),
            None => return Err(refused("ecdsa over an unknown curve".to_owned())),
        },
        22 if curve() == Some(ECCCurve::Ed25519Legacy) => ("ed25519", Role::Certify),
        25 => ("x25519", Role::Encrypt),
        26 => ("x448", Role::Encrypt),
        27 => ("ed25519", Role::Certify),
        28 => ("ed448", Role::Certify),
        other => return Err(refused(format!("public-key algorithm {other}"))),
    };
    named(name.to_owned(), wanted == role, role)
}

fn named(name: String, wanted: bool, role: Role) -> Result<String, InvalidOpenPgpKey> {
    match role {
        _ if wanted => Ok(name),
        // A key that can't sign can't be a primary key at all.
        Role::Certify => Err(InvalidOpenPgpKey::Malformed),
        Role::Encrypt => Err(InvalidOpenPgpKey::NoEncryption),
    }
}

fn nist(curve: &ECCCurve) -> Option<&'static str> {
    match curve {
        ECCCurve::P256 => Some("nistp256"),
        ECCCurve::P384 => Some("nistp384"),
        ECCCurve::P521 => Some("nistp521"),
        _ => None,
    }
}

fn unknown(curve: &ECCCurve) -> String {
    match curve {
        ECCCurve::Unknown(_) => "an unknown curve".to_owned(),
        known => known.name().to_owned(),
    }
}

/// Whether a parsed key may encrypt: an ECDH key names the hash and the cipher that its owner
/// wants (RFC 9580, 11.5).
pub(super) fn may_encrypt(numbers: &PublicParams) -> bool {
    let (hash, cipher) = match numbers {
        PublicParams::RSA(_) | PublicParams::X25519(_) | PublicParams::X448(_) => return true,
        PublicParams::ECDH(
            EcdhPublicParams::Curve25519Legacy { hash, alg_sym, .. }
            | EcdhPublicParams::P256 { hash, alg_sym, .. }
            | EcdhPublicParams::P384 { hash, alg_sym, .. }
            | EcdhPublicParams::P521 { hash, alg_sym, .. },
        ) => (hash, alg_sym),
        _ => return false,
    };
    is_strong(*hash)
        && matches!(
            cipher,
            SymmetricKeyAlgorithm::AES128
                | SymmetricKeyAlgorithm::AES192
                | SymmetricKeyAlgorithm::AES256
        )
}

/// SHA-2 and SHA-3 with 256 bits and more (RFC 9580, 9.5).
const fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// Whether a signature counts at `now`, if it is right: of the key's own version, with a strong
/// hash, made between `since` and `now`, not expired, and without critical subpackets that we
/// don't know (RFC 9580, 5.2.3.7).
pub(super) fn counts(signature: &Signature, key: KeyVersion, since: i64, now: i64) -> bool {
    let Some(config) = signature.config() else {
        return false;
    };
    let version = match key {
        KeyVersion::V4 => SignatureVersion::V4,
        KeyVersion::V6 => SignatureVersion::V6,
        _ => return false,
    };
    let Some(created) = signature
        .created()
        .map(|created| i64::from(created.as_secs()))
    else {
        return false;
    };
    let ends = end(created, signature.signature_expiration_time());
    config.version() == version
        && is_strong(config.hash_alg)
        && (since..=now.saturating_add(CLOCK_SKEW)).contains(&created)
        && ends.is_none_or(|ends| now < ends)
        && config.hashed_subpackets().all(|subpacket| {
            !subpacket.is_critical
                || !matches!(
                    subpacket.data,
                    SubpacketData::Other(..)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Notation(_)
                )
        })
}

/// When what was made at `created` ends; no duration and one of zero are for ever.
pub(super) fn end(created: i64, duration: Option<pgp::types::Duration>) -> Option<i64> {
    duration
        .map(|duration| i64::from(duration.as_secs()))
        .filter(|seconds| *seconds != 0)
        .map(|seconds| created + seconds)
}

/// The type of a signature (RFC 9580, 5.2.1), of whatever version it is.
pub(super) fn signature_type(packet: &Packet) -> Option<u8> {
    match packet.body.first()? {
        2 | 3 => packet.body.get(2).copied(),
        _ => packet.body.get(1).copied(),
    }
}

/// Whether it revokes a key, a subkey or a certification.
pub(super) fn revokes(packet: &Packet) -> bool {
    matches!(signature_type(packet), Some(0x20 | 0x28 | 0x30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(body: &[u8]) -> Packet {
        Packet {
            tag: super::super::packets::tag::PUBLIC_SUBKEY,
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn an_ecdh_key_may_not_ask_for_weak_algorithms() {
        // SHA-1, SHA-256, SHA-512; 3DES, AES-128, Twofish.
        for (hash, cipher, accepted) in [
            (8, 7, true),
            (10, 9, true),
            (2, 7, false),
            (8, 2, false),
            (8, 10, false),
            (99, 7, false),
        ] {
            let mut body = vec![10, 0x2b, 6, 1, 4, 1, 0x97, 0x55, 1, 5, 1, 1, 7, 0x40];
            body.extend([9; 32]);
            body.extend([3, 1, hash, cipher]);
            let numbers = EcdhPublicParams::try_from_reader(&body[..], None).unwrap();
            assert_eq!(may_encrypt(&PublicParams::ECDH(numbers)), accepted);
        }
    }

    #[test]
    fn keys_that_end_anywhere_have_no_algorithm() {
        let whole = [4, 0, 0, 0, 0, 18, 10, 0x2b, 6, 1, 4, 1, 0x97, 0x55, 1, 5, 1];
        let whole = key(&whole);
        assert_eq!(algorithm(&whole, Role::Encrypt), Ok("cv25519".to_owned()));
        assert!(algorithm(&whole, Role::Certify).is_err());
        for end in 0..whole.body.len() {
            assert!(algorithm(&key(&whole.body[..end]), Role::Encrypt).is_err());
        }
    }

    #[test]
    fn rsa_has_2048_bits_and_may_be_for_one_thing_only() {
        let with_exponent = |version: u8, algorithm: u8, bits: u16, exponent: u8| {
            let mut body = vec![version, 0, 0, 0, 0, algorithm];
            if version == 6 {
                body.extend([0; 4]);
            }
            body.extend(bits.to_be_bytes());
            body.extend(vec![0xff; usize::from(bits).div_ceil(8)]);
            body.extend([0, exponent, 1, 0, 1]);
            key(&body)
        };
        let rsa = |algorithm: u8, bits: u16| with_exponent(4, algorithm, bits, 17);
        for role in [Role::Certify, Role::Encrypt] {
            assert_eq!(algorithm(&rsa(1, 2048), role), Ok("rsa2048".to_owned()));
            let weak = algorithm(&rsa(1, 2047), role);
            assert_eq!(weak, Err(InvalidOpenPgpKey::TooWeak));
        }
        assert!(algorithm(&rsa(2, 2048), Role::Certify).is_err());
        assert!(algorithm(&rsa(3, 2048), Role::Certify).is_ok());
        let refused = |packet: &Packet, role| algorithm(packet, role).unwrap_err().code();
        let sign_only = refused(&rsa(3, 2048), Role::Encrypt);
        assert_eq!(sign_only, "openpgp_key_no_encryption");
        for role in [Role::Certify, Role::Encrypt] {
            let slow = with_exponent(4, 1, 4096, 18);
            assert_eq!(refused(&slow, role), "openpgp_key_algorithm");
        }
        // Nobody is ever of such a kind.
        for rare in [rsa(2, 2048), with_exponent(6, 1, 2048, 17)] {
            assert_eq!(refused(&rare, Role::Encrypt), "openpgp_key_algorithm");
        }
    }

    #[test]
    fn revocations_are_seen_in_signatures_of_all_versions() {
        for (body, revoked) in [
            (&[4, 0x20][..], true),
            (&[4, 0x28], true),
            (&[6, 0x30], true),
            (&[5, 0x20], true),
            (&[3, 5, 0x20], true),
            (&[3, 0x20, 0x13], false),
            (&[4, 0x13], false),
            (&[4], false),
            (&[], false),
        ] {
            assert_eq!(revokes(&key(body)), revoked, "{body:?}");
        }
    }
}
