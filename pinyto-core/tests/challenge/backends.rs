//! The backends against each other, with keys of all sizes.

use std::sync::Arc;

use pinyto_core::{
    challenge::{
        Challenge, ChallengeError, DeviceKey, InvalidRequestToken, RequestToken, ServerKey,
        SessionToken,
    },
    crypto::{CryptoError, RsaBackend, RsaPrivateKey, RsaPublicKey},
    key::PublicKey,
};
use zeroize::Zeroizing;

use crate::support::{VECTORS, backends, device, pairs_of_backends, server};

const KEYS_OF_ALL_SIZES: [(usize, &str); 9] = [
    // With the largest exponent.
    (4096, include_str!("../keys/exponent33.pem")),
    // One bit more than whole bytes: PSS then encodes to a byte less than the modulus has.
    (4097, include_str!("../keys/rsa4097.pem")),
    (4104, include_str!("../keys/rsa4104.pem")),
    (4609, include_str!("../keys/rsa4609.pem")),
    (5000, include_str!("../keys/rsa5000.pem")),
    (6144, include_str!("../keys/rsa6144.pem")),
    (8185, include_str!("../keys/rsa8185.pem")),
    (8190, include_str!("../keys/rsa8190.pem")),
    (8192, include_str!("../keys/rsa8192.pem")),
];

#[test]
fn where_all_checks_are_made_both_backends_are_there() {
    if std::env::var_os("CI").is_some() {
        let count = backends().len();
        assert_eq!(
            count, 2,
            "test the workspace, or this crate with --all-features"
        );
    }
}

#[test]
fn each_backend_reads_what_the_other_writes_with_keys_of_all_sizes() {
    let token = SessionToken::parse(&"t".repeat(64)).unwrap();
    for (bits, pem) in KEYS_OF_ALL_SIZES {
        for (making, reading) in pairs_of_backends() {
            let server = ServerKey::from_pem(making.clone(), pem).unwrap();
            let device = DeviceKey::from_pem(reading.clone(), pem).unwrap();
            assert_eq!(server.public_key().bits(), bits);
            assert_eq!(
                *server.to_pkcs8_pem().unwrap(),
                *device.to_pkcs8_pem().unwrap()
            );

            let challenge = server.issue(device.public_key(), &token).unwrap();
            let request = device.answer(&challenge, server.public_key()).unwrap();
            assert_eq!(server.open(&request).unwrap().hash(), token.hash());
            let request = server.seal(&token).unwrap();
            assert_eq!(server.open(&request).unwrap().hash(), token.hash());
        }
    }
}

#[test]
fn the_longest_plaintext_fits_and_one_byte_more_does_not() {
    for backend in backends() {
        let device = device(&backend, 0);
        let key = device.public_key();
        let private = backend
            .private_key_from_pkcs8(&device.to_pkcs8_der().unwrap())
            .unwrap();
        let public = backend.public_key(key).unwrap();
        for length in [0, 1, key.size() - 42] {
            let ciphertext = public.encrypt_oaep_sha1(&vec![7; length]).unwrap();
            assert_eq!(
                *private.decrypt_oaep_sha1(&ciphertext).unwrap(),
                vec![7; length]
            );
        }
        assert_eq!(
            public.encrypt_oaep_sha1(&vec![7; key.size() - 41]),
            Err(CryptoError::PlaintextTooLong)
        );
    }
}

#[test]
fn every_changed_ciphertext_fails_in_the_same_way() {
    for backend in backends() {
        let device = device(&backend, 0);
        let private = backend
            .private_key_from_pkcs8(&device.to_pkcs8_der().unwrap())
            .unwrap();
        let public = backend.public_key(device.public_key()).unwrap();
        let ciphertext = public.encrypt_oaep_sha1(b"token").unwrap();
        let mut bad = vec![
            vec![],
            vec![0; 512],
            [vec![0; 511], vec![1]].concat(),
            vec![0xff; 512],
            device.public_key().modulus_be().to_vec(),
            ciphertext[1..].to_vec(),
            [ciphertext.as_slice(), b"\0"].concat(),
            [b"\0", ciphertext.as_slice()].concat(),
        ];
        for at in [0, 1, 255, 510, 511] {
            let mut changed = ciphertext.clone();
            changed[at] ^= 1;
            bad.push(changed);
        }
        for ciphertext in bad {
            assert_eq!(
                private.decrypt_oaep_sha1(&ciphertext).unwrap_err(),
                CryptoError::Decryption
            );
        }
    }
}

#[test]
fn every_changed_signature_or_message_is_refused() {
    for (making, reading) in pairs_of_backends() {
        let device = device(&making, 0);
        let private = making
            .private_key_from_pkcs8(&device.to_pkcs8_der().unwrap())
            .unwrap();
        let public = reading.public_key(device.public_key()).unwrap();
        let signature = private.sign_pss_sha256(b"message").unwrap();
        assert_eq!(public.verify_pss_sha256(b"message", &signature), Ok(()));
        assert_ne!(private.sign_pss_sha256(b"message").unwrap(), signature);

        let refused = Err(CryptoError::BadSignature);
        assert_eq!(public.verify_pss_sha256(b"massage", &signature), refused);
        assert_eq!(public.verify_pss_sha256(b"", &signature), refused);
        for at in [0, 1, 255, 511] {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert_eq!(public.verify_pss_sha256(b"message", &changed), refused);
        }
        let short = &signature[1..];
        let long = [b"\0", signature.as_slice()].concat();
        for bad in [&[], short, &long, &[0; 512], &[0xff; 512]] {
            assert_eq!(public.verify_pss_sha256(b"message", bad), refused);
        }
    }
}

#[test]
fn each_backend_verifies_the_ps256_of_the_other_and_none_takes_it_for_the_longest_salt() {
    let refused = Err(CryptoError::BadSignature);
    for (_, pem) in KEYS_OF_ALL_SIZES {
        for (making, reading) in pairs_of_backends() {
            let device = DeviceKey::from_pem(making.clone(), pem).unwrap();
            let private = making
                .private_key_from_pkcs8(&device.to_pkcs8_der().unwrap())
                .unwrap();
            let public = reading.public_key(device.public_key()).unwrap();
            let short = private.sign_ps256(b"message").unwrap();
            assert_eq!(short.len(), device.public_key().size());
            assert_eq!(public.verify_ps256(b"message", &short), Ok(()));
            assert_eq!(public.verify_ps256(b"massage", &short), refused);
            assert_eq!(public.verify_pss_sha256(b"message", &short), refused);
            let long = private.sign_pss_sha256(b"message").unwrap();
            assert_eq!(public.verify_ps256(b"message", &long), refused);
        }
    }
}

#[test]
fn a_generated_key_works_and_other_sizes_are_refused() {
    for backend in backends() {
        let key = DeviceKey::generate(backend.clone()).unwrap();
        assert_eq!(key.public_key().bits(), 4096);
        assert_eq!(key.public_key().e(), 65537);
        let pem = key.to_pkcs8_pem().unwrap();
        for other in backends() {
            let read = DeviceKey::from_pem(other, &pem).unwrap();
            assert_eq!(read.public_key(), key.public_key());
            assert_eq!(read.key_hash(), key.key_hash());
        }
        for bits in [0, 1024, 2048, 4095, 8193, usize::MAX] {
            assert_eq!(
                backend.generate(bits).unwrap_err(),
                CryptoError::UnsupportedKeySize { bits }
            );
        }
    }
}

/// A backend whose private keys must not be used to decrypt.
#[derive(Debug)]
struct NeverDecrypts(Arc<dyn RsaBackend>);

#[derive(Debug)]
struct KeyThatNeverDecrypts(Arc<dyn RsaPrivateKey>);

impl RsaBackend for NeverDecrypts {
    fn name(&self) -> &'static str {
        "never decrypts"
    }

    fn generate(&self, bits: usize) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        Ok(Arc::new(KeyThatNeverDecrypts(self.0.generate(bits)?)))
    }

    fn private_key_from_pkcs8(&self, der: &[u8]) -> Result<Arc<dyn RsaPrivateKey>, CryptoError> {
        let key = self.0.private_key_from_pkcs8(der)?;
        Ok(Arc::new(KeyThatNeverDecrypts(key)))
    }

    fn public_key(&self, key: &PublicKey) -> Result<Arc<dyn RsaPublicKey>, CryptoError> {
        self.0.public_key(key)
    }
}

impl RsaPrivateKey for KeyThatNeverDecrypts {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.0.to_pkcs8_der()
    }

    fn decrypt_oaep_sha1(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        panic!("a private key was used before the form or the signature was checked")
    }

    fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.sign_pss_sha256(message)
    }

    fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.sign_ps256(message)
    }
}

#[test]
fn the_device_decrypts_nothing_before_it_has_checked_the_signature() {
    for backend in backends() {
        let server = server(&backend);
        let careful: Arc<dyn RsaBackend> = Arc::new(NeverDecrypts(backend));
        let device = device(&careful, 0);
        let session = &VECTORS.sessions[0];
        let bad = [
            (session.encrypted_token.clone(), String::new()),
            (session.encrypted_token.clone(), "%%%".into()),
            (
                session.encrypted_token.clone(),
                VECTORS.sessions[1].signature.clone(),
            ),
            (String::new(), session.signature.clone()),
            (
                format!("{}\n", session.encrypted_token),
                session.signature.clone(),
            ),
        ];
        for (encrypted_token, signature) in bad {
            let challenge = Challenge {
                encrypted_token,
                signature,
            };
            assert_eq!(
                device.answer(&challenge, server.public_key()).unwrap_err(),
                ChallengeError::BadSignature
            );
        }
        // Rightly signed, but by another server than the one that is pinned.
        let challenge = Challenge {
            encrypted_token: session.encrypted_token.clone(),
            signature: session.signature.clone(),
        };
        let pinned = PublicKey::from_pem(&VECTORS.devices[1].public_pem).unwrap();
        assert_eq!(
            device.answer(&challenge, &pinned).unwrap_err(),
            ChallengeError::BadSignature
        );
    }
}

#[test]
fn the_server_refuses_a_malformed_request_token_without_decrypting() {
    for backend in backends() {
        let careful: Arc<dyn RsaBackend> = Arc::new(NeverDecrypts(backend));
        let server = server(&careful);
        let good = &VECTORS.sessions[0].request_token;
        let url_safe = good.replace('+', "-").replace('/', "_");
        for bad in [
            "",
            "=",
            "%%%",
            "YWJj",
            good.trim_end_matches('='),
            &format!("{good}="),
            &format!("{good}{good}"),
            &format!("{good}\u{a0}"),
            &good[4..],
            &url_safe,
            &format!("{good}{}", "\n".repeat(4096)),
            &"A".repeat(2 << 20),
            &VECTORS.sessions[4].encrypted_token,
        ] {
            let error = server.open(&RequestToken::new(bad)).unwrap_err();
            assert_eq!(error, InvalidRequestToken::Malformed, "{bad:.30}");
            assert!(!error.was_costly());
        }
    }
}

#[test]
fn line_breaks_in_a_request_token_are_tolerated() {
    for backend in backends() {
        let server = server(&backend);
        let session = &VECTORS.sessions[0];
        let wrapped: String = session
            .request_token
            .as_bytes()
            .chunks(76)
            .map(|line| format!("{}\r\n", str::from_utf8(line).unwrap()))
            .collect();
        let opened = server.open(&RequestToken::new(wrapped)).unwrap();
        assert_eq!(opened.expose(), session.session_token);
    }
}

#[test]
fn a_challenge_for_another_device_is_recognised() {
    for backend in backends() {
        let server = server(&backend);
        for session in &VECTORS.sessions {
            let challenge = Challenge {
                encrypted_token: session.encrypted_token.clone(),
                signature: session.signature.clone(),
            };
            let other = device(&backend, (session.device + 1) % VECTORS.devices.len());
            assert_eq!(
                other.open(&challenge, server.public_key()).unwrap_err(),
                ChallengeError::OtherKey
            );
        }
    }
}
