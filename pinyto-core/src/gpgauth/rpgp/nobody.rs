//! Recipients that don't exist.
//!
//! Whoever asks for a token for a fingerprint gets a message, whether there is such a key here or
//! not. A message tells who it is for: the key id of a subkey, its algorithm, and by its length
//! the size of an RSA key. So for a fingerprint that is unknown there has to be a subkey, the same
//! each time, of a kind that a user would have. It is derived from the fingerprint with a secret;
//! nobody has its secret half.
//!
//! What this hides, and from whom: who knows only a fingerprint can't tell from the message
//! whether the key is registered here: every kind of key that is accepted stands for nobody, too,
//! as often as it is met. Who has the *public key* of that fingerprint (from a key
//! server, from its owner) knows the ids of its subkeys, and sees by the message that it is for
//! one of them, or for none. The work is made alike, but not equal: what was measured over many
//! requests may tell the kinds of keys apart, and a key with unusually many signatures.

use hkdf::Hkdf;
use pgp::{
    composed::KeyType,
    crypto::{ecc_curve::ECCCurve, hash::HashAlgorithm, public_key::PublicKeyAlgorithm},
    packet::{PacketHeader, PubKeyInner, PublicSubkey},
    types::{
        EncryptionKey, EskType, Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, PkeskBytes,
        PublicParams, SignatureBytes, Tag, Timestamp, VerifyingKey as _,
    },
};
use rand_core::{CryptoRng, RngCore};
use sha2::Sha256;

use super::{certificate, server_key::ServerKey};
use crate::key::KeyFingerprint;

const PURPOSE: &[u8] = b"pinyto gpgauth recipient that does not exist";

/// What a recipient is.
enum Kind {
    /// With a modulus of so many bytes.
    Rsa(usize),
    /// With one of any size that is accepted.
    AnyRsa,
    /// The primary key itself, which has no subkey.
    PrimaryRsa,
    Elliptic(KeyType),
}

/// What users have, of a thousand.
static VERSION_4: [(u16, Kind); 11] = [
    (320, Kind::Rsa(4096 / 8)),
    (140, Kind::Rsa(3072 / 8)),
    (100, Kind::Rsa(2048 / 8)),
    (10, Kind::AnyRsa),
    (10, Kind::PrimaryRsa),
    (15, Kind::Elliptic(KeyType::ECDH(ECCCurve::P256))),
    (8, Kind::Elliptic(KeyType::ECDH(ECCCurve::P384))),
    (6, Kind::Elliptic(KeyType::ECDH(ECCCurve::P521))),
    (10, Kind::Elliptic(KeyType::X25519)),
    (4, Kind::Elliptic(KeyType::X448)),
    (
        377,
        Kind::Elliptic(KeyType::ECDH(ECCCurve::Curve25519Legacy)),
    ),
];

static VERSION_6: [(u16, Kind); 5] = [
    (870, Kind::Elliptic(KeyType::X25519)),
    (90, Kind::Elliptic(KeyType::X448)),
    (20, Kind::Elliptic(KeyType::ECDH(ECCCurve::P256))),
    (10, Kind::Elliptic(KeyType::ECDH(ECCCurve::P384))),
    (10, Kind::Elliptic(KeyType::ECDH(ECCCurve::P521))),
];

/// Subkeys were made between 2014 and 2024.
const FIRST_CREATED: u32 = 1_388_534_400;
const CREATED_WITHIN: u32 = 10 * 365 * 24 * 60 * 60;

/// Bytes that follow from a fingerprint and the secret.
struct Derived<'a> {
    secret: Hkdf<Sha256>,
    fingerprint: &'a KeyFingerprint,
    /// How often it was asked.
    asked: u32,
}

impl<'a> Derived<'a> {
    fn new(secret: &[u8; 32], fingerprint: &'a KeyFingerprint) -> Self {
        Self {
            secret: Hkdf::new(None, secret),
            fingerprint,
            asked: 0,
        }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.next_u32() % bound
    }
}

impl RngCore for Derived<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.asked += 1;
        let asked = self.asked.to_be_bytes();
        // Fails for 8 KiB and more only; nothing here is so long.
        let _ = self
            .secret
            .expand_multi_info(&[PURPOSE, &asked, self.fingerprint.as_bytes()], bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// As hard to foresee as the secret.
impl CryptoRng for Derived<'_> {}

/// A recipient that doesn't exist.
#[derive(Debug)]
pub(super) struct Nobody {
    key: PublicSubkey,
    /// What the message says whose it is.
    fingerprint: Fingerprint,
}

impl Nobody {
    fn subkey(key: PublicSubkey) -> Self {
        let fingerprint = key.fingerprint();
        Self { key, fingerprint }
    }
}

impl KeyDetails for Nobody {
    fn version(&self) -> KeyVersion {
        self.key.version()
    }

    /// The end of a fingerprint of version 4, the beginning of another (RFC 9580, 5.5.4).
    fn legacy_key_id(&self) -> KeyId {
        let bytes = self.fingerprint.as_bytes();
        let id = match self.version() {
            KeyVersion::V4 => bytes.last_chunk(),
            _ => bytes.first_chunk(),
        };
        id.copied()
            .map_or_else(|| self.key.legacy_key_id(), KeyId::from)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.key.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.key.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        None
    }

    fn public_params(&self) -> &PublicParams {
        self.key.public_params()
    }
}

impl EncryptionKey for Nobody {
    fn encrypt<R: CryptoRng + RngCore>(
        &self,
        rng: R,
        plain: &[u8],
        kind: EskType,
    ) -> pgp::errors::Result<PkeskBytes> {
        self.key.encrypt(rng, plain, kind)
    }
}

/// The recipient that belongs to `fingerprint`.
pub(super) fn recipient(secret: &[u8; 32], fingerprint: &KeyFingerprint) -> Option<Nobody> {
    let mut derived = Derived::new(secret, fingerprint);
    // Only a key of version 6 has so long a fingerprint.
    let kinds = match fingerprint.as_bytes().len() {
        32 => &VERSION_6[..],
        _ => &VERSION_4[..],
    };
    let mut number = derived.below(1000);
    let (_, kind) = kinds.iter().find(|(often, _)| {
        let often = u32::from(*often);
        let is_it = number < often;
        number = number.saturating_sub(often);
        is_it
    })?;
    of_kind(kind, &mut derived)
}

fn of_kind(kind: &Kind, derived: &mut Derived<'_>) -> Option<Nobody> {
    let created = FIRST_CREATED + derived.below(CREATED_WITHIN);
    let kind = match kind {
        Kind::Rsa(size) => return rsa(derived, created, *size).map(Nobody::subkey),
        Kind::AnyRsa => {
            let size = 2048 / 8 + 1 + usize::try_from(derived.below(254)).ok()?;
            return rsa(derived, created, size).map(Nobody::subkey);
        }
        Kind::PrimaryRsa => {
            let sizes = [4096 / 8, 3072 / 8, 2048 / 8, 2048 / 8];
            let size = sizes[usize::try_from(derived.below(4)).ok()?];
            let fingerprint = Fingerprint::V4(derived.fingerprint.as_bytes().try_into().ok()?);
            let key = rsa(derived, created, size)?;
            return Some(Nobody { key, fingerprint });
        }
        Kind::Elliptic(kind) => kind,
    };
    // Only a key of version 6 has so long a fingerprint.
    let version = match derived.fingerprint.as_bytes().len() {
        32 => KeyVersion::V6,
        _ => KeyVersion::V4,
    };
    let (numbers, _) = kind.generate(&mut *derived).ok()?;
    let created = Timestamp::from_secs(created);
    let inner = PubKeyInner::new(version, kind.to_alg(), created, None, numbers).ok()?;
    PublicSubkey::from_inner(inner).ok().map(Nobody::subkey)
}

/// A subkey with a number that nobody knows the factors of (RFC 9580, 5.5.2).
fn rsa(derived: &mut Derived<'_>, created: u32, size: usize) -> Option<PublicSubkey> {
    let mut modulus = vec![0; size];
    derived.fill_bytes(&mut modulus);
    // Primes are made with their first two bits set, so their product isn't as often below 9/16 of
    // the greatest; who sees many messages for it would notice.
    let mut half = || u64::from(derived.next_u32() | 0xc000_0000);
    let beginning = half() * half();
    *modulus.first_chunk_mut()? = beginning.to_be_bytes();
    *modulus.last_mut()? |= 1;
    let mut body = vec![4];
    body.extend(created.to_be_bytes());
    body.push(1);
    body.extend(u16::try_from(size * 8).ok()?.to_be_bytes());
    body.extend(modulus);
    // 65537.
    body.extend([0, 17, 1, 0, 1]);
    let header = PacketHeader::new_fixed(Tag::PublicSubkey, u32::try_from(body.len()).ok()?);
    PublicSubkey::try_from_reader(header, &body[..]).ok()
}

/// Does what judging a key of this recipient's kind would: two signatures are verified. Whether
/// they are right isn't asked.
pub(super) fn judge(server: &ServerKey, recipient: &Nobody, now: i64) {
    let recipient = &recipient.key;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pgp::ser::Serialize as _;

    use super::*;
    use crate::gpgauth::rpgp::{
        message,
        packets::{Packet, tag},
        policy::{self, Role},
    };

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
        assert_eq!(recipient.version(), KeyVersion::V6);
    }

    /// As it would be told of a user's.
    fn told(recipient: &Nobody) -> String {
        let packet = Packet {
            tag: tag::PUBLIC_SUBKEY,
            body: recipient.key.to_bytes().unwrap().into(),
        };
        let kind = policy::algorithm(&packet, Role::Encrypt).unwrap();
        assert!(policy::may_encrypt(recipient.public_params()), "{kind}");
        kind
    }

    #[test]
    fn there_is_a_message_for_each_kind_and_each_is_one_that_users_may_have() {
        let now = i64::from(FIRST_CREATED + CREATED_WITHIN);
        let at = crate::clock::Timestamp::from_unix_millis(now * 1000);
        let server = crate::gpgauth::RPgp::generate("Pinyto <p@example.org>", at).unwrap();
        let all = [
            ([7; 20].to_vec(), &VERSION_4[..]),
            ([7; 32].to_vec(), &VERSION_6[..]),
        ];
        for (fingerprint, kinds) in all {
            assert_eq!(kinds.iter().map(|(often, _)| often).sum::<u16>(), 1000);
            let text: String = fingerprint
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let fingerprint: KeyFingerprint = text.parse().unwrap();
            for (_, kind) in kinds {
                let mut derived = Derived::new(&[1; 32], &fingerprint);
                let recipient = of_kind(kind, &mut derived).unwrap();
                told(&recipient);
                judge(&server.server, &recipient, now);
                let message = message::encrypt_for(&server.server, &recipient, "text", now);
                assert!(!message.unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_key_without_subkeys_is_told_by_its_own_identity() {
        let fingerprint = fingerprint(1);
        let mut derived = Derived::new(&[1; 32], &fingerprint);
        let nobody = of_kind(&Kind::PrimaryRsa, &mut derived).unwrap();
        let bytes = fingerprint.as_bytes();
        assert_eq!(nobody.fingerprint().as_bytes(), bytes);
        assert_eq!(nobody.legacy_key_id().as_ref(), &bytes[12..]);
        assert_ne!(nobody.key.fingerprint().as_bytes(), bytes);
    }

    #[test]
    fn moduli_are_as_great_as_products_of_primes() {
        let fingerprint = fingerprint(1);
        let mut derived = Derived::new(&[1; 32], &fingerprint);
        for _ in 0..200 {
            // After version, time, algorithm and length.
            let first = rsa(&mut derived, 0, 256).unwrap().to_bytes().unwrap()[8];
            assert!(first >= 0x90, "{first:x}");
        }
    }

    #[test]
    fn kinds_are_as_common_as_among_users() {
        let mut kinds = BTreeMap::new();
        for number in 0..2000 {
            let fingerprint = fingerprint(number);
            let recipient = recipient(&[1; 32], &fingerprint).unwrap();
            let kind = told(&recipient);
            let is_usual =
                !kind.starts_with("rsa") || ["rsa2048", "rsa3072", "rsa4096"].contains(&&*kind);
            let kind = if fingerprint.as_bytes() == recipient.fingerprint().as_bytes() {
                "without subkeys".to_owned()
            } else if is_usual {
                kind
            } else {
                "rsa".to_owned()
            };
            *kinds.entry(kind).or_insert(0) += 1;
        }
        assert_eq!(kinds.len(), VERSION_4.len(), "{kinds:?}");
        for (kind, often) in [
            ("rsa4096", 640),
            ("rsa3072", 280),
            ("rsa2048", 200),
            ("cv25519", 754),
        ] {
            let is = kinds.get(kind).copied().unwrap_or(0);
            assert!((often - 80..often + 80).contains(&is), "{kinds:?}");
        }
    }
}
