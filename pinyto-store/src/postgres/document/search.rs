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
use sqlx::{
    Arguments as _, AssertSqlSafe, Connection as _, PgConnection, Transaction,
    postgres::PgArguments,
};
use tokio::{
    task::yield_now,
    time::{Instant, error::Elapsed, timeout},
};

use super::{
    super::{
        error::{Failure, Trouble, trouble},
        pool::{self, Database, ForQuery, Row},
    },
    DocumentRow,
    dialect::{Postgres, as_jsonb},
    document_id,
    way::{self, sql_of},
};
use crate::{
    query::{
        column::{FIRST_TIME, LAST_TIME},
        dialect::{Bind, Binds, Truth},
        pushdown::translate,
        way::{Indexes, Purpose, Way, Ways},
    },
    row::Corrupt,
};

/// How much memory the keys may take that documents are sorted by, if no index has them in order.
const MAX_SORTED_BYTES: usize = 64 * 1024 * 1024;

/// After how many documents others get their turn.
const TURN: u64 = 64;

/// How many documents are asked for at first, if the first that match are enough; each further
/// time eight times as many.
const FIRST_BATCH: u64 = 64;

/// Why a query stopped.
enum Stop {
    Limit(ScanLimit),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        match error.into() {
            Failure::Sql(error) if trouble(&error) == Trouble::Late => Self::Limit(ScanLimit::Time),
            failure => Self::Failed(failure),
        }
    }
}

/// A text of a statement with its values.
struct Statement {
    sql: String,
    values: Vec<Bind>,
}

impl Statement {
    fn query<R: Row>(self) -> Result<pool::Query<'static, R>, Failure> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            match value {
                Bind::Integer(integer) => arguments.add(integer),
                Bind::Float(float) => arguments.add(float),
                Bind::Text(text) => arguments.add(text),
                Bind::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        // Whatever comes from outside is bound.
        Ok(sqlx::query_as_with(AssertSqlSafe(self.sql), arguments))
    }
}

/// A transaction that sees one moment and goes the way that was chosen here: what the server
/// knows of the number of rows may be old.
fn beginning(limits: ScanLimits) -> String {
    let millis = limits.time.as_millis().clamp(1, i32::MAX as u128);
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
        SET LOCAL statement_timeout = {millis}; \
        SET LOCAL plan_cache_mode = force_custom_plan; \
        SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
        SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; \
        SET LOCAL max_parallel_workers_per_gather = 0"
    )
}

/// A user's indexes that are ready, and last whether any time is out of order.
const INDEXES: &str = "
    SELECT id, path, traits FROM pinyto.indexes WHERE user_id = $1 AND state = 'ready'
    UNION ALL
    SELECT 0, '', (EXISTS (SELECT 1 FROM pinyto.documents WHERE user_id = $1 AND time < $2)
               OR EXISTS (SELECT 1 FROM pinyto.documents WHERE user_id = $1 AND time > $3))::int";

const FETCH: &str = "
    SELECT d.id, d.assembly, d.time, d.body::text AS body FROM pinyto.documents d
    WHERE d.user_id = $1 AND d.id = ANY($2)";

/// Identifier, assembly, time, size and body; all null if SQL knows that it doesn't match.
type FoundRow = (
    Option<Vec<u8>>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// Which of the documents of a way, in its order.
#[derive(Clone, Copy)]
struct Part {
    skip: u64,
    count: u64,
}

fn number(number: u64) -> Bind {
    Bind::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A part of the documents of a way. The innermost query goes the way, the next one reads the
/// bodies, once each, the third one checks the condition.
fn documents(
    way: &Way,
    scope: Scope,
    direction: Direction,
    condition: &Truth,
    mut binds: Binds,
    part: Part,
) -> Statement {
    let from = way::documents(way, scope, &mut binds);
    let (first, second) = from.order;
    let direction = sql_of(direction);
    let (skip, count) = (binds.add(number(part.skip)), binds.add(number(part.count)));
    let rows = format!(
        "SELECT d.id, d.assembly, d.time, d.size, d.body, {first} AS first, {second} AS second {}
        ORDER BY {first} {direction}, {second} {direction} LIMIT {count} OFFSET {skip}",
        from.from
    );
    let order = format!("ORDER BY first {direction}, second {direction}");
    let sql = match condition {
        Truth::Sql(condition) => format!(
            "SELECT CASE WHEN fits IS NOT FALSE THEN id END,
                CASE WHEN fits IS NOT FALSE THEN assembly END,
                CASE WHEN fits IS NOT FALSE THEN time END,
                CASE WHEN fits IS NOT FALSE THEN size END,
                CASE WHEN fits IS NOT FALSE THEN body::text END
            FROM (SELECT d.*, ({condition}) AS fits
                FROM (SELECT w.*, {} AS j FROM ({rows}) w OFFSET 0) d OFFSET 0) f {order}",
            as_jsonb!("w.body")
        ),
        Truth::Always | Truth::Never | Truth::Unknown => {
            format!("SELECT id, assembly, time, size, body::text FROM ({rows}) w {order}")
        }
    };
    Statement {
        sql,
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

    /// Looks at what there is.
    async fn look(&mut self, db: &mut PgConnection) -> Result<(), Stop> {
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
        let mut binds = Binds::new('$');
        let condition = translate(self.query, &Postgres, &mut binds);
        (condition, binds)
    }

    /// The way to take, and whether it has the order that is wanted.
    async fn choose(
        &self,
        db: &mut PgConnection,
        ways: &Ways,
        purpose: Purpose,
    ) -> Result<(Way, bool), Stop> {
        if !ways.need_lengths(purpose) {
            return Ok(ways.choose(purpose, &[]));
        }
        let mut binds = Binds::new('$');
        let lengths: Vec<String> = ways
            .direct
            .iter()
            .enumerate()
            .map(|(at, way)| {
                let length = way::length(way, self.scope, purpose, &mut binds);
                let length = length.unwrap_or_else(|| "0".to_owned());
                format!("SELECT {at}::bigint, {length}::bigint")
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

    /// Calls `take` with each document of a way that matches, and its size, until it has enough.
    /// `batch` documents are asked for at first.
    async fn each(
        &mut self,
        db: &mut PgConnection,
        way: &Way,
        direction: Direction,
        mut batch: u64,
        mut take: impl FnMut(&mut Self, Document, i64) -> Result<bool, Stop> + Send,
    ) -> Result<(), Stop> {
        let mut skip = 0;
        loop {
            let (condition, binds) = self.translate();
            // One more than may be looked at, to know whether there is one more.
            let rest = self.limits.examined.saturating_sub(skip).saturating_add(1);
            let part = Part {
                skip,
                count: batch.min(rest),
            };
            let statement = documents(way, self.scope, direction, &condition, binds, part);
            let mut rows = statement.query::<FoundRow>()?.fetch(&mut *db);
            let mut count = 0;
            while let Some(row) = rows.try_next().await? {
                count += 1;
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
                let (Some(id), Some(assembly), Some(time), Some(size), Some(body)) = row else {
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
                    return Ok(());
                }
            }
            if count < part.count {
                return Ok(());
            }
            skip += count;
            batch = batch.saturating_mul(8);
        }
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
        db: &mut PgConnection,
        search: &Search,
    ) -> Result<Vec<Document>, Stop> {
        self.look(db).await?;
        let (condition, _) = self.translate();
        if search.limit == 0 || condition == Truth::Never {
            return Ok(Vec::new());
        }
        let ways = Ways::of(self.query, self.sort, self.scope, &self.indexes);
        let (way, in_order) = self.choose(db, &ways, Purpose::First).await?;
        self.follow(db, search, &way, in_order).await
    }

    /// Finds the documents along a way.
    async fn follow(
        &mut self,
        db: &mut PgConnection,
        search: &Search,
        way: &Way,
        in_order: bool,
    ) -> Result<Vec<Document>, Stop> {
        let enough = search.skip.saturating_add(search.limit);
        let direction = search.sort.direction;
        let mut found = Vec::new();
        if in_order {
            let mut matching = 0;
            let batch = enough.max(FIRST_BATCH);
            self.each(db, way, direction, batch, |reading, document, size| {
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
        self.each(db, way, direction, u64::MAX, |_, document, size| {
            first.take(&document, size)?;
            Ok(true)
        })
        .await?;
        self.fetch(db, first.into_order(search.skip)).await
    }

    /// The documents with these identifiers and sizes, in this order.
    async fn fetch(
        &mut self,
        db: &mut PgConnection,
        wanted: Vec<(DocumentId, i64)>,
    ) -> Result<Vec<Document>, Stop> {
        for (_, size) in &wanted {
            self.found(u64::try_from(*size).unwrap_or(0))?;
        }
        let ids: Vec<&[u8]> = wanted
            .iter()
            .map(|(id, _)| id.as_bytes().as_slice())
            .collect();
        let rows: Vec<DocumentRow> = sqlx::query_as(FETCH)
            .bind(self.scope.user.get())
            .bind(ids)
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

    async fn count(&mut self, db: &mut PgConnection) -> Result<u64, Stop> {
        self.look(db).await?;
        let (condition, mut binds) = self.translate();
        if condition == Truth::Never {
            return Ok(0);
        }
        let ways = Ways::of(self.query, None, self.scope, &self.indexes);
        let (way, _) = self.choose(db, &ways, Purpose::All).await?;
        if ways.is_exact
            && let Some((sql, values)) = way::count(&ways, &way, self.scope)
        {
            let statement = Statement { sql, values };
            let counted: (i64,) = statement.query()?.fetch_one(db).await?;
            return Ok(u64::try_from(counted.0).unwrap_or(0));
        }
        if let Truth::Sql(condition) = &condition {
            let from = way::documents(&way, self.scope, &mut binds).from;
            let most = binds.add(number(self.limits.examined.saturating_add(1)));
            let statement = Statement {
                sql: format!(
                    "SELECT count(*), count(*) FILTER (WHERE fits), count(*) FILTER (WHERE fits IS NULL)
                    FROM (SELECT ({condition}) AS fits
                        FROM (SELECT w.*, {} AS j
                            FROM (SELECT d.id, d.assembly, d.time, d.body {from} LIMIT {most}) w
                            OFFSET 0) d) f",
                    as_jsonb!("w.body")
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
        let mut count = 0;
        self.each(db, &way, Direction::Ascending, u64::MAX, |_, _, _| {
            count += 1;
            Ok(true)
        })
        .await?;
        Ok(count)
    }

    async fn distinct(&mut self, db: &mut PgConnection, path: &Path) -> Result<Vec<Value>, Stop> {
        self.look(db).await?;
        if self.translate().0 == Truth::Never {
            return Ok(Vec::new());
        }
        let ways = Ways::of(self.query, None, self.scope, &self.indexes);
        let (way, _) = self.choose(db, &ways, Purpose::All).await?;
        let mut values = BTreeMap::<SortKey, (DocumentId, Value)>::new();
        let direction = Direction::Ascending;
        self.each(db, &way, direction, u64::MAX, |reading, document, _| {
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

    /// Says what became of the query.
    fn end<T>(
        self,
        lent: ForQuery<'_>,
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
        Ok(match result {
            Err(_) => {
                lent.abandon();
                Searched::TooMuch(ScanLimit::Time, scan)
            }
            Ok(Err(Stop::Failed(failure))) => return Err(failure.into()),
            Ok(Err(Stop::Limit(limit))) => Searched::TooMuch(limit, scan),
            Ok(Ok(_)) if is_late => Searched::TooMuch(ScanLimit::Time, scan),
            Ok(Ok(found)) => Searched::Found(found, scan),
        })
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

/// Begins a transaction. Given back, the connection is rolled back, for which nobody waits.
async fn begin<'l>(
    lent: &'l mut ForQuery<'_>,
    limits: ScanLimits,
) -> Result<Transaction<'l, sqlx::Postgres>, Stop> {
    let begin = AssertSqlSafe(beginning(limits));
    Ok(lent.connection().begin_with(begin).await?)
}

pub(super) async fn search(
    database: &Database,
    scope: Scope,
    search: &Search,
    limits: ScanLimits,
) -> Result<Searched<Vec<Document>>, StoreError> {
    let mut lent = database.for_query().await?;
    let mut reading = Reading::new(scope, &search.query, Some(&search.sort), limits);
    let read = async {
        let mut db = begin(&mut lent, limits).await?;
        reading.search(&mut db, search).await
    };
    let result = timeout(limits.time, read).await;
    reading.end(lent, result)
}

pub(super) async fn count(
    database: &Database,
    scope: Scope,
    query: &Query,
    limits: ScanLimits,
) -> Result<Searched<u64>, StoreError> {
    let mut lent = database.for_query().await?;
    let mut reading = Reading::new(scope, query, None, limits);
    let read = async {
        let mut db = begin(&mut lent, limits).await?;
        reading.count(&mut db).await
    };
    let result = timeout(limits.time, read).await;
    reading.end(lent, result)
}

pub(super) async fn distinct(
    database: &Database,
    scope: Scope,
    query: &Query,
    path: &Path,
    limits: ScanLimits,
) -> Result<Searched<Vec<Value>>, StoreError> {
    let mut lent = database.for_query().await?;
    let mut reading = Reading::new(scope, query, None, limits);
    let read = async {
        let mut db = begin(&mut lent, limits).await?;
        reading.distinct(&mut db, path).await
    };
    let result = timeout(limits.time, read).await;
    reading.end(lent, result)
}

/// What is found along each way there is.
#[cfg(test)]
pub(in super::super) async fn along_all_ways(
    database: &Database,
    scope: Scope,
    search: &Search,
) -> Vec<(String, Vec<Document>)> {
    let limits = pinyto_core::testing::given::NO_SCAN_LIMITS;
    let mut lent = database.for_query().await.unwrap();
    let begun = begin(&mut lent, limits).await;
    let Ok(mut db) = begun else {
        panic!("no transaction");
    };
    let mut reading = Reading::new(scope, &search.query, Some(&search.sort), limits);
    assert!(reading.look(&mut db).await.is_ok());
    let ways = Ways::of(&search.query, reading.sort, scope, &reading.indexes);
    let mut along = Vec::new();
    for (way, in_order) in ways.all() {
        let found = reading.follow(&mut db, search, &way, in_order).await;
        let Ok(found) = found else {
            panic!("{way:?} doesn't end");
        };
        along.push((format!("{way:?}"), found));
    }
    along
}

/// The indexes that PostgreSQL uses for the statement that a search makes, and the steps that go
/// through a whole table or sort.
#[cfg(test)]
pub(in super::super) async fn explain(
    database: &Database,
    scope: Scope,
    search: &Search,
) -> (Vec<String>, Vec<String>) {
    let limits = pinyto_core::testing::given::NO_SCAN_LIMITS;
    let mut lent = database.for_query().await.unwrap();
    let Ok(mut db) = begin(&mut lent, limits).await else {
        panic!("no transaction");
    };
    let mut reading = Reading::new(scope, &search.query, Some(&search.sort), limits);
    assert!(reading.look(&mut db).await.is_ok());
    let ways = Ways::of(&search.query, reading.sort, scope, &reading.indexes);
    let Ok((way, _)) = reading.choose(&mut db, &ways, Purpose::First).await else {
        panic!("no way");
    };
    let (condition, binds) = reading.translate();
    let direction = search.sort.direction;
    let part = Part {
        skip: 0,
        count: FIRST_BATCH,
    };
    let Statement { sql, values } = documents(&way, scope, direction, &condition, binds, part);
    let sql = format!("EXPLAIN (COSTS OFF) {sql}");
    let statement = Statement { sql, values };
    let steps: Vec<(String,)> = statement
        .query()
        .unwrap()
        .fetch_all(&mut *db)
        .await
        .unwrap();
    let (mut indexes, mut others) = (Vec::new(), Vec::new());
    for (step,) in steps {
        let step = step.trim().trim_start_matches("->").trim();
        if let Some((_, index)) = step.split_once(" using ") {
            indexes.extend(index.split_whitespace().next().map(str::to_owned));
        } else if step.contains("Seq Scan") || step == "Sort" || step.contains("Bitmap") {
            others.push(step.to_owned());
        }
    }
    (indexes, others)
}
