//! Reading a backup.

use std::{cmp::Ordering, collections::BTreeMap};

use pinyto_core::clock::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use super::{
    BoxError, Progress, RestoreError, RestoreOptions, Summary,
    format::{self, Cell, Line, NoHeader, Row, Sequences, Trailer},
    output::hexadecimal,
    schema::{SESSIONS, TABLES, Table},
};

/// How many bytes are read at once.
const BUFFER: usize = 256 * 1024;

/// How many rows are put into the database at once, and how many bytes of lines, about.
const CHUNK: usize = 200;
const CHUNK_BYTES: usize = 1024 * 1024;

/// An empty database that becomes what a backup says, in one transaction of its own.
#[async_trait::async_trait]
pub(crate) trait Sink: Send {
    /// Whether it keeps anything.
    const IS_DATABASE: bool = true;

    async fn count(&mut self, table: &Table) -> Result<u64, BoxError>;

    /// Adds rows, at least one.
    async fn insert(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), BoxError>;

    /// Sees to it that no number is given again.
    async fn set_sequences(&mut self, sequences: &Sequences) -> Result<(), BoxError>;

    /// Makes what follows from the rest, as far as the indexer doesn't.
    async fn derive(&mut self) -> Result<(), BoxError>;
}

/// Nothing: a backup that goes there is only looked at.
pub(super) struct Nowhere;

#[async_trait::async_trait]
impl Sink for Nowhere {
    const IS_DATABASE: bool = false;

    async fn count(&mut self, _: &Table) -> Result<u64, BoxError> {
        Ok(0)
    }

    async fn insert(&mut self, _: &'static Table, _: Vec<Row>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn set_sequences(&mut self, _: &Sequences) -> Result<(), BoxError> {
        Ok(())
    }

    async fn derive(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Lines that come in.
struct Input<R> {
    from: BufReader<R>,
    max_line: usize,
    line: Vec<u8>,
    /// The number of the line that was read last, the first being 1.
    number: u64,
    hash: Sha256,
    bytes: u64,
    longest: usize,
}

impl<R: AsyncRead + Send + Unpin> Input<R> {
    fn wrong(&self, reason: impl Into<String>) -> RestoreError {
        RestoreError::Invalid {
            line: self.number,
            reason: reason.into(),
        }
    }

    /// Reads the next line, without its end, to `self.line`; says whether there was one.
    async fn read(&mut self) -> Result<bool, RestoreError> {
        self.line.clear();
        self.line.shrink_to(1 << 20);
        self.number += 1;
        loop {
            let read = self.from.fill_buf().await.map_err(RestoreError::Read)?;
            if read.is_empty() {
                if self.line.is_empty() {
                    return Ok(false);
                }
                return Err(self.wrong("the file ends in the middle of this line"));
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            if self.line.len() + part.len() >= self.max_line {
                let most = self.max_line;
                return Err(self.wrong(format!("it is longer than {most} bytes")));
            }
            self.line.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            self.bytes += used as u64;
            if end.is_some() {
                self.longest = self.longest.max(self.line.len() + 1);
                return Ok(true);
            }
        }
    }

    fn text(&self) -> Result<&str, RestoreError> {
        std::str::from_utf8(&self.line).map_err(|_| self.wrong("it is not UTF-8"))
    }

    /// The line belongs to what the trailer vouches for.
    fn add_to_hash(&mut self) {
        self.hash.update(&self.line);
        self.hash.update(b"\n");
    }

    async fn header(&mut self) -> Result<Timestamp, RestoreError> {
        if !self.read().await? {
            return Err(self.wrong("the file is empty"));
        }
        let header = format::read_header(self.text()?).map_err(|error| match error {
            NoHeader::Not => self.wrong("this is no backup made by pinyto-server"),
            NoHeader::Version(found) => RestoreError::Version {
                found,
                known: format::VERSION,
            },
            NoHeader::Wrong(reason) => self.wrong(reason),
        })?;
        self.add_to_hash();
        let created = Timestamp::parse_rfc3339(&header.created);
        created.ok_or_else(|| self.wrong("created is no time"))
    }

    /// A line between the first and the last, or the last one.
    async fn next(&mut self) -> Result<Line, RestoreError> {
        if !self.read().await? {
            return Err(self.wrong("the file ends before its last line: it is not complete"));
        }
        let line = format::read_line(self.text()?).map_err(|error| {
            // Which line of the file it is, is said anyway.
            let text = error.to_string();
            let reason = text.split(" at line 1 column").next().unwrap_or_default();
            self.wrong(reason)
        })?;
        if !matches!(line, Line::End(_)) {
            self.add_to_hash();
        }
        Ok(line)
    }

    /// Checks the last line, and that it is the last.
    async fn end(&mut self, trailer: &Trailer, counts: &[u64]) -> Result<(), RestoreError> {
        let rows: BTreeMap<String, u64> = TABLES
            .iter()
            .zip(counts)
            .map(|(table, count)| (table.name.to_owned(), *count))
            .collect();
        if trailer.rows != rows {
            let differs = |name: &&str| trailer.rows.get(*name) != rows.get(*name);
            let name = TABLES.iter().map(|table| table.name).find(differs);
            let name = name.unwrap_or("something else");
            let found = rows.get(name).copied().unwrap_or(0);
            let counted = trailer.rows.get(name).copied().unwrap_or(0);
            return Err(self.wrong(format!(
                "there were {counted} rows of {name}, and the file has {found}"
            )));
        }
        let expected = Trailer {
            rows,
            sha256: hexadecimal(std::mem::take(&mut self.hash)),
        };
        if self.line != format::trailer(&expected).as_bytes() {
            return Err(self.wrong("the checksum is not right: the file was changed or damaged"));
        }
        if self.read().await? {
            return Err(self.wrong("nothing may follow after the last line"));
        }
        Ok(())
    }
}

/// Rows of one table that wait to be put into the database together.
#[derive(Default)]
struct Chunk {
    rows: Vec<Row>,
    bytes: usize,
    first_line: u64,
}

impl Chunk {
    async fn put<S: Sink>(
        &mut self,
        table: &'static Table,
        sink: &mut S,
        last_line: u64,
    ) -> Result<(), RestoreError> {
        let Self {
            rows, first_line, ..
        } = std::mem::take(self);
        if rows.is_empty() {
            return Ok(());
        }
        let put = sink.insert(table, rows).await;
        put.map_err(|source| RestoreError::Refused {
            subject: table.name,
            first_line,
            last_line,
            source,
        })
    }
}

/// Puts what `from` says into `sink`, which is to be committed if this succeeds, and only then.
pub(crate) async fn read<S: Sink>(
    sink: &mut S,
    from: impl AsyncRead + Send + Unpin,
    options: &RestoreOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Summary, RestoreError> {
    for table in TABLES {
        let rows = sink.count(table).await.map_err(RestoreError::Database)?;
        if rows > 0 {
            return Err(RestoreError::NotEmpty {
                subject: table.name,
                rows,
            });
        }
    }
    let mut input = Input {
        from: BufReader::with_capacity(BUFFER, from),
        max_line: options.max_line,
        line: Vec::new(),
        number: 0,
        hash: Sha256::new(),
        bytes: 0,
        longest: 0,
    };
    let created = input.header().await?;
    let Line::Sequences(sequences) = input.next().await? else {
        return Err(input.wrong("sequences are to come here"));
    };
    check_sequences(&sequences).map_err(|reason| input.wrong(reason))?;
    let mut counts = vec![0; TABLES.len()];
    let (mut table, mut last_key) = (0, Row::new());
    let mut chunk = Chunk::default();
    let mut state = Progress {
        subject: "",
        rows: 0,
        expected_rows: None,
        bytes: 0,
    };
    let trailer = loop {
        let line = input.next().await?;
        let (place, row) = match line {
            Line::Row(place, row) => (place, row),
            Line::Sequences(_) => return Err(input.wrong("sequences come once only")),
            Line::End(trailer) => break trailer,
        };
        if place != table {
            if let Some(former) = TABLES.get(table) {
                chunk.put(former, sink, input.number - 1).await?;
            }
            last_key.clear();
        }
        let (Some(of), Some(count)) = (TABLES.get(place), counts.get_mut(place)) else {
            return Err(input.wrong("there is no such table"));
        };
        check_order(of, &row, &last_key, place < table).map_err(|reason| input.wrong(reason))?;
        if of.is_numbered && !is_within(&row, sequences.get(of.name)) {
            return Err(input.wrong("its id is larger than the last one that was given"));
        }
        table = place;
        last_key = row.iter().take(of.key).cloned().collect();
        *count += 1;
        state.subject = of.name;
        state.rows += 1;
        state.bytes = input.bytes;
        if of.name == SESSIONS && options.end_sessions {
            continue;
        }
        if chunk.rows.is_empty() {
            chunk.first_line = input.number;
        }
        chunk.rows.push(row);
        chunk.bytes += input.line.len();
        if chunk.rows.len() >= CHUNK || chunk.bytes >= CHUNK_BYTES {
            chunk.put(of, sink, input.number).await?;
            progress(state);
        }
    };
    if let Some(last) = TABLES.get(table) {
        chunk.put(last, sink, input.number - 1).await?;
    }
    input.end(&trailer, &counts).await?;
    for (table, count) in TABLES.iter().zip(&counts) {
        let is_left_out = table.name == SESSIONS && options.end_sessions;
        let expected = if is_left_out { 0 } else { *count };
        let found = sink.count(table).await.map_err(RestoreError::Database)?;
        if S::IS_DATABASE && found != expected {
            return Err(RestoreError::Miscounted {
                subject: table.name,
                expected,
                found,
            });
        }
    }
    sink.set_sequences(&sequences)
        .await
        .map_err(RestoreError::Database)?;
    sink.derive().await.map_err(RestoreError::Database)?;
    state.bytes = input.bytes;
    progress(state);
    let names = TABLES.iter().map(|table| table.name);
    Ok(Summary {
        created,
        rows: names.zip(counts).collect(),
        bytes: input.bytes,
        longest_line: input.longest,
    })
}

/// That the tables whose numbers are never given twice are all there.
fn check_sequences(sequences: &Sequences) -> Result<(), String> {
    let numbered = TABLES.iter().filter(|table| table.is_numbered);
    let mut expected: Vec<&str> = numbered.map(|table| table.name).collect();
    expected.sort_unstable();
    if !sequences.keys().eq(expected.iter()) {
        return Err(format!("sequences has to have {expected:?}"));
    }
    if sequences.values().any(|last| *last < 0) {
        return Err("no sequence is negative".to_owned());
    }
    Ok(())
}

/// Whether a row's number has been given.
fn is_within(row: &Row, last: Option<&i64>) -> bool {
    matches!((row.first(), last), (Some(Cell::Integer(id)), Some(last)) if (1..=*last).contains(id))
}

/// Tables in their order, rows in the order of their keys, each once.
fn check_order(table: &Table, row: &Row, last_key: &Row, is_back: bool) -> Result<(), String> {
    let name = table.name;
    if is_back {
        return Err(format!("rows of {name} are to come earlier"));
    }
    if last_key.is_empty() {
        return Ok(());
    }
    let key = row.get(..table.key).unwrap_or_default();
    match key.partial_cmp(last_key.as_slice()) {
        Some(Ordering::Greater) => Ok(()),
        Some(Ordering::Equal) => Err(format!("there are two rows of {name} with the same key")),
        _ => Err(format!("rows of {name} are not in their order")),
    }
}
