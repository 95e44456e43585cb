//! What we write, read by OpenSSL's command line, and the other way round.
//!
//! Without `openssl` the tests say so and do nothing, unless the environment variable `CI` is set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pinyto_core::{
    Cloud,
    challenge::{Challenge, DeviceKey, RequestToken, ServerKey, SessionToken},
    crypto::RsaBackend,
    key::PublicKey,
    memory::MemoryStore,
    randomness::OsRandomness,
    testing::keys,
    ticket::Audience,
    user::UserName,
};

const SERVER: &str = include_str!("../src/testing/keys/server.pem");

/// Devices with 4096 bits, with the largest exponent, with 4097 bits (PSS then encodes to a byte
/// less than the modulus has) and with 8192 bits, and the longest PSS salt of each in bytes.
const DEVICES: [(&str, usize); 4] = [
    (include_str!("../src/testing/keys/device0.pem"), 478),
    (include_str!("keys/exponent33.pem"), 478),
    (include_str!("keys/rsa4097.pem"), 478),
    (include_str!("keys/rsa8192.pem"), 990),
];

fn backends() -> Vec<Arc<dyn RsaBackend>> {
    vec![
        #[cfg(feature = "rustcrypto")]
        Arc::new(pinyto_core::crypto::RustCrypto),
        #[cfg(feature = "aws-lc")]
        Arc::new(pinyto_core::crypto::AwsLc),
    ]
}

/// Whether OpenSSL is there.
fn openssl_is_there() -> bool {
    let there = Command::new("openssl")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI is set, but there is no `openssl` to check against"
        );
        eprintln!("SKIPPED: there is no `openssl` to check against");
    }
    there
}

fn openssl(input: &[u8], arguments: &[&str]) -> Output {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn openssl_ok(input: &[u8], arguments: &[&str]) -> Vec<u8> {
    let output = openssl(input, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A folder of its own for each test; file names don't clash between tests that run at once.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("openssl-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn decrypt(key: &str, ciphertext: &[u8]) -> Vec<u8> {
    let options = [
        "pkeyutl",
        "-decrypt",
        "-inkey",
        key,
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        "rsa_oaep_md:sha1",
        "-pkeyopt",
        "rsa_mgf1_md:sha1",
    ];
    openssl_ok(ciphertext, &options)
}

fn verifies(key: &str, signature: &str, salt: &str, text: &str) -> bool {
    let salt = format!("rsa_pss_saltlen:{salt}");
    let options = [
        "dgst",
        "-sha256",
        "-verify",
        key,
        "-signature",
        signature,
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_mgf1_md:sha256",
        "-sigopt",
        &salt,
    ];
    openssl(text.as_bytes(), &options).status.success()
}

#[test]
fn openssl_decrypts_our_challenges_and_verifies_our_signatures() {
    if !openssl_is_there() {
        return;
    }
    let folder = Folder::new("challenge");
    for backend in backends() {
        for (pem, salt) in DEVICES {
            let token = SessionToken::generate(&OsRandomness).unwrap();
            let device = DeviceKey::from_pem(backend.clone(), pem).unwrap();
            // The server has the same key, so that signatures of all sizes are checked.
            let server = ServerKey::from_pem(backend.clone(), pem).unwrap();
            let challenge = server.issue(device.public_key(), &token).unwrap();

            let private = folder.file("device.pem", pem.as_bytes());
            let ciphertext = STANDARD.decode(&challenge.encrypted_token).unwrap();
            assert_eq!(decrypt(&private, &ciphertext), token.expose().as_bytes());

            let public = folder.file("server.pub", server.public_key().to_pem().as_bytes());
            let signature = STANDARD.decode(&challenge.signature).unwrap();
            let signature = folder.file("signature", &signature);
            let text = &challenge.encrypted_token;
            assert!(verifies(&public, &signature, "max", text));
            assert!(verifies(&public, &signature, &salt.to_string(), text));
            assert!(!verifies(&public, &signature, "digest", text));
            assert!(!verifies(&public, &signature, "max", &text[1..]));

            let request = device.answer(&challenge, server.public_key()).unwrap();
            let ciphertext = STANDARD.decode(request.expose()).unwrap();
            assert_eq!(decrypt(&private, &ciphertext), token.expose().as_bytes());
        }
    }
}

#[tokio::test]
async fn openssl_verifies_our_tickets() {
    if !openssl_is_there() {
        return;
    }
    let folder = Folder::new("ticket");
    for backend in backends() {
        for (pem, longest) in DEVICES {
            let server = ServerKey::from_pem(backend.clone(), pem).unwrap();
            let public = folder.file("server.pub", server.public_key().to_pem().as_bytes());
            let cloud = Cloud::builder(Arc::new(MemoryStore::new()), server)
                .build()
                .unwrap();
            let ticket = ticket_of_ada(&cloud).await;
            let (signed, signature) = ticket.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let signature = folder.file("signature", &signature);
            // PS256: the salt is as long as the hash.
            assert!(verifies(&public, &signature, "digest", signed));
            assert!(verifies(&public, &signature, "32", signed));
            assert!(!verifies(&public, &signature, &longest.to_string(), signed));
            assert!(!verifies(&public, &signature, "digest", &signed[1..]));
        }
    }
}

async fn ticket_of_ada(cloud: &Cloud) -> String {
    let device = keys::device(1);
    let ada = UserName::parse("ada").unwrap();
    let key = device.public_key().clone();
    cloud.register(ada.clone(), key).await.unwrap();
    let challenge = cloud.authenticate(&ada, &device.key_hash()).await.unwrap();
    let token = device
        .answer(&challenge, cloud.server_public_key())
        .unwrap();
    let session = cloud.session(&token).await.unwrap();
    let audience = Audience::parse("https://photos.example").unwrap();
    let issued = cloud.issue_ticket(&session, &audience).await.unwrap();
    issued.ticket.expose().to_owned()
}

#[test]
fn we_read_what_openssl_encrypts_and_signs() {
    if !openssl_is_there() {
        return;
    }
    let folder = Folder::new("answers");
    let encrypt = |key: &PublicKey, text: &str| {
        let public = folder.file("public.pem", key.to_pem().as_bytes());
        let options = [
            "pkeyutl",
            "-encrypt",
            "-pubin",
            "-inkey",
            &public,
            "-pkeyopt",
            "rsa_padding_mode:oaep",
            "-pkeyopt",
            "rsa_oaep_md:sha1",
            "-pkeyopt",
            "rsa_mgf1_md:sha1",
        ];
        STANDARD.encode(openssl_ok(text.as_bytes(), &options))
    };
    let server_file = folder.file("server.pem", SERVER.as_bytes());
    for backend in backends() {
        let server = ServerKey::from_pem(backend.clone(), SERVER).unwrap();
        for (pem, _) in DEVICES {
            let token = "f49b8f95942e0756";
            let device = DeviceKey::from_pem(backend.clone(), pem).unwrap();
            let encrypted_token = encrypt(device.public_key(), token);
            let options = [
                "dgst",
                "-sha256",
                "-sign",
                &server_file,
                "-sigopt",
                "rsa_padding_mode:pss",
                "-sigopt",
                "rsa_pss_saltlen:max",
            ];
            let signature = STANDARD.encode(openssl_ok(encrypted_token.as_bytes(), &options));
            let challenge = Challenge {
                encrypted_token,
                signature,
            };
            let opened = device.open(&challenge, server.public_key()).unwrap();
            assert_eq!(opened.expose(), token);

            let request = RequestToken::new(encrypt(server.public_key(), token));
            assert_eq!(server.open(&request).unwrap().expose(), token);
        }
    }
}

#[test]
fn openssl_reads_our_keys_and_we_read_its_pkcs1() {
    if !openssl_is_there() {
        return;
    }
    let folder = Folder::new("keys");
    for backend in backends() {
        for (pem, salt) in DEVICES {
            let device = DeviceKey::from_pem(backend.clone(), pem).unwrap();
            let ours = folder.file("ours.pem", device.to_pkcs8_pem().unwrap().as_bytes());
            if salt == 478 {
                // It tests the primes, which takes seconds for the largest.
                openssl_ok(b"", &["pkey", "-in", &ours, "-check", "-noout"]);
            }
            let public = openssl_ok(b"", &["pkey", "-in", &ours, "-pubout"]);
            assert_eq!(public, device.public_key().to_pem().into_bytes());

            let pkcs1 = openssl_ok(b"", &["rsa", "-in", &ours, "-traditional"]);
            let pkcs1 = String::from_utf8(pkcs1).unwrap();
            assert!(pkcs1.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
            let read = DeviceKey::from_pem(backend.clone(), &pkcs1).unwrap();
            assert_eq!(read.public_key(), device.public_key());
        }
    }
}
