//! What we write, read by GnuPG, and the other way round.

use pinyto_core::gpgauth::{
    InvalidMessage, InvalidServerKey, MAX_TEXT, OpenPgp as _, RPgp, armored,
};
use proptest::prelude::*;

use crate::{
    NONCE, at,
    gnupg::{Gpg, mail},
    now, secret, server, user,
};

const USERS: [(&str, &str); 9] = [
    ("rsa2048", "rsa2048, rsa2048"),
    ("rsa3072", "rsa3072, rsa3072"),
    ("rsa4096", "rsa4096, rsa4096"),
    ("rsa-alone", "rsa2048, rsa2048"),
    ("ed25519", "ed25519, cv25519"),
    ("sha384", "ed25519, cv25519"),
    ("nistp256", "nistp256, nistp256"),
    ("nistp384", "nistp384, nistp384"),
    ("nistp521", "nistp521, nistp521"),
];

/// Has GnuPG decrypt `message`, and look who signed it.
fn decrypt(gpg: &Gpg, server: &RPgp, message: &str) -> String {
    let said = gpg.run(&["--batch", "--decrypt"], message.as_bytes());
    let signer = server.fingerprint().to_hex().to_uppercase();
    assert!(said.status.contains("] GOODSIG "), "{}", said.status);
    assert!(
        said.status.contains(&format!("] VALIDSIG {signer} ")),
        "{}",
        said.status
    );
    String::from_utf8(said.out).unwrap()
}

#[test]
fn gnupg_reads_what_is_encrypted_for_its_keys_and_finds_the_signature_good() {
    let Some(gpg) = Gpg::with(&USERS.map(|(name, _)| name)) else {
        return;
    };
    let server = server();
    gpg.run(&["--batch", "--import"], server.public_key().as_bytes());
    for (name, algorithm) in USERS {
        let key = server.read_key(&gpg.export(name), now()).unwrap();
        assert_eq!(
            key.fingerprint().to_hex().to_uppercase(),
            gpg.fingerprint(name)
        );
        assert_eq!(key.user_ids(), [format!("{name} <{name}@example.org>")]);
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.expires_at(), None);
        let message = server.encrypt(&key, NONCE, now()).unwrap();
        assert!(
            message.starts_with("-----BEGIN PGP MESSAGE-----\n\n"),
            "{message}"
        );
        assert_eq!(decrypt(&gpg, &server, &message), NONCE, "{name}");
    }
}

#[test]
fn gnupg_reads_a_key_that_was_kept() {
    let Some(gpg) = Gpg::with(&["rsa3072"]) else {
        return;
    };
    let server = server();
    let key = server.read_key(&gpg.export("rsa3072"), now()).unwrap();
    let kept = armored(&key).unwrap();
    assert_eq!(server.read_key(&kept, now()), Ok(key));

    let other = Gpg::new().unwrap();
    other.run(&["--batch", "--import"], kept.as_bytes());
    assert_eq!(other.fingerprint("rsa3072"), gpg.fingerprint("rsa3072"));
}

#[test]
fn what_gnupg_encrypts_for_the_server_is_read() {
    let Some(gpg) = Gpg::with(&["ed25519", "rsa2048"]) else {
        return;
    };
    let server = server();
    gpg.run(&["--batch", "--import"], server.public_key().as_bytes());
    let fingerprint = server.fingerprint().to_hex();
    let ed25519 = mail("ed25519");
    let ways: [&[&str]; 10] = [
        &["-r", &fingerprint],
        &["-r", &fingerprint, "-z", "0"],
        &["-r", &fingerprint, "-z", "9"],
        &["-r", &fingerprint, "--compress-algo", "zip"],
        &["-r", &fingerprint, "--sign", "--local-user", &ed25519],
        &[
            "-r",
            &fingerprint,
            "--sign",
            "--local-user",
            &mail("rsa2048"),
        ],
        &["-r", &fingerprint, "-r", &ed25519],
        &["-r", &ed25519, "-r", &fingerprint],
        &["--hidden-recipient", &fingerprint],
        &["-r", &fingerprint, "--textmode", "--cipher-algo", "AES"],
    ];
    for way in ways {
        let arguments = [&["--batch", "--always-trust", "--armor", "--encrypt"], way].concat();
        let message = gpg.run(&arguments, NONCE.as_bytes()).out;
        let text = server.decrypt(&String::from_utf8(message).unwrap());
        assert_eq!(text.unwrap().as_slice(), NONCE.as_bytes(), "{way:?}");
    }
    let arguments = [
        "--batch",
        "--always-trust",
        "--armor",
        "--encrypt",
        "-r",
        &ed25519,
    ];
    let message = String::from_utf8(gpg.run(&arguments, NONCE.as_bytes()).out).unwrap();
    assert_eq!(server.decrypt(&message), Err(InvalidMessage::Undecryptable));
}

#[test]
fn a_key_that_gnupg_made_can_be_the_servers() {
    let Some(gpg) = Gpg::with(&["ed25519", "nistp256", "nistp384", "nistp521", "rsa3072"]) else {
        return;
    };
    for name in ["ed25519", "nistp256", "nistp384", "nistp521"] {
        let server = RPgp::from_armored(&secret(name), now()).unwrap();
        assert_eq!(
            server.fingerprint().to_hex().to_uppercase(),
            gpg.fingerprint(name)
        );
        let arguments = [
            "--batch",
            "--always-trust",
            "--armor",
            "--encrypt",
            "-r",
            &mail(name),
        ];
        let message = String::from_utf8(gpg.run(&arguments, NONCE.as_bytes()).out).unwrap();
        assert_eq!(
            server.decrypt(&message).unwrap().as_slice(),
            NONCE.as_bytes()
        );
        let key = server.read_key(&gpg.export("rsa3072"), now()).unwrap();
        let message = server.encrypt(&key, NONCE, now()).unwrap();
        assert_eq!(decrypt(&gpg, &server, &message), NONCE);
    }
}

#[test]
fn a_server_has_the_same_secret_however_its_key_is_written() {
    let server = RPgp::from_armored(&secret("ed25519"), now()).unwrap();
    let written = server.to_armored_secret().unwrap();
    let again = RPgp::from_armored(&written, now()).unwrap();
    assert_eq!(again.public_key(), server.public_key());
    assert_eq!(
        again.login_secret().unwrap(),
        server.login_secret().unwrap()
    );
    let crlf = RPgp::from_armored(&written.replace('\n', "\r\n"), now()).unwrap();
    assert_eq!(crlf.login_secret().unwrap(), server.login_secret().unwrap());
    let other = RPgp::from_armored(&secret("other"), now()).unwrap();
    assert_ne!(
        other.login_secret().unwrap(),
        server.login_secret().unwrap()
    );
    assert_eq!(
        format!("{server:?}"),
        format!("RPgp({})", server.fingerprint())
    );

    // GnuPG exports it with another user id, another subkey and an expiry.
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let fingerprint = gpg.fingerprint("ed25519");
    gpg.run(
        &[
            "--batch",
            "--quick-add-uid",
            &fingerprint,
            "Another <another@example.org>",
        ],
        b"",
    );
    gpg.run(
        &[
            "--batch",
            "--quick-add-key",
            &fingerprint,
            "cv25519",
            "encr",
        ],
        b"",
    );
    gpg.run(
        &["--batch", "--quick-set-expire", &fingerprint, "2030-01-01"],
        b"",
    );
    let changed = gpg.text(&["--batch", "--armor", "--export-secret-keys", &fingerprint]);
    let changed = RPgp::from_armored(&changed, now()).unwrap();
    assert_ne!(changed.public_key(), server.public_key());
    assert_eq!(
        changed.login_secret().unwrap(),
        server.login_secret().unwrap()
    );
    // What clients encrypt for the older subkey can still be read.
    let user = RPgp::generate("Ada", now()).unwrap();
    let key = user.read_key(server.public_key(), now()).unwrap();
    let message = user.encrypt(&key, NONCE, now()).unwrap();
    assert_eq!(
        changed.decrypt(&message).unwrap().as_slice(),
        NONCE.as_bytes()
    );
}

#[test]
fn a_key_that_is_not_fit_for_a_server_is_refused_with_the_reason() {
    let code = |text: &str| RPgp::from_armored(text, now()).unwrap_err().code();
    assert_eq!(code(""), "openpgp_server_key_not_armored");
    assert_eq!(
        code(server().public_key()),
        "openpgp_server_key_not_armored"
    );
    assert_eq!(code(&secret("rsa3072")), "openpgp_server_key_algorithm");
    assert_eq!(
        code(&secret("brainpoolp256")),
        "openpgp_server_key_algorithm"
    );
    assert_eq!(code(&secret("sign-only")), "openpgp_key_no_encryption");
    assert_eq!(code(&secret("sha1")), "openpgp_key_self_signature");
    let early = RPgp::from_armored(&secret("ed25519"), at("2024-12-01T00:00:00Z"));
    assert_eq!(early.unwrap_err().code(), "openpgp_key_expired");
    let reason = RPgp::from_armored(&secret("rsa3072"), now()).unwrap_err();
    assert!(reason.to_string().contains("RSA"), "{reason}");

    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    // Protected with a passphrase.
    let arguments = [
        "--batch",
        "--passphrase",
        "secret",
        "--quick-gen-key",
        "locked",
        "future-default",
    ];
    gpg.run(&arguments, b"");
    let arguments = [
        "--batch",
        "--passphrase",
        "secret",
        "--armor",
        "--export-secret-keys",
        "locked",
    ];
    assert_eq!(code(&gpg.text(&arguments)), "openpgp_server_key_protected");
    // The secret half of the primary key is elsewhere.
    let fingerprint = gpg.fingerprint("ed25519");
    let subkeys = gpg.text(&[
        "--batch",
        "--armor",
        "--export-secret-subkeys",
        &fingerprint,
    ]);
    assert_eq!(
        RPgp::from_armored(&subkeys, now()).unwrap_err(),
        InvalidServerKey::Protected
    );
}

#[test]
fn a_message_for_nobody_looks_like_any_other() {
    let names = [
        "ed25519", "rsa4096", "rsa3072", "rsa2048", "nistp256", "nistp384", "nistp521",
    ];
    let Some(gpg) = Gpg::with(&names) else {
        return;
    };
    let server = server();
    let shape = |message: &str| {
        let packets = gpg.packets(message);
        let algorithm = packets.split("algo ").nth(1).unwrap();
        let algorithm: String = algorithm.chars().take_while(char::is_ascii_digit).collect();
        (algorithm, message.len() / 8)
    };
    let real: Vec<_> = names
        .iter()
        .map(|name| {
            let key = server.read_key(&gpg.export(name), now()).unwrap();
            shape(&server.encrypt(&key, NONCE, now()).unwrap())
        })
        .collect();
    let (mut seen, mut rare) = (vec![0; real.len()], 0);
    for number in 0..40 {
        let fingerprint = format!("{number:040x}").parse().unwrap();
        let message = server
            .encrypt_for_nobody(&fingerprint, NONCE, now())
            .unwrap();
        let again = server
            .encrypt_for_nobody(&fingerprint, NONCE, now())
            .unwrap();
        let id = |message: &str| {
            let packets = gpg.packets(message);
            packets.split("keyid ").nth(1).unwrap()[..16].to_owned()
        };
        assert_eq!(id(&message), id(&again));
        assert_ne!(message, again);
        let is = shape(&message);
        // A number of an RSA key may begin with a zero byte.
        let kind = real
            .iter()
            .position(|(algorithm, length)| *algorithm == is.0 && length.abs_diff(is.1) <= 1);
        match kind {
            Some(kind) => seen[kind] += 1,
            // RSA of another size, or what GnuPG 2.2 has no keys of.
            None => rare += 1,
        }
        assert_eq!(server.decrypt(&message), Err(InvalidMessage::Undecryptable));
    }
    assert!(
        seen.iter().filter(|often| **often > 0).count() >= 3 && rare < 8,
        "{seen:?} {rare}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_goes_from_one_to_the_other(text in "\\PC{0,300}|(?s:.{0,1000})") {
        let (one, other) = (server(), server());
        let key = one.read_key(other.public_key(), now()).unwrap();
        let message = one.encrypt(&key, &text, now()).unwrap();
        let read = other.decrypt(&message).unwrap();
        prop_assert_eq!(read.as_slice(), text.as_bytes());
        prop_assert_eq!(one.decrypt(&message), Err(InvalidMessage::Undecryptable));
    }
}

#[test]
fn the_longest_text_can_be_read_and_no_longer_one() {
    let server = server();
    let (user, _) = user(&server);
    let key = user.read_key(server.public_key(), now()).unwrap();
    let longest = "x".repeat(MAX_TEXT);
    let message = user.encrypt(&key, &longest, now()).unwrap();
    assert_eq!(
        server.decrypt(&message).unwrap().as_slice(),
        longest.as_bytes()
    );
    let message = user.encrypt(&key, &format!("{longest}x"), now()).unwrap();
    assert_eq!(server.decrypt(&message), Err(InvalidMessage::Undecryptable));
}
