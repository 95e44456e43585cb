//! The text of request tokens and session tokens: opened or refused, never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pinyto_core::{
    challenge::{RequestToken, ServerKey, SessionToken},
    crypto::default_backend,
};

static SERVER: LazyLock<ServerKey> = LazyLock::new(|| {
    let pem = include_str!("../../pinyto-core/src/testing/keys/server.pem");
    ServerKey::from_pem(default_backend(), pem).expect("the key was good once")
});

fuzz_target!(|text: &str| {
    if let Ok(token) = SessionToken::parse(text) {
        assert_eq!(token.expose(), text);
    }
    let request = RequestToken::new(text);
    let _ = request.digest();
    assert!(SERVER.open(&request).is_err());
});
