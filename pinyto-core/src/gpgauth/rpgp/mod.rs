//! OpenPGP by the crate `pgp` (rPGP): what it is asked for, and what it isn't trusted with.
//!
//! The library does the cryptography, and reads the insides of keys and signatures. Armor, the
//! borders of packets, the order they may come in and all policy are ours: it skips what it can't
//! read, checks no expiry and no revocation, and has panicked on damaged input before. So every
//! entry catches panics, and takes one for a failure.

mod armor;
mod certificate;
mod component;
mod message;
mod nobody;
mod packets;
mod policy;
mod server_key;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use hkdf::Hkdf;
use pgp::types::{Fingerprint, KeyDetails};
use sha2::Sha256;
use zeroize::Zeroizing;

use self::server_key::ServerKey;
use super::{
    EncryptionError, InvalidMessage, InvalidOpenPgpKey, MAX_KEY, MAX_MESSAGE, OpenPgp, OpenPgpError,
};
use crate::{
    clock::Timestamp,
    key::{KeyFingerprint, OpenPgpKey, OpenPgpParts},
};

pub use server_key::InvalidServerKey;

/// OpenPGP in this process, with the server's key in memory.
///
/// The key is elliptic, since whoever likes may have the server decrypt messages, and the library's
/// RSA doesn't take the same time for all of them. It encrypts with AES-256 for all keys
/// (RFC 9580, 5.13.1, which GnuPG 2.2 and PGPy read; 5.13.2 for keys of version 6). Randomness is the
/// operating system's.
///
/// # Examples
///
/// ```
/// use pinyto_core::{clock::Timestamp, gpgauth::{OpenPgp, RPgp}};
///
/// let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").ok_or("no time")?;
/// let server = RPgp::generate("Pinyto <https://pinyto.example>", now)?;
/// let file = server.to_armored_secret()?;
///
/// let again = RPgp::from_armored(&file, now)?;
/// assert_eq!(again.fingerprint(), server.fingerprint());
///
/// // A user's client knows the server's public key and encrypts to it; here another server does.
/// let user = RPgp::generate("Ada", now)?;
/// let key = user.read_key(server.public_key(), now)?;
/// let message = user.encrypt(&key, "hello", now)?;
/// assert_eq!(server.decrypt(&message)?.as_slice(), b"hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct RPgp {
    server: ServerKey,
}

impl RPgp {
    /// Makes a key for a server: Ed25519 and Cv25519, without expiry.
    ///
    /// `user_id` is what people see in their clients.
    ///
    /// # Errors
    ///
    /// [`OpenPgpError`] if there is no randomness, or the time is before 1970 or after 2106.
    pub fn generate(user_id: &str, now: Timestamp) -> Result<Self, OpenPgpError> {
        guarded(|| {
            let packets = Zeroizing::new(ServerKey::generate(user_id, now).ok()?);
            ServerKey::from_packets(&packets, now).ok()
        })
        .flatten()
        .map(|server| Self { server })
        .ok_or(failed("make a key for the server"))
    }

    /// Reads a server's ASCII-armored secret key, which has no passphrase.
    ///
    /// It has to be such a key as would be accepted of a user at `now`, and elliptic.
    ///
    /// # Errors
    ///
    /// [`InvalidServerKey`].
    pub fn from_armored(armored: &str, now: Timestamp) -> Result<Self, InvalidServerKey> {
        if armored.len() > MAX_KEY {
            return Err(InvalidServerKey::NotArmored);
        }
        let packets =
            armor::decode(armor::PRIVATE_KEY, armored).ok_or(InvalidServerKey::NotArmored)?;
        let server = guarded(|| ServerKey::from_packets(&packets, now))
            .unwrap_or(Err(InvalidServerKey::Malformed))?;
        Ok(Self { server })
    }

    /// The server's secret key, ASCII-armored, without a passphrase.
    ///
    /// # Errors
    ///
    /// [`OpenPgpError`] if it can't be written.
    pub fn to_armored_secret(&self) -> Result<Zeroizing<String>, OpenPgpError> {
        guarded(|| self.server.to_armored_secret()).unwrap_or(Err(failed("write the server's key")))
    }
}

/// Shows the fingerprint only.
impl fmt::Debug for RPgp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RPgp({})", self.server.fingerprint)
    }
}

impl OpenPgp for RPgp {
    fn fingerprint(&self) -> KeyFingerprint {
        self.server.fingerprint
    }

    fn public_key(&self) -> &str {
        &self.server.armored
    }

    fn login_secret(&self) -> Result<Zeroizing<[u8; 32]>, OpenPgpError> {
        let failed = || failed("derive the login secret");
        let primary = guarded(|| self.server.primary_secret()).unwrap_or_else(|| Err(failed()))?;
        let mut secret = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &primary)
            .expand(b"pinyto gpgauth login secret", &mut *secret)
            .map_err(|_| failed())?;
        Ok(secret)
    }

    fn read_key(&self, armored: &str, now: Timestamp) -> Result<OpenPgpKey, InvalidOpenPgpKey> {
        read(armored, &self.server.points, now)
    }

    fn check(&self, key: &OpenPgpKey, now: Timestamp) -> Result<(), InvalidOpenPgpKey> {
        guarded(|| {
            certificate::judge(key.certificate(), &self.server.points, seconds(now)).map(drop)
        })
        .unwrap_or(Err(InvalidOpenPgpKey::Malformed))
    }

    fn decrypt(&self, message: &str) -> Result<Zeroizing<Vec<u8>>, InvalidMessage> {
        if message.len() > MAX_MESSAGE {
            return Err(InvalidMessage::NotArmored);
        }
        let packets = armor::decode(armor::MESSAGE, message).ok_or(InvalidMessage::NotArmored)?;
        guarded(|| message::decrypt(&self.server, &packets))
            .flatten()
            .ok_or(InvalidMessage::Undecryptable)
    }

    fn encrypt(
        &self,
        recipient: &OpenPgpKey,
        text: &str,
        now: Timestamp,
    ) -> Result<String, EncryptionError> {
        let now = seconds(now);
        let failed = || EncryptionError::Failed(failed("encrypt for a user"));
        guarded(|| {
            let points = &self.server.points;
            let key = certificate::judge(recipient.certificate(), points, now)?;
            message::encrypt(&self.server, &key.recipient, text, now).map_err(|_| failed())
        })
        .unwrap_or_else(|| Err(failed()))
        .map(|packets| armor::encode(armor::MESSAGE, &packets).to_string())
    }

    fn encrypt_for_nobody(
        &self,
        fingerprint: &KeyFingerprint,
        text: &str,
        now: Timestamp,
    ) -> Result<String, OpenPgpError> {
        let secret = self.login_secret()?;
        let now = seconds(now);
        guarded(|| {
            let recipient = nobody::recipient(&secret, fingerprint)?;
            nobody::judge(&self.server, &recipient, now);
            message::encrypt_for(&self.server, &recipient, text, now).ok()
        })
        .flatten()
        .map(|packets| armor::encode(armor::MESSAGE, &packets).to_string())
        .ok_or(failed("encrypt for nobody"))
    }
}

/// Reads an ASCII-armored public key of a user, where there is no server with a key of its own.
///
/// # Errors
///
/// [`InvalidOpenPgpKey`] if it is none, or may not be used at `now`.
pub fn read_key(armored: &str, now: Timestamp) -> Result<OpenPgpKey, InvalidOpenPgpKey> {
    read(armored, &[], now)
}

/// Writes a key ASCII-armored, without armor headers.
///
/// # Errors
///
/// [`OpenPgpError`] if the key can't be read (any more).
pub fn armored(key: &OpenPgpKey) -> Result<String, OpenPgpError> {
    packets::split(key.certificate(), usize::MAX).map_err(|_| failed("write a key"))?;
    Ok(armor::encode(armor::PUBLIC_KEY, key.certificate()).to_string())
}

/// Reads a key that contains none of the points `own`.
fn read(armored: &str, own: &[[u8; 32]], now: Timestamp) -> Result<OpenPgpKey, InvalidOpenPgpKey> {
    if armored.len() > MAX_KEY {
        return Err(InvalidOpenPgpKey::TooLong);
    }
    let Some(packets) = armor::decode(armor::PUBLIC_KEY, armored) else {
        let secret = armored.contains("-----BEGIN PGP PRIVATE KEY BLOCK-----");
        return Err(if secret {
            InvalidOpenPgpKey::Secret
        } else {
            InvalidOpenPgpKey::NotArmored
        });
    };
    guarded(|| {
        let key = certificate::judge(&packets, own, seconds(now))?;
        let fingerprint = fingerprint(&key.primary).ok_or(InvalidOpenPgpKey::Malformed)?;
        Ok(OpenPgpKey::new(OpenPgpParts {
            certificate: key.packets.into(),
            fingerprint,
            user_ids: key.user_ids,
            algorithm: key.algorithm,
            expires_at: key
                .expires_at
                .map(|at| Timestamp::from_unix_millis(at.saturating_mul(1000))),
        }))
    })
    .unwrap_or(Err(InvalidOpenPgpKey::Malformed))
}

/// What `work` gives; nothing if it panics.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    // Nothing that a panic could leave half changed is shared.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

const fn failed(operation: &'static str) -> OpenPgpError {
    OpenPgpError { operation }
}

/// OpenPGP knows whole seconds.
fn seconds(moment: Timestamp) -> i64 {
    moment.unix_seconds()
}

/// Only versions 4 and 6 are accepted.
fn fingerprint(key: &impl KeyDetails) -> Option<KeyFingerprint> {
    match key.fingerprint() {
        Fingerprint::V4(bytes) => Some(KeyFingerprint::from_openpgp_v4(bytes)),
        Fingerprint::V6(bytes) => Some(KeyFingerprint::from_bytes(bytes)),
        _ => None,
    }
}
