//! Messages (RFC 9580, 10.3): to the server and from it.

use std::io::Read as _;

use pgp::{
    composed::{MessageBuilder, PlainSessionKey, SubpacketConfig},
    crypto::{
        aead::{AeadAlgorithm, ChunkSize},
        hash::HashAlgorithm,
        sym::SymmetricKeyAlgorithm,
    },
    packet::{
        Decompressor, GnupgAeadDataConfig, PublicKeyEncryptedSessionKey, StreamDecryptor,
        Subpacket, SubpacketData, SymEncryptedProtectedData,
    },
    types::{
        DecryptionKey as _, EncryptionKey, EskType, KeyDetails as _, KeyVersion, Password,
        Seipdv1ReadMode, Timestamp,
    },
};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::{
    certificate::Recipient,
    packets::{self, Packet, tag},
    server_key::ServerKey,
};
use crate::gpgauth::{MAX_MESSAGE, MAX_TEXT};

/// The most encrypted session keys: who encrypts to the server may do so for herself as well.
const MAX_SESSION_KEYS: usize = 8;

/// The most layers of compressed data.
const MAX_COMPRESSIONS: usize = 2;

/// The most bytes of what is in a compressed packet: the text, and signatures with their headers.
const MAX_UNPACKED: usize = MAX_TEXT + 8 * 1024;

/// The most packets in one layer: the text, signatures, and their announcements.
const MAX_INNER: usize = 16;

/// Signs and encrypts; gives packets.
pub(super) fn encrypt(
    server: &ServerKey,
    recipient: &Recipient,
    text: &str,
    now: i64,
) -> pgp::errors::Result<Vec<u8>> {
    match recipient {
        Recipient::Primary(key) => encrypt_for(server, key, text, now),
        Recipient::Subkey(key) => encrypt_for(server, key, text, now),
    }
}

/// As [`encrypt`], for whatever key.
pub(super) fn encrypt_for<K: EncryptionKey>(
    server: &ServerKey,
    recipient: &K,
    text: &str,
    now: i64,
) -> pgp::errors::Result<Vec<u8>> {
    let signer = &server.secret.primary_key;
    let now = Timestamp::from_secs(u32::try_from(now).unwrap_or(0));
    let hashed = vec![
        Subpacket::regular(SubpacketData::IssuerFingerprint(signer.fingerprint()))?,
        Subpacket::regular(SubpacketData::SignatureCreationTime(now))?,
    ];
    let issuer = SubpacketData::IssuerKeyId(signer.legacy_key_id());
    let unhashed = vec![Subpacket::regular(issuer)?];
    let subpackets = SubpacketConfig::UserDefined { hashed, unhashed };
    let cipher = SymmetricKeyAlgorithm::AES256;
    let message = MessageBuilder::from_bytes("", text.as_bytes().to_vec());
    let password = Password::empty();
    let hash = HashAlgorithm::Sha512;
    // Who has a version 6 key has an implementation of RFC 9580, and only this is allowed for it.
    if recipient.version() == KeyVersion::V6 {
        let chunks = ChunkSize::default();
        let mut message = message.seipd_v2(OsRng, cipher, AeadAlgorithm::Ocb, chunks);
        message.sign_with_subpackets(signer, password, hash, subpackets);
        message.encrypt_to_key(OsRng, recipient)?;
        return message.to_vec(OsRng);
    }
    let mut message = message.seipd_v1(OsRng, cipher);
    message.sign_with_subpackets(signer, password, hash, subpackets);
    message.encrypt_to_key(OsRng, recipient)?;
    message.to_vec(OsRng)
}

/// The text of a message to `server`. Nobody learns why there is none.
pub(super) fn decrypt(server: &ServerKey, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // One for the data itself, and a few that mean nothing.
    let mut packets = packets::split(bytes, MAX_SESSION_KEYS + 4).ok()?;
    packets.retain(|packet| !means_nothing(packet));
    let (data, session_keys) = packets.split_last()?;
    let all = session_keys
        .iter()
        .all(|packet| packet.tag == tag::SESSION_KEY);
    if !all || session_keys.len() > MAX_SESSION_KEYS {
        return None;
    }
    let data = Protected::read(data)?;
    let inner = session_keys
        .iter()
        .filter_map(|packet| {
            PublicKeyEncryptedSessionKey::try_from_reader(packet.header()?, &packet.body[..]).ok()
        })
        .find_map(|session_key| open(server, &session_key, &data))?;
    literal(&inner, 0)
}

/// Encrypted data whose integrity is protected. What the old packet had none of (5.7) is not even
/// tried.
enum Protected<'a> {
    /// 5.13.1.
    Standard(SymEncryptedProtectedData),
    /// GnuPG's own (draft-koch-librepgp, 5.16): its version 2.4 asks for that in the keys it makes.
    GnuPg(GnupgAeadDataConfig, &'a [u8]),
}

impl<'a> Protected<'a> {
    fn read(packet: &'a Packet) -> Option<Self> {
        let mut body = &packet.body[..];
        match packet.tag {
            tag::PROTECTED => {
                let data =
                    SymEncryptedProtectedData::try_from_reader(packet.header()?, body).ok()?;
                (data.version() == 1).then_some(Self::Standard(data))
            }
            tag::GNUPG_PROTECTED => {
                let config = GnupgAeadDataConfig::try_from_reader(&mut body).ok()?;
                Some(Self::GnuPg(config, body))
            }
            _ => None,
        }
    }

    /// All of it, once its integrity has been checked.
    fn decrypt(&self, cipher: SymmetricKeyAlgorithm, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Standard(data) => {
                let mode = Seipdv1ReadMode::CheckFirst {
                    max_message_size: MAX_MESSAGE,
                };
                let inner = data.decrypt(key, Some(cipher), mode).ok()?;
                Some(Zeroizing::new(inner))
            }
            Self::GnuPg(config, _) if config.sym_alg != cipher => None,
            Self::GnuPg(config, data) => {
                let (mode, chunks) = (config.aead, config.chunk_size);
                let reader =
                    StreamDecryptor::gnupg_aead(cipher, mode, chunks, key, &config.iv, *data);
                let mut inner = Zeroizing::new(Vec::with_capacity(data.len()));
                reader.ok()?.read_to_end(&mut inner).ok()?;
                Some(inner)
            }
        }
    }
}

/// Decrypts the session key with the server's, and with that the data.
fn open(
    server: &ServerKey,
    session_key: &PublicKeyEncryptedSessionKey,
    data: &Protected<'_>,
) -> Option<Zeroizing<Vec<u8>>> {
    let values = session_key.values().ok()?;
    let password = Password::empty();
    server
        .decryption_keys()
        .filter(|key| session_key.match_identity(key))
        .find_map(|key| {
            let session_key = key.decrypt(&password, values, EskType::V3_4).ok()?.ok()?;
            let PlainSessionKey::V3_4 { sym_alg, key } = &session_key else {
                return None;
            };
            // The library takes a key's length on trust.
            if !is_cipher(*sym_alg) || key.len() != sym_alg.key_size() {
                return None;
            }
            data.decrypt(*sym_alg, key.as_ref())
        })
}

/// Block ciphers of 128 bits (9.3). The others are no longer to be used.
const fn is_cipher(cipher: SymmetricKeyAlgorithm) -> bool {
    matches!(
        cipher,
        SymmetricKeyAlgorithm::AES128
            | SymmetricKeyAlgorithm::AES192
            | SymmetricKeyAlgorithm::AES256
            | SymmetricKeyAlgorithm::Twofish
            | SymmetricKeyAlgorithm::Camellia128
            | SymmetricKeyAlgorithm::Camellia192
            | SymmetricKeyAlgorithm::Camellia256
    )
}

/// The literal data in a message that was decrypted: one, perhaps compressed, perhaps signed.
/// Signatures aren't looked at: at this stage nobody has said who she is.
fn literal(bytes: &[u8], compressions: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut found = None;
    for packet in packets::split(bytes, MAX_INNER).ok()? {
        let text = match packet.tag {
            tag::LITERAL => text(&packet.body),
            tag::COMPRESSED if compressions < MAX_COMPRESSIONS => {
                unpack(&packet.body).and_then(|inner| literal(&inner, compressions + 1))
            }
            tag::SIGNATURE | tag::ONE_PASS_SIGNATURE => continue,
            _ if means_nothing(&packet) => continue,
            _ => None,
        };
        if found.replace(text?).is_some() {
            return None;
        }
    }
    found
}

/// 5.9: a format, a file name with its length, a date, and the text.
fn text(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let name = usize::from(*body.get(1)?);
    let text = body.get(2 + name + 4..)?;
    (text.len() <= MAX_TEXT).then(|| Zeroizing::new(text.to_vec()))
}

/// 5.6. Reads no further than the limit, whatever there would be.
fn unpack(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut unpacked = Zeroizing::new(Vec::with_capacity(MAX_UNPACKED + 1));
    let mut reader = Decompressor::from_reader(body)
        .ok()?
        .take(MAX_UNPACKED as u64 + 1);
    reader.read_to_end(&mut unpacked).ok()?;
    (unpacked.len() <= MAX_UNPACKED).then_some(unpacked)
}

fn means_nothing(packet: &Packet) -> bool {
    matches!(packet.tag, tag::MARKER | tag::PADDING)
}
