//! Packets put together by hand.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pgp::{
    bytes::BytesMut,
    composed::{Deserializable as _, RawSessionKey, SignedPublicKey},
    crypto::{aead::AeadAlgorithm, sym::SymmetricKeyAlgorithm},
    packet::{PacketTrait as _, PublicKeyEncryptedSessionKey, SymEncryptedProtectedData},
    ser::Serialize as _,
};
use pinyto_core::gpgauth::{OpenPgp as _, RPgp};
use rand_core::OsRng;

pub(crate) fn armor(label: &str, packets: &[u8]) -> String {
    let body = STANDARD.encode(packets);
    format!("-----BEGIN PGP {label}-----\n\n{body}\n-----END PGP {label}-----\n")
}

pub(crate) fn message(packets: &[u8]) -> String {
    armor("MESSAGE", packets)
}

/// The packets of an armored block.
pub(crate) fn dearmor(text: &str) -> Vec<u8> {
    let base64: String = text
        .split_once("\n\n")
        .unwrap()
        .1
        .lines()
        .take_while(|line| !line.starts_with(['=', '-']))
        .collect();
    STANDARD.decode(base64).unwrap()
}

/// A packet with a length of five octets.
pub(crate) fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | tag, 0xff];
    packet.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    packet.extend(body);
    packet
}

pub(crate) fn literal(text: &[u8]) -> Vec<u8> {
    packet(11, &[b"b\0\0\0\0\0", text].concat())
}

/// Compressed, without being any shorter: deflate in one stored block.
pub(crate) fn compressed(packets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packets.len()).unwrap();
    let mut body = vec![1, 1];
    body.extend(length.to_le_bytes());
    body.extend((!length).to_le_bytes());
    body.extend(packets);
    packet(8, &body)
}

/// A session key, encrypted for `server` again and again.
pub(crate) struct Session {
    cipher: SymmetricKeyAlgorithm,
    key: RawSessionKey,
}

impl Session {
    pub(crate) fn new(cipher: SymmetricKeyAlgorithm) -> Self {
        let key = cipher.new_session_key(OsRng);
        Self { cipher, key }
    }

    /// With a key that is no key of this cipher.
    pub(crate) fn wrong(cipher: SymmetricKeyAlgorithm, key: &[u8]) -> Self {
        Self {
            cipher,
            key: key.into(),
        }
    }

    pub(crate) fn for_server(&self, server: &RPgp) -> Vec<u8> {
        let (key, _) = SignedPublicKey::from_string(server.public_key()).unwrap();
        let subkey = &key.public_subkeys[0];
        let packet = PublicKeyEncryptedSessionKey::from_session_key_v3(
            OsRng,
            &self.key,
            self.cipher,
            subkey,
        );
        let mut bytes = Vec::new();
        packet.unwrap().to_writer_with_header(&mut bytes).unwrap();
        bytes
    }

    /// The body of GnuPG's own packet, in one piece (draft-koch-librepgp, 5.16.1): its head, the
    /// encrypted data with a tag, and a tag over how much there was.
    pub(crate) fn protect_gnupg(&self, inner: &[u8]) -> Vec<u8> {
        let (mode, chunk, iv) = (AeadAlgorithm::Ocb, 10, [7; 15]);
        let head = [1, u8::from(self.cipher), u8::from(mode), chunk];
        let data =
            |number: u8, all: &[u8]| [&[0xc0 | 20], &head[..], &[0; 7], &[number], all].concat();
        let encrypt = |number: u8, data: &[u8], text: &[u8]| {
            let mut nonce = iv;
            nonce[14] ^= number;
            let mut buffer = BytesMut::from(text);
            mode.encrypt_in_place(&self.cipher, self.key.as_ref(), &nonce, data, &mut buffer)
                .unwrap();
            buffer
        };
        let length = u64::try_from(inner.len()).unwrap().to_be_bytes();
        let text = encrypt(0, &data(0, &[]), inner);
        let end = encrypt(1, &data(1, &length), &[]);
        [&head[..], &iv, &text, &end].concat()
    }

    /// The body of a packet with its integrity protected.
    pub(crate) fn protect(&self, inner: &[u8]) -> Vec<u8> {
        SymEncryptedProtectedData::encrypt_seipdv1(OsRng, self.cipher, self.key.as_ref(), inner)
            .unwrap()
            .to_bytes()
            .unwrap()
    }
}

/// A message with these packets in it.
pub(crate) fn sealed(server: &RPgp, inner: &[u8]) -> String {
    let session = Session::new(SymmetricKeyAlgorithm::AES256);
    let parts = [
        session.for_server(server),
        packet(18, &session.protect(inner)),
    ];
    message(&parts.concat())
}
