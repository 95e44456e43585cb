//! Logging in with an OpenPGP key, by the library alone: both sides in one program, no HTTP. The
//! server's key is behind an [`OpenPgp`] of our own, as it would be if an agent or a hardware
//! module had it.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example gpgauth_login

use std::{
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use pinyto_core::{
    Cloud,
    challenge::{DeviceKey, ServerKey},
    clock::{Clock as _, SystemClock, Timestamp},
    crypto::default_backend,
    gpgauth::{
        EncryptionError, GpgAuthSettings, InvalidMessage, InvalidOpenPgpKey, Nonce, OpenPgp,
        OpenPgpError, RPgp,
    },
    key::{KeyFingerprint, OpenPgpKey},
    memory::MemoryStore,
    user::UserName,
};
use zeroize::Zeroizing;

/// Has the server's secret key, and counts how often it is used. Everything that needs public keys
/// only is left to the library.
#[derive(Debug)]
struct Agent {
    library: RPgp,
    used: AtomicU32,
}

impl Agent {
    fn note(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }
}

impl OpenPgp for Agent {
    fn fingerprint(&self) -> KeyFingerprint {
        self.library.fingerprint()
    }

    fn public_key(&self) -> &str {
        self.library.public_key()
    }

    /// Not derived from a secret that can't be taken out of an agent: a file that all servers have.
    fn login_secret(&self) -> Result<Zeroizing<[u8; 32]>, OpenPgpError> {
        self.note();
        self.library.login_secret()
    }

    fn read_key(&self, armored: &str, now: Timestamp) -> Result<OpenPgpKey, InvalidOpenPgpKey> {
        self.library.read_key(armored, now)
    }

    fn check(&self, key: &OpenPgpKey, now: Timestamp) -> Result<(), InvalidOpenPgpKey> {
        self.library.check(key, now)
    }

    fn decrypt(&self, message: &str) -> Result<Zeroizing<Vec<u8>>, InvalidMessage> {
        self.note();
        self.library.decrypt(message)
    }

    fn encrypt(
        &self,
        recipient: &OpenPgpKey,
        text: &str,
        now: Timestamp,
    ) -> Result<String, EncryptionError> {
        self.note();
        self.library.encrypt(recipient, text, now)
    }

    fn encrypt_for_nobody(
        &self,
        fingerprint: &KeyFingerprint,
        text: &str,
        now: Timestamp,
    ) -> Result<String, OpenPgpError> {
        self.note();
        self.library.encrypt_for_nobody(fingerprint, text, now)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let now = SystemClock.now();
    let agent = Arc::new(Agent {
        library: RPgp::generate("Pinyto", now)?,
        used: AtomicU32::new(0),
    });
    let server_key = ServerKey::generate(default_backend())?;
    let cloud = Cloud::builder(Arc::new(MemoryStore::new()), server_key)
        .gpgauth(agent.clone(), GpgAuthSettings::default())
        .build()?;

    // Ada has an account, and a session by which she registers her OpenPGP key. The library's half
    // of the server can play her client, too.
    let name = UserName::parse("ada")?;
    let device = DeviceKey::generate(default_backend())?;
    let ada = RPgp::generate("Ada <ada@example.org>", now)?;
    cloud
        .register(name.clone(), device.public_key().clone())
        .await?;
    let challenge = cloud.authenticate(&name, &device.key_hash()).await?;
    let token = device.answer(&challenge, cloud.server_public_key())?;
    let session = cloud.session(&token).await?;
    let armored = ada.public_key().to_owned();
    let challenge = cloud.register_openpgp_key(&session, armored, None).await?;
    let answer = ada.decrypt(&challenge.ok_or("no challenge")?)?;
    let answer = str::from_utf8(&answer)?;
    let hash = ada.fingerprint().into();
    cloud.prove_openpgp_key(&session, &hash, answer).await?;

    // Stage 0: is it the server whose key she knows?
    let server = ada.read_key(cloud.openpgp()?.public_key(), now)?;
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let nonce = format!("gpgauthv1.3.0|36|{}|gpgauthv1.3.0", uuid.trim());
    let message = ada.encrypt(&server, &nonce, now)?;
    let answer = cloud.gpgauth_verify(message).await?;
    if answer != Nonce::parse(&nonce)? {
        return Err("that is not the server".into());
    }

    // Stages 1 and 2: is she who has the key?
    let message = cloud.gpgauth_begin(&ada.fingerprint()).await?;
    let nonce = ada.decrypt(&message)?;
    let nonce = str::from_utf8(&nonce)?;
    let login = cloud.gpgauth_complete(&ada.fingerprint(), nonce).await?;

    let session = cloud.session(&login.token).await?;
    let keys = cloud.list_keys(&session).await?.len();
    println!("{} is logged in and has {keys} keys.", login.user.name);
    let used = agent.used.load(Ordering::Relaxed);
    println!("The agent has used the server's secrets {used} times.");

    // The nonce was good once.
    if cloud
        .gpgauth_complete(&ada.fingerprint(), nonce)
        .await
        .is_ok()
    {
        return Err("it was good twice".into());
    }
    Ok(())
}

/// The example itself.
#[test]
fn a_key_behind_an_agent_logs_a_user_in_once() -> Result<(), Box<dyn Error>> {
    main()
}
