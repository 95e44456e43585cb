//! Keys of RFC 9580, which GnuPG doesn't know: made and read by the library that we encrypt with.

use std::time::SystemTime;

use pgp::{
    composed::{
        ArmorOptions, EncryptionCaps, KeyType, Message, SecretKeyParamsBuilder, SignedSecretKey,
        SubkeyParamsBuilder,
    },
    crypto::ecc_curve::ECCCurve,
    types::{KeyVersion, Password},
};
use pinyto_core::{
    clock::Timestamp,
    gpgauth::{InvalidOpenPgpKey, OpenPgp as _, RPgp, armored},
};
use rand_core::OsRng;

use crate::NONCE;

/// The library signs keys with the time of the system.
fn now() -> Timestamp {
    SystemTime::now().into()
}

fn make(version: KeyVersion, primary: KeyType, subkey: KeyType) -> SignedSecretKey {
    let subkey = SubkeyParamsBuilder::default()
        .version(version)
        .key_type(subkey)
        .can_encrypt(EncryptionCaps::All)
        .build()
        .unwrap();
    SecretKeyParamsBuilder::default()
        .version(version)
        .key_type(primary)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("Ada <ada@example.org>".to_owned())
        .subkey(subkey)
        .build()
        .unwrap()
        .generate(OsRng)
        .unwrap()
}

fn public(key: &SignedSecretKey) -> String {
    let options = ArmorOptions::default();
    key.to_public_key().to_armored_string(options).unwrap()
}

#[test]
fn they_are_encrypted_for_too() {
    let server = RPgp::generate("Pinyto", now()).unwrap();
    let keys = [
        (
            KeyVersion::V4,
            KeyType::Ed25519,
            KeyType::X25519,
            "ed25519, x25519",
        ),
        (KeyVersion::V4, KeyType::Ed448, KeyType::X448, "ed448, x448"),
        (
            KeyVersion::V6,
            KeyType::Ed25519,
            KeyType::X25519,
            "ed25519, x25519",
        ),
        (KeyVersion::V6, KeyType::Ed448, KeyType::X448, "ed448, x448"),
        (
            KeyVersion::V6,
            KeyType::ECDSA(ECCCurve::P256),
            KeyType::ECDH(ECCCurve::P256),
            "nistp256, nistp256",
        ),
    ];
    for (version, primary, subkey, algorithm) in keys {
        let secret = make(version, primary, subkey);
        let key = server.read_key(&public(&secret), now()).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let digits = if version == KeyVersion::V6 { 64 } else { 40 };
        assert_eq!(key.fingerprint().to_hex().len(), digits);
        let kept = armored(&key).unwrap();
        assert_eq!(server.read_key(&kept, now()).as_ref(), Ok(&key));

        let message = server.encrypt(&key, NONCE, now()).unwrap();
        let (message, _) = Message::from_string(&message).unwrap();
        let mut message = message.decrypt(&Password::empty(), &secret).unwrap();
        assert_eq!(message.as_data_string().unwrap(), NONCE);
    }
}

#[test]
fn other_curves_are_refused() {
    let server = RPgp::generate("Pinyto", now()).unwrap();
    let secret = make(
        KeyVersion::V4,
        KeyType::ECDSA(ECCCurve::Secp256k1),
        KeyType::ECDH(ECCCurve::P256),
    );
    let refused = server.read_key(&public(&secret), now());
    assert!(
        matches!(refused, Err(InvalidOpenPgpKey::Algorithm { .. })),
        "{refused:?}"
    );
}

#[test]
fn such_a_key_can_be_the_servers_if_it_is_of_version_4() {
    let make = |version| {
        let key = make(version, KeyType::Ed25519, KeyType::X25519);
        let text = key.to_armored_string(ArmorOptions::default()).unwrap();
        RPgp::from_armored(&text, now())
    };
    let server = make(KeyVersion::V4).unwrap();
    let user = RPgp::generate("Ada", now()).unwrap();
    let key = user.read_key(server.public_key(), now()).unwrap();
    let message = user.encrypt(&key, NONCE, now()).unwrap();
    assert_eq!(
        server.decrypt(&message).unwrap().as_slice(),
        NONCE.as_bytes()
    );
    assert_eq!(
        make(KeyVersion::V6).unwrap_err().code(),
        "openpgp_server_key_algorithm"
    );
}
