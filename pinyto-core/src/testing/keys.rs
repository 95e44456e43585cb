//! Fixed throw-away keys of 4096 bits, because making one costs seconds.
//!
//! Their private halves are public: never use them outside tests.

use sha2::{Digest as _, Sha256};

use crate::key::{KeyFingerprint, OpenPgpKey, OpenPgpParts, PublicKey};
#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
use crate::{
    challenge::{DeviceKey, ServerKey},
    crypto::default_backend,
};

/// How many device keys there are.
pub const DEVICES: usize = 4;

const DEVICE_PEMS: [&str; DEVICES] = [
    include_str!("keys/device0.pem"),
    include_str!("keys/device1.pem"),
    include_str!("keys/device2.pem"),
    include_str!("keys/device3.pem"),
];

/// The private key of device 0 to 3, as PKCS#8 PEM.
///
/// # Panics
///
/// If there is no such device.
#[must_use]
#[expect(clippy::panic, reason = "for tests only")]
pub fn device_pem(index: usize) -> &'static str {
    match DEVICE_PEMS.get(index) {
        Some(pem) => pem,
        None => panic!("there are only {DEVICES} device keys"),
    }
}

/// The private key of a server, as PKCS#8 PEM.
#[must_use]
pub fn server_pem() -> &'static str {
    include_str!("keys/server.pem")
}

/// The key of device 0 to 3, with the default backend.
///
/// # Panics
///
/// If there is no such device.
#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
#[must_use]
#[expect(clippy::expect_used, reason = "for tests only")]
pub fn device(index: usize) -> DeviceKey {
    DeviceKey::from_pem(default_backend(), device_pem(index)).expect("the key was good once")
}

/// The key of a server, with the default backend.
#[cfg(any(feature = "aws-lc", feature = "rustcrypto"))]
#[must_use]
#[expect(clippy::expect_used, reason = "for tests only")]
pub fn server() -> ServerKey {
    ServerKey::from_pem(default_backend(), server_pem()).expect("the key was good once")
}

/// A public key that nobody has the private half of: the modulus 2^4095 + 2n + 1. Costs nothing.
#[must_use]
pub fn synthetic(n: u64) -> PublicKey {
    odd_modulus(2 * u128::from(n) + 1, 65537)
}

/// Two public keys with one short hash, [`COLLIDING_HASH`], but different fingerprints (found by
/// a birthday search).
#[must_use]
pub fn colliding() -> [PublicKey; 2] {
    [306_515, 1_327_963].map(|above| odd_modulus(above, 65537))
}

/// The first ten digits of the fingerprints of both [`colliding`] keys.
pub const COLLIDING_HASH: &str = "58f6e49c2f";

/// Two different public keys with one and the same full fingerprint: what is the last digit of
/// the modulus of one is the first digit of the exponent of the other.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests only")]
pub fn of_one_fingerprint() -> [PublicKey; 2] {
    let n = synthetic(0).n_decimal().to_owned();
    [(n.clone(), "75537"), (n + "7", "5537")]
        .map(|(n, e)| PublicKey::from_decimal(&n, e).expect("both are large and odd"))
}

/// An OpenPGP key of version 4 that never expires. Its fingerprint and packets are made up: no
/// OpenPGP library can read it. Costs nothing.
#[must_use]
pub fn openpgp(n: u64) -> OpenPgpKey {
    let digest = Sha256::digest(n.to_be_bytes());
    let mut fingerprint = [0; 20];
    for (byte, of_digest) in fingerprint.iter_mut().zip(digest) {
        *byte = of_digest;
    }
    OpenPgpKey::new(openpgp_parts(KeyFingerprint::from_openpgp_v4(fingerprint)))
}

/// The parts of an OpenPGP key with that fingerprint, made up like those of [`openpgp`].
#[must_use]
pub fn openpgp_parts(fingerprint: KeyFingerprint) -> OpenPgpParts {
    OpenPgpParts {
        certificate: [&[0x98, 0, 0xff], fingerprint.as_bytes()].concat().into(),
        fingerprint,
        user_ids: vec!["Ada <ada@example.org>".to_owned()],
        algorithm: "ed25519, cv25519".to_owned(),
        expires_at: None,
    }
}

#[expect(clippy::expect_used, reason = "for tests only")]
fn odd_modulus(above: u128, e: u64) -> PublicKey {
    let mut modulus = [0; PublicKey::MIN_BITS / 8];
    modulus[0] = 0x80;
    modulus
        .last_chunk_mut::<16>()
        .expect("it is longer than that")
        .copy_from_slice(&above.to_be_bytes());
    PublicKey::from_parts(&modulus, e).expect("the number is large and odd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_keys_are_all_different() {
        let first = synthetic(0);
        assert_eq!(first.bits(), 4096);
        assert_ne!(first, synthetic(1));
        assert_ne!(synthetic(u64::MAX), synthetic(u64::MAX - 1));
    }

    #[test]
    fn the_colliding_keys_share_their_short_hash_only() {
        let [one, other] = colliding().map(|key| key.fingerprint());
        assert_eq!(one.short(), COLLIDING_HASH);
        assert_eq!(other.short(), COLLIDING_HASH);
        assert_ne!(one, other);
    }

    #[test]
    fn different_keys_can_share_a_whole_fingerprint() {
        let [one, other] = of_one_fingerprint();
        assert_ne!(one, other);
        assert_eq!(one.fingerprint(), other.fingerprint());
    }
}
