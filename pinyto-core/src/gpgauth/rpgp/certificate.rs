//! Users' keys: transferable public keys (RFC 9580, 10.1), judged by our own policy.

use std::cell::Cell;

use pgp::{
    packet::{Features, KeyFlags, PublicKey, PublicSubkey, Signature, UserId},
    types::{KeyDetails as _, Tag},
};

use super::{
    component::{Component, SelfSignature, parse, shown, sift},
    packets::{self, Packet, tag},
    policy::{self, CLOCK_SKEW, Role},
};
use crate::gpgauth::InvalidOpenPgpKey;

/// The most packets of a key. A self-signature takes 150 bytes and more.
const MAX_PACKETS: usize = 1024;

/// The most signatures that are verified to judge one key. The newest are tried first, so one per
/// user id and subkey suffices for keys that nobody has tampered with.
const MAX_VERIFICATIONS: u32 = 64;

/// The most user ids that are shown.
const MAX_USER_IDS: usize = 16;

/// The most subkeys that are kept, the newest of those that may encrypt.
const MAX_SUBKEYS: usize = 4;

/// A key that may be used at the moment it was judged for.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) primary: PublicKey,
    /// What the primary key may do, by the newest signature that says so.
    pub(super) flags: KeyFlags,
    /// Whether a self-signature asks for the encrypted data of RFC 9580 (5.13.2).
    pub(super) announces_seipd_v2: bool,
    pub(super) recipient: Recipient,
    pub(super) user_ids: Vec<String>,
    pub(super) algorithm: String,
    /// In seconds since 1970: from then on no part of it may be used.
    pub(super) expires_at: Option<i64>,
    /// The packets that were needed to judge it, and nothing else.
    pub(super) packets: Vec<u8>,
}

/// The part of a key that is encrypted for.
#[derive(Debug)]
pub(super) enum Recipient {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

struct Subkey<'a> {
    packet: &'a Packet,
    key: PublicSubkey,
    algorithm: String,
    binding: SelfSignature<'a>,
    ends: Option<i64>,
}

/// Judges the key in `bytes` at `now`. None of its keys, usable or not, may contain one of `own`.
pub(super) fn judge(
    bytes: &[u8],
    own: &[[u8; 32]],
    now: i64,
) -> Result<Certificate, InvalidOpenPgpKey> {
    let packets = packets::split(bytes, MAX_PACKETS).map_err(|_| InvalidOpenPgpKey::Malformed)?;
    let (first, others) = sift(&packets)?;
    let shared = packets.iter().any(|packet| {
        matches!(packet.tag, tag::PUBLIC_KEY | tag::PUBLIC_SUBKEY)
            && own.iter().any(|own| contains(&packet.body, own))
    });
    if shared {
        return Err(InvalidOpenPgpKey::OfServer);
    }
    let name = policy::algorithm(first.packet, Role::Certify)?;
    let primary: PublicKey = parse(first.packet, |header, body| {
        PublicKey::try_from_reader(header, body)
    })?;
    Judge {
        created: i64::from(primary.created_at().as_secs()),
        primary,
        now,
        left: Cell::new(MAX_VERIFICATIONS),
    }
    .certificate(&name, &first, &others)
}

/// One key being judged.
struct Judge {
    primary: PublicKey,
    created: i64,
    now: i64,
    left: Cell<u32>,
}

impl Judge {
    fn certificate(
        self,
        name: &str,
        first: &Component<'_>,
        others: &[Component<'_>],
    ) -> Result<Certificate, InvalidOpenPgpKey> {
        if self.created > self.now.saturating_add(CLOCK_SKEW) {
            return Err(InvalidOpenPgpKey::Expired);
        }
        let direct = self.newest(first, &[0x1f], |signature| {
            signature.verify_key(&self.primary).is_ok()
        })?;
        let mut users = Vec::new();
        for component in others
            .iter()
            .filter(|other| other.packet.tag == tag::USER_ID)
        {
            let Ok(id) = parse(component.packet, |header, body| {
                UserId::try_from_reader(header, body)
            }) else {
                continue;
            };
            let certification = self.newest(component, &[0x10, 0x11, 0x12, 0x13], |signature| {
                signature
                    .verify_certification(&self.primary, Tag::UserId, &id)
                    .is_ok()
            })?;
            users.extend(certification.map(|signature| (component.packet, id, signature)));
        }
        // The owner's choice first, then the one she confirmed last.
        users.sort_by_key(|(_, _, by)| std::cmp::Reverse((by.signature.is_primary(), by.created)));
        users.truncate(MAX_USER_IDS);
        let newest = users
            .iter()
            .map(|(_, _, by)| *by)
            .max_by_key(|by| by.created);

        let deciding: Vec<_> = newest.into_iter().chain(direct).collect();
        if deciding.is_empty() {
            return Err(InvalidOpenPgpKey::SelfSignature);
        }
        // Both may say when the key ends. Who says earlier is believed.
        let ends = deciding
            .iter()
            .filter_map(|by| {
                earlier(
                    policy::end(self.created, by.signature.key_expiration_time()),
                    by.end(),
                )
            })
            .min();
        if ends.is_some_and(|ends| ends <= self.now) {
            return Err(InvalidOpenPgpKey::Expired);
        }
        let flags = deciding
            .iter()
            .map(|by| by.signature.key_flags())
            .find(|flags| *flags != KeyFlags::default())
            .unwrap_or_default();
        let announces_seipd_v2 = deciding
            .iter()
            .any(|by| by.signature.features().is_some_and(Features::seipd_v2));

        let (mut subkeys, refused) = self.subkeys(others)?;
        subkeys.sort_by_key(|subkey| std::cmp::Reverse(subkey.key.created_at().as_secs()));
        subkeys.truncate(MAX_SUBKEYS);
        let (recipient, encrypts, last) = match subkeys.first() {
            Some(newest) => {
                // None of them: for ever.
                let last = subkeys
                    .iter()
                    .map(|subkey| subkey.ends.unwrap_or(i64::MAX))
                    .max();
                (
                    Recipient::Subkey(newest.key.clone()),
                    newest.algorithm.clone(),
                    last.filter(|last| *last != i64::MAX),
                )
            }
            None => {
                let encrypts = flags.encrypt_comms() || flags.encrypt_storage();
                let algorithm = policy::algorithm(first.packet, Role::Encrypt);
                let (true, Ok(algorithm)) = (encrypts, algorithm) else {
                    return Err(refused);
                };
                (Recipient::Primary(self.primary.clone()), algorithm, None)
            }
        };

        let mut packets = Vec::new();
        first.packet.write(&mut packets);
        direct.iter().for_each(|by| by.packet.write(&mut packets));
        // Each takes the verification of a signature at each login: the owner's choice, and the one
        // that decides.
        let kept = |by: &SelfSignature<'_>| {
            let of = |other: &SelfSignature<'_>| std::ptr::eq(by.packet, other.packet);
            users.first().is_some_and(|(_, _, chosen)| of(chosen))
                || newest.as_ref().is_some_and(of)
        };
        for (id, _, by) in users.iter().filter(|(_, _, by)| kept(by)) {
            id.write(&mut packets);
            by.packet.write(&mut packets);
        }
        for subkey in &subkeys {
            subkey.packet.write(&mut packets);
            subkey.binding.packet.write(&mut packets);
        }
        Ok(Certificate {
            user_ids: users.iter().map(|(_, id, _)| shown(id.id())).collect(),
            flags,
            announces_seipd_v2,
            recipient,
            algorithm: format!("{name}, {encrypts}"),
            expires_at: earlier(ends, last),
            packets,
            primary: self.primary,
        })
    }

    /// The subkeys that may encrypt now, and why others may not.
    fn subkeys<'a>(
        &self,
        others: &'a [Component<'a>],
    ) -> Result<(Vec<Subkey<'a>>, InvalidOpenPgpKey), InvalidOpenPgpKey> {
        let mut accepted = Vec::new();
        let mut why = InvalidOpenPgpKey::NoEncryption;
        for component in others
            .iter()
            .filter(|other| other.packet.tag == tag::PUBLIC_SUBKEY)
        {
            match self.subkey(component) {
                Ok(subkey) => accepted.push(subkey),
                // Which of them is the newest would be a guess.
                Err(_) if self.left.get() == 0 => return Err(InvalidOpenPgpKey::TooManySignatures),
                // The first reason that says more than that it isn't for encryption.
                Err(reason) if why == InvalidOpenPgpKey::NoEncryption => why = reason,
                Err(_) => {}
            }
        }
        Ok((accepted, why))
    }

    fn subkey<'a>(&self, component: &'a Component<'a>) -> Result<Subkey<'a>, InvalidOpenPgpKey> {
        let algorithm = policy::algorithm(component.packet, Role::Encrypt)?;
        let key: PublicSubkey = parse(component.packet, |header, body| {
            PublicSubkey::try_from_reader(header, body)
        })?;
        if !policy::may_encrypt(key.public_params()) {
            return Err(InvalidOpenPgpKey::Algorithm { algorithm });
        }
        if key.version() != self.primary.version() {
            return Err(InvalidOpenPgpKey::Malformed);
        }
        let binding = self
            .newest(component, &[0x18], |signature| {
                signature.verify_subkey_binding(&self.primary, &key).is_ok()
            })?
            .ok_or(InvalidOpenPgpKey::SelfSignature)?;
        let flags = binding.signature.key_flags();
        if !flags.encrypt_comms() && !flags.encrypt_storage() {
            return Err(InvalidOpenPgpKey::NoEncryption);
        }
        let created = i64::from(key.created_at().as_secs());
        let ends = earlier(
            policy::end(created, binding.signature.key_expiration_time()),
            binding.end(),
        );
        if created > self.now.saturating_add(CLOCK_SKEW)
            || ends.is_some_and(|ends| ends <= self.now)
        {
            return Err(InvalidOpenPgpKey::Expired);
        }
        Ok(Subkey {
            packet: component.packet,
            key,
            algorithm,
            binding,
            ends,
        })
    }

    /// The newest signature of these types behind `component` that counts and is right.
    fn newest<'a>(
        &self,
        component: &'a Component<'a>,
        types: &[u8],
        verify: impl Fn(&Signature) -> bool,
    ) -> Result<Option<SelfSignature<'a>>, InvalidOpenPgpKey> {
        let (id, fingerprint) = (self.primary.legacy_key_id(), self.primary.fingerprint());
        let of_owner = |signature: &Signature| {
            let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
            (ids.is_empty() && fingerprints.is_empty())
                || ids.contains(&&id)
                || fingerprints.contains(&&fingerprint)
        };
        let mut candidates: Vec<_> = component
            .signatures
            .iter()
            .filter(|(packet, signature)| {
                policy::signature_type(packet).is_some_and(|this| types.contains(&this))
                    && policy::counts(signature, self.primary.version(), self.created, self.now)
                    && of_owner(signature)
            })
            .filter_map(|(packet, signature)| {
                Some(SelfSignature {
                    packet,
                    signature,
                    created: i64::from(signature.created()?.as_secs()),
                })
            })
            .collect();
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.created));
        for candidate in candidates {
            let left = self.left.get().checked_sub(1);
            self.left
                .set(left.ok_or(InvalidOpenPgpKey::TooManySignatures)?);
            if verify(candidate.signature) {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

fn contains(body: &[u8], key: &[u8; 32]) -> bool {
    body.windows(key.len()).any(|window| window == key)
}
