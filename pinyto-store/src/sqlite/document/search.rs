//! Queries: finding the way, going it within limits, and asking the evaluator where SQL doesn't
//! know.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

use futures_util::TryStreamExt as _;
use pinyto_core::{
    document::{Document, DocumentId, Scan, ScanLimit, ScanLimits, Scope, Search, Searched},
    query::{Direction, Path, Query, Sort, SortKey},
    store::StoreError,
};
use serde_json::Value;
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection, sqlite::SqliteArguments};
use tokio::{
    task::yield_now,
    time::{Instant, error::Elapsed, timeout},
};

use super::{
    super::{
        error::{Corrupt, Failure},
        pool::{Lent, Readers, Row},
    },
    BODY, DocumentRow, body,
    change::hexadecimal,
    dialect::Sqlite,
    document_id,
    plan::{Indexes, Purpose, Way, Ways},
};
use crate::query::{
    column::{FIRST_TIME, LAST_TIME},
    dialect::{Bind, Binds, Truth},
    pushdown::translate,
};

/// How much memory the keys may take that documents are sorted by, if no index has them in order.
const MAX_SORTED_BYTES: usize = 64 * 1024 * 1024;

/// After how many documents others get their turn.
const TURN: u64 = 64;

/// Why a query stopped.
enum Stop {
    Limit(ScanLimit),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A text of a statement with its values.
struct Statement {
    sql: String,
    values: Vec<Bind>,
}

impl Statement {
    fn query<R: Row>(self) -> Result<super::super::pool::Query<'static, R>, Failure> {
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

/// A user's indexes that are ready, and last whether any time is out of order.
const INDEXES: &str = "
    SELECT id, path, traits FROM pinyto_indexes WHERE user_id = ?1 AND state = 'ready'
    UNION ALL
    SELECT 0, '', EXISTS (SELECT 1 FROM pinyto_documents WHERE user_id = ?1 AND time < ?2)
               OR EXISTS (SELECT 1 FROM pinyto_documents WHERE user_id = ?1 AND time > ?3)";

/// The answer is from one moment.
const BEGIN: &str = "BEGIN";

const COMMIT: &str = "COMMIT";

const FETCH: &str = concat!(
    "SELECT d.id, d.assembly, d.time, ",
    body!(),
    " AS body FROM pinyto_documents d
    WHERE d.user_id = ?1 AND d.id IN (SELECT unhex(value) FROM json_each(?2))"
);

#[cfg(test)]
pub(in super::super) const STATEMENTS: &[&str] = &[INDEXES, FETCH];

/// Identifier, assembly, time, size, and the body unless SQL knows that it doesn't match.
type FoundRow = (Vec<u8>, String, i64, i64, Option<String>);

/// The documents of a way.
fn documents(
    way: &Way,
    scope: Scope,
    direction: Direction,
    condition: &Truth,
    mut binds: Binds,
) -> Statement {
    let from = way.sql(scope, direction, &mut binds);
    let body = match condition {
        Truth::Sql(condition) => format!("CASE WHEN ({condition}) IS NOT 0 THEN {} END", body!()),
        Truth::Always | Truth::Never | Truth::Unknown => body!().to_owned(),
    };
    let order = if from.order.is_empty() {
        String::new()
    } else {
        format!(" ORDER BY {}", from.order)
    };
    let from = from.from;
    Statement {
        sql: format!("SELECT d.id, d.assembly, d.time, d.size, {body} AS body {from}{order}"),
        values: binds.into_values(),
    }
}

/// A query on its way.
struct Reading<'a> {
    scope: Scope,
    query: &'a Query,
    sort: Option<&'a Sort>,
    limits: ScanLimits,
    since: Instant,
    examined: u64,
    bytes: u64,
    indexes: Indexes,
}

impl<'a> Reading<'a> {
    fn new(scope: Scope, query: &'a Query, sort: Option<&'a Sort>, limits: ScanLimits) -> Self {
        Self {
            scope,
            query,
            sort,
            limits,
            since: Instant::now(),
            examined: 0,
            bytes: 0,
            indexes: Indexes::default(),
        }
    }

    /// Begins a transaction and looks at what there is.
    async fn begin(&mut self, db: &mut SqliteConnection) -> Result<(), Stop> {
        sqlx::query(BEGIN).execute(&mut *db).await?;
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(INDEXES)
            .bind(self.scope.user.get())
            .bind(FIRST_TIME)
            .bind(LAST_TIME)
            .fetch_all(db)
            .await?;
        self.indexes = Indexes {
            times_in_order: rows.iter().any(|row| row.0 == 0 && row.2 == 0),
            by_path: rows
                .into_iter()
                .filter(|(index, ..)| *index != 0)
                .map(|(index, path, traits)| (path, (index, traits)))
                .collect(),
        };
        Ok(())
    }

    fn translate(&self) -> (Truth, Binds) {
        let mut binds = Binds::new('?');
        let condition = translate(self.query, &Sqlite, &mut binds);
        (condition, binds)
    }

    /// The way to take, and whether it has the order that is wanted.
    async fn choose(
        &self,
        db: &mut SqliteConnection,
        ways: &Ways,
        purpose: Purpose,
    ) -> Result<(Way, bool), Stop> {
        if !ways.need_lengths(purpose) {
            return Ok(ways.choose(purpose, &[]));
        }
        let mut binds = Binds::new('?');
        let lengths: Vec<String> = ways
            .direct
            .iter()
            .enumerate()
            .map(|(at, way)| {
                let length = way.length(self.scope, purpose, &mut binds);
                format!("SELECT {at}, {}", length.unwrap_or_else(|| "0".to_owned()))
            })
            .collect();
        let statement = Statement {
            sql: lengths.join(" UNION ALL "),
            values: binds.into_values(),
        };
        let mut lengths: Vec<(i64, i64)> = statement.query()?.fetch_all(db).await?;
        lengths.sort_unstable();
        let lengths: Vec<i64> = lengths.into_iter().map(|(_, length)| length).collect();
        Ok(ways.choose(purpose, &lengths))
    }

    /// Calls `take` with each document that matches, and its size, until it has enough.
    async fn each(
        &mut self,
        db: &mut SqliteConnection,
        statement: Statement,
        mut take: impl FnMut(&mut Self, Document, i64) -> Result<bool, Stop> + Send,
    ) -> Result<(), Stop> {
        let mut rows = statement.query::<FoundRow>()?.fetch(db);
        while let Some((id, assembly, time, size, body)) = rows.try_next().await? {
            if self.examined >= self.limits.examined {
                return Err(Stop::Limit(ScanLimit::Examined));
            }
            self.examined += 1;
            if self.since.elapsed() > self.limits.time {
                return Err(Stop::Limit(ScanLimit::Time));
            }
            if self.examined.is_multiple_of(TURN) {
                yield_now().await;
            }
            let Some(body) = body else {
                continue;
            };
            let row = DocumentRow {
                id,
                assembly,
                time,
                body,
            };
            let document = Document::try_from(row)?;
            if self.query.matches(&document) && !take(self, document, size)? {
                break;
            }
        }
        Ok(())
    }

    fn found(&mut self, bytes: u64) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes {
            return Err(Stop::Limit(ScanLimit::Bytes));
        }
        Ok(())
    }

    async fn search(
        &mut self,
        db: &mut SqliteConnection,
        search: &Search,
    ) -> Result<Vec<Document>, Stop> {
        self.begin(db).await?;
        let (condition, binds) = self.translate();
        if search.limit == 0 || condition == Truth::Never {
            return Ok(Vec::new());
        }
        let ways = Ways::of(self.query, self.sort, self.scope, &self.indexes);
        let (way, in_order) = self.choose(db, &ways, Purpose::First).await?;
        self.follow(db, search, &way, in_order, (&condition, binds))
            .await
    }

    /// Finds the documents along a way.
    async fn follow(
        &mut self,
        db: &mut SqliteConnection,
        search: &Search,
        way: &Way,
        in_order: bool,
        (condition, binds): (&Truth, Binds),
    ) -> Result<Vec<Document>, Stop> {
        let enough = search.skip.saturating_add(search.limit);
        let direction = search.sort.direction;
        let statement = documents(way, self.scope, direction, condition, binds);
        let mut found = Vec::new();
        if in_order {
            let mut matching = 0;
            self.each(db, statement, |reading, document, size| {
                matching += 1;
                if matching > search.skip {
                    reading.found(u64::try_from(size).unwrap_or(0))?;
                    found.push(document);
                }
                Ok(matching < enough)
            })
            .await?;
            return Ok(found);
        }
        let mut first = First::new(&search.sort, enough);
        self.each(db, statement, |_, document, size| {
            first.take(&document, size)?;
            Ok(true)
        })
        .await?;
        self.fetch(db, first.into_order(search.skip)).await
    }

    /// The documents with these identifiers and sizes, in this order.
    async fn fetch(
        &mut self,
        db: &mut SqliteConnection,
        wanted: Vec<(DocumentId, i64)>,
    ) -> Result<Vec<Document>, Stop> {
        for (_, size) in &wanted {
            self.found(u64::try_from(*size).unwrap_or(0))?;
        }
        let ids: Vec<String> = wanted
            .iter()
            .map(|(id, _)| hexadecimal(id.as_bytes()))
            .collect();
        let rows: Vec<DocumentRow> = sqlx::query_as(FETCH)
            .bind(self.scope.user.get())
            // Texts always become JSON.
            .bind(serde_json::to_string(&ids).unwrap_or_default())
            .fetch_all(db)
            .await?;
        let mut by_id = HashMap::new();
        for row in rows {
            by_id.insert(document_id(&row.id)?, row);
        }
        let rows = wanted.into_iter().filter_map(|(id, _)| by_id.remove(&id));
        Ok(rows
            .map(Document::try_from)
            .collect::<Result<_, Corrupt>>()?)
    }

    async fn count(&mut self, db: &mut SqliteConnection) -> Result<u64, Stop> {
        self.begin(db).await?;
        let (condition, binds) = self.translate();
        if condition == Truth::Never {
            return Ok(0);
        }
        let ways = Ways::of(self.query, None, self.scope, &self.indexes);
        let (way, _) = self.choose(db, &ways, Purpose::All).await?;
        if ways.is_exact
            && let Some(statement) = ways.count(&way, self.scope)
        {
            let counted: (i64,) = statement_of(statement).query()?.fetch_one(db).await?;
            return Ok(u64::try_from(counted.0).unwrap_or(0));
        }
        let direction = Direction::Ascending;
        if let Truth::Sql(condition) = &condition {
            let mut binds = self.translate().1;
            let from = way.sql(self.scope, direction, &mut binds).from;
            let most = self.limits.examined.saturating_add(1);
            let most = binds.add(Bind::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
            let statement = Statement {
                sql: format!(
                    "SELECT count(*), coalesce(sum(fits IS 1), 0), coalesce(sum(fits IS NULL), 0)
                    FROM (SELECT ({condition}) AS fits {from} LIMIT {most})"
                ),
                values: binds.into_values(),
            };
            let (examined, fitting, unknown): (i64, i64, i64) =
                statement.query()?.fetch_one(&mut *db).await?;
            let examined = u64::try_from(examined).unwrap_or(0);
            if examined > self.limits.examined {
                self.examined = self.limits.examined;
                return Err(Stop::Limit(ScanLimit::Examined));
            }
            if unknown == 0 {
                self.examined = examined;
                return Ok(u64::try_from(fitting).unwrap_or(0));
            }
        }
        let statement = documents(&way, self.scope, direction, &condition, binds);
        let mut count = 0;
        self.each(db, statement, |_, _, _| {
            count += 1;
            Ok(true)
        })
        .await?;
        Ok(count)
    }

    async fn distinct(
        &mut self,
        db: &mut SqliteConnection,
        path: &Path,
    ) -> Result<Vec<Value>, Stop> {
        self.begin(db).await?;
        let (condition, binds) = self.translate();
        if condition == Truth::Never {
            return Ok(Vec::new());
        }
        let ways = Ways::of(self.query, None, self.scope, &self.indexes);
        let (way, _) = self.choose(db, &ways, Purpose::All).await?;
        let statement = documents(&way, self.scope, Direction::Ascending, &condition, binds);
        let mut values = BTreeMap::<SortKey, (DocumentId, Value)>::new();
        self.each(db, statement, |reading, document, _| {
            for value in path.distinct_values(&document) {
                match values.entry(SortKey::of(&value)) {
                    Entry::Vacant(free) => {
                        reading.found(value.to_string().len() as u64 + ScanLimits::VALUE)?;
                        free.insert((document.id, value.into_owned()));
                    }
                    // How it is written in the first document counts.
                    Entry::Occupied(mut earlier) if document.id < earlier.get().0 => {
                        earlier.insert((document.id, value.into_owned()));
                    }
                    Entry::Occupied(_) => {}
                }
            }
            Ok(true)
        })
        .await?;
        Ok(values.into_values().map(|(_, value)| value).collect())
    }

    /// Gives the connection back, if it is worth it, and says what became of the query.
    async fn end<T>(
        self,
        readers: &Readers,
        mut lent: Lent,
        result: Result<Result<T, Stop>, Elapsed>,
    ) -> Result<Searched<T>, StoreError> {
        let work = self.since.elapsed();
        let is_indexed = |path: &Path| self.indexes.has(path);
        let is_late = work > self.limits.time
            || matches!(result, Err(_) | Ok(Err(Stop::Limit(ScanLimit::Time))));
        // A statement that is stopped doesn't say how many documents it has looked at.
        let least = if is_late { Scan::MANY + 1 } else { 0 };
        let examined = self.examined.max(least);
        let mut scan = Scan::new(examined, work, self.query, self.sort, is_indexed);
        scan.examined = self.examined;
        let searched = match result {
            // A connection that is not given back stops what it is doing.
            Err(_) => return Ok(Searched::TooMuch(ScanLimit::Time, scan)),
            Ok(Err(Stop::Failed(failure))) => return Err(named(failure).into()),
            Ok(Err(Stop::Limit(limit))) => Searched::TooMuch(limit, scan),
            Ok(Ok(_)) if work > self.limits.time => Searched::TooMuch(ScanLimit::Time, scan),
            Ok(Ok(found)) => Searched::Found(found, scan),
        };
        if let Ok(db) = lent.connection()
            && sqlx::query(COMMIT).execute(db).await.is_ok()
        {
            readers.take_back(lent);
        }
        Ok(searched)
    }
}

fn statement_of((sql, values): (String, Vec<Bind>)) -> Statement {
    Statement { sql, values }
}

/// SQLite's functions tell of a body that is no JSON as of a mistake in the statement.
fn named(failure: Failure) -> Failure {
    match &failure {
        Failure::Sql(sqlx::Error::Database(error)) if error.message() == "malformed JSON" => {
            let detail = error.to_string();
            Corrupt {
                place: BODY,
                detail,
            }
            .into()
        }
        _ => failure,
    }
}

/// The first documents in an order that they don't come in.
struct First<'a> {
    sort: &'a Sort,
    enough: u64,
    /// What each is sorted by, its identifier and its size.
    kept: BTreeSet<(Vec<u8>, DocumentId, i64)>,
    bytes: usize,
}

impl<'a> First<'a> {
    const fn new(sort: &'a Sort, enough: u64) -> Self {
        Self {
            sort,
            enough,
            kept: BTreeSet::new(),
            bytes: 0,
        }
    }

    fn take(&mut self, document: &Document, size: i64) -> Result<(), Stop> {
        let key = self.sort.path.as_ref().map_or_else(Vec::new, |path| {
            let value = path.sort_value(document, self.sort.direction);
            value.key().into_bytes()
        });
        self.bytes += key.len() + 32;
        self.kept.insert((key, document.id, size));
        if self.kept.len() as u64 > self.enough {
            let last = match self.sort.direction {
                Direction::Ascending => self.kept.pop_last(),
                Direction::Descending => self.kept.pop_first(),
            };
            self.bytes -= last.map_or(0, |(key, ..)| key.len() + 32);
        }
        if self.bytes > MAX_SORTED_BYTES {
            return Err(Stop::Limit(ScanLimit::Bytes));
        }
        Ok(())
    }

    fn into_order(self, skip: u64) -> Vec<(DocumentId, i64)> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let kept = self.kept.into_iter().map(|(_, id, size)| (id, size));
        match self.sort.direction {
            Direction::Ascending => kept.skip(skip).collect(),
            Direction::Descending => kept.rev().skip(skip).collect(),
        }
    }
}

pub(super) async fn search(
    readers: &Readers,
    scope: Scope,
    search: &Search,
    limits: ScanLimits,
) -> Result<Searched<Vec<Document>>, StoreError> {
    let mut lent = readers.borrow().await?;
    let mut reading = Reading::new(scope, &search.query, Some(&search.sort), limits);
    let db = lent.connection().map_err(Failure::from)?;
    let result = timeout(limits.time, reading.search(db, search)).await;
    reading.end(readers, lent, result).await
}

pub(super) async fn count(
    readers: &Readers,
    scope: Scope,
    query: &Query,
    limits: ScanLimits,
) -> Result<Searched<u64>, StoreError> {
    let mut lent = readers.borrow().await?;
    let mut reading = Reading::new(scope, query, None, limits);
    let db = lent.connection().map_err(Failure::from)?;
    let result = timeout(limits.time, reading.count(db)).await;
    reading.end(readers, lent, result).await
}

pub(super) async fn distinct(
    readers: &Readers,
    scope: Scope,
    query: &Query,
    path: &Path,
    limits: ScanLimits,
) -> Result<Searched<Vec<Value>>, StoreError> {
    let mut lent = readers.borrow().await?;
    let mut reading = Reading::new(scope, query, None, limits);
    let db = lent.connection().map_err(Failure::from)?;
    let result = timeout(limits.time, reading.distinct(db, path)).await;
    reading.end(readers, lent, result).await
}

/// What is found along each way there is.
#[cfg(test)]
pub(in super::super) async fn along_all_ways(
    readers: &Readers,
    scope: Scope,
    search: &Search,
) -> Vec<(String, Vec<Document>)> {
    let mut lent = readers.borrow().await.unwrap();
    let db = lent.connection().unwrap();
    let limits = pinyto_core::testing::given::NO_SCAN_LIMITS;
    let mut reading = Reading::new(scope, &search.query, Some(&search.sort), limits);
    assert!(reading.begin(db).await.is_ok());
    let ways = Ways::of(&search.query, reading.sort, scope, &reading.indexes);
    let mut along = Vec::new();
    for (way, in_order) in ways.all() {
        let (condition, binds) = reading.translate();
        let found = reading.follow(db, search, &way, in_order, (&condition, binds));
        let Ok(found) = found.await else {
            panic!("{way:?} doesn't end");
        };
        along.push((format!("{way:?}"), found));
    }
    along
}

/// How SQLite goes about the statement that a search, or else a count, makes.
#[cfg(test)]
pub(in super::super) async fn explain(
    readers: &Readers,
    scope: Scope,
    query: &Query,
    search: Option<&Search>,
) -> String {
    let mut lent = readers.borrow().await.unwrap();
    let db = lent.connection().unwrap();
    let sort = search.map(|search| &search.sort);
    let mut reading = Reading::new(
        scope,
        query,
        sort,
        pinyto_core::testing::given::NO_SCAN_LIMITS,
    );
    let begun = reading.begin(db).await;
    assert!(begun.is_ok());
    let (condition, binds) = reading.translate();
    let ways = Ways::of(query, sort, scope, &reading.indexes);
    let purpose = search.map_or(Purpose::All, |_| Purpose::First);
    let chosen = reading.choose(db, &ways, purpose).await;
    let Ok((way, in_order)) = chosen else {
        panic!("no way");
    };
    let counted = ways
        .count(&way, scope)
        .filter(|_| search.is_none() && ways.is_exact);
    let direction = sort.map_or(Direction::Ascending, |sort| sort.direction);
    let Statement { sql, values } = match counted {
        Some(counted) => statement_of(counted),
        None => documents(&way, scope, direction, &condition, binds),
    };
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let statement = Statement { sql, values };
    let steps: Vec<(i64, i64, i64, String)> =
        statement.query().unwrap().fetch_all(db).await.unwrap();
    let mut steps: Vec<String> = steps.into_iter().map(|(.., step)| step).collect();
    if search.is_some() && !in_order {
        steps.push("then sorts".to_owned());
    }
    steps.join("; ")
}
