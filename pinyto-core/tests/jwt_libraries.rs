//! JWT libraries that others wrote accept our tickets and refuse what is none, by the code that
//! `docs/resource-servers.md` shows. So does our own verifier.
//!
//! One is PyJWT with its extra `crypto`, of the Python that the environment variable
//! `PINYTO_TEST_PYTHON` names, or else `python3`; the other is jose, which `npm ci --prefix .ci/jose`
//! installs. Where one is missing its test says so and does nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

#[path = "jwt_libraries/cases.rs"]
mod cases;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pinyto_core::{
    clock::{Clock as _, SystemClock},
    crypto::default_backend,
    testing::keys,
    ticket::{Audience, TicketVerifier},
};
use serde_json::{Value, json};

use self::cases::{ACCEPTED, AUDIENCE, Case, cases};

const PAGE: &str = include_str!("../../docs/resource-servers.md");

/// The block in that language, of which there is one: another one would never be run.
fn shown(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    assert_eq!(PAGE.matches(&fence).count(), 1, "blocks in {language}");
    let (_, rest) = PAGE.split_once(&fence).unwrap();
    rest.split_once("```").unwrap().0
}

/// Has code of the page judge all cases. What stands behind it reads a list of lists of arguments, and
/// writes a list of what was said to each.
fn ask(mut command: Command, cases: &[Case]) -> Vec<String> {
    // The issuer is the server's, whatever key the service believes in.
    let issuer = keys::server().public_key().fingerprint().to_hex();
    let asked: Vec<_> = cases
        .iter()
        .map(|case| json!([case.ticket, case.server.to_pem(), issuer]))
        .collect();
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = Value::from(asked).to_string();
    let mut input = running.stdin.take().unwrap();
    input.write_all(asked.as_bytes()).unwrap();
    drop(input);
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn compare(cases: &[Case], said: &[String], by: usize) {
    assert_eq!(said.len(), cases.len());
    let differences = cases.iter().zip(said).filter_map(|(case, said)| {
        let expected = case.said[by];
        let ticket = case.ticket.as_deref().unwrap_or("no ticket");
        (said != expected).then(|| format!("{}: {said}, not {expected}", readable(ticket)))
    });
    let differences: Vec<String> = differences.collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The header and the claims.
fn readable(ticket: &str) -> String {
    let parts = ticket.split('.').take(2);
    let parts = parts.map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_else(|_| part.into()));
    String::from_utf8_lossy(&parts.collect::<Vec<_>>().join(&b'.')).into_owned()
}

/// Whether what is needed is there. In CI it has to be.
fn is_there(what: &str, there: bool) -> bool {
    if !there {
        let in_ci = std::env::var_os("CI").is_some();
        assert!(!in_ci, "CI is set, but there is no {what} to check against");
        eprintln!("SKIPPED: there is no {what} to check against");
    }
    there
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn our_verifier_accepts_tickets_and_refuses_what_is_none() {
    let cases = cases().await;
    let judge = |case: &Case| {
        let audience = Audience::parse(AUDIENCE).unwrap();
        let verifier = TicketVerifier::new(&*default_backend(), &case.server, audience).unwrap();
        match verifier.verify(
            case.ticket.as_deref().unwrap_or_default(),
            SystemClock.now(),
        ) {
            Ok(verified) => verified.user.as_str().to_owned(),
            Err(refused) => refused.code().to_owned(),
        }
    };
    let said: Vec<String> = cases.iter().map(judge).collect();
    compare(&cases, &said, 0);
    // What we refuse others may accept, for the server never issues it; never the other way round.
    for case in &cases {
        let [ours, others @ ..] = case.said;
        assert!(ours != ACCEPTED || others == [ACCEPTED; 2]);
    }
}

#[tokio::test]
async fn pyjwt_does_the_same_by_the_code_that_is_documented() {
    const CALL: &str = r"
import json, sys
def said(asked):
    try:
        return who_asks(*asked)
    except jwt.InvalidTokenError as error:
        return type(error).__name__
    except Exception as error:
        return f'500: {error!r}'
print(json.dumps([said(asked) for asked in json.load(sys.stdin)]))
";
    let asked_for = std::env::var("PINYTO_TEST_PYTHON");
    let python = || Command::new(asked_for.as_deref().unwrap_or("python3"));
    let there = succeeds(python().args(["-c", "import jwt, cryptography"]));
    assert!(there || asked_for.is_err(), "that Python has no PyJWT");
    if !is_there("PyJWT", there) {
        return;
    }
    let mut command = python();
    command.arg("-c").arg(format!("{}{CALL}", shown("python")));
    let cases = cases().await;
    compare(&cases, &ask(command, &cases), 1);
}

#[tokio::test]
async fn jose_does_the_same_by_the_code_that_is_documented() {
    const CALL: &str = r"
import { readFileSync } from 'node:fs'
const said = (error) => error instanceof errors.JOSEError
  ? [error.code, error.claim].filter(Boolean).join(' ') : `500: ${error}`
const answers = JSON.parse(readFileSync(0)).map((asked) => whoAsks(...asked).catch(said))
console.log(JSON.stringify(await Promise.all(answers)))
";
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/jose");
    let there = folder.join("node_modules/jose/package.json").exists()
        && succeeds(Command::new("node").arg("--version"));
    if !is_there("jose", there) {
        return;
    }
    let mut command = Command::new("node");
    command
        .current_dir(folder)
        .args(["--input-type=module", "-e"]);
    command.arg(format!("{}{CALL}", shown("js")));
    let cases = cases().await;
    compare(&cases, &ask(command, &cases), 2);
}
