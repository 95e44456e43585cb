//! Files of text that nobody else may read or write: written once, whole or not at all.
//!
//! The client keeps keys and pins in them, the server its keys. `pinyto-server` is another crate and
//! includes this file, so that it is nobody's interface.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
};

use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

/// Neither a key nor a pin is nearly as long; guards against a wrong file name.
const MAX_BYTES: u64 = 64 * 1024;

/// Writes a new file of mode 0600: whole or not at all, and on the disk when this returns. It never
/// has another mode, and an existing file is an error of the kind `AlreadyExists`.
pub(crate) fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut draft = draft(path)?;
    draft.write_all(contents)?;
    draft.as_file().sync_all()?;
    let named = draft.persist_noclobber(path);
    named.map_err(|unnamed| explained(unnamed.error))?;
    sync_folder(path)
}

/// An empty file of mode 0600 beside `path`, which is gone when it is dropped under this name.
pub(crate) fn draft(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".partial");
    builder.tempfile_in(folder(path))
}

/// Makes the name of a file durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // Other systems don't open folders.
    if cfg!(unix) {
        File::open(folder(path))?.sync_all()?;
    }
    Ok(())
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    let parent = path.parent();
    let named = parent.filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

/// The draft could be made, so this is what the file system can't do.
fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied => {
            let text = "the file system can name no file without maybe replacing another one";
            io::Error::new(error.kind(), format!("{text}: {error}"))
        }
        _ => error,
    }
}

/// What is in a file.
pub(crate) struct Contents {
    pub(crate) text: Zeroizing<String>,
    /// Its permissions, which systems other than Unix don't have: 0 there.
    pub(crate) mode: u32,
}

/// Reads a file of text, of 64 KiB at most.
pub(crate) fn read(path: &Path) -> io::Result<Contents> {
    let file = File::open(path)?;
    let mode = mode(&file)?;
    // With room for all, reading leaves no copies behind in outgrown buffers.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let too_long = "it is too long";
        return Err(io::Error::new(io::ErrorKind::InvalidData, too_long));
    }
    Ok(Contents { text, mode })
}

/// The permissions of the file that is open, whatever stands at its path meanwhile.
#[cfg(unix)]
fn mode(file: &File) -> io::Result<u32> {
    Ok(std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777)
}

#[cfg(not(unix))]
fn mode(_file: &File) -> io::Result<u32> {
    Ok(0)
}
