//! OpenPGP keys of users: what is accepted can be encrypted for, and is accepted again as it is
//! kept.
#![no_main]

mod openpgp;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openpgp::NOW;
use pinyto_core::gpgauth::{OpenPgp as _, RPgp, armored};

static SERVER: LazyLock<RPgp> = LazyLock::new(openpgp::server);

static USER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = include_str!("../../pinyto-core/tests/gpgauth/keys/other.asc");
    let user = RPgp::from_armored(key, NOW).expect("the key was good once");
    openpgp::dearmored(user.public_key())
});

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = SERVER.read_key(text, NOW);
    }
    let packets = openpgp::packets(input, &USER);
    let Ok(key) = SERVER.read_key(&openpgp::armored("PUBLIC KEY BLOCK", &packets), NOW) else {
        return;
    };
    assert!(
        key.user_ids()
            .iter()
            .flat_map(|id| id.chars())
            .all(|one| !one.is_control())
    );
    let kept = armored(&key).expect("it was read");
    assert_eq!(SERVER.read_key(&kept, NOW), Ok(key.clone()));
    assert!(SERVER.encrypt(&key, "text", NOW).is_ok());
});
