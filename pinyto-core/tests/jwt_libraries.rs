//! JWT libraries that others wrote accept our tickets and refuse what is none, by the code that
//! `docs/resource-servers.md` shows. So does our own verifier.
//!
//! One is PyJWT with its extra `crypto`, of the Python that the environment variable
//! `PINYTO_TEST_PYTHON` names, or else `python3`; the other is jose, which `npm ci --prefix .ci/jose`
//! installs. Where one is missing its test says so and does nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pinyto_core::{
    Cloud,
    clock::{Clock as _, SystemClock},
    crypto::{RsaPrivateKey, default_backend},
    key::PublicKey,
    memory::MemoryStore,
    testing::keys,
    ticket::{Audience, TicketVerifier},
    user::UserName,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("../../docs/resource-servers.md");

/// Whose tickets the code of the page accepts.
const AUDIENCE: &str = "https://photos.example";

/// Whom all tickets here are about.
const ACCEPTED: &str = "ada";

/// A text that somebody sends as a ticket to a service that believes the server with that key.
struct Case {
    ticket: String,
    server: PublicKey,
    /// What our verifier, PyJWT and jose say.
    said: [&'static str; 3],
}

/// The block in that language.
fn shown(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

fn server() -> Arc<dyn RsaPrivateKey> {
    let lines = keys::server_pem().lines();
    let base64: String = lines.filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).unwrap();
    default_backend().private_key_from_pkcs8(&der).unwrap()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// What the server could have signed.
fn signed(header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let signature = server().sign_ps256(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// As in RFC 2104, with a key of more than a block.
fn hmac_sha256(key: &str, text: &str) -> Vec<u8> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(&Sha256::digest(key));
    let padded = |byte: u8| block.map(|of_key| of_key ^ byte);
    let inner = Sha256::digest([&padded(0x36)[..], text.as_bytes()].concat());
    Sha256::digest([&padded(0x5c)[..], &inner[..]].concat()).to_vec()
}

/// Tickets that a cloud has issued for these audiences.
async fn issued<const N: usize>(audiences: [&str; N]) -> [String; N] {
    let store = Arc::new(MemoryStore::new());
    let cloud = Cloud::builder(store, keys::server()).build().unwrap();
    let (device, ada) = (keys::device(0), UserName::parse("ada").unwrap());
    let key = device.public_key().clone();
    cloud.register(ada.clone(), key).await.unwrap();
    let challenge = cloud.authenticate(&ada, &device.key_hash()).await.unwrap();
    let token = device
        .answer(&challenge, cloud.server_public_key())
        .unwrap();
    let session = cloud.session(&token).await.unwrap();
    let mut tickets = Vec::new();
    for audience in audiences {
        let audience = Audience::parse(audience).unwrap();
        let issued = cloud.issue_ticket(&session, &audience).await.unwrap();
        tickets.push(issued.ticket.expose().to_owned());
    }
    tickets.try_into().unwrap()
}

async fn cases() -> Vec<Case> {
    let server = keys::server().public_key().clone();
    let header = json!({"alg": "PS256", "typ": "pinyto-ticket+jwt"});
    let now = SystemClock.now().unix_seconds();
    let claims = json!({
        "iss": server.fingerprint().to_hex(), "sub": "ada", "aud": AUDIENCE,
        "iat": now, "exp": now + 300, "jti": URL_SAFE_NO_PAD.encode([7; 16]),
    });
    // The same claims but for some.
    let with = |others: Value| {
        let mut claims = claims.clone();
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signed(&header, &claims)
    };
    let mut without = claims.clone();
    without.as_object_mut().unwrap().remove("jti");
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "typ": "pinyto-ticket+jwt"});
        format!("{}.{}", part(&header), part(&claims))
    };
    let by_public_key = {
        let text = unsigned("HS256");
        let code = hmac_sha256(&server.to_pem(), &text);
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(code))
    };

    let [good, elsewhere] = issued([AUDIENCE, "https://mail.example"]).await;
    let (text, signature) = good.rsplit_once('.').unwrap();
    let exchanged = format!("{text}.{}", elsewhere.rsplit_once('.').unwrap().1);
    let tampered = {
        let (header, claims) = text.split_once('.').unwrap();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.encode(claims.replace("\"ada\"", "\"eve\""));
        format!("{header}.{claims}.{signature}")
    };

    let accepted = [ACCEPTED; 3];
    let claim = |ours, pyjwt, jose| [ours, pyjwt, jose];
    let bad_signature = [
        "ticket_bad_signature",
        "InvalidSignatureError",
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    ];
    let other_algorithm = [
        "ticket_other_format",
        "InvalidAlgorithmError",
        "ERR_JOSE_ALG_NOT_ALLOWED",
    ];
    let other_audience = claim(
        "ticket_for_other_audience",
        "InvalidAudienceError",
        "ERR_JWT_CLAIM_VALIDATION_FAILED aud",
    );
    let by_server = [
        (good.clone(), accepted),
        (signed(&header, &claims), accepted),
        // Within the leeway.
        (with(json!({"iat": now - 310, "exp": now - 10})), accepted),
        (with(json!({"iat": now - 3590, "exp": now + 10})), accepted),
        (elsewhere, other_audience),
        (
            with(json!({"aud": "https://photos.example/"})),
            other_audience,
        ),
        (exchanged, bad_signature),
        (tampered, bad_signature),
        (
            with(json!({"iss": keys::synthetic(1).fingerprint().to_hex()})),
            claim(
                "ticket_strange_claims",
                "InvalidIssuerError",
                "ERR_JWT_CLAIM_VALIDATION_FAILED iss",
            ),
        ),
        (
            with(json!({"iat": now - 400, "exp": now - 100})),
            claim(
                "ticket_expired",
                "ExpiredSignatureError",
                "ERR_JWT_EXPIRED exp",
            ),
        ),
        (
            with(json!({"iat": now + 600, "exp": now + 900})),
            claim(
                "ticket_not_yet_valid",
                "ImmatureSignatureError",
                "ERR_JWT_CLAIM_VALIDATION_FAILED iat",
            ),
        ),
        (
            with(json!({"exp": now + 3601})),
            claim(
                "ticket_strange_claims",
                "InvalidTokenError",
                "ERR_JWT_INVALID",
            ),
        ),
        (
            signed(&header, &without),
            claim(
                "ticket_strange_claims",
                "MissingRequiredClaimError",
                "ERR_JWT_CLAIM_VALIDATION_FAILED jti",
            ),
        ),
        (
            with(json!({"more": "x".repeat(1000)})),
            claim("ticket_malformed", "InvalidTokenError", "ERR_JWT_INVALID"),
        ),
        (
            signed(&json!({"alg": "PS256", "typ": "JWT"}), &claims),
            claim(
                "ticket_other_format",
                "InvalidTokenError",
                "ERR_JWT_CLAIM_VALIDATION_FAILED typ",
            ),
        ),
        (format!("{}.", unsigned("none")), other_algorithm),
        (
            format!("{}.{signature}", unsigned("RS256")),
            other_algorithm,
        ),
        (by_public_key, other_algorithm),
    ];
    let mut cases: Vec<Case> = by_server
        .into_iter()
        .map(|(ticket, said)| Case {
            ticket,
            server: server.clone(),
            said,
        })
        .collect();
    cases.push(Case {
        ticket: good,
        server: keys::device(1).public_key().clone(),
        said: bad_signature,
    });
    cases
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
    for (case, said) in cases.iter().zip(said) {
        assert_eq!(said, case.said[by], "{}", readable(&case.ticket));
    }
}

/// The header and the claims.
fn readable(ticket: &str) -> String {
    let parts = ticket.split('.').take(2);
    let parts = parts.map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
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
        match verifier.verify(&case.ticket, SystemClock.now()) {
            Ok(verified) => verified.user.as_str().to_owned(),
            Err(refused) => refused.code().to_owned(),
        }
    };
    let said: Vec<String> = cases.iter().map(judge).collect();
    compare(&cases, &said, 0);
}

#[tokio::test]
async fn pyjwt_does_the_same_by_the_code_that_is_documented() {
    const CALL: &str = r"
import json, sys
def said(asked):
    try:
        return who_asks(*asked)
    except Exception as error:
        return type(error).__name__
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
const said = ({ code, claim, name }) => [code ?? name, claim].filter(Boolean).join(' ')
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
