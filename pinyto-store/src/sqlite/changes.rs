//! Whether the database has changed, without asking SQLite.
//!
//! In WAL mode every commit, of whatever process, changes the header of the *WAL index*, the file
//! `<database>-shm` that all connections share; a connection compares that header with its copy to
//! find out whether what it has cached is still true. This does the same, with two system calls
//! instead of two changes of thread.
//!
//! The format is fixed: <https://sqlite.org/walformat.html#the_wal_index_header>. The header is
//! there twice; a writer changes the second copy first, so two equal copies with the right
//! checksum are one whole header. It is written before a commit returns. Headers that are equal
//! stand for the same contents: salts (random for each new log), number of frames and their
//! checksum say what is in the log. Only the header of a log that never had a frame is always the
//! same, so it says nothing.
//!
//! Two things have to be minded:
//!
//! - SQLite locks this file, and POSIX takes **all** locks on a file from a process that closes
//!   any descriptor of it (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).
//!   So what was opened is never closed as long as the file is there: [`Index`].
//! - The last connection deletes the file, the next one makes another. A file that was deleted
//!   says nothing, and the new one is looked for.

use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;

/// Length of the header.
const LENGTH: usize = 48;

/// The state of a database between two commits.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct State([u8; LENGTH]);

impl State {
    /// What the beginning of a WAL index says, if it says something.
    fn of(copies: &[u8; 2 * LENGTH]) -> Option<Self> {
        let (first, second) = copies.split_at(LENGTH);
        if first != second {
            return None;
        }
        let word = |at: usize| Some(u32::from_ne_bytes(first.get(at..at + 4)?.try_into().ok()?));
        let is_initialized = first[12] != 0;
        let has_log = first[16..20] != [0; 4] || first[32..40] != [0; 8];
        let mut sums = (0_u32, 0_u32);
        for at in (0..40).step_by(8) {
            sums.0 = sums.0.wrapping_add(word(at)?).wrapping_add(sums.1);
            sums.1 = sums.1.wrapping_add(word(at + 4)?).wrapping_add(sums.0);
        }
        let is_whole = sums == (word(40)?, word(44)?);
        (is_initialized && has_log && is_whole).then(|| first.try_into().map(Self).ok())?
    }
}

/// Looks for commits to one database.
pub(super) struct Changes {
    /// Without it every look at the state says "don't know".
    #[cfg(unix)]
    index: Option<Index>,
}

impl Changes {
    /// For the database in `file`, which a connection of this process has open in WAL mode.
    #[cfg_attr(not(unix), allow(unused_variables, reason = "always unknown"))]
    pub(super) fn of(file: &Path) -> Self {
        Self {
            #[cfg(unix)]
            index: Index::of(file),
        }
    }

    /// For a database that has no file.
    pub(super) const fn unknown() -> Self {
        Self {
            #[cfg(unix)]
            index: None,
        }
    }

    /// The present state, or nothing if that can't be told, as in the midst of a commit. When the
    /// state is what it was before, nobody's commit has come in between.
    pub(super) fn state(&self) -> Option<State> {
        #[cfg(unix)]
        return self
            .index
            .as_ref()?
            .beginning()
            .as_ref()
            .and_then(State::of);
        #[cfg(not(unix))]
        None
    }
}

/// The file of a WAL index.
#[cfg(unix)]
struct Index {
    path: PathBuf,
    file: std::sync::RwLock<Option<std::sync::Arc<std::fs::File>>>,
}

#[cfg(unix)]
impl Index {
    fn of(database: &Path) -> Option<Self> {
        // As SQLite does: the files lie beside what a link refers to.
        let mut path = database.canonicalize().ok()?.into_os_string();
        path.push("-shm");
        let path = PathBuf::from(path);
        // Not all systems show a file's readers at once what somebody maps and writes.
        if cfg!(target_os = "openbsd") {
            return None;
        }
        let file = std::sync::RwLock::new(kept_open::open(&path));
        Some(Self { path, file })
    }

    /// Both copies of the header.
    fn beginning(&self) -> Option<[u8; 2 * LENGTH]> {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};
        use std::sync::PoisonError;
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            let mut copies = [0; 2 * LENGTH];
            let read = file.read_exact_at(&mut copies, 0);
            // Looked at afterwards: what is there now was there then.
            if file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
                return read.ok().map(|()| copies);
            }
        }
        drop(file);
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        *file = None;
        *file = kept_open::open(&self.path);
        None
    }
}

/// Files that mustn't be closed, each once.
#[cfg(unix)]
mod kept_open {
    use std::{
        fs::{self, File, Metadata},
        io,
        os::unix::fs::MetadataExt as _,
        path::Path,
        sync::{Arc, Mutex, PoisonError},
    };

    static ALL: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());

    fn identity(metadata: io::Result<Metadata>) -> Option<(u64, u64)> {
        metadata.map(|file| (file.dev(), file.ino())).ok()
    }

    pub(super) fn open(path: &Path) -> Option<Arc<File>> {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody has locks on a file that was deleted: SQLite does that after its last user.
        all.retain(|file| {
            let is_there = file
                .metadata()
                .map_or(true, |metadata| metadata.nlink() > 0);
            is_there || Arc::strong_count(file) > 1
        });
        let wanted = identity(fs::metadata(path))?;
        let known = |file: &&Arc<File>| identity(file.metadata()) == Some(wanted);
        if let Some(file) = all.iter().find(known) {
            return Some(Arc::clone(file));
        }
        let file = Arc::new(File::open(path).ok()?);
        all.push(Arc::clone(&file));
        Some(file)
    }
}
