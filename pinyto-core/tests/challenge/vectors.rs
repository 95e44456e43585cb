//! Every entry of the test vectors, both ways.

use pinyto_core::{
    challenge::{
        Challenge, ChallengeError, DeviceKey, InvalidRequestToken, RequestToken, ServerKey,
        SessionToken,
    },
    key::{InvalidPublicKey, KeyFingerprint, KeyHash, PublicKey},
};

use crate::support::{KeyVector, VECTORS, backends, device, pairs_of_backends, server};

fn all_keys() -> impl Iterator<Item = &'static KeyVector> {
    std::iter::once(&VECTORS.server).chain(&VECTORS.devices)
}

#[test]
fn the_vectors_are_all_there() {
    assert_eq!(VECTORS.devices.len(), 3);
    assert_eq!(VECTORS.sessions.len(), 6);
    assert_eq!(VECTORS.bad_signatures.len(), 4);
    assert_eq!(VECTORS.bad_request_tokens.len(), 8);
    // The same case is tested beside the internal function that needs no whole key.
    assert_eq!(
        VECTORS.key_hash_only,
        [serde_json::json!({"N": "123213", "e": "834576", "key_hash": "5df78531b8"})]
    );
}

#[test]
fn numbers_hashes_and_pem_of_the_public_keys_come_out() {
    for vector in all_keys() {
        let key = PublicKey::from_decimal(&vector.n, &vector.e).unwrap();
        assert_eq!(key.n_decimal(), vector.n);
        assert_eq!(key.e().to_string(), vector.e);
        assert_eq!(key.to_pem(), vector.public_pem);
        assert_eq!(PublicKey::from_pem(&vector.public_pem).unwrap(), key);
        assert_eq!(
            PublicKey::from_parts(key.modulus_be(), key.e()).unwrap(),
            key
        );
        assert_eq!(key.fingerprint().to_hex(), vector.sha256);
        assert_eq!(key.fingerprint().short(), vector.key_hash);
        assert_eq!(key.key_hash().as_str(), vector.key_hash);
        assert_eq!(
            KeyFingerprint::parse(&vector.sha256).unwrap(),
            key.fingerprint()
        );
        for hash in [&vector.key_hash, &vector.sha256] {
            assert!(KeyHash::parse(hash).unwrap().matches(&key.fingerprint()));
        }
        for other in all_keys().filter(|other| other.n != vector.n) {
            let hash = KeyHash::parse(&other.key_hash).unwrap();
            assert!(!hash.matches(&key.fingerprint()));
        }
    }
    assert_eq!(
        PublicKey::from_decimal(&VECTORS.too_small.n, &VECTORS.too_small.e),
        Err(InvalidPublicKey::ModulusTooSmall)
    );
}

#[test]
fn the_private_keys_are_read_and_written_back() {
    for backend in backends() {
        for vector in all_keys() {
            let pems = [
                Some(&vector.private_pem_pkcs8),
                vector.private_pem_pkcs1.as_ref(),
            ];
            for pem in pems.into_iter().flatten() {
                let key = DeviceKey::from_pem(backend.clone(), pem).unwrap();
                assert_eq!(key.public_key().fingerprint().to_hex(), vector.sha256);
                assert_eq!(*key.to_pkcs8_pem().unwrap(), vector.private_pem_pkcs8);

                let key = ServerKey::from_pem(backend.clone(), pem).unwrap();
                assert_eq!(key.public_key().fingerprint().to_hex(), vector.sha256);
                assert_eq!(*key.to_pkcs8_pem().unwrap(), vector.private_pem_pkcs8);
            }
        }
    }
    assert!(VECTORS.server.private_pem_pkcs1.is_some());
}

#[test]
fn the_sessions_are_read() {
    for backend in backends() {
        let server = server(&backend);
        for vector in &VECTORS.sessions {
            let device = device(&backend, vector.device);
            let challenge = Challenge {
                encrypted_token: vector.encrypted_token.clone(),
                signature: vector.signature.clone(),
            };
            let token = device.open(&challenge, server.public_key()).unwrap();
            assert_eq!(token.expose(), vector.session_token);

            let answer = device.answer(&challenge, server.public_key()).unwrap();
            let opened = server.open(&answer).unwrap();
            assert_eq!(opened.expose(), vector.session_token);

            let request = RequestToken::new(&*vector.request_token);
            let opened = server.open(&request).unwrap();
            assert_eq!(opened.expose(), vector.session_token);
        }
    }
}

#[test]
fn the_sessions_can_be_made_by_one_backend_for_the_other() {
    for (making, reading) in pairs_of_backends() {
        for vector in &VECTORS.sessions {
            let token = SessionToken::parse(&vector.session_token).unwrap();
            let recipient = device(&reading, vector.device);
            let challenge = server(&making)
                .issue(recipient.public_key(), &token)
                .unwrap();
            assert_eq!(
                challenge.encrypted_token.len(),
                vector.encrypted_token.len()
            );
            assert_eq!(challenge.signature.len(), vector.signature.len());
            assert_ne!(challenge.encrypted_token, vector.encrypted_token);

            let server = server(&reading);
            let opened = recipient.open(&challenge, server.public_key()).unwrap();
            assert_eq!(opened.expose(), vector.session_token);
            let request = recipient.answer(&challenge, server.public_key()).unwrap();
            assert_eq!(request.expose().len(), vector.request_token.len());
            assert_eq!(server.open(&request).unwrap().hash(), token.hash());
        }
    }
}

#[test]
fn every_bad_signature_is_refused() {
    for backend in backends() {
        for vector in &VECTORS.bad_signatures {
            let challenge = Challenge {
                encrypted_token: vector.encrypted_token.clone(),
                signature: vector.signature.clone(),
            };
            let server = server(&backend);
            let device = device(&backend, 0);
            assert_eq!(
                device.open(&challenge, server.public_key()).unwrap_err(),
                ChallengeError::BadSignature,
                "{}: {}",
                backend.name(),
                vector.why
            );
            assert_eq!(
                device.answer(&challenge, server.public_key()).unwrap_err(),
                ChallengeError::BadSignature,
                "{}: {}",
                backend.name(),
                vector.why
            );
        }
    }
}

#[test]
fn every_bad_request_token_is_refused_and_only_real_work_counts_as_costly() {
    for backend in backends() {
        let server = server(&backend);
        for vector in &VECTORS.bad_request_tokens {
            let error = server.open(&RequestToken::new(&*vector.token)).unwrap_err();
            let cheap = ["not base64", "too short", "empty"].contains(&vector.why.as_str());
            let expected = if cheap {
                InvalidRequestToken::Malformed
            } else {
                InvalidRequestToken::Undecryptable
            };
            assert_eq!(error, expected, "{}: {}", backend.name(), vector.why);
            assert_eq!(error.was_costly(), !cheap);
            assert_eq!(error.to_string(), "Unknown token. Please authenticate.");
            assert_eq!(error.code(), "unknown_token");
        }
    }
}
