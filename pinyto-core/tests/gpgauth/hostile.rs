//! What nobody should send.

use std::time::{Duration, Instant};

use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pinyto_core::gpgauth::{InvalidMessage, MAX_MESSAGE, MAX_TEXT, OpenPgp as _, RPgp};

use crate::{
    NONCE,
    gnupg::Gpg,
    now,
    raw::{Session, compressed, dearmor, literal, message, packet, sealed},
    server, user,
};

fn refused(server: &RPgp, message: &str) {
    assert_eq!(
        server.decrypt(message),
        Err(InvalidMessage::Undecryptable),
        "{message}"
    );
}

fn read(server: &RPgp, message: &str) {
    assert_eq!(
        server.decrypt(message).unwrap().as_slice(),
        NONCE.as_bytes()
    );
}

/// A message of a user's to the server, as packets.
fn to_server(server: &RPgp) -> Vec<u8> {
    let (user, _) = user(server);
    let key = user.read_key(server.public_key(), now()).unwrap();
    dearmor(&user.encrypt(&key, NONCE, now()).unwrap())
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let server = server();
    let whole = to_server(&server);
    read(&server, &message(&whole));
    for end in 1..whole.len() {
        refused(&server, &message(&whole[..end]));
    }
    let text = message(&whole);
    for end in 0..text.len() - 1 {
        assert_eq!(
            server.decrypt(&text[..end]),
            Err(InvalidMessage::NotArmored)
        );
    }
}

#[test]
fn a_message_changed_anywhere_is_refused() {
    let server = server();
    let whole = to_server(&server);
    // The packet of the session key has bits that mean nothing, as the highest one of a point.
    let data = 2 + usize::from(whole[1]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            match server.decrypt(&message(&changed)) {
                Ok(text) if at < data => assert_eq!(text.as_slice(), NONCE.as_bytes()),
                other => assert_eq!(other, Err(InvalidMessage::Undecryptable), "{at} {bit}"),
            }
        }
    }
}

#[test]
fn a_key_cut_or_changed_anywhere_does_no_harm() {
    let server = server();
    let (user, key) = user(&server);
    let whole = dearmor(user.public_key());
    let public = |packets: &[u8]| crate::raw::armor("PUBLIC KEY BLOCK", packets);
    for end in 1..whole.len() {
        assert!(
            server.read_key(&public(&whole[..end]), now()).is_err(),
            "{end}"
        );
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            // What isn't signed (a hint whose signature it is) may change; nothing else.
            if let Ok(changed) = server.read_key(&public(&changed), now()) {
                assert_eq!(changed.fingerprint(), key.fingerprint());
                assert_eq!(changed.user_ids(), key.user_ids());
                assert_eq!(changed.algorithm(), key.algorithm());
            }
        }
    }
}

#[test]
fn only_an_armored_message_is_one() {
    let server = server();
    let text = message(&to_server(&server));
    let not_armored = [
        String::new(),
        NONCE.to_owned(),
        text.replace("MESSAGE", "PUBLIC KEY BLOCK"),
        text.replace("MESSAGE", "SIGNED MESSAGE"),
        text.replace("MESSAGE", "MESSAGE, PART 1/2"),
        text.repeat(2),
        format!("{text}{NONCE}"),
        format!("{text}{}", " ".repeat(MAX_MESSAGE)),
    ];
    for text in not_armored {
        assert_eq!(server.decrypt(&text), Err(InvalidMessage::NotArmored));
    }
    refused(&server, &message(&dearmor(server.public_key())));
}

#[test]
fn one_message_has_one_text() {
    let server = server();
    let text = literal(NONCE.as_bytes());
    read(&server, &sealed(&server, &text));
    // Padding and markers mean nothing.
    let padded = [text.clone(), packet(21, &[7; 100]), packet(10, b"PGP")].concat();
    read(&server, &sealed(&server, &padded));
    for bad in [
        Vec::new(),
        b"no packets".to_vec(),
        text.repeat(2),
        [text.clone(), vec![0]].concat(),
        [text.clone(), compressed(&text)].concat(),
        [text.clone(), packet(6, &[4])].concat(),
        packet(21, &[]),
        // No room for its name and date.
        packet(11, b"b\x09name"),
        packet(11, b""),
    ] {
        refused(&server, &sealed(&server, &bad));
    }
    let message = to_server(&server);
    refused(&server, &crate::raw::message(&message.repeat(2)));
    refused(
        &server,
        &crate::raw::message(&[message.clone(), text.clone()].concat()),
    );
    refused(
        &server,
        &crate::raw::message(&[text.clone(), message].concat()),
    );
    // Not encrypted at all.
    refused(&server, &crate::raw::message(&text));
}

#[test]
fn what_unpacks_to_more_than_a_text_is_refused_at_once() {
    let server = server();
    let mut nested = literal(NONCE.as_bytes());
    for depth in 0..40 {
        let message = sealed(&server, &nested);
        if depth <= 2 {
            read(&server, &message);
        } else {
            refused(&server, &message);
        }
        nested = compressed(&nested);
    }
    let longest = literal(&[b'x'; MAX_TEXT]);
    assert!(
        server
            .decrypt(&sealed(&server, &compressed(&longest)))
            .is_ok()
    );
    let longer = literal(&[b'x'; MAX_TEXT + 1]);
    refused(&server, &sealed(&server, &compressed(&longer)));
    // Damaged, and of kinds that aren't known.
    for bad in [&[][..], &[1], &[1, 7, 7], &[2, 1], &[3, 1], &[99]] {
        refused(&server, &sealed(&server, &packet(8, bad)));
    }

    let Some(gpg) = Gpg::new() else {
        return;
    };
    gpg.run(&["--batch", "--import"], server.public_key().as_bytes());
    let fingerprint = server.fingerprint().to_hex();
    for algorithm in ["zlib", "zip"] {
        let arguments = [
            "--batch",
            "--always-trust",
            "--armor",
            "-z",
            "9",
            "--compress-algo",
            algorithm,
        ];
        let arguments = [&arguments[..], &["--encrypt", "-r", &fingerprint]].concat();
        let bomb = gpg.run(&arguments, &vec![0; 8_000_000]).out;
        let bomb = String::from_utf8(bomb).unwrap();
        assert!(bomb.len() < MAX_MESSAGE, "{}", bomb.len());
        let begun = Instant::now();
        refused(&server, &bomb);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn data_without_protection_of_its_integrity_is_refused() {
    let server = server();
    let session = Session::new(SymmetricKeyAlgorithm::AES256);
    let protected = session.protect(&literal(NONCE.as_bytes()));
    let key = session.for_server(&server);
    read(
        &server,
        &message(&[key.clone(), packet(18, &protected)].concat()),
    );
    // The old packet has the same inside, without a version.
    refused(
        &server,
        &message(&[key.clone(), packet(9, &protected[1..])].concat()),
    );
    refused(
        &server,
        &message(&[key.clone(), packet(20, &protected)].concat()),
    );
    // The one of RFC 9580.
    refused(
        &server,
        &message(&[key.clone(), packet(18, &[&[2], &protected[1..]].concat())].concat()),
    );
    refused(&server, &message(&[key.clone(), packet(18, &[1])].concat()));
    refused(&server, &message(&[key.clone(), packet(18, &[])].concat()));
    refused(&server, &message(&key));
    refused(&server, &message(&packet(18, &protected)));
}

#[test]
fn lengths_in_parts_are_put_together() {
    let server = server();
    let session = Session::new(SymmetricKeyAlgorithm::AES128);
    let protected = session.protect(&literal(NONCE.as_bytes()));
    let key = session.for_server(&server);
    let (first, second) = protected.split_at(64);
    let parts = |last: u8| [&key[..], &[0xc0 | 18, 0xe6], first, &[last], second].concat();
    let length = u8::try_from(second.len()).unwrap();
    read(&server, &message(&parts(length)));
    refused(&server, &message(&parts(length - 1)));
    refused(&server, &message(&parts(length + 1)));
    // Parts of a gigabyte, and parts without end.
    refused(
        &server,
        &message(&[&key[..], &[0xc0 | 18, 0xfe], first].concat()),
    );
    let endless = [&key[..], &[0xc0 | 18], &[0xe0, 1].repeat(4000)].concat();
    refused(&server, &message(&endless));
}

#[test]
fn few_session_keys_are_tried() {
    let server = server();
    let session = Session::new(SymmetricKeyAlgorithm::AES256);
    let data = packet(18, &session.protect(&literal(NONCE.as_bytes())));
    let other = session.for_server(&crate::server());
    let own = session.for_server(&server);
    let after = |count: usize| message(&[other.repeat(count), own.clone(), data.clone()].concat());
    read(&server, &after(7));
    refused(&server, &after(8));
    // For another key only.
    refused(&server, &message(&[other, data].concat()));
    // Keys that are no keys of their cipher, and a cipher of 64 bits.
    for session in [
        Session::wrong(SymmetricKeyAlgorithm::AES256, &[1; 16]),
        Session::wrong(SymmetricKeyAlgorithm::AES128, &[1; 64]),
        Session::wrong(SymmetricKeyAlgorithm::Plaintext, &[1]),
        Session::wrong(SymmetricKeyAlgorithm::TripleDES, &[1; 24]),
    ] {
        let data = Session::new(SymmetricKeyAlgorithm::AES256).protect(&literal(NONCE.as_bytes()));
        refused(
            &server,
            &message(&[session.for_server(&server), packet(18, &data)].concat()),
        );
    }
}

#[test]
fn gnupgs_own_packet_is_read_and_as_well_protected() {
    let server = server();
    let session = Session::new(SymmetricKeyAlgorithm::AES256);
    let key = session.for_server(&server);
    let protected = session.protect_gnupg(&literal(NONCE.as_bytes()));
    let with = |protected: &[u8]| message(&[key.clone(), packet(20, protected)].concat());
    read(&server, &with(&protected));
    for end in 0..protected.len() {
        refused(&server, &with(&protected[..end]));
    }
    for at in 0..protected.len() {
        for bit in 0..8 {
            let mut changed = protected.clone();
            changed[at] ^= 1 << bit;
            refused(&server, &with(&changed));
        }
    }
}
