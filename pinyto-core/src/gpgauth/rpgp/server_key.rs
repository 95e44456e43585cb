//! The server's own key: made here, or brought by the operator.

use std::fmt;

use pgp::{
    composed::{
        Deserializable as _, KeyType, SignedPublicKey, SignedSecretKey, SignedSecretSubKey,
    },
    crypto::{ecc_curve::ECCCurve, hash::HashAlgorithm, sym::SymmetricKeyAlgorithm},
    packet::{
        Features, KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey,
        SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
    },
    ser::Serialize as _,
    types::{
        EcdhPublicParams, KeyDetails as _, KeyVersion, Password, PublicParams, SignedUser, Tag,
        Timestamp,
    },
};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::{
    armor,
    certificate::{self, Certificate},
    failed, fingerprint,
    packets::{self, tag},
    seconds,
};
use crate::{
    clock,
    gpgauth::{InvalidOpenPgpKey, OpenPgpError},
    key::KeyFingerprint,
};

/// Why a key can't be the server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidServerKey {
    /// The text is no armored secret key.
    #[error(
        "The server's OpenPGP key has to be one ASCII-armored secret key, as gpg --armor --export-secret-keys writes it."
    )]
    NotArmored,
    /// The packets are damaged, or unknown.
    #[error("The server's OpenPGP key can't be read.")]
    Malformed,
    /// It is protected with a passphrase, or its secret half is elsewhere.
    #[error(
        "The server's OpenPGP key is protected with a passphrase, or a part of its secret half is missing. Export it whole and without one."
    )]
    Protected,
    /// It isn't elliptic, or not of version 4.
    #[error(
        "The server's OpenPGP key must be elliptic and of version 4 (Ed25519 with Cv25519), but is {algorithm}. It decrypts what anybody sends, and RSA would tell about the key by the time that takes."
    )]
    Algorithm {
        /// Which one it is.
        algorithm: String,
    },
    /// Its primary key may not sign.
    #[error("The primary key of the server's OpenPGP key has to be able to sign.")]
    NoSigning,
    /// It announces a format that can't be decrypted here.
    #[error(
        "The server's OpenPGP key asks for data that is encrypted by RFC 9580 (SEIPD version 2), which the server doesn't read. Make one that doesn't, for example with GnuPG."
    )]
    SeipdV2,
    /// It is no key that would be accepted from a user.
    #[error("The server's OpenPGP key can't be used: {0}")]
    Unusable(#[source] InvalidOpenPgpKey),
}

impl InvalidServerKey {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotArmored => "openpgp_server_key_not_armored",
            Self::Malformed => "openpgp_server_key_malformed",
            Self::Protected => "openpgp_server_key_protected",
            Self::Algorithm { .. } => "openpgp_server_key_algorithm",
            Self::NoSigning => "openpgp_server_key_no_signing",
            Self::SeipdV2 => "openpgp_server_key_seipd_v2",
            Self::Unusable(reason) => reason.code(),
        }
    }
}

/// The server's key. Its library wipes the secret numbers when it is dropped.
pub(super) struct ServerKey {
    pub(super) secret: SignedSecretKey,
    pub(super) certificate: Certificate,
    pub(super) fingerprint: KeyFingerprint,
    pub(super) armored: String,
    /// The beginnings of the public points of all its keys: no user's key may contain one.
    pub(super) points: Vec<[u8; 32]>,
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKey({})", self.fingerprint)
    }
}

impl ServerKey {
    /// Version 4, EdDSA over Ed25519 and ECDH over Curve25519 in the forms that RFC 9580 calls
    /// legacy (9.1): GnuPG 2.2 knows no others.
    pub(super) fn generate(user_id: &str, now: clock::Timestamp) -> pgp::errors::Result<Vec<u8>> {
        let now = Timestamp::from_secs(u32::try_from(seconds(now)).unwrap_or(0));
        let unlocked = Password::empty();

        let (public, secret) = KeyType::Ed25519Legacy.generate(OsRng)?;
        let algorithm = KeyType::Ed25519Legacy.to_alg();
        let inner = PubKeyInner::new(KeyVersion::V4, algorithm, now, None, public)?;
        let public = PublicKey::from_inner(inner)?;
        let primary = SecretKey::new(public.clone(), secret)?;

        let kind = KeyType::ECDH(ECCCurve::Curve25519Legacy);
        let (subkey, secret) = kind.generate(OsRng)?;
        let inner = PubKeyInner::new(KeyVersion::V4, kind.to_alg(), now, None, subkey)?;
        let subkey = SecretSubkey::new(PublicSubkey::from_inner(inner)?, secret)?;

        let sign = |what, flags, more: Vec<SubpacketData>| -> pgp::errors::Result<_> {
            let hash = HashAlgorithm::Sha512;
            let mut config = SignatureConfig::v4(what, primary.algorithm(), hash);
            let hashed = [
                SubpacketData::IssuerFingerprint(primary.fingerprint()),
                SubpacketData::SignatureCreationTime(now),
                SubpacketData::KeyFlags(flags),
            ];
            let issuer = SubpacketData::IssuerKeyId(primary.legacy_key_id());
            config.hashed_subpackets = hashed
                .into_iter()
                .chain(more)
                .map(Subpacket::regular)
                .collect::<Result<_, _>>()?;
            config.unhashed_subpackets = vec![Subpacket::regular(issuer)?];
            Ok(config)
        };

        let mut certifies = KeyFlags::default();
        certifies.set_certify(true);
        certifies.set_sign(true);
        let mut features = Features::default();
        features.set_seipd_v1(true);
        let user = UserId::from_str(Default::default(), user_id)?;
        let preferred = vec![
            SubpacketData::IsPrimary(true),
            SubpacketData::PreferredSymmetricAlgorithms(
                [SymmetricKeyAlgorithm::AES256, SymmetricKeyAlgorithm::AES128]
                    .into_iter()
                    .collect(),
            ),
            SubpacketData::PreferredHashAlgorithms(
                [HashAlgorithm::Sha512, HashAlgorithm::Sha256]
                    .into_iter()
                    .collect(),
            ),
            SubpacketData::Features(features),
        ];
        let certification = sign(SignatureType::CertPositive, certifies, preferred)?
            .sign_certification(&primary, &public, &unlocked, Tag::UserId, &user)?;

        let mut encrypts = KeyFlags::default();
        encrypts.set_encrypt_comms(true);
        encrypts.set_encrypt_storage(true);
        let binding = sign(SignatureType::SubkeyBinding, encrypts, Vec::new())?
            .sign_subkey_binding(&primary, &public, &unlocked, subkey.public_key())?;

        let details = pgp::composed::SignedKeyDetails::new(
            Vec::new(),
            Vec::new(),
            vec![SignedUser::new(user, vec![certification])],
            Vec::new(),
        );
        let subkeys = vec![SignedSecretSubKey::new(subkey, vec![binding])];
        SignedSecretKey::new(primary, details, Vec::new(), subkeys).to_bytes()
    }

    /// Reads a secret key, and judges its public half as if it were a user's.
    pub(super) fn from_packets(
        bytes: &[u8],
        now: clock::Timestamp,
    ) -> Result<Self, InvalidServerKey> {
        let malformed = |_| InvalidServerKey::Malformed;
        let parts = packets::split(bytes, 64).map_err(|_| InvalidServerKey::Malformed)?;
        if parts
            .first()
            .is_none_or(|first| first.tag != tag::SECRET_KEY)
            || parts
                .iter()
                .filter(|part| part.tag == tag::SECRET_KEY)
                .count()
                != 1
        {
            return Err(InvalidServerKey::NotArmored);
        }
        let secret = SignedSecretKey::from_bytes(bytes).map_err(|_| InvalidServerKey::Malformed)?;
        let protected = secret.primary_key.secret_params().is_encrypted()
            || secret
                .secret_subkeys
                .iter()
                .any(|subkey| subkey.key.secret_params().is_encrypted())
            || !secret.public_subkeys.is_empty();
        if protected {
            return Err(InvalidServerKey::Protected);
        }
        // Only data for version 4 is decrypted, and only its signatures are made.
        if secret.primary_key.version() != KeyVersion::V4 {
            return Err(InvalidServerKey::Algorithm {
                algorithm: "not of version 4".to_owned(),
            });
        }
        let public = SignedPublicKey::from(secret.clone());
        let mut points = vec![point(public.primary_key.public_params())?];
        for subkey in &public.public_subkeys {
            points.push(point(subkey.key.public_params())?);
        }
        let public = public.to_bytes().map_err(malformed)?;
        let certificate =
            certificate::judge(&public, &[], seconds(now)).map_err(InvalidServerKey::Unusable)?;
        if !certificate.flags.sign() {
            return Err(InvalidServerKey::NoSigning);
        }
        if certificate.announces_seipd_v2 {
            return Err(InvalidServerKey::SeipdV2);
        }
        let fingerprint = fingerprint(&certificate.primary).ok_or(InvalidServerKey::Malformed)?;
        Ok(Self {
            armored: armor::encode(armor::PUBLIC_KEY, &certificate.packets).to_string(),
            secret,
            certificate,
            fingerprint,
            points,
        })
    }

    pub(super) fn to_armored_secret(&self) -> Result<Zeroizing<String>, OpenPgpError> {
        let packets = self.secret.to_bytes().map(Zeroizing::new);
        let packets = packets.map_err(|_| failed("write the server's key"))?;
        Ok(armor::encode(armor::PRIVATE_KEY, &packets))
    }

    /// The packet of the primary secret key: the same however the key was armored, and whatever
    /// user ids, subkeys and signatures it has.
    pub(super) fn primary_secret(&self) -> Result<Zeroizing<Vec<u8>>, OpenPgpError> {
        let bytes = self.secret.primary_key.to_bytes().map(Zeroizing::new);
        bytes.map_err(|_| failed("derive the login secret"))
    }

    /// The keys that decrypt.
    pub(super) fn decryption_keys(&self) -> impl Iterator<Item = &SecretSubkey> {
        self.secret.secret_subkeys.iter().map(|subkey| &subkey.key)
    }
}

/// The first 32 bytes of an elliptic key's point, which all its encodings have.
fn point(numbers: &PublicParams) -> Result<[u8; 32], InvalidServerKey> {
    let bytes = numbers
        .to_bytes()
        .map_err(|_| InvalidServerKey::Malformed)?;
    let refused = |algorithm: &str| {
        Err(InvalidServerKey::Algorithm {
            algorithm: algorithm.to_owned(),
        })
    };
    let start = match numbers {
        PublicParams::RSA(_) => return refused("RSA"),
        PublicParams::X25519(_) | PublicParams::Ed25519(_) => 0,
        PublicParams::ECDH(
            EcdhPublicParams::Curve25519Legacy { .. }
            | EcdhPublicParams::P256 { .. }
            | EcdhPublicParams::P384 { .. }
            | EcdhPublicParams::P521 { .. },
        )
        | PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_) => {
            // The curve with its length, the length of the point, the form of the point.
            1 + usize::from(bytes.first().copied().unwrap_or_default()) + 2 + 1
        }
        _ => return refused("of another kind"),
    };
    let bytes = bytes.get(start..).and_then(|rest| rest.first_chunk());
    bytes.copied().ok_or(InvalidServerKey::Malformed)
}
