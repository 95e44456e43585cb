//! Private keys as operators bring them.

use pinyto_core::{
    challenge::{DeviceKey, ServerKey},
    crypto::{CryptoError, InvalidPrivateKey},
    key::InvalidPublicKey,
};

use crate::support::{VECTORS, backends};

#[test]
fn what_is_no_usable_private_key_is_refused_with_its_reason() {
    let good = &VECTORS.server.private_pem_pkcs8;
    let (head, tail) = good.split_at(good.len() / 2);
    // One digit in the middle of the private exponent is another.
    let flipped = match tail.split_at(1) {
        ("A", rest) => format!("{head}B{rest}"),
        (_, rest) => format!("{head}A{rest}"),
    };
    let too_small = CryptoError::PrivateKey(InvalidPrivateKey::Numbers(
        InvalidPublicKey::ModulusTooSmall,
    ));
    let cases = [
        ("", InvalidPrivateKey::NotPem.into()),
        ("hello", InvalidPrivateKey::NotPem.into()),
        (head, InvalidPrivateKey::NotPem.into()),
        (&"-".repeat(1 << 20), InvalidPrivateKey::NotPem.into()),
        (
            &VECTORS.server.public_pem,
            InvalidPrivateKey::OtherContent.into(),
        ),
        (
            include_str!("../keys/encrypted.pem"),
            InvalidPrivateKey::Encrypted.into(),
        ),
        (
            include_str!("../keys/encrypted_pkcs1.pem"),
            InvalidPrivateKey::Encrypted.into(),
        ),
        (
            include_str!("../keys/ed25519.pem"),
            InvalidPrivateKey::NotRsa.into(),
        ),
        (
            include_str!("../keys/pss_only.pem"),
            InvalidPrivateKey::NotRsa.into(),
        ),
        (include_str!("../keys/rsa2048.pem"), too_small),
        (&flipped, InvalidPrivateKey::Inconsistent.into()),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            InvalidPrivateKey::Malformed.into(),
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
            InvalidPrivateKey::Malformed.into(),
        ),
    ];
    for backend in backends() {
        for (pem, expected) in &cases {
            let error = ServerKey::from_pem(backend.clone(), pem).unwrap_err();
            assert_eq!(&error, expected, "{} {pem:.60}", backend.name());
            let error = DeviceKey::from_pem(backend.clone(), pem).unwrap_err();
            assert_eq!(&error, expected, "{} {pem:.60}", backend.name());
        }
    }
}

#[test]
fn line_ends_and_text_around_a_key_do_no_harm() {
    let pem = &VECTORS.server.private_pem_pkcs8;
    let variants = [
        pem.replace('\n', "\r\n"),
        format!("Bag Attributes\n    friendlyName: pinyto\n{pem}"),
        format!("{pem}\n"),
        pem.trim_end().to_owned(),
    ];
    for backend in backends() {
        for variant in &variants {
            let key = ServerKey::from_pem(backend.clone(), variant).unwrap();
            assert_eq!(
                key.public_key().fingerprint().to_hex(),
                VECTORS.server.sha256
            );
        }
    }
}

#[test]
fn debug_shows_no_private_number() {
    for backend in backends() {
        let pem = &VECTORS.server.private_pem_pkcs8;
        let name = format!("{backend:?}");
        let public = format!("PublicKey({})", VECTORS.server.sha256);
        assert_eq!(
            format!("{:?}", ServerKey::from_pem(backend.clone(), pem).unwrap()),
            format!("ServerKey {{ public_key: {public}, backend: {name} }}")
        );
        assert_eq!(
            format!("{:?}", DeviceKey::from_pem(backend.clone(), pem).unwrap()),
            format!("DeviceKey {{ public_key: {public}, backend: {name} }}")
        );
        let der = DeviceKey::from_pem(backend.clone(), pem)
            .unwrap()
            .to_pkcs8_der()
            .unwrap();
        let key = backend.private_key_from_pkcs8(&der).unwrap();
        assert_eq!(format!("{key:?}"), format!("PrivateKey({public})"));
    }
}
