//! Fingerprints that nobody has: answered like those that somebody has, unless the operator wants
//! them told.

use std::collections::BTreeSet;

use crate::{Answer, Browser, Gpg, NO_USER, Shape, account_with_key, begin, complete, start};

/// What an answer looks like without what differs each time.
fn looks(answer: &Answer) -> Vec<String> {
    let mut looks = vec![
        answer.status.to_string(),
        answer.message.clone(),
        answer.body.to_string(),
    ];
    for (name, value) in &answer.headers {
        let value = match name.as_str() {
            "date" | "content-length" | "x-request-id" => "...",
            "x-gpgauth-user-auth-token" => "-----BEGIN...",
            _ => value.to_str().unwrap(),
        };
        looks.push(format!("{name}: {value}"));
    }
    for name in answer.envelope.as_object().unwrap().keys() {
        looks.push(match name.as_str() {
            "id" | "servertime" => name.clone(),
            _ => format!("{name} {}", answer.envelope[name]),
        });
    }
    looks
}

/// What a message tells about who it is for: the algorithm, and by its length the size of the key.
#[derive(Debug)]
struct Recipient {
    algorithm: String,
    length: usize,
}

impl Recipient {
    fn of(gpg: &Gpg, message: &str) -> Self {
        let line = pubkey_packet(gpg, message);
        assert!(!line.contains("keyid 0000000000000000"), "{line}");
        let (_, algorithm) = line.split_once("algo ").unwrap();
        let algorithm = algorithm.split(',').next().unwrap().to_owned();
        let length = message.len();
        Self { algorithm, length }
    }

    /// Lengths differ by a few digits for a number that begins with zeros.
    fn is_like(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.length.abs_diff(other.length) <= 8
    }
}

fn pubkey_packet(gpg: &Gpg, message: &str) -> String {
    let packets = gpg.packets(message);
    let mut lines = packets.lines();
    let line = lines.find(|line| line.contains("pubkey enc packet"));
    line.unwrap_or_else(|| panic!("{packets}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_nobody_has_is_answered_like_one_that_somebody_has() {
    let keys = ["ed25519", "rsa2048", "rsa3072", "rsa4096"];
    let Some(gpg) = Gpg::with(&keys) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--throttle", "off"]);
    let mut browser = Browser::new(&server);
    let (mut known, mut known_looks) = (Vec::new(), BTreeSet::new());
    let mut known_keyid = String::new();
    for key in keys {
        let keyid = account_with_key(&server, key, &gpg, key).await;
        let fields = [("keyid", &*keyid)];
        let answer = browser.post("/auth/login.json", Shape::Json, &fields).await;
        answer.expect_stage1();
        known_looks.insert(looks(&answer));
        known.push(Recipient::of(&gpg, &answer.user_token()));
        known_keyid = keyid;
    }
    assert_eq!(known_looks.len(), 1, "{known_looks:#?}");

    let (mut kinds, mut rare) = (BTreeSet::new(), 0);
    for number in 0..100_u64 {
        let fingerprint = format!("{:0>40X}", number * 0x1234_5678_9abc);
        let fields = [("keyid", &*fingerprint)];
        let answer = browser.post("/auth/login.json", Shape::Json, &fields).await;
        answer.expect_stage1();
        assert!(known_looks.contains(&looks(&answer)), "{answer:#?}");
        let message = answer.user_token();
        let recipient = Recipient::of(&gpg, &message);
        let kind = known.iter().position(|known| known.is_like(&recipient));
        match kind {
            Some(kind) => _ = kinds.insert(kind),
            None => rare += 1,
        }
        if number < 5 {
            // The same recipient each time, or asking twice would tell.
            let again = begin(&mut browser, &fingerprint, Shape::Json).await;
            assert_ne!(again, message);
            assert_eq!(pubkey_packet(&gpg, &again), pubkey_packet(&gpg, &message));
        }
    }
    assert_eq!(kinds.len(), known.len(), "{kinds:?}");
    assert!(rare < 20, "{rare}");
    // As of a key of version 6, whose messages GnuPG doesn't read.
    let fields = [("keyid", &*"A".repeat(64))];
    let answer = browser.post("/auth/login.json", Shape::Json, &fields).await;
    assert!(known_looks.contains(&looks(&answer)), "{answer:#?}");

    // Nor does the end of a login tell.
    let nonce = "gpgauthv1.3.0|36|de305d54-75b4-431b-adb2-eb6b9e546014|gpgauthv1.3.0";
    let mut ends = BTreeSet::new();
    for keyid in [&known_keyid, &"A".repeat(40)] {
        let answer = complete(&mut browser, keyid, nonce, Shape::Json).await;
        answer.expect_bad_token();
        ends.insert(looks(&answer));
    }
    assert_eq!(ends.len(), 1, "{ends:#?}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_may_have_it_told() {
    let Some(gpg) = Gpg::with(&["ed25519"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--gpgauth-unknown-keys", "tell"]);
    let mut browser = Browser::new(&server);
    let keyid = gpg.fingerprint("ed25519");
    let fields = [("keyid", &*keyid)];
    let answer = browser.post("/auth/login.json", Shape::Json, &fields).await;
    let expected = (400, "false", Some("stage0"), Some("true"));
    assert_eq!(answer.outcome(), expected, "{answer:?}");
    assert!(answer.message.contains(NO_USER), "{answer:?}");
    assert_eq!(answer.gpgauth("user-auth-token"), None);
    account_with_key(&server, "ada", &gpg, "ed25519").await;
    begin(&mut browser, &keyid, Shape::Json).await;
}
