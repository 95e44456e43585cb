//! What holds for every token and every key.

use std::sync::LazyLock;

use pinyto_core::challenge::{Challenge, DeviceKey, RequestToken, ServerKey, SessionToken};
use proptest::prelude::*;

use crate::support::{VECTORS, backends};

/// Parsing a key costs more than using it, so each is parsed once for each backend.
static SERVERS: LazyLock<Vec<ServerKey>> =
    LazyLock::new(|| backends().iter().map(crate::support::server).collect());
static DEVICES: LazyLock<Vec<DeviceKey>> = LazyLock::new(|| {
    let all = backends();
    all.iter()
        .flat_map(|backend| {
            (0..VECTORS.devices.len()).map(|index| crate::support::device(backend, index))
        })
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_token_goes_round_through_any_device_and_server(
        text in "[ -~]{1,64}",
        device in any::<prop::sample::Index>(),
        issuing in any::<prop::sample::Index>(),
        opening in any::<prop::sample::Index>(),
    ) {
        let token = SessionToken::parse(&text).unwrap();
        let device = device.get(&DEVICES);
        let challenge = issuing.get(&SERVERS).issue(device.public_key(), &token).unwrap();

        let json = serde_json::to_string(&challenge).unwrap();
        let challenge: Challenge = serde_json::from_str(&json).unwrap();
        let server = opening.get(&SERVERS);
        let request = device.answer(&challenge, server.public_key()).unwrap();
        prop_assert!(request.expose().is_ascii());
        let opened = server.open(&request).unwrap();
        prop_assert_eq!(opened.expose(), text);
        prop_assert_eq!(opened.hash(), token.hash());
    }

    #[test]
    fn what_decrypts_to_no_session_token_is_refused_as_costly(
        plaintext in prop_oneof![
            prop::collection::vec(any::<u8>(), 65..=470),
            prop::collection::vec(128_u8.., 1..=64),
            Just(vec![]),
        ],
        server in any::<prop::sample::Index>(),
    ) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let server = server.get(&SERVERS);
        let key = server.backend().public_key(server.public_key()).unwrap();
        let text = STANDARD.encode(key.encrypt_oaep_sha1(&plaintext).unwrap());
        let error = server.open(&RequestToken::new(text)).unwrap_err();
        prop_assert!(error.was_costly());
    }

    #[test]
    fn no_text_makes_opening_panic(text in ".{0,700}", server in any::<prop::sample::Index>()) {
        prop_assert!(server.get(&SERVERS).open(&RequestToken::new(text)).is_err());
    }
}
