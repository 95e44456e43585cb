//! Public keys as hostile clients write them.

use std::time::{Duration, Instant};

use crypto_bigint::{BoxedUint, Integer as _};
use pinyto_core::key::{InvalidPublicKey, KeyFingerprint, PublicKey};
use proptest::prelude::*;

use crate::support::{VECTORS, backends};

/// 2^exponent in decimal, plus `change`.
fn power_of_two(exponent: u32, change: i8) -> String {
    let power = BoxedUint::one_with_precision(exponent + 64).shl(exponent);
    let step = BoxedUint::from(u64::from(change.unsigned_abs()));
    let number = if change < 0 {
        power.wrapping_sub(&step)
    } else {
        power.wrapping_add(&step)
    };
    number.to_string_radix_vartime(10)
}

#[test]
fn the_modulus_has_4096_to_8192_bits_and_is_odd() {
    let read = |n: &str| PublicKey::from_decimal(n, "65537").map(|key| key.bits());
    assert_eq!(read(&power_of_two(4095, 1)), Ok(4096));
    assert_eq!(read(&power_of_two(4096, -1)), Ok(4096));
    assert_eq!(read(&power_of_two(4096, 1)), Ok(4097));
    assert_eq!(read(&power_of_two(8192, -1)), Ok(8192));
    assert_eq!(
        read(&power_of_two(4095, -1)),
        Err(InvalidPublicKey::ModulusTooSmall)
    );
    assert_eq!(
        read(&power_of_two(4095, 0)),
        Err(InvalidPublicKey::ModulusEven)
    );
    assert_eq!(
        read(&power_of_two(8192, 1)),
        Err(InvalidPublicKey::ModulusTooLarge)
    );
    assert_eq!(
        read(&"9".repeat(2467)),
        Err(InvalidPublicKey::ModulusTooLarge)
    );
    for small in ["1", "3", "65537"] {
        assert_eq!(read(small), Err(InvalidPublicKey::ModulusTooSmall));
    }
}

#[test]
fn the_exponent_is_odd_and_between_3_and_2_to_the_33() {
    let read = |e: &str| PublicKey::from_decimal(&VECTORS.server.n, e).map(|key| key.e());
    for good in [3_u64, 5, 17, 65537, (1 << 33) - 1] {
        assert_eq!(read(&good.to_string()), Ok(good));
    }
    for bad in [
        "1",
        "2",
        "4",
        "65536",
        "8589934592",
        "8589934593",
        "9999999999",
        "18446744073709551619",
        "340282366920938463463374607431768211459",
    ] {
        assert_eq!(
            read(bad),
            Err(InvalidPublicKey::ExponentOutOfRange),
            "{bad}"
        );
    }
    let parts = |e| PublicKey::from_parts(&[0xff; 512], e).map(|key| key.e());
    assert_eq!(parts(3), Ok(3));
    for bad in [0, 1, 2, 1 << 33, (1 << 33) + 1, u64::MAX] {
        assert_eq!(parts(bad), Err(InvalidPublicKey::ExponentOutOfRange));
    }
}

#[test]
fn numbers_are_written_in_ascii_digits_and_nothing_else() {
    let n = VECTORS.server.n.as_str();
    let arabic: String = n
        .bytes()
        .map(|digit| char::from_u32(u32::from(digit - b'0') + 0x0660).unwrap())
        .collect();
    let mut weird: Vec<String> = [
        " ", "\n", "\t", "+", "-", "_", "0", "00", "0x", "\u{0}", "\u{a0}", "\u{feff}", "\u{202e}",
    ]
    .iter()
    .map(|prefix| format!("{prefix}{n}"))
    .collect();
    weird.extend(
        [" ", "\n", "_", ".", ".0", "e0", "L", "\u{0}", "\u{b2}", "٣"]
            .iter()
            .map(|suffix| format!("{n}{suffix}")),
    );
    let (left, right) = n.split_at(600);
    weird.extend(
        ["_", ",", ".", " ", "'", "\u{660}", "３", "\u{200b}"]
            .iter()
            .map(|middle| format!("{left}{middle}{right}")),
    );
    weird.extend([arabic, String::new(), "N".into(), "0".into()]);
    for text in weird {
        // The Arabic digits take two bytes each and so are already too long.
        let refused = PublicKey::from_decimal(&text, "65537").unwrap_err();
        assert!(
            matches!(
                refused,
                InvalidPublicKey::ModulusNotDecimal | InvalidPublicKey::ModulusTooLarge
            ),
            "{text:?}: {refused:?}"
        );
    }
    for e in [
        "", " 3", "3 ", "+3", "-3", "03", "065537", "3.0", "65_537", "３", "٣", "0x3", "1e9", "0",
    ] {
        assert_eq!(
            PublicKey::from_decimal(n, e),
            Err(InvalidPublicKey::ExponentNotDecimal),
            "{e:?}"
        );
    }
}

#[test]
fn an_endless_number_is_refused_by_its_length() {
    let digits = "7".repeat(2 << 20);
    let start = Instant::now();
    for _ in 0..1000 {
        let refused = PublicKey::from_decimal(&digits, "3").unwrap_err();
        assert_eq!(refused, InvalidPublicKey::ModulusTooLarge);
        let refused = PublicKey::from_decimal("3", &digits).unwrap_err();
        assert_eq!(refused, InvalidPublicKey::ExponentOutOfRange);
        let refused = PublicKey::from_parts(digits.as_bytes(), 3).unwrap_err();
        assert_eq!(refused, InvalidPublicKey::ModulusTooLarge);
        let refused = PublicKey::from_pem(&digits).unwrap_err();
        assert_eq!(refused, InvalidPublicKey::NotPem);
    }
    // Reading all of them would take minutes.
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_is_accepted_can_be_used_with_every_backend() {
    let moduli = [(4095, 1), (4096, -1), (4096, 1), (8192, -1)];
    for backend in backends() {
        for (exponent, change) in moduli {
            for e in ["3", "65537", "8589934591"] {
                let key = PublicKey::from_decimal(&power_of_two(exponent, change), e).unwrap();
                let ciphertext = backend
                    .public_key(&key)
                    .and_then(|key| key.encrypt_oaep_sha1(&[b'x'; 64]))
                    .unwrap();
                assert_eq!(ciphertext.len(), key.size());
            }
        }
    }
}

#[test]
fn public_pem_is_read_in_both_forms_and_no_other() {
    let vector = &VECTORS.devices[0];
    let key = PublicKey::from_pem(&vector.public_pem).unwrap();
    let windows = vector.public_pem.replace('\n', "\r\n");
    assert_eq!(PublicKey::from_pem(&windows).unwrap(), key);
    let pkcs1 = include_str!("../keys/device0_public_pkcs1.pem");
    assert_eq!(PublicKey::from_pem(pkcs1).unwrap().bits(), 4096);

    let ed25519 = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    assert_eq!(PublicKey::from_pem(ed25519), Err(InvalidPublicKey::NotRsa));
    for bad in [
        "",
        &vector.private_pem_pkcs8,
        &vector.public_pem[..200],
        &vector.public_pem.replace("MII", "MIJ"),
        &vector.public_pem.replace("PUBLIC", "PRIVATE"),
    ] {
        assert_eq!(PublicKey::from_pem(bad), Err(InvalidPublicKey::NotPem));
    }
}

#[test]
fn debug_shows_the_fingerprint_only() {
    let key = PublicKey::from_decimal(&VECTORS.server.n, "65537").unwrap();
    assert_eq!(
        format!("{key:?}"),
        format!("PublicKey({})", VECTORS.server.sha256)
    );
}

/// A fact about the protocol that whoever looks keys up has to know: nothing separates the two
/// numbers in the hashed text.
#[test]
fn different_keys_can_share_a_fingerprint_but_are_not_equal() {
    let n = power_of_two(4100, 1);
    let one = PublicKey::from_decimal(&n, "33").unwrap();
    let other = PublicKey::from_decimal(&format!("{n}3"), "3").unwrap();
    assert_eq!(one.fingerprint(), other.fingerprint());
    assert_ne!(one, other);
}

proptest! {
    #[test]
    fn decimal_text_and_bytes_name_the_same_key(
        mut modulus in prop::collection::vec(any::<u8>(), 512..=1024),
        zeros in 0_usize..3,
        e in 1_u64..(1 << 32),
    ) {
        modulus[0] |= 0x80;
        *modulus.last_mut().unwrap() |= 1;
        let e = e * 2 + 1;
        let mut padded = vec![0; zeros];
        padded.extend(&modulus);
        let key = PublicKey::from_parts(&padded, e).unwrap();
        prop_assert_eq!(key.modulus_be(), modulus.as_slice());
        prop_assert_eq!(key.size(), modulus.len());

        let text = BoxedUint::from_be_slice_vartime(&modulus).to_string_radix_vartime(10);
        let same = PublicKey::from_decimal(&text, &e.to_string()).unwrap();
        prop_assert_eq!(same.n_decimal(), text.as_str());
        prop_assert_eq!(same.modulus_be(), modulus.as_slice());
        prop_assert_eq!(same.e(), e);
        prop_assert_eq!(same.fingerprint(), key.fingerprint());
        prop_assert_eq!(&PublicKey::from_pem(&same.to_pem()).unwrap(), &key);
        prop_assert_eq!(same, key);
    }

    #[test]
    fn printing_gives_the_digits_that_were_read(digits in "[1-9][0-9]{1232,2466}") {
        let number = BoxedUint::from_str_radix_vartime(&digits, 10).unwrap();
        let fits = (4096..=8192).contains(&number.bits_vartime()) && number.is_odd().to_bool();
        match PublicKey::from_decimal(&digits, "65537") {
            Ok(key) => {
                prop_assert!(fits);
                prop_assert_eq!(key.n_decimal(), digits.as_str());
                let fingerprint = key.fingerprint();
                prop_assert_eq!(KeyFingerprint::parse(&fingerprint.to_hex()), Ok(fingerprint));
            }
            Err(_) => prop_assert!(!fits),
        }
    }

    #[test]
    fn no_text_makes_reading_panic(n in ".*", e in ".*", pem in "(-----BEGIN PUBLIC KEY-----\n)?.*\n?.*") {
        prop_assert!(PublicKey::from_decimal(&n, &e).is_err());
        prop_assert!(PublicKey::from_decimal(&n, "3").is_err());
        prop_assert!(PublicKey::from_pem(&pem).is_err());
    }
}

#[test]
fn a_stored_key_is_the_key_and_has_to_follow_the_same_rules() {
    let key = PublicKey::from_decimal(&VECTORS.server.n, "65537").unwrap();
    let stored = |modulus: &[u8], e| PublicKey::from_stored(modulus, e, key.fingerprint());
    let same = stored(key.modulus_be(), key.e()).unwrap();
    assert_eq!(same, key);
    assert_eq!(same.n_decimal(), key.n_decimal());
    assert_eq!(same.to_pem(), key.to_pem());

    let weak = stored(&key.modulus_be()[1..], key.e());
    assert_eq!(weak, Err(InvalidPublicKey::ModulusTooSmall));
}
