//! The texts that are judged, and what is said to each.

use std::{
    io::Write as _,
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
    ticket::Audience,
    user::UserName,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Whose tickets the code of the page accepts.
pub(crate) const AUDIENCE: &str = "https://photos.example";

/// Whom all tickets here are about.
pub(crate) const ACCEPTED: &str = "ada";

/// A text that somebody sends as a ticket to a service that believes the server with that key.
pub(crate) struct Case {
    /// `None` is none at all.
    pub(crate) ticket: Option<String>,
    pub(crate) server: PublicKey,
    /// What our verifier, PyJWT and jose say.
    pub(crate) said: [&'static str; 3],
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
    signed_text(&part(header), &part(claims))
}

fn signed_text(header: &str, claims: &str) -> String {
    let text = format!("{header}.{claims}");
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

pub(crate) async fn cases() -> Vec<Case> {
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
    let others = odd(&claims).into_iter().chain(no_tickets());
    let mut cases: Vec<Case> = by_server
        .into_iter()
        .map(|(ticket, said)| (Some(ticket), said))
        .chain(others)
        .map(|(ticket, said)| Case {
            ticket,
            server: server.clone(),
            said,
        })
        .collect();
    cases.push(Case {
        ticket: Some(good),
        server: keys::device(1).public_key().clone(),
        said: bad_signature,
    });
    cases
}

/// What the server never signs but could, and where the library is not as strict as our verifier.
fn odd(claims: &Value) -> Vec<(Option<String>, [&'static str; 3])> {
    let header = json!({"alg": "PS256", "typ": "pinyto-ticket+jwt"});
    let now = claims["iat"].as_u64().unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        signed(&header, &claims)
    };
    let headed = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        signed(&header, claims)
    };
    let strange = |pyjwt, jose| ["ticket_strange_claims", pyjwt, jose];
    let (by_sample, by_jose) = ("InvalidTokenError", "ERR_JWT_INVALID");
    let twice = {
        let claims = claims.to_string().replacen('{', r#"{"sub":"eve","#, 1);
        signed_text(&part(&header), &URL_SAFE_NO_PAD.encode(claims))
    };
    let mut odd = vec![
        // An extra claim, of which the library knows one itself.
        (with("role", json!("admin")), strange(by_sample, by_jose)),
        (with("nbf", json!(now - 10)), strange(by_sample, by_jose)),
        (
            with("nbf", json!(now + 600)),
            strange(
                "ImmatureSignatureError",
                "ERR_JWT_CLAIM_VALIDATION_FAILED nbf",
            ),
        ),
        (
            with("aud", json!([AUDIENCE])),
            strange("InvalidAudienceError", by_jose),
        ),
        (
            with("aud", json!([AUDIENCE, "https://mail.example"])),
            strange("InvalidAudienceError", by_jose),
        ),
        (
            with("sub", json!("ada lovelace")),
            strange(by_sample, by_jose),
        ),
        (with("sub", json!("ädä")), strange(by_sample, by_jose)),
        (with("sub", json!("ada\n")), strange(by_sample, by_jose)),
        (with("sub", json!("")), strange(by_sample, by_jose)),
        (
            with("sub", json!("a".repeat(31))),
            strange(by_sample, by_jose),
        ),
        (
            with("sub", json!(5)),
            strange("InvalidSubjectError", by_jose),
        ),
        (
            with("sub", json!(["ada"])),
            strange("InvalidSubjectError", by_jose),
        ),
        (with("exp", json!(now)), strange(by_sample, by_jose)),
        // The samples leave this to the server.
        (with("jti", json!("7")), strange(ACCEPTED, ACCEPTED)),
        (with("jti", json!(7)), strange("InvalidJTIError", ACCEPTED)),
        // And that times are whole numbers, that nothing is there twice, and how the header is written.
        (
            with("iat", json!(claims["iat"].as_f64().unwrap() + 0.5)),
            strange(ACCEPTED, ACCEPTED),
        ),
        (twice, strange(ACCEPTED, ACCEPTED)),
        (
            headed("typ", json!("application/Pinyto-Ticket+JWT")),
            ["ticket_other_format", by_sample, ACCEPTED],
        ),
        (
            headed("kid", json!("a")),
            ["ticket_other_format", ACCEPTED, ACCEPTED],
        ),
        (
            headed("crit", json!(["exp"])),
            ["ticket_other_format", by_sample, "ERR_JOSE_NOT_SUPPORTED"],
        ),
    ];
    if let Some(salted) = with_salt(20, &header, claims) {
        odd.push((
            salted,
            [
                "ticket_bad_signature",
                "InvalidSignatureError",
                "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
            ],
        ));
    }
    odd.into_iter()
        .map(|(ticket, said)| (Some(ticket), said))
        .collect()
}

/// As [`signed`], but with a salt of so many bytes; `None` without `openssl`.
fn with_salt(bytes: u8, header: &Value, claims: &Value) -> Option<String> {
    const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/keys/server.pem");
    let text = format!("{}.{}", part(header), part(claims));
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign", KEY]);
    openssl.args(["-sigopt", "rsa_padding_mode:pss", "-sigopt"]);
    openssl.arg(format!("rsa_pss_saltlen:{bytes}"));
    let piped = openssl.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut running) = piped.spawn() else {
        let in_ci = std::env::var_os("CI").is_some();
        assert!(!in_ci, "CI is set, but there is no openssl to sign with");
        eprintln!("LEFT OUT: a signature with another salt, for want of openssl");
        return None;
    };
    let mut input = running.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(output.stdout)))
}

/// What no server has signed, and nothing at all.
fn no_tickets() -> Vec<(Option<String>, [&'static str; 3])> {
    let (malformed, other_format) = ("ticket_malformed", "ticket_other_format");
    let refused = |ours| [ours, "DecodeError", "ERR_JWS_INVALID"];
    let texts = [
        ("", refused(malformed)),
        ("ada", refused(malformed)),
        ("a.b", refused(malformed)),
        ("a.b.c.d", refused(other_format)),
        (
            "ä.ö.ü",
            [other_format, "InvalidTokenError", "ERR_JWS_INVALID"],
        ),
        // Of JSON that is no object: null, and a list. And of one that says nothing.
        ("bnVsbA.bnVsbA.bnVsbA", refused(other_format)),
        ("W10.e30.AA", refused(other_format)),
        (
            "e30.e30.",
            [other_format, "InvalidTokenError", "ERR_JWS_INVALID"],
        ),
    ];
    let texts = texts.map(|(text, said)| (Some(text.to_owned()), said));
    let missing = (None, [malformed, "InvalidTokenError", "ERR_JWT_INVALID"]);
    texts.into_iter().chain([missing]).collect()
}
