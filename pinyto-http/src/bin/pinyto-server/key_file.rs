//! The server's private key as a file: read, or written once and never overwritten.
//!
//! What is in it is the caller's affair; this is about not losing and not leaking it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// No key is nearly as long; guards against a wrong file name.
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

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
/// Warns in the log when others than the owner may read it.
///
/// # Errors
///
/// [`KeyFileError::Read`], also for a file that is empty, longer than 64 KiB or no UTF-8 text.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeyFileError> {
    let error = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let metadata = file.metadata().map_err(error)?;
    if metadata.is_dir() {
        return Err(error(io::ErrorKind::IsADirectory.into()));
    }
    warn_if_readable_by_others(path, &metadata);
    // With room for all, reading leaves no copies behind in outgrown buffers.
    let mut pem = Zeroizing::new(String::with_capacity(MAX_KEY_FILE_BYTES as usize + 1));
    file.take(MAX_KEY_FILE_BYTES + 1)
        .read_to_string(&mut pem)
        .map_err(error)?;
    match pem.len() as u64 {
        0 => Err(error(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is empty",
        ))),
        length if length > MAX_KEY_FILE_BYTES => Err(error(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is too long for a key",
        ))),
        _ => Ok(Some(pem)),
    }
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
    write_new(path, pem.as_bytes()).map_err(|source| match source.kind() {
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
    let try_draft = || {
        let draft = draft(path)?;
        write_synced(&draft, b"")?;
        std::fs::remove_file(&draft)
    };
    try_draft().map_err(|source| KeyFileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where the contents of `path` are written first. There is no such file afterwards.
fn draft(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut draft_name = std::ffi::OsString::from(".");
    draft_name.push(name);
    draft_name.push(format!(".{}.new", std::process::id()));
    let draft = folder(path).join(draft_name);
    // A draft of this name can only be a dead process's.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(draft),
    }
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = draft(path)?;
    let result = write_synced(&draft, contents).and_then(|()| {
        // A link, unlike a rename, never replaces what is there.
        match std::fs::hard_link(&draft, path) {
            Err(error) if is_without_links(&error) => write_synced(path, contents),
            linked => linked,
        }
    });
    let removed = std::fs::remove_file(&draft);
    result.and(removed)?;
    sync_directory(folder(path))
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Some file systems (FAT, some network ones) know no hard links.
fn is_without_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn warn_if_readable_by_others(path: &Path, metadata: &std::fs::Metadata) {
    let mode = std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:o}"),
            "the server's private key is open to other users of this machine; chmod 600 it"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_path: &Path, _metadata: &std::fs::Metadata) {}

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
    fn a_draft_of_a_dead_process_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let draft = format!(".server-key.pem.{}.new", std::process::id());
        std::fs::write(directory.path().join(draft), "half a k").unwrap();
        let path = directory.path().join("server-key.pem");
        create(&path, "a key").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "a key");
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
