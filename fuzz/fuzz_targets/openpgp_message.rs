//! OpenPGP messages to the server: read within the limit or refused, never a panic.
#![no_main]

mod openpgp;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openpgp::NOW;
use pinyto_core::gpgauth::{MAX_TEXT, OpenPgp as _, RPgp};

static SERVER: LazyLock<RPgp> = LazyLock::new(openpgp::server);

static MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let user = RPgp::generate("Ada", NOW).expect("randomness");
    let key = user
        .read_key(SERVER.public_key(), NOW)
        .expect("the key was good once");
    openpgp::dearmored(&user.encrypt(&key, "text", NOW).expect("a message"))
});

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(SERVER.decrypt(text).is_err());
    }
    let packets = openpgp::packets(input, &MESSAGE);
    if let Ok(text) = SERVER.decrypt(&openpgp::armored("MESSAGE", &packets)) {
        assert!(text.len() <= MAX_TEXT);
        assert_eq!(text.as_slice(), b"text");
    }
});
