//! A JWT library that others wrote accepts our tickets, by the code that `docs/resource-servers.md`
//! shows.
//!
//! Needs a Python that has PyJWT with its extra `crypto`: the one that the environment variable
//! `PINYTO_TEST_PYTHON` names, or else `python3`, without which the test says so and does nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::{
    process::{Command, Output},
    sync::Arc,
};

use pinyto_core::{Cloud, memory::MemoryStore, testing::keys, ticket::Audience, user::UserName};

const PAGE: &str = include_str!("../../docs/resource-servers.md");

const CALL: &str = "\nimport sys\nprint(who_asks(*sys.argv[1:]))\n";

/// The Python of the page.
fn shown() -> &'static str {
    let (_, rest) = PAGE.split_once("```python\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn run(python: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(python).arg("-c").args(arguments).output().ok()
}

/// A Python with the library.
fn python() -> Option<String> {
    let asked_for = std::env::var("PINYTO_TEST_PYTHON").ok();
    let python = asked_for.clone().unwrap_or_else(|| "python3".to_owned());
    let found = run(&python, &["import jwt, cryptography"]);
    if found.is_some_and(|output| output.status.success()) {
        return Some(python);
    }
    assert_eq!(asked_for, None, "that Python doesn't have PyJWT");
    eprintln!("SKIPPED: there is no PyJWT to check against");
    None
}

#[tokio::test]
async fn pyjwt_accepts_a_ticket_and_refuses_others_by_the_code_that_is_documented() {
    let Some(python) = python() else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let cloud = Cloud::builder(store, keys::server()).build().unwrap();
    let (device, ada) = (keys::device(0), UserName::parse("ada").unwrap());
    let key = device.public_key().clone();
    cloud.register(ada.clone(), key).await.unwrap();
    let challenge = cloud.authenticate(&ada, &device.key_hash()).await.unwrap();
    let server = cloud.server_public_key();
    let token = device.answer(&challenge, server).unwrap();
    let session = cloud.session(&token).await.unwrap();
    let issue = async |audience: &str| {
        let audience = Audience::parse(audience).unwrap();
        let issued = cloud.issue_ticket(&session, &audience).await.unwrap();
        issued.ticket.expose().to_owned()
    };
    let good = issue("https://photos.example").await;
    let elsewhere = issue("https://mail.example").await;
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, of_other) = elsewhere.rsplit_once('.').unwrap();
    let exchanged = format!("{signed}.{of_other}");

    let code = format!("{}{CALL}", shown());
    let (pem, issuer) = (server.to_pem(), server.fingerprint().to_hex());
    let asked = |ticket: &str, pem: &str, issuer: &str| {
        run(&python, &[&code, ticket, pem, issuer]).unwrap()
    };
    let accepted = asked(&good, &pem, &issuer);
    let said = String::from_utf8_lossy(&accepted.stderr);
    assert_eq!(accepted.stdout, b"ada\n", "{said}");
    let other_pem = device.public_key().to_pem();
    for (ticket, pem, issuer, error) in [
        (&elsewhere, &pem, issuer.as_str(), "InvalidAudienceError"),
        (&exchanged, &pem, &issuer, "InvalidSignatureError"),
        (&good, &other_pem, &issuer, "InvalidSignatureError"),
        (&good, &pem, "somebody", "InvalidIssuerError"),
    ] {
        let refused = asked(ticket, pem, issuer);
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(error), "{said}");
    }
}
