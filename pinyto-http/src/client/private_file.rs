//! Files that nobody else may read, or write.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use zeroize::Zeroizing;

/// Neither a key nor a pin is nearly as long; guards against a wrong file name.
const MAX_BYTES: u64 = 64 * 1024;

/// Writes a new file of mode 0600, durably. It never has another mode, and an existing file is an
/// error of the kind `AlreadyExists`.
pub(super) fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file
        .write_all(contents)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        // Ours, since it was new; half of it helps nobody.
        let _ = std::fs::remove_file(path);
    }
    written
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
