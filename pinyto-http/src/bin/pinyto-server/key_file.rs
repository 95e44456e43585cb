//! The server's private key as a file: read, or written once and never overwritten.
//!
//! What is in it is the caller's affair; this is about not losing and not leaking it.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::private_file::{self, Folder, Private};

/// Why the key file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
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
    /// It appeared while a key was being made; the one there was left alone.
    #[error("the key file {path} exists already")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads the key file; `None` if there is none yet.
///
/// Warns in the log when others than the owner may read it, or when that is another user.
///
/// # Errors
///
/// [`KeyFileError::Read`], also for a file that is empty, longer than 64 KiB or no UTF-8 text.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeyFileError> {
    let error = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match Private::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let (mode, foreign_owner) = (file.mode, file.foreign_owner);
    let text = file.text().map_err(error)?;
    if text.is_empty() {
        let empty = io::Error::new(io::ErrorKind::InvalidData, "it is empty");
        return Err(error(empty));
    }
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:o}"),
            "the server's private key is open to other users of this machine; chmod 600 it"
        );
    }
    if let Some(owner) = foreign_owner {
        tracing::warn!(
            path = %path.display(),
            owner,
            "the server's private key belongs to another user of this machine; chown it"
        );
    }
    Ok(Some(text))
}

/// Writes a new key file that only its owner may read (mode 0600).
///
/// The file appears whole or not at all and is on the disk when this returns. An existing one is
/// never replaced.
///
/// # Errors
///
/// [`KeyFileError::Exists`] when there is one already, else [`KeyFileError::Write`].
pub(crate) fn create(path: &Path, pem: &str) -> Result<(), KeyFileError> {
    private_file::create(path, pem.as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists {
            path: path.to_owned(),
        },
        _ => KeyFileError::Write {
            path: path.to_owned(),
            source,
        },
    })
}

/// Checks that a new key file could be written, without leaving anything behind.
///
/// # Errors
///
/// [`KeyFileError::Write`] when the folder is missing or can't be written to.
pub(crate) fn check_creatable(path: &Path) -> Result<(), KeyFileError> {
    let tried = private_file::draft(path).and_then(|draft| {
        Folder::of(path)?;
        draft.close()
    });
    tried.map_err(|source| KeyFileError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_created_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server-key.pem");
        assert!(read(&path).unwrap().is_none());
        create(&path, "a key").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "a key");
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "a draft is left"
        );
    }

    #[test]
    #[cfg(unix)]
    fn only_the_owner_may_read_a_new_key() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server-key.pem");
        create(&path, "a key").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server-key.pem");
        create(&path, "the first").unwrap();
        assert!(matches!(
            create(&path, "the second"),
            Err(KeyFileError::Exists { .. })
        ));
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "the first");
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "a draft is left"
        );
    }

    #[test]
    fn of_many_who_create_the_key_at_once_one_does_and_all_read_it_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server-key.pem");
        let keys: Vec<String> = ('a'..='p')
            .map(|key| String::from(key).repeat(10_000))
            .collect();
        let start = std::sync::Barrier::new(keys.len());
        let create_and_read = |key: &str| {
            start.wait();
            let made = match create(&path, key) {
                Ok(()) => true,
                Err(KeyFileError::Exists { .. }) => false,
                Err(other) => panic!("{other}"),
            };
            (made, read(&path).unwrap().unwrap())
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = keys
                .iter()
                .map(|key| (key, scope.spawn(|| create_and_read(key))))
                .collect();
            let ended = started.into_iter();
            ended
                .map(|(key, thread)| (key, thread.join().unwrap()))
                .collect()
        });
        let mut makers = outcomes.iter().filter(|(_, (made, _))| *made);
        let (key, _) = makers.next().unwrap();
        assert!(makers.next().is_none(), "two made the key");
        assert!(outcomes.iter().all(|(_, (_, read))| read.as_str() == *key));
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "a draft is left"
        );
    }

    #[test]
    fn a_path_without_a_folder_is_in_the_current_one_and_one_without_a_name_is_none() {
        // Tests share the current folder, so nothing is left there.
        check_creatable(Path::new("server-key.pem")).unwrap();
        for path in ["", "/", ".."] {
            assert!(create(Path::new(path), "a key").is_err(), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let refused = |path: &Path| matches!(read(path), Err(KeyFileError::Read { .. }));
        assert!(refused(directory.path()), "a directory");
        std::fs::write(&path, "").unwrap();
        assert!(refused(&path), "an empty file");
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(refused(&path), "a long file");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(refused(&path), "no text");
    }

    #[test]
    fn a_missing_directory_is_a_write_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing").join("server-key.pem");
        assert!(matches!(
            create(&path, "a key"),
            Err(KeyFileError::Write { .. })
        ));
        assert!(check_creatable(&path).is_err());
        check_creatable(&directory.path().join("server-key.pem")).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
