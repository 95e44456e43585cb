//! OpenPGP as gpgAuth uses it: both directions with the real GnuPG, keys that GnuPG made, and what
//! nobody should send.
//!
//! A missing `gpg` is a failure, unless `PINYTO_TEST_WITHOUT_GPG=1` says that it is known.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

mod both_ways;
mod gnupg;
mod hostile;
mod modern;
mod policy;
mod raw;

use pinyto_core::{
    clock::Timestamp,
    gpgauth::{OpenPgp as _, RPgp},
    key::OpenPgpKey,
};

/// A text as they are encrypted for users.
const NONCE: &str = "gpgauthv1.3.0|36|de305d54-75b4-431b-adb2-eb6b9e546014|gpgauthv1.3.0";

/// The keys of the folder are from the beginning of 2025.
fn now() -> Timestamp {
    at("2026-03-01T12:00:00Z")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn server() -> RPgp {
    RPgp::generate("Pinyto <https://pinyto.example>", now()).unwrap()
}

/// The fixed secret key of this name.
fn secret(name: &str) -> String {
    let path = format!(
        "{}/tests/gpgauth/keys/{name}.asc",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

/// A key of a user who doesn't need GnuPG.
fn user(server: &RPgp) -> (RPgp, OpenPgpKey) {
    let user = RPgp::generate("Ada <ada@example.org>", now()).unwrap();
    let key = server.read_key(user.public_key(), now()).unwrap();
    (user, key)
}
