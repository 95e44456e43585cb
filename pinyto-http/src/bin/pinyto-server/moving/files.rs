//! Files that appear whole or not at all, and standard input and output.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempPath;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};

use super::shown;
use crate::{
    config::Place,
    private_file::{self, Folder},
};

/// How many bytes are written or read at once.
const BUFFER: usize = 256 * 1024;

/// A file that is being written: under another name until it is complete, readable by its owner
/// only.
pub(super) struct Target {
    pub(super) to: BufWriter<tokio::fs::File>,
    partial: Option<Partial>,
}

/// A file that is removed unless it is complete.
struct Partial {
    draft: TempPath,
    folder: Folder,
    wanted: PathBuf,
}

impl Target {
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(super) fn create(place: &Place) -> Result<Self, String> {
        let opened = match place {
            Place::Standard => duplicate(&io::stdout()).map(|file| (file, None)),
            // A pipe or a device can't be replaced.
            Place::File(path) if is_special(path) => {
                let file = fs::OpenOptions::new().write(true).open(path);
                file.map(|file| (file, None))
            }
            Place::File(path) => replaceable(path)
                .and_then(|()| Partial::create(path))
                .map(|(file, partial)| (file, Some(partial))),
        };
        let (file, partial) =
            opened.map_err(|error| format!("{} can't be written: {error}.", shown(place)))?;
        Ok(Self {
            to: BufWriter::with_capacity(BUFFER, tokio::fs::File::from_std(file)),
            partial,
        })
    }

    /// Makes what was written durable, and then the file under its name.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(super) async fn finish(mut self, place: &Place) -> Result<(), String> {
        let finished = async {
            self.to.flush().await?;
            let Some(partial) = self.partial.take() else {
                return Ok(());
            };
            self.to.get_ref().sync_all().await?;
            partial.complete()
        };
        let finished: io::Result<()> = finished.await;
        finished.map_err(|error| format!("{} can't be written: {error}.", shown(place)))
    }
}

impl Partial {
    fn create(wanted: &Path) -> io::Result<(fs::File, Self)> {
        let (file, draft) = private_file::draft(wanted)?.into_parts();
        let folder = Folder::of(wanted)?;
        let wanted = wanted.to_owned();
        Ok((
            file,
            Self {
                draft,
                folder,
                wanted,
            },
        ))
    }

    fn complete(self) -> io::Result<()> {
        self.draft.persist(&self.wanted)?;
        self.folder.sync()
    }
}

/// That nothing else is lost: neither the database nor the server's key, whose name is mistyped
/// easily.
fn replaceable(path: &Path) -> io::Result<()> {
    /// What backups and exports begin with.
    const OURS: &[u8] = b"{\"pinyto_";
    let mut beginning = Vec::new();
    match fs::File::open(path) {
        Ok(file) => io::Read::read_to_end(&mut io::Read::take(file, 64), &mut beginning)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if beginning.is_empty() || beginning.starts_with(OURS) {
        return Ok(());
    }
    let other = "it is there already, and is no backup or export that could be replaced";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, other))
}

/// Whether there is something that is no ordinary file.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// A file that is read.
pub(super) struct Origin {
    pub(super) from: tokio::fs::File,
    /// How long it is, if that is known.
    pub(super) length: Option<u64>,
}

impl Origin {
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(super) fn open(place: &Place) -> Result<Self, String> {
        let opened = match place {
            Place::Standard => duplicate(&io::stdin()),
            Place::File(path) => fs::File::open(path),
        };
        let unread = |error: io::Error| format!("{} can't be read: {error}.", shown(place));
        let file = opened.map_err(unread)?;
        let metadata = file.metadata().map_err(unread)?;
        if metadata.is_dir() {
            return Err(format!("{} is a folder.", shown(place)));
        }
        Ok(Self {
            length: metadata.is_file().then_some(metadata.len()),
            from: tokio::fs::File::from_std(file),
        })
    }

    /// Its lines, of at most `max` bytes.
    pub(super) fn lines(self, max: usize) -> Lines {
        Lines {
            max,
            from: BufReader::with_capacity(BUFFER, self.from),
            line: Vec::new(),
            number: 0,
            bytes: 0,
        }
    }
}

/// Lines of text, of a bounded length.
pub(super) struct Lines {
    from: BufReader<tokio::fs::File>,
    max: usize,
    line: Vec<u8>,
    number: u64,
    /// How many bytes were read.
    pub(super) bytes: u64,
}

impl Lines {
    /// The next line without its end.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    pub(super) async fn next(&mut self) -> Result<Option<&str>, String> {
        self.line.clear();
        self.number += 1;
        let number = self.number;
        loop {
            let read = self.from.fill_buf().await;
            let read = read.map_err(|error| format!("Line {number} can't be read: {error}."))?;
            if read.is_empty() {
                if self.line.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            if self.line.len() + part.len() > self.max {
                let most = self.max;
                return Err(format!(
                    "Line {number} is longer than {most} bytes (--max-line-mib)."
                ));
            }
            self.line.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            self.bytes += used as u64;
            if end.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let text = std::str::from_utf8(&self.line);
        text.map(Some)
            .map_err(|_| format!("Line {number} is not UTF-8."))
    }
}

/// Another handle of the same stream, without the buffer and the lock of the first.
#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<fs::File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate(stream: &impl std::os::windows::io::AsHandle) -> io::Result<fs::File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_was_left_over_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("a");
        let (_, killed) = Partial::create(&wanted).unwrap();
        // As if nothing had come after it in its process.
        std::mem::forget(killed);
        let (_, partial) = Partial::create(&wanted).unwrap();
        partial.complete().unwrap();
        let files = fs::read_dir(folder.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let (left, done): (Vec<_>, Vec<_>) = names.partition(|name| name.ends_with(".partial"));
        assert_eq!((left.len(), done), (1, vec!["a".to_owned()]));
    }

    #[test]
    fn the_file_that_could_not_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Partial::create(&folder.path().join("none/a"))
            .map(drop)
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("none/.a.") && text.contains(".partial"),
            "{text}"
        );
    }
}
