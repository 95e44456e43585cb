//! gpgAuth as its clients see it: the real server, and GnuPG playing the client.
//!
//! A missing `gpg` is a failure, unless `PINYTO_TEST_WITHOUT_GPG=1` says that it is known. Clients
//! that others wrote are tried by `.ci/gpgauth`.

#![cfg(all(feature = "server", feature = "gpgauth"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod browser;
mod gnupg;
mod keys;
mod logins;
mod many;
mod refused;
#[path = "../running_server/mod.rs"]
mod running_server;
mod tokens;
mod unknown;

use std::path::Path;

use pinyto_core::testing::keys::{device, server};
use serde_json::{Value, json};

use browser::{Answer, Browser, Shape};
use gnupg::Gpg;
use running_server::RunningServer;

/// What clients search for.
const NO_USER: &str = "There is no user associated with this key.";

/// What all answers about tokens that are not good say.
const BAD_TOKEN: &str = "The token is not valid, or not any more. Begin the login again.";

/// A server that offers gpgAuth, and runs no code.
fn start(folder: &Path, arguments: &[&str]) -> RunningServer {
    let own = ["--gpgauth-key", "openpgp.asc", "--code", "off"];
    RunningServer::start_with_fixed_key(folder, &[&own, arguments].concat())
}

/// Makes an account with the first test device and gives a request token.
async fn account(server: &RunningServer, name: &str) -> String {
    let (mut client, device) = (server.client().await, device(0));
    client.register(name, device.public_key()).await;
    client
        .log_in(name, &device, self::server().public_key())
        .await
}

/// Registers a key at the account that the token is of.
async fn add_key(server: &RunningServer, token: &str, armored: &str) -> (u16, Value) {
    let body = json!({"token": token, "openpgp_key": armored});
    server.client().await.post("/register_new_key", &body).await
}

/// Registers a key of GnuPG's at the account that the token is of, and proves it; gives the key's
/// fingerprint.
async fn prove_key(server: &RunningServer, token: &str, gpg: &Gpg, key: &str) -> String {
    let (status, answer) = add_key(server, token, &gpg.export(key)).await;
    assert_eq!(status, 200, "{key}: {answer}");
    let fingerprint = gpg.fingerprint(key);
    let answer = gpg.decrypt(answer["challenge"].as_str().unwrap());
    let key_hash = fingerprint.to_lowercase();
    let body = json!({"token": token, "key_hash": key_hash, "answer": answer});
    let mut client = server.client().await;
    client.expect("/prove_openpgp_key", body).await;
    fingerprint
}

/// An account that has this key of GnuPG's; gives the key's fingerprint.
async fn account_with_key(server: &RunningServer, name: &str, gpg: &Gpg, key: &str) -> String {
    let token = account(server, name).await;
    prove_key(server, &token, gpg, key).await
}

/// The entries of `/list_keys`.
async fn listed(server: &RunningServer, token: &str) -> Vec<Value> {
    let body = json!({"token": token});
    let list = server.client().await.expect("/list_keys", body).await;
    list.as_array().unwrap().clone()
}

/// The server's key as it shows it, which GnuPG knows from then on; gives its fingerprint.
async fn import_server_key(browser: &mut Browser, gpg: &Gpg) -> String {
    let shown = browser.get("/auth/verify.json?api-version=v2").await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let fingerprint = shown.body["fingerprint"].as_str().unwrap().to_owned();
    let keydata = shown.body["keydata"].as_str().unwrap();
    assert!(keydata.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"));
    gpg.run(&["--import"], keydata.as_bytes());
    let known = gpg.text(&["--with-colons", "--list-keys", &fingerprint]);
    assert!(known.contains(&fingerprint), "{known}");
    fingerprint
}

/// Stage 1: the encrypted nonce.
async fn begin(browser: &mut Browser, keyid: &str, shape: Shape) -> String {
    let answer = browser
        .post("/auth/login.json", shape, &[("keyid", keyid)])
        .await;
    answer.expect_stage1();
    answer.user_token()
}

/// Stage 2.
async fn complete(browser: &mut Browser, keyid: &str, nonce: &str, shape: Shape) -> Answer {
    let fields = [("keyid", keyid), ("user_token_result", nonce)];
    browser.post("/auth/login.json", shape, &fields).await
}

/// Stages 1 and 2; gives the request token.
async fn log_in(server: &RunningServer, gpg: &Gpg, keyid: &str) -> String {
    let mut browser = Browser::new(server);
    let message = begin(&mut browser, keyid, Shape::Json).await;
    let nonce = gpg.decrypt(&message);
    let answer = complete(&mut browser, keyid, &nonce, Shape::Json).await;
    answer.expect_complete();
    answer.body["token"].as_str().unwrap().to_owned()
}
