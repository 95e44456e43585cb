//! How a database is opened.

use std::{path::Path, str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use super::OpenError;

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// When it is on the disk (one `fsync` for each group of writes): it survives a power failure.
    #[default]
    Full,
    /// When the operating system has it: it survives a crash of the process, but the last writes
    /// before a power failure may be lost (never torn). Faster on slow disks.
    Normal,
}

/// Which database to open, and how. Anything that is text becomes one with the defaults:
///
/// ```
/// use pinyto_store::sqlite::{SqliteOptions, Synchronous};
///
/// let options = SqliteOptions::new("sqlite:pinyto.db?mode=rwc")
///     .synchronous(Synchronous::Normal)
///     .readers(8);
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    url: String,
    synchronous: Synchronous,
    pub(super) readers: u32,
    pub(super) max_group: usize,
    pub(super) patience: Duration,
    busy_timeout: Duration,
    pub(super) cache_kib: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new(Self::DEFAULT_URL)
    }
}

impl<T: Into<String>> From<T> for SqliteOptions {
    fn from(url: T) -> Self {
        Self::new(url)
    }
}

impl SqliteOptions {
    /// The database in the working directory, made if there is none.
    pub const DEFAULT_URL: &str = "sqlite:pinyto.db?mode=rwc";

    /// The database at `sqlite:PATH?mode=rwc` (`rwc`: is made if there is none, `rw`: must be
    /// there). `sqlite::memory:` is a database in memory, gone when the store is closed.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            synchronous: Synchronous::default(),
            readers: 4,
            max_group: 256,
            patience: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
            cache_kib: 16 * 1024,
        }
    }

    /// When a write counts as done; default [`Synchronous::Full`].
    #[must_use]
    pub const fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How many reads run at once, at least 1; default 4. Each has a connection and a thread.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// How many writes share one transaction at the most, at least 1; default 256.
    #[must_use]
    pub fn max_group(mut self, writes: usize) -> Self {
        self.max_group = writes.max(1);
        self
    }

    /// How long a call waits for its turn before it fails as unavailable; default 10 s.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long to wait for another process that is writing, at most 24 days; default 5 s.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(Duration::from_millis(i32::MAX as u64));
        self
    }

    /// The page cache of the connection that writes, in KiB; default 16384. Each of those that
    /// read has a quarter of it. Filled as needed; the rest is in the operating system's cache.
    #[must_use]
    pub const fn cache_kib(mut self, kib: u32) -> Self {
        self.cache_kib = kib;
        self
    }

    /// What the writer and the readers have in common.
    fn connect(&self) -> Result<SqliteConnectOptions, OpenError> {
        let url = self.url.as_str();
        let path = url.strip_prefix("sqlite:").ok_or_else(|| self.bad_url())?;
        let path = path.trim_start_matches("//");
        let options = if path.starts_with(":memory:") || path.contains("mode=memory") {
            in_memory()
        } else if path.is_empty() || path.starts_with('?') {
            return Err(self.bad_url());
        } else {
            SqliteConnectOptions::from_str(url).map_err(|_| self.bad_url())?
        };
        Ok(options
            .foreign_keys(true)
            .busy_timeout(self.busy_timeout)
            // Each row that is read ahead may be a document of several MiB.
            .row_buffer_size(2)
            .pragma("cache_size", format!("-{}", self.cache_kib))
            .disable_statement_logging())
    }

    pub(super) fn writer(&self) -> Result<SqliteConnectOptions, OpenError> {
        let synchronous = match self.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        };
        Ok(self
            .connect()?
            .synchronous(synchronous)
            .pragma("journal_size_limit", "67108864")
            .thread_name(|number| format!("pinyto-sqlite-writer-{number}")))
    }

    fn bad_url(&self) -> OpenError {
        OpenError::Url {
            url: self.url.clone(),
        }
    }
}

/// A database in memory that all connections of one store share.
fn in_memory() -> SqliteConnectOptions {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Unlike SQLite's shared cache, this VFS locks as a file does.
    SqliteConnectOptions::new()
        .vfs("memdb")
        .filename(Path::new(&format!("/pinyto-{number}")))
        .create_if_missing(true)
}

/// The options of a reader for a database that the writer opened with `writer`.
pub(super) fn reader(writer: &SqliteConnectOptions, cache_kib: u32) -> SqliteConnectOptions {
    writer
        .clone()
        .pragma("cache_size", format!("-{}", cache_kib / 4))
        .create_if_missing(false)
        .read_only(true)
        .thread_name(|number| format!("pinyto-sqlite-reader-{number}"))
}

/// Whether the database is in memory, without any file.
pub(super) fn is_in_memory(options: &SqliteConnectOptions) -> bool {
    options
        .to_url_lossy()
        .query_pairs()
        .any(|(name, _)| name == "vfs")
}

/// Whether a file that is missing is to be made.
pub(super) fn makes_missing(options: &SqliteConnectOptions) -> bool {
    let url = options.to_url_lossy();
    url.query_pairs()
        .any(|(name, value)| name == "mode" && value == "rwc")
}
