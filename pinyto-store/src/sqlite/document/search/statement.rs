//! The statement that a query becomes, and what its rows say.

use pinyto_core::{document::Scope, query::Direction};
use sqlx::{Arguments as _, AssertSqlSafe, sqlite::SqliteArguments};

use super::super::{
    super::{
        error::Failure,
        pool::{Query, Row},
    },
    body,
};
use crate::{
    query::{
        dialect::{Bind, Binds, Truth},
        gather::Candidate,
        way::Way,
    },
    row::document::DocumentRow,
};

/// A text of a statement with its values.
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Bind>,
    /// The most rows it gives, if it says so.
    pub(super) limit: Option<u64>,
    /// Whether the transaction ends with it.
    pub(super) is_last: bool,
}

impl Statement {
    pub(super) const fn new(sql: String, values: Vec<Bind>) -> Self {
        Self {
            sql,
            values,
            limit: None,
            is_last: false,
        }
    }

    /// The same, but giving at most so many rows. (SQLite prepares a statement anew at each use if
    /// a parameter alone is its limit: it looks whether it is zero.)
    pub(super) fn limited(mut self, rows: u64) -> Self {
        if let Ok(rows) = i64::try_from(rows) {
            self.values.push(Bind::Integer(rows));
            self.sql
                .push_str(&format!(" LIMIT ?{} + 0", self.values.len()));
        }
        self.limit = Some(rows);
        self
    }

    /// The same, with the end of the transaction after it.
    pub(super) fn last(mut self) -> Self {
        self.sql.push_str("; COMMIT");
        self.is_last = true;
        self
    }

    pub(super) fn query<R: Row>(self) -> Result<Query<'static, R>, Failure> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            match value {
                Bind::Integer(integer) => arguments.add(integer),
                Bind::Float(float) => arguments.add(float),
                Bind::Text(text) => arguments.add(text),
                Bind::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        // Whatever comes from outside is bound, but for names in paths, which are checked.
        Ok(sqlx::query_as_with(AssertSqlSafe(self.sql), arguments))
    }
}

impl From<(String, Vec<Bind>)> for Statement {
    fn from((sql, values): (String, Vec<Bind>)) -> Self {
        Self::new(sql, values)
    }
}

/// Stands for a long body.
macro_rules! left_out {
    () => {
        "+"
    };
}

const LEFT_OUT: &str = left_out!();

/// Stands before a body that SQL doesn't know to match. It changes nothing about JSON.
const UNSURE: &str = " ";

const ANY_BODY: &str = body!();

/// Bodies that are not read ahead of whoever looks at them: [`ReadAhead`].
macro_rules! is_long {
    () => {
        "d.size > 65536"
    };
}

pub(super) const IS_LONG: &str = is_long!();

/// The body, unless it is long.
pub(super) const SHORT_BODY: &str =
    concat!("iif(", is_long!(), ", '", left_out!(), "', ", body!(), ")");

/// How many rows SQLite's thread may be ahead of who takes them. Each time it has to wait costs
/// two changes of thread, and each row may be a document of several MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ReadAhead {
    /// Many rows, but no long bodies.
    Many,
    /// A few, whatever they are.
    Few,
}

/// Identifier, assembly, time, size, and the body unless SQL knows that it doesn't match.
pub(super) type FoundRow = (Vec<u8>, String, i64, i64, Option<String>);

/// What a row says.
pub(super) enum Found {
    /// It doesn't match.
    No,
    /// It may match, and has to be read on a connection that isn't far ahead.
    TooLong,
    Candidate(Candidate),
}

impl Found {
    pub(super) fn new((id, assembly, time, size, body): FoundRow) -> Self {
        let Some(mut body) = body else {
            return Self::No;
        };
        let is_unsure = body.starts_with(UNSURE);
        if body.get(usize::from(is_unsure) * UNSURE.len()..) == Some(LEFT_OUT) {
            return Self::TooLong;
        }
        if is_unsure {
            body.drain(..UNSURE.len());
        }
        let row = DocumentRow {
            id,
            assembly,
            time,
            body,
        };
        let candidate = Candidate::new(row, size);
        Self::Candidate(if is_unsure {
            candidate
        } else {
            candidate.known_to_match()
        })
    }
}

/// The documents of a way.
pub(super) fn documents(
    way: &Way,
    scope: Scope,
    direction: Direction,
    condition: &Truth,
    read_ahead: ReadAhead,
    mut binds: Binds,
) -> Statement {
    let from = way.sql(scope, direction, &mut binds);
    let body = match read_ahead {
        ReadAhead::Many => SHORT_BODY,
        ReadAhead::Few => ANY_BODY,
    };
    let body = match condition {
        // (`CASE` looks at the condition once.)
        Truth::Sql(condition) => format!(
            "CASE ({condition}) WHEN 1 THEN {body} WHEN 0 THEN NULL ELSE '{UNSURE}' || {body} END"
        ),
        Truth::Always => body.to_owned(),
        Truth::Never | Truth::Unknown => format!("'{UNSURE}' || {body}"),
    };
    let order = if from.order.is_empty() {
        String::new()
    } else {
        format!(" ORDER BY {}", from.order)
    };
    let from = from.from;
    Statement::new(
        format!("SELECT d.id, d.assembly, d.time, d.size, {body} AS body {from}{order}"),
        binds.into_values(),
    )
}
