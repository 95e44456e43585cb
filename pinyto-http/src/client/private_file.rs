//! Files that nobody else may read, or write.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use pinyto_core::randomness::{OsRandomness, Randomness as _};
use zeroize::Zeroizing;

/// Neither a key nor a pin is nearly as long; guards against a wrong file name.
const MAX_BYTES: u64 = 64 * 1024;

/// Writes a new file of mode 0600: whole or not at all, and on the disk when this returns. It never
/// has another mode, and an existing file is an error of the kind `AlreadyExists`.
pub(super) fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = draft(path)?;
    let written = write_new(&draft, contents).and_then(|()| {
        // A link, unlike a rename, never replaces what is there.
        match fs::hard_link(&draft, path) {
            Err(error) if is_without_links(&error) => write_new(path, contents),
            linked => linked,
        }
    });
    let removed = match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    written.and(removed)?;
    sync_folder(path)
}

/// A name beside `path` that no other process or thread has.
fn draft(path: &Path) -> io::Result<PathBuf> {
    let mut unique = [0; 8];
    OsRandomness.fill(&mut unique).map_err(io::Error::other)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(format!(".{:016x}.new", u64::from_be_bytes(unique)));
    Ok(path.with_file_name(draft))
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
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
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Why a file is not read.
pub(super) enum Unread {
    /// Others have one of the permissions asked about; what its mode is.
    Open(u32),
    Failed(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads a file of text, unless somebody else has one of the permissions in `forbidden` on it
/// (systems other than Unix have no such modes).
pub(super) fn read(path: &Path, forbidden: u32) -> Result<Zeroizing<String>, Unread> {
    let file = File::open(path)?;
    let mode = mode(&file)?;
    if mode & forbidden != 0 {
        return Err(Unread::Open(mode));
    }
    // With room for all, reading leaves no copies behind in outgrown buffers.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let too_long = io::Error::new(io::ErrorKind::InvalidData, "it is too long");
        return Err(Unread::Failed(too_long));
    }
    Ok(text)
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
