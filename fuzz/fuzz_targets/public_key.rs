//! Public keys from decimal numbers and from PEM: what is accepted comes back unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinyto_core::key::PublicKey;

fuzz_target!(|text: &str| {
    if let Some((n, e)) = text.split_once(' ')
        && let Ok(key) = PublicKey::from_decimal(n, e)
    {
        assert_eq!(key.n_decimal(), n);
        assert_eq!(key.e().to_string(), e);
        assert!((PublicKey::MIN_BITS..=PublicKey::MAX_BITS).contains(&key.bits()));
        assert_eq!(PublicKey::from_pem(&key.to_pem()).as_ref(), Ok(&key));
    }
    if let Ok(key) = PublicKey::from_pem(text) {
        let again = PublicKey::from_decimal(key.n_decimal(), &key.e().to_string());
        assert_eq!(again, Ok(key));
    }
});
