//! Writing a backup.

use futures_util::{TryStreamExt as _, stream::BoxStream};
use pinyto_core::clock::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{
    BackupError, BoxError, Progress, Summary,
    format::{self, Cell, Header, Row, Sequences, Trailer, Unwritable, VERSION},
    schema::{JOB_ENTRIES, TABLES, Table},
};

/// How many rows there are between two reports of progress.
const REPORT: u64 = 500;

/// A database in one of its states, of which a backup is made.
#[async_trait::async_trait]
pub(crate) trait Source: Send {
    /// `sqlite` or `postgres`.
    const DATABASE: &'static str;

    async fn sequences(&mut self) -> Result<Sequences, BoxError>;

    async fn count(&mut self, table: &Table) -> Result<u64, BoxError>;

    /// The rows in the order of the table's key.
    fn rows<'a>(&'a mut self, table: &'a Table) -> BoxStream<'a, Result<Row, BoxError>>;
}

/// Lines that go out, with what is known of them at the end.
struct Output<W> {
    to: W,
    line: Vec<u8>,
    hash: Sha256,
    bytes: u64,
    longest: usize,
}

impl<W: AsyncWrite + Send + Unpin> Output<W> {
    async fn line(&mut self, text: &str) -> Result<(), BackupError> {
        self.line.extend_from_slice(text.as_bytes());
        self.end_line().await
    }

    /// Ends the line that has been begun.
    async fn end_line(&mut self) -> Result<(), BackupError> {
        self.line.push(b'\n');
        self.hash.update(&self.line);
        self.bytes += self.line.len() as u64;
        self.longest = self.longest.max(self.line.len());
        let written = self.to.write_all(&self.line).await;
        self.line.clear();
        // A large document was an exception.
        self.line.shrink_to(1 << 20);
        written.map_err(BackupError::Write)
    }
}

/// Writes everything that `source` has as a backup of the moment `at`.
pub(crate) async fn write<S: Source>(
    source: &mut S,
    to: impl AsyncWrite + Send + Unpin,
    at: Timestamp,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Summary, BackupError> {
    let mut output = Output {
        to,
        line: Vec::new(),
        hash: Sha256::new(),
        bytes: 0,
        longest: 0,
    };
    let header = Header {
        version: VERSION,
        created: at.to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        database: S::DATABASE.to_owned(),
    };
    output.line(&format::header(&header)).await?;
    let mut expected = Vec::new();
    for table in TABLES {
        expected.push(source.count(table).await.map_err(BackupError::Read)?);
    }
    let sequences = source.sequences().await.map_err(BackupError::Read)?;
    output.line(&format::sequences(&sequences)).await?;

    let mut state = Progress {
        subject: "",
        rows: 0,
        expected_rows: Some(expected.iter().sum()),
        bytes: 0,
    };
    let mut summary = Vec::new();
    for (table, expected) in TABLES.iter().zip(expected) {
        state.subject = table.name;
        let mut count = 0;
        let mut rows = source.rows(table);
        while let Some(mut row) = rows.try_next().await.map_err(BackupError::Read)? {
            expire_lease(table, &mut row, at);
            let written = format::row(table, &row, &mut output.line);
            written.map_err(|Unwritable(column)| damaged(table, column, &row))?;
            output.end_line().await?;
            count += 1;
            state.rows += 1;
            state.bytes = output.bytes;
            if state.rows.is_multiple_of(REPORT) {
                progress(state);
            }
        }
        if count != expected {
            return Err(BackupError::Miscounted {
                subject: table.name,
                expected,
                found: count,
            });
        }
        summary.push((table.name, count));
    }
    let rows = summary.iter();
    let trailer = Trailer {
        rows: rows
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
        sha256: hexadecimal(std::mem::take(&mut output.hash)),
    };
    output.line(&format::trailer(&trailer)).await?;
    output.to.flush().await.map_err(BackupError::Write)?;
    state.bytes = output.bytes;
    progress(state);
    Ok(Summary {
        created: at,
        rows: summary,
        bytes: output.bytes,
        longest_line: output.longest,
    })
}

/// Where the backup is restored, nobody runs what a server runs now: its lease ends with the moment
/// that the backup shows, so the run counts as lost with its server and is tried again.
fn expire_lease(table: &Table, row: &mut Row, at: Timestamp) {
    if table.name != JOB_ENTRIES {
        return;
    }
    let is_leased = table
        .place_of("lease")
        .and_then(|place| row.get(place))
        .is_some_and(|lease| *lease != Cell::Null);
    let due = table
        .place_of("due_at")
        .and_then(|place| row.get_mut(place));
    if let (true, Some(Cell::Integer(due))) = (is_leased, due) {
        *due = (*due).min(at.unix_millis());
    }
}

/// A row that this program can't have written.
fn damaged(table: &Table, column: &'static str, row: &[Cell]) -> BackupError {
    let key: Vec<String> = row.iter().take(table.key).map(shown).collect();
    BackupError::Damaged {
        subject: table.name,
        key: key.join(" "),
        column,
    }
}

/// As a key is shown.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Integer(number) => number.to_string(),
        Cell::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        other => format!("{other:?}"),
    }
}

pub(super) fn hexadecimal(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
