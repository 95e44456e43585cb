//! The device's private key as a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use pinyto_core::{
    challenge::DeviceKey,
    crypto::{CryptoError, default_backend},
    randomness::{OsRandomness, Randomness as _, RandomnessUnavailable},
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument,
    pkcs5::{
        EncryptionScheme,
        pbes2::{Kdf, Parameters},
        scrypt,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::private_file::{self, Private};

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// What a passphrase costs to try: 16 MiB of memory, five times. As OWASP recommends, and within
/// the 32 MiB that OpenSSL allows for reading such a key.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 5;

/// A file that asks for more is not read: it may be made to.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
const MAX_SCRYPT_P: u16 = 64;
const MAX_PBKDF2_ITERATIONS: u32 = 20_000_000;

/// The file that a device keeps its private key in: PEM of PKCS#8, for its owner alone (mode
/// 0600), encrypted if there is a passphrase (PBES2 with scrypt and AES-256, as OpenSSL reads it).
///
/// Its methods read and write the file and compute for up to a second, [`KeyFile::generate`] for
/// several: in async code call them where blocking is allowed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("pinyto-key.pem");
/// # let key = pinyto_core::testing::keys::device(0);
/// use pinyto_http::client::{KeyFile, KeyFileError, SecretString};
///
/// let file = KeyFile::new(&path);
/// let passphrase = SecretString::from("correct horse battery staple");
/// # /*
/// let key = file.generate(Some(&passphrase))?;
/// # */
/// # file.save(&key, Some(&passphrase))?;
///
/// // At the next start:
/// let same = file.read(Some(&passphrase))?;
/// assert_eq!(same.public_key(), key.public_key());
/// assert!(matches!(file.read(None), Err(KeyFileError::PassphraseNeeded { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, whether it is there or not.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Read`] if that can't be told.
    pub fn exists(&self) -> Result<bool, KeyFileError> {
        self.path.try_exists().map_err(|source| self.unread(source))
    }

    /// Makes a new key of 4096 bits and keeps it here.
    ///
    /// # Errors
    ///
    /// As [`KeyFile::save`], and that the RSA backend failed.
    pub fn generate(&self, passphrase: Option<&SecretString>) -> Result<DeviceKey, KeyFileError> {
        // Making a key takes seconds, which would be in vain.
        if self.exists()? {
            return Err(self.existing());
        }
        let key = DeviceKey::generate(default_backend())?;
        self.save(&key, passphrase)?;
        Ok(key)
    }

    /// Keeps `key` here, encrypted if there is a passphrase.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Exists`] if there is a file already, which is left alone; that the new one
    /// can't be written; that the passphrase is empty.
    pub fn save(
        &self,
        key: &DeviceKey,
        passphrase: Option<&SecretString>,
    ) -> Result<(), KeyFileError> {
        let pem = match passphrase {
            None => key.to_pkcs8_pem()?,
            Some(passphrase) => encrypt(&key.to_pkcs8_der()?, passphrase)?,
        };
        private_file::create(&self.path, pem.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => self.existing(),
            _ => KeyFileError::Write {
                path: self.path.clone(),
                source,
            },
        })
    }

    /// Whether the file has to be opened with a passphrase.
    ///
    /// # Errors
    ///
    /// That it can't be read, or is open to others as in [`KeyFile::read`].
    pub fn is_encrypted(&self) -> Result<bool, KeyFileError> {
        Ok(is_encrypted(&self.text()?))
    }

    /// Reads the key.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::TooOpen`] if others may read or write the file, [`KeyFileError::ForeignOwner`]
    /// if it belongs to one of them (root is none); that it can't be read, is no key, or that there has
    /// to be (another, no) passphrase.
    pub fn read(&self, passphrase: Option<&SecretString>) -> Result<DeviceKey, KeyFileError> {
        let pem = self.text()?;
        let path = || self.path.clone();
        match (is_encrypted(&pem), passphrase) {
            (false, None) => Ok(DeviceKey::from_pem(default_backend(), &pem)?),
            (true, None) => Err(KeyFileError::PassphraseNeeded { path: path() }),
            // Who has a passphrase believes it to protect something.
            (false, Some(_)) => Err(KeyFileError::NotEncrypted { path: path() }),
            (true, Some(passphrase)) => {
                let der = match decrypt(&pem, passphrase) {
                    Ok(der) => der,
                    Err(Undecrypted::Passphrase) => {
                        return Err(KeyFileError::WrongPassphrase { path: path() });
                    }
                    Err(Undecrypted::Unsupported) => {
                        return Err(KeyFileError::UnsupportedEncryption { path: path() });
                    }
                };
                Ok(DeviceKey::from_pkcs8_der(
                    default_backend(),
                    der.as_bytes(),
                )?)
            }
        }
    }

    fn text(&self) -> Result<Zeroizing<String>, KeyFileError> {
        let file = Private::open(&self.path).map_err(|source| self.unread(source))?;
        let path = || self.path.clone();
        // Before it is read: what is in it doesn't make it any safer.
        if let Some(owner) = file.foreign_owner {
            let path = path();
            return Err(KeyFileError::ForeignOwner { path, owner });
        }
        if file.mode & 0o077 != 0 {
            return Err(KeyFileError::TooOpen {
                path: path(),
                mode: file.mode,
            });
        }
        file.text().map_err(|source| self.unread(source))
    }

    fn unread(&self, source: io::Error) -> KeyFileError {
        KeyFileError::Read {
            path: self.path.clone(),
            source,
        }
    }

    fn existing(&self) -> KeyFileError {
        KeyFileError::Exists {
            path: self.path.clone(),
        }
    }
}

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It can't be read.
    #[error("can't read the key file {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be written, or not durably.
    #[error("can't write the key file {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is one already, which was left alone.
    #[error("the key file {path} exists already")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error(
        "the key file {path} is open to other users of this machine (mode {mode:03o}), so the key may be known to \
         them. Make a new key, or if you are sure that nobody has read it: chmod 600 {path}"
    )]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user of this machine, who knows the key then.
    #[error(
        "the key file {path} belongs to another user of this machine (number {owner}), who may know the key. Make a \
         new key, or if you are sure that it is yours alone, take the file over: chown"
    )]
    ForeignOwner {
        /// Which file.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// It is encrypted, and there was no passphrase.
    #[error("the key file {path} is encrypted, which takes its passphrase")]
    PassphraseNeeded {
        /// Which file.
        path: PathBuf,
    },
    /// It is not encrypted, but there was a passphrase.
    #[error("the key file {path} is not encrypted; read it without a passphrase")]
    NotEncrypted {
        /// Which file.
        path: PathBuf,
    },
    /// The passphrase is another one, or the file is damaged; which can't be told.
    #[error("the passphrase of the key file {path} is wrong")]
    WrongPassphrase {
        /// Which file.
        path: PathBuf,
    },
    /// It is encrypted in another way than this knows, or one that takes forever.
    #[error(
        "the key file {path} is encrypted in a way that is not known here: PBES2 with AES and scrypt or PBKDF2 is"
    )]
    UnsupportedEncryption {
        /// Which file.
        path: PathBuf,
    },
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The key can't be encrypted.
    #[error("the key can't be encrypted")]
    Encryption,
    /// There is no randomness to encrypt with.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// What is in it is no key that can be used, or the RSA backend failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl KeyFileError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "key_file_unreadable",
            Self::Write { .. } => "key_file_unwritable",
            Self::Exists { .. } => "key_file_exists",
            Self::TooOpen { .. } => "key_file_too_open",
            Self::ForeignOwner { .. } => "key_file_of_another_user",
            Self::PassphraseNeeded { .. } => "passphrase_needed",
            Self::NotEncrypted { .. } => "key_file_not_encrypted",
            Self::WrongPassphrase { .. } => "wrong_passphrase",
            Self::UnsupportedEncryption { .. } => "unsupported_encryption",
            Self::EmptyPassphrase => "empty_passphrase",
            Self::Encryption => "encryption_failed",
            Self::Randomness(_) => "randomness_unavailable",
            Self::Crypto(error) => error.code(),
        }
    }
}

fn is_encrypted(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

fn encrypt(der: &[u8], passphrase: &SecretString) -> Result<Zeroizing<String>, KeyFileError> {
    let passphrase = passphrase.expose_secret();
    if passphrase.is_empty() {
        return Err(KeyFileError::EmptyPassphrase);
    }
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    OsRandomness.fill(&mut salt)?;
    OsRandomness.fill(&mut iv)?;
    let encrypted = || {
        let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).ok()?;
        let how = Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).ok()?;
        let key = PrivateKeyInfoRef::try_from(der).ok()?;
        let document = key.encrypt_with_params(how, passphrase).ok()?;
        document.to_pem(ENCRYPTED, LineEnding::LF).ok()
    };
    encrypted().ok_or(KeyFileError::Encryption)
}

enum Undecrypted {
    Passphrase,
    Unsupported,
}

fn decrypt(pem: &str, passphrase: &SecretString) -> Result<SecretDocument, Undecrypted> {
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| Undecrypted::Unsupported)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes());
    let encrypted = encrypted.map_err(|_| Undecrypted::Unsupported)?;
    if !is_affordable(&encrypted.encryption_algorithm) {
        return Err(Undecrypted::Unsupported);
    }
    let key = encrypted.decrypt(passphrase.expose_secret());
    key.map_err(|_| Undecrypted::Passphrase)
}

/// Whether deriving the key takes memory and time that one has.
fn is_affordable(how: &EncryptionScheme) -> bool {
    match how.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(scrypt)) => {
            let block = 128 * u64::from(scrypt.block_size);
            block
                .checked_mul(scrypt.cost_parameter)
                .is_some_and(|bytes| bytes <= MAX_SCRYPT_BYTES)
                && scrypt.parallelization <= MAX_SCRYPT_P
        }
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MAX_PBKDF2_ITERATIONS,
        _ => false,
    }
}
