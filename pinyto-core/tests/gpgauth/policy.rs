//! Which keys are accepted, and what of them is used: keys that GnuPG made and changed.

use std::time::Instant;

use pinyto_core::{
    gpgauth::{EncryptionError, InvalidOpenPgpKey, MAX_KEY, OpenPgp as _, RPgp, armored},
    key::{OpenPgpKey, OpenPgpParts},
};

use crate::{
    NONCE, at,
    gnupg::{Gpg, mail},
    now, raw, secret, server, user,
};

fn code(server: &RPgp, armored: &str) -> &'static str {
    match server.read_key(armored, now()) {
        Ok(key) => panic!("{key:?} is accepted"),
        Err(reason) => reason.code(),
    }
}

/// The ids of all subkeys, in the order they were made.
fn subkeys(gpg: &Gpg, name: &str) -> Vec<String> {
    let listed = gpg.text(&["--batch", "--with-colons", "--list-keys", &mail(name)]);
    let subkeys = listed.lines().filter(|line| line.starts_with("sub:"));
    subkeys
        .map(|line| line.split(':').nth(4).unwrap().to_owned())
        .collect()
}

/// Which subkey a message for this key is for.
fn recipient(gpg: &Gpg, server: &RPgp, key: &OpenPgpKey) -> String {
    let message = server.encrypt(key, NONCE, now()).unwrap();
    let packets = gpg.packets(&message);
    packets.split("keyid ").nth(1).unwrap()[..16].to_owned()
}

#[test]
fn keys_are_refused_with_the_reason() {
    let names = [
        "rsa1024",
        "brainpoolp256",
        "sign-only",
        "dsa",
        "elgamal",
        "sha1",
        "ed25519",
    ];
    let Some(gpg) = Gpg::with(&names) else {
        return;
    };
    let server = server();
    let refused = [
        ("rsa1024", "openpgp_key_too_weak"),
        ("brainpoolp256", "openpgp_key_algorithm"),
        ("sign-only", "openpgp_key_no_encryption"),
        ("dsa", "openpgp_key_algorithm"),
        ("elgamal", "openpgp_key_algorithm"),
        ("sha1", "openpgp_key_self_signature"),
    ];
    for (name, reason) in refused {
        assert_eq!(code(&server, &gpg.export(name)), reason, "{name}");
    }
    let good = gpg.export("ed25519");
    assert!(server.read_key(&good, now()).is_ok());
    assert_eq!(code(&server, &secret("ed25519")), "openpgp_key_secret");
    let mislabelled = raw::armor("PUBLIC KEY BLOCK", &raw::dearmor(&secret("ed25519")));
    assert_eq!(code(&server, &mislabelled), "openpgp_key_secret");
    let two = raw::dearmor(&good).repeat(2);
    assert_eq!(
        code(&server, &raw::armor("PUBLIC KEY BLOCK", &two)),
        "openpgp_key_not_armored"
    );
    assert_eq!(code(&server, &good.repeat(2)), "openpgp_key_not_armored");
    assert_eq!(code(&server, ""), "openpgp_key_not_armored");
    assert_eq!(
        code(&server, &"x".repeat(MAX_KEY + 1)),
        "openpgp_key_too_long"
    );
    let message = raw::message(&raw::dearmor(&good));
    assert_eq!(code(&server, &message), "openpgp_key_not_armored");
    let early = server.read_key(&good, at("2024-12-31T23:00:00Z"));
    assert_eq!(early, Err(InvalidOpenPgpKey::Expired));
}

#[test]
fn a_key_works_until_it_expires() {
    let Some(gpg) = Gpg::with(&["ed25519", "rsa2048"]) else {
        return;
    };
    let server = server();
    let ends = at("2027-01-01T12:00:00Z");
    let before = at("2027-01-01T11:59:59.999Z");
    for name in ["ed25519", "rsa2048"] {
        let fingerprint = gpg.fingerprint(name);
        let expire = |arguments: &[&str]| {
            let all = [&["--batch", "--quick-set-expire", &fingerprint], arguments].concat();
            gpg.run(&all, b"");
        };
        // The primary key, then only the subkey.
        for arguments in [&["20270101T120000"][..], &["20270101T120000", "*"]] {
            expire(arguments);
            let key = server.read_key(&gpg.export(name), now()).unwrap();
            assert_eq!(key.expires_at(), Some(ends));
            assert!(server.encrypt(&key, NONCE, before).is_ok());
            let late = server.encrypt(&key, NONCE, ends);
            let expired = EncryptionError::Key(InvalidOpenPgpKey::Expired);
            assert_eq!(late.unwrap_err().to_string(), expired.to_string());
            assert_eq!(
                server.read_key(&gpg.export(name), ends),
                Err(InvalidOpenPgpKey::Expired)
            );
            expire(&["0"]);
        }
        // The newest signature decides, so that expiry can be put off.
        expire(&["0", "*"]);
        let key = server.read_key(&gpg.export(name), ends).unwrap();
        assert_eq!(key.expires_at(), None);
    }
}

#[test]
fn the_newest_subkey_that_may_be_used_is_encrypted_for() {
    let Some(mut gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let server = server();
    let fingerprint = gpg.fingerprint("ed25519");
    let add = |gpg: &Gpg, algorithm: &str, usage: &str, expires: &str| {
        gpg.run(
            &[
                "--batch",
                "--quick-add-key",
                &fingerprint,
                algorithm,
                usage,
                expires,
            ],
            b"",
        );
    };
    add(gpg.at("20250601T000000"), "cv25519", "encr", "0");
    add(
        gpg.at("20250701T000000"),
        "rsa2048",
        "encr",
        "20260201T000000",
    );
    add(gpg.at("20250801T000000"), "ed25519", "sign", "0");
    add(gpg.at("20260801T000000"), "cv25519", "encr", "0");
    let ids = subkeys(&gpg, "ed25519");
    assert_eq!(ids.len(), 5);
    // Of the others one has expired, one signs, and one is from the future.
    let key = server.read_key(&gpg.export("ed25519"), now()).unwrap();
    assert_eq!(recipient(&gpg, &server, &key), ids[1]);

    let before = server
        .read_key(&gpg.export("ed25519"), at("2026-01-01T00:00:00Z"))
        .unwrap();
    assert_eq!(before.algorithm(), "ed25519, rsa2048");
    // Kept when the later one could be used, and judged anew now.
    assert_eq!(recipient(&gpg, &server, &before), ids[1]);
}

#[test]
fn a_key_with_any_revocation_is_refused() {
    let server = server();
    let revoke: [fn(&Gpg); 4] = [
        |gpg| {
            let fingerprint = gpg.fingerprint("ed25519");
            let questions = b"y\n0\n\ny\n";
            let made = gpg.run(
                &["--command-fd", "0", "--armor", "--gen-revoke", &fingerprint],
                questions,
            );
            gpg.run(&["--batch", "--import"], &made.out);
        },
        |gpg| gpg.edit("ed25519", "key 1\nrevkey\ny\n0\n\ny\nsave\n"),
        |gpg| {
            let fingerprint = gpg.fingerprint("ed25519");
            gpg.run(
                &[
                    "--batch",
                    "--quick-add-uid",
                    &fingerprint,
                    "Gone <gone@example.org>",
                ],
                b"",
            );
            gpg.run(
                &[
                    "--batch",
                    "--quick-revoke-uid",
                    &fingerprint,
                    "Gone <gone@example.org>",
                ],
                b"",
            );
        },
        |gpg| {
            let fingerprint = gpg.fingerprint("ed25519");
            gpg.run(&["--batch", "--import"], secret("other").as_bytes());
            let arguments = [
                "--batch",
                "--local-user",
                &mail("other"),
                "--quick-sign-key",
                &fingerprint,
            ];
            gpg.run(&arguments, b"");
            gpg.edit("ed25519", "revsig\nn\ny\ny\n0\n\ny\nsave\n");
        },
    ];
    for (number, revoke) in revoke.iter().enumerate() {
        let Some(gpg) = Gpg::with(&["ed25519"]) else {
            return;
        };
        assert!(server.read_key(&gpg.export("ed25519"), now()).is_ok());
        revoke(&gpg);
        let revoked = gpg.export("ed25519");
        assert_eq!(
            code(&server, &revoked),
            "openpgp_key_revoked",
            "{number}\n{}",
            gpg.packets(&revoked)
        );
    }
}

#[test]
fn a_revoked_subkey_and_user_id_can_be_left_out() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let server = server();
    let fingerprint = gpg.fingerprint("ed25519");
    gpg.run(
        &[
            "--batch",
            "--quick-add-key",
            &fingerprint,
            "cv25519",
            "encr",
            "0",
        ],
        b"",
    );
    gpg.edit("ed25519", "key 1\nrevkey\ny\n0\n\ny\nsave\n");
    gpg.run(
        &[
            "--batch",
            "--quick-add-uid",
            &fingerprint,
            "Gone <gone@example.org>",
        ],
        b"",
    );
    gpg.run(
        &[
            "--batch",
            "--quick-revoke-uid",
            &fingerprint,
            "Gone <gone@example.org>",
        ],
        b"",
    );
    assert_eq!(code(&server, &gpg.export("ed25519")), "openpgp_key_revoked");
    let without = gpg.text(&[
        "--batch",
        "--armor",
        "--export-options",
        "export-minimal",
        "--export-filter",
        "drop-subkey=revoked -t",
        "--export-filter",
        "keep-uid=revoked -f",
        "--export",
        &fingerprint,
    ]);
    let key = server.read_key(&without, now()).unwrap();
    assert_eq!(recipient(&gpg, &server, &key), subkeys(&gpg, "ed25519")[1]);
}

#[test]
fn photos_and_signatures_of_others_are_not_kept() {
    let Some(gpg) = Gpg::with(&["ed25519", "other"]) else {
        return;
    };
    let server = server();
    let plain = server.read_key(&gpg.export("ed25519"), now()).unwrap();
    let fingerprint = gpg.fingerprint("ed25519");
    let photo = gpg.file(
        "photo.jpg",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xd9",
    );
    gpg.edit(
        "ed25519",
        &format!("addphoto\n{}\ny\nsave\n", photo.display()),
    );
    let arguments = [
        "--batch",
        "--local-user",
        &mail("other"),
        "--quick-sign-key",
        &fingerprint,
    ];
    gpg.run(&arguments, b"");
    gpg.run(
        &[
            "--batch",
            "--quick-add-key",
            &fingerprint,
            "ed25519",
            "sign",
            "0",
        ],
        b"",
    );

    let exported = gpg.export("ed25519");
    let other = gpg.fingerprint("other")[24..].to_owned();
    let packets = gpg.packets(&exported);
    assert!(
        packets.contains("[jpeg image") && packets.contains(&other),
        "{packets}"
    );
    let key = server.read_key(&exported, now()).unwrap();
    let packets = gpg.packets(&armored(&key).unwrap());
    let kinds: Vec<_> = packets
        .lines()
        .filter_map(|line| line.strip_prefix(':'))
        .collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert!(
        !packets.contains("[jpeg image") && !packets.contains(&other),
        "{packets}"
    );
    assert_eq!(key.user_ids(), plain.user_ids());
    assert!(server.encrypt(&key, NONCE, now()).is_ok());
}

#[test]
fn user_ids_are_shown_with_the_primary_one_first_and_within_limits() {
    let Some(mut gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let server = server();
    let fingerprint = gpg.fingerprint("ed25519");
    gpg.at("20250601T000000");
    for number in 0..20 {
        let id = format!("Number {number} <{number}@example.org>");
        gpg.run(&["--batch", "--quick-add-uid", &fingerprint, &id], b"");
    }
    gpg.run(
        &[
            "--batch",
            "--quick-set-primary-uid",
            &fingerprint,
            "Number 7 <7@example.org>",
        ],
        b"",
    );
    let key = server.read_key(&gpg.export("ed25519"), now()).unwrap();
    assert_eq!(key.user_ids().len(), 16);
    assert_eq!(key.user_ids()[0], "Number 7 <7@example.org>");
}

#[test]
fn a_user_id_can_do_nothing_to_who_shows_it() {
    let server = server();
    let evil = "Ada\r\nX-GPGAuth-Authenticated: true\u{202e}\u{2028}\u{85}\0";
    let user = RPgp::generate(evil, now()).unwrap();
    let key = server.read_key(user.public_key(), now()).unwrap();
    let shown = "Ada\u{fffd}\u{fffd}X-GPGAuth-Authenticated: true\u{fffd}\u{fffd}\u{fffd}\u{fffd}";
    assert_eq!(key.user_ids(), [shown]);
    let user = RPgp::generate(&"ä".repeat(10_000), now()).unwrap();
    let key = server.read_key(user.public_key(), now()).unwrap();
    assert_eq!(key.user_ids(), ["ä".repeat(256)]);
}

#[test]
fn the_servers_own_keys_are_nobodys() {
    let server = server();
    assert_eq!(code(&server, server.public_key()), "openpgp_key_of_server");
    // A user takes the server's subkey as hers: the packets of her key, then that.
    let (user, _) = user(&server);
    let mut packets = raw::dearmor(user.public_key());
    let own = raw::dearmor(server.public_key());
    let subkey = own
        .windows(2)
        .rposition(|two| two == [0xc0 | 14, 56])
        .unwrap();
    packets.extend(&own[subkey..]);
    assert_eq!(
        code(&server, &raw::armor("PUBLIC KEY BLOCK", &packets)),
        "openpgp_key_of_server"
    );
}

#[test]
fn what_a_store_gives_back_is_judged_anew() {
    let server = server();
    let (_, key) = user(&server);
    let other = |certificate: &[u8]| {
        OpenPgpKey::new(OpenPgpParts {
            certificate: certificate.into(),
            fingerprint: key.fingerprint(),
            user_ids: Vec::new(),
            algorithm: String::new(),
            expires_at: None,
        })
    };
    assert!(
        server
            .encrypt(&other(key.certificate()), NONCE, now())
            .is_ok()
    );
    let own = raw::dearmor(server.public_key());
    for bad in [&b""[..], b"nonsense", &own, &key.certificate()[..80]] {
        let failed = server.encrypt(&other(bad), NONCE, now());
        assert!(matches!(failed, Err(EncryptionError::Key(_))), "{failed:?}");
    }
}

#[test]
fn no_more_than_some_signatures_are_tried() {
    let server = server();
    let (user, _) = user(&server);
    let good = raw::dearmor(user.public_key());
    let lengths = |at: usize| 2 + usize::from(good[at + 1]);
    // The key, the user id with its signature, the subkey with its.
    let id = lengths(0);
    let certification = id + lengths(id);
    let subkey = certification + lengths(certification);
    let mut wrong = good[certification..subkey].to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let with = |count: usize| {
        let parts = [
            &good[..certification],
            &wrong.repeat(count),
            &good[certification..],
        ];
        raw::armor("PUBLIC KEY BLOCK", &parts.concat())
    };
    let (some, many) = (with(40), with(250));
    assert!(server.read_key(&some, now()).is_ok());
    assert_eq!(code(&server, &many), "openpgp_key_too_many_signatures");
    // Whatever else the machine does, one of three is hardly disturbed.
    let least = |armored: &str| {
        let times = (0..3).map(|_| {
            let begun = Instant::now();
            let _ = server.read_key(armored, now());
            begun.elapsed()
        });
        times.min().unwrap()
    };
    let (accepted, refused) = (least(&some), least(&many));
    assert!(refused < accepted * 10, "{refused:?}, {accepted:?}");
}
