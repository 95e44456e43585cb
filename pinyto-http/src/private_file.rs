//! Files of text that nobody else may read or write: written once, whole or not at all.
//!
//! The client keeps keys and pins in them, the server its keys. `pinyto-server` is another crate and
//! includes this file, so that it is nobody's interface.

use std::{
    ffi::OsString,
    fs::{self, File},
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
    let folder = Folder::of(path)?;
    draft.write_all(contents)?;
    draft.as_file().sync_all()?;
    let named = draft.persist_noclobber(path);
    named.map_err(|unnamed| explained(unnamed.error, path))?;
    folder.sync()
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

/// The folder of a file, which makes the file's name durable. It is opened before the file gets
/// that: who couldn't open it afterwards would have a file and an error.
pub(crate) struct Folder(Option<File>);

impl Folder {
    /// That of the file at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        // Other systems don't open folders.
        let opened = cfg!(unix).then(|| File::open(folder(path)));
        opened.transpose().map(Self)
    }

    /// Makes the names of the files in it durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), File::sync_all)
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    let parent = path.parent();
    let named = parent.filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

/// The error of giving a draft its name, told in a way that helps if the file system can't do that.
fn explained(error: io::Error, path: &Path) -> io::Error {
    if !is_incapacity(error.kind()) || knows_links(path) {
        return error;
    }
    let text = "this file system supports neither renaming without replacing nor hard links; make \
                the file elsewhere and copy it";
    io::Error::new(error.kind(), format!("{text} ({error})"))
}

/// Whether there can be hard links beside `path`: what is tried if renaming without replacing is
/// not supported, so that the error is about them.
fn knows_links(path: &Path) -> bool {
    let Ok(draft) = draft(path) else {
        return true;
    };
    let mut link = OsString::from(draft.path());
    link.push(".link");
    let linked = fs::hard_link(draft.path(), &link).and_then(|()| fs::remove_file(&link));
    linked.map_or_else(|error| !is_incapacity(error.kind()), |()| true)
}

/// What a file system says that can't do something. That one may not comes as the same kind.
const fn is_incapacity(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

/// A file of text that is open, and who else gets at it: whatever stands at its path meanwhile.
pub(crate) struct Private {
    file: File,
    /// Its permissions, which systems other than Unix don't have: 0 there.
    pub(crate) mode: u32,
    /// The number of its owner, if that is another user than this process's and root.
    pub(crate) foreign_owner: Option<u32>,
}

impl Private {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let (mode, foreign_owner) = access(&file)?;
        Ok(Self {
            file,
            mode,
            foreign_owner,
        })
    }

    /// Reads it, if it is UTF-8 of 64 KiB at most.
    pub(crate) fn text(self) -> io::Result<Zeroizing<String>> {
        // With room for all, reading leaves no copies behind in outgrown buffers.
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
        self.file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            let too_long = "it is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_long));
        }
        Ok(text)
    }
}

#[cfg(unix)]
fn access(file: &File) -> io::Result<(u32, Option<u32>)> {
    use std::os::unix::fs::MetadataExt as _;

    const ROOT: u32 = 0;
    let metadata = file.metadata()?;
    let ours = [ROOT, rustix::process::geteuid().as_raw()];
    let owner = Some(metadata.uid()).filter(|owner| !ours.contains(owner));
    Ok((metadata.mode() & 0o777, owner))
}

#[cfg(not(unix))]
fn access(_file: &File) -> io::Result<(u32, Option<u32>)> {
    Ok((0, None))
}
