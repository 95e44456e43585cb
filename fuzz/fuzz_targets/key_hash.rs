//! Key hashes and fingerprints: what is accepted is hexadecimal and comes back in lower case.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinyto_core::key::{KeyFingerprint, KeyHash};

fuzz_target!(|text: &str| {
    if let Ok(hash) = KeyHash::parse(text) {
        assert_eq!(hash.as_str(), text.to_ascii_lowercase());
        assert!((KeyHash::MIN_DIGITS..=KeyHash::MAX_DIGITS).contains(&text.len()));
    }
    if let Ok(fingerprint) = KeyFingerprint::parse(text) {
        assert_eq!(fingerprint.to_hex(), text.to_ascii_lowercase());
        assert!(fingerprint.key_hash().matches(&fingerprint));
    }
});
