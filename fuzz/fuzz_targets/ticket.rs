//! Tickets: a text that nobody has signed is refused, and what is signed is read or refused, never a
//! panic.
#![no_main]

use std::sync::{Arc, LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use pinyto_core::{
    clock::Timestamp,
    crypto::{RsaBackend as _, RsaPrivateKey},
    testing::rsa::Toy,
    ticket::{Audience, InvalidTicket, TicketVerifier},
};

const HEADER: &str = "eyJhbGciOiJQUzI1NiIsInR5cCI6InBpbnl0by10aWNrZXQrand0In0";

/// A key that costs nothing, so that signed claims are tried, and what verifies by it.
static SIGNED: LazyLock<(Arc<dyn RsaPrivateKey>, TicketVerifier)> = LazyLock::new(|| {
    let toy = Toy::new();
    let key = toy.generate(4096).expect("the toy makes any number");
    let audience = Audience::parse("a").expect("it is a name");
    let verifier = TicketVerifier::new(&*toy, key.public_key(), audience);
    (key, verifier.expect("the toy takes any key"))
});

fuzz_target!(|data: &[u8]| {
    let (key, verifier) = &*SIGNED;
    let now = Timestamp::from_unix_millis(1_800_000_000_000);
    if let Ok(text) = str::from_utf8(data) {
        assert!(verifier.verify(text, now).is_err());
        let dressed_up = format!("{HEADER}.{text}");
        assert!(verifier.verify(&dressed_up, now).is_err());
    }
    let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(data));
    let signature = key
        .sign_ps256(signed.as_bytes())
        .expect("the toy signs anything");
    let ticket = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    match verifier.verify(&ticket, now) {
        Ok(verified) => assert!(verified.expires_at > verified.issued_at),
        Err(error) => assert_ne!(error, InvalidTicket::BadSignature),
    }
});
