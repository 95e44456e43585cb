//! Which key the server is known by.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use pinyto_core::key::PublicKey;

use super::{
    error::{PinError, Sentence},
    key_file::KeyFile,
};
use crate::private_file::{self, Private};

/// Where the public key of *one* server is remembered.
///
/// The client trusts the key that is in here. If there is none yet it takes the one that the
/// server shows (over TLS) and keeps it; later another one is an error that no setting turns off.
///
/// [`PinFile`] is one in a file; a [`PublicKey`] itself is one that is known beforehand, which is
/// safest. An app with storage of its own implements this:
///
/// ```
/// use std::sync::Mutex;
///
/// use pinyto_core::key::PublicKey;
/// use pinyto_http::client::{PinError, PinStore};
///
/// #[derive(Debug, Default)]
/// struct Settings {
///     server_key: Mutex<Option<PublicKey>>, // and whatever else the app keeps
/// }
///
/// impl PinStore for Settings {
///     fn load(&self) -> Result<Option<PublicKey>, PinError> {
///         Ok(self.server_key.lock().unwrap().clone())
///     }
///
///     fn keep(&self, key: &PublicKey) -> Result<PublicKey, PinError> {
///         let mut kept = self.server_key.lock().unwrap();
///         Ok(kept.get_or_insert_with(|| key.clone()).clone())
///     }
///
///     fn place(&self) -> String {
///         "the settings of the app".to_owned()
///     }
/// }
/// ```
///
/// It is called where blocking is allowed.
pub trait PinStore: Send + Sync + fmt::Debug {
    /// The key that is kept, if there is one.
    ///
    /// # Errors
    ///
    /// That it can't be told whether there is one: never answer `None` then.
    fn load(&self) -> Result<Option<PublicKey>, PinError>;

    /// Keeps `key` unless there is one already, which is left alone. Answers the one that is kept
    /// then: another process may have been faster.
    ///
    /// # Errors
    ///
    /// That nothing is kept.
    fn keep(&self, key: &PublicKey) -> Result<PublicKey, PinError>;

    /// Where that is, for who has to remove it.
    fn place(&self) -> String;
}

/// The key as it is known beforehand: built in, or handed over by the operator.
impl PinStore for PublicKey {
    fn load(&self) -> Result<Option<PublicKey>, PinError> {
        Ok(Some(self.clone()))
    }

    fn keep(&self, _: &PublicKey) -> Result<PublicKey, PinError> {
        Ok(self.clone())
    }

    fn place(&self) -> String {
        "given to the client".to_owned()
    }
}

/// A file that the server's public key is kept in, as PEM. It has the mode 0600, and is not
/// believed if others may write it: by its mode, or because it is theirs (root is no other).
///
/// To trust another key, after the operator has confirmed it, remove the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// The file at `path`, whether it is there or not.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file beside a key file: that of `ada.pem` is `ada.pem.server`.
    #[must_use]
    pub fn beside(key: &KeyFile) -> Self {
        let mut path = OsString::from(key.path());
        path.push(".server");
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Option<PublicKey>, Unusable> {
        let failed = |source| Unusable::Read {
            path: self.path.clone(),
            source,
        };
        let file = match Private::open(&self.path) {
            Ok(file) => file,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        // Its owner can write it whatever its mode, also by changing that.
        if let Some(owner) = file.foreign_owner {
            return Err(Unusable::Foreign {
                path: self.path.clone(),
                owner,
            });
        }
        if file.mode & 0o022 != 0 {
            return Err(Unusable::Writable {
                path: self.path.clone(),
                mode: file.mode,
            });
        }
        match PublicKey::from_pem(&file.text().map_err(failed)?) {
            Ok(key) => Ok(Some(key)),
            Err(reason) => Err(failed(io::Error::new(io::ErrorKind::InvalidData, reason))),
        }
    }
}

impl PinStore for PinFile {
    fn load(&self) -> Result<Option<PublicKey>, PinError> {
        self.read().map_err(PinError::new)
    }

    fn keep(&self, key: &PublicKey) -> Result<PublicKey, PinError> {
        match private_file::create(&self.path, key.to_pem().as_bytes()) {
            Ok(()) => Ok(key.clone()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let kept = self.load()?;
                kept.ok_or_else(|| PinError::new(Sentence("it comes and goes")))
            }
            Err(source) => Err(PinError::new(Unusable::Write {
                path: self.path.clone(),
                source,
            })),
        }
    }

    fn place(&self) -> String {
        format!("the file {}", self.path.display())
    }
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("can't read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("can't write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{path} can be written by other users of this machine (mode {mode:03o}), so it may be \
         another server's key"
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error(
        "{path} belongs to another user of this machine (number {owner}), so it may be another \
         server's key"
    )]
    Foreign { path: PathBuf, owner: u32 },
}
