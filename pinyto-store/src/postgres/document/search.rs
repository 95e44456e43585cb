//! Queries: finding the way, going it within limits, and asking the evaluator where SQL doesn't
//! know.

#[cfg(test)]
pub(in super::super) mod explain;

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use futures_util::TryStreamExt as _;
use pinyto_core::{
    document::{DocumentId, Scan, ScanLimit, ScanLimits, Scope, Search, Searched},
    query::{Direction, Path, Query, Sort, Stopped},
};
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
        options::millis,
        pool::{self, Database, ForQuery, Row},
    },
    dialect::{Postgres, as_jsonb},
    way::{self, sql_of},
};
use crate::{
    query::{
        column::{FIRST_TIME, LAST_TIME},
        dialect::{Bind, Binds, Truth},
        evaluation::Evaluations,
        gather::{Answer, Bytes, Candidate, Counted, Distinct, First, Gather, InOrder, Rows},
        judge::Judge,
        pushdown::translate,
        stop::Stop,
        way::{Indexes, Purpose, Way, Ways},
    },
    row::document::DocumentRow,
};

/// After how long others get their turn.
const TURN: Duration = Duration::from_millis(1);

/// How many documents are asked for at first, if the first that match are enough; each further
/// time eight times as many.
const FIRST_BATCH: u64 = 16;

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => Self::Sql(error),
            Failure::Corrupt(corrupt) => Self::Corrupt(corrupt),
            Failure::ReadOnly => Self::Sql(sqlx::Error::PoolTimedOut),
        }
    }
}

/// A text of a statement with its values.
struct Statement {
    sql: String,
    values: Vec<Bind>,
}

impl Statement {
    /// Keeps the values that the text refers to. (A translation may leave out again what it took
    /// values for; then what is prepared for a text would differ from one time to the next in the
    /// types of values that nobody needs.)
    fn new(sql: &str, values: Vec<Bind>) -> Self {
        let mut used: HashMap<usize, usize> = HashMap::new();
        let mut kept = Vec::new();
        let mut values: Vec<Option<Bind>> = values.into_iter().map(Some).collect();
        let mut written = String::with_capacity(sql.len());
        let mut pieces = sql.split('$');
        written.extend(pieces.next());
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (reference, rest) = piece.split_at(digits);
            // From 1 on.
            let reference: usize = reference.parse().unwrap_or(0);
            let number = *used.entry(reference).or_insert_with(|| {
                let value = reference.checked_sub(1).and_then(|at| values.get_mut(at));
                kept.extend(value.and_then(Option::take));
                kept.len()
            });
            let _ = write!(written, "${number}{rest}");
        }
        Self {
            sql: written,
            values: kept,
        }
    }

    fn query<R: Row>(self) -> Result<pool::Query<'static, R>, Failure> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            match value {
                Bind::Integer(integer) => arguments.add(integer),
                // Numbers go as decimal digits.
                #[cfg(feature = "sqlite")]
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
/// knows of the number of rows may be old. So a statement of one form has one plan, made once.
fn beginning(limits: ScanLimits) -> String {
    let millis = millis(limits.time);
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
        SET LOCAL statement_timeout = {millis}; \
        SET LOCAL plan_cache_mode = force_generic_plan; \
        SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
        SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off; \
        SET LOCAL jit = off; \
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

/// Which of the documents of a way.
#[derive(Clone, Copy)]
enum Part {
    /// So many of the first that are not left out, in the way's order.
    InOrder { skip: u64, count: u64 },
    /// So many, in any order.
    Any { count: u64 },
}

fn number(number: u64) -> Bind {
    Bind::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A part of the documents of a way. The innermost query goes the way, the next one reads the
/// bodies, once each, the third one checks the condition. Each hands rows on in the order in which it
/// gets them.
fn documents(
    way: &Way,
    scope: Scope,
    direction: Direction,
    condition: &Truth,
    mut binds: Binds,
    part: Part,
) -> Statement {
    let from = way::documents(way, scope, &mut binds);
    let from = match part {
        Part::InOrder { skip, count } => {
            let (first, second) = from.order;
            let direction = sql_of(direction);
            let (skip, count) = (binds.add(number(skip)), binds.add(number(count)));
            format!(
                "{} ORDER BY {first} {direction}, {second} {direction} LIMIT {count} OFFSET {skip}",
                from.from
            )
        }
        Part::Any { count } => format!("{} LIMIT {}", from.from, binds.add(number(count))),
    };
    let rows = format!("SELECT d.id, d.assembly, d.time, d.size, d.body {from}");
    let sql = match condition {
        Truth::Sql(condition) => format!(
            "SELECT CASE WHEN fits IS NOT FALSE THEN id END,
                CASE WHEN fits IS NOT FALSE THEN assembly END,
                CASE WHEN fits IS NOT FALSE THEN time END,
                CASE WHEN fits IS NOT FALSE THEN size END,
                CASE WHEN fits IS NOT FALSE THEN body::text END
            FROM (SELECT d.*, ({condition}) AS fits
                FROM (SELECT w.*, {} AS j FROM ({rows}) w OFFSET 0) d OFFSET 0) f",
            as_jsonb!("w.body")
        ),
        Truth::Always | Truth::Never | Truth::Unknown => {
            format!("SELECT id, assembly, time, size, body::text FROM ({rows}) w")
        }
    };
    Statement::new(&sql, binds.into_values())
}

/// A query on its way.
struct Reading<'a> {
    scope: Scope,
    query: &'a Query,
    sort: Option<&'a Sort>,
    limits: ScanLimits,
    since: Instant,
    examined: u64,
    indexes: Indexes,
    evaluations: &'a Evaluations,
}

impl<'a> Reading<'a> {
    fn new(
        scope: Scope,
        query: &'a Query,
        sort: Option<&'a Sort>,
        limits: ScanLimits,
        evaluations: &'a Evaluations,
    ) -> Self {
        Self {
            scope,
            query,
            sort,
            limits,
            since: Instant::now(),
            examined: 0,
            indexes: Indexes::default(),
            evaluations,
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
        let statement = Statement::new(&lengths.join(" UNION ALL "), binds.into_values());
        let mut lengths: Vec<(i64, i64)> = statement.query()?.fetch_all(db).await?;
        lengths.sort_unstable();
        let lengths: Vec<i64> = lengths.into_iter().map(|(_, length)| length).collect();
        Ok(ways.choose(purpose, &lengths))
    }

    /// When the time is over; none if that is beyond all time.
    fn deadline(&self) -> Option<Instant> {
        self.since.checked_add(self.limits.time)
    }

    /// Has each document of a way taken that matches, until there are enough: in the way's order,
    /// if `batch` says how many are asked for at first.
    async fn each<G: Gather>(
        &mut self,
        db: &mut PgConnection,
        way: &Way,
        direction: Direction,
        mut batch: Option<u64>,
        mut gather: G,
    ) -> Result<G, Stop> {
        let (condition, _) = self.translate();
        // A count that comes here has been left open by SQL for some documents.
        let all_match = condition == Truth::Always;
        let mut judge = Judge::new(self.evaluations, self.query, self.deadline());
        let mut turn = Instant::now();
        let mut skip = 0;
        loop {
            let (_, binds) = self.translate();
            // One more than may be looked at, to know whether there is one more.
            let rest = self.limits.examined.saturating_sub(skip).saturating_add(1);
            let asked = batch.unwrap_or(u64::MAX).min(rest);
            let part = match batch {
                Some(_) => Part::InOrder { skip, count: asked },
                None => Part::Any { count: asked },
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
                if turn.elapsed() > TURN {
                    yield_now().await;
                    turn = Instant::now();
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
                let mut candidate = Candidate::new(row, size);
                if all_match {
                    candidate = candidate.known_to_match();
                }
                let wants_more;
                (gather, wants_more) = judge.judge(candidate, gather).await?;
                if !wants_more {
                    return Ok(gather);
                }
            }
            if count < asked {
                return Ok(gather);
            }
            skip += count;
            batch = batch.map(|batch| batch.saturating_mul(8));
        }
    }

    async fn search<A: Answer>(
        &mut self,
        db: &mut PgConnection,
        search: &Search,
    ) -> Result<A, Stop> {
        self.look(db).await?;
        let (condition, _) = self.translate();
        if search.limit == 0 || condition == Truth::Never {
            return Ok(A::default());
        }
        let ways = Ways::of(self.query, self.sort, self.scope, &self.indexes);
        let (way, in_order) = self.choose(db, &ways, Purpose::First).await?;
        self.follow(db, search, &way, in_order).await
    }

    /// Finds the documents along a way.
    async fn follow<A: Answer>(
        &mut self,
        db: &mut PgConnection,
        search: &Search,
        way: &Way,
        in_order: bool,
    ) -> Result<A, Stop> {
        let enough = search.skip.saturating_add(search.limit);
        let direction = search.sort.direction;
        if in_order {
            let in_order = InOrder::new(search, &self.limits);
            let batch = Some(enough.max(FIRST_BATCH));
            let found = self.each(db, way, direction, batch, in_order).await?;
            return Ok(found.answer);
        }
        let first = First::new(&search.sort, enough);
        let first = self.each(db, way, direction, None, first).await?;
        self.fetch(db, first.into_order(search.skip)).await
    }

    /// The documents with these identifiers and sizes, in this order.
    async fn fetch<A: Answer>(
        &self,
        db: &mut PgConnection,
        wanted: Vec<(DocumentId, i64)>,
    ) -> Result<A, Stop> {
        let mut bytes = Bytes::new(&self.limits);
        for (_, size) in &wanted {
            bytes.found(u64::try_from(*size).unwrap_or(0))?;
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
        let rows = Rows { rows, wanted };
        rows.answer(self.evaluations, self.deadline()).await
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
            let statement = Statement::new(&sql, values);
            let counted: (i64,) = statement.query()?.fetch_one(db).await?;
            return Ok(u64::try_from(counted.0).unwrap_or(0));
        }
        if let Truth::Sql(condition) = &condition {
            let from = way::documents(&way, self.scope, &mut binds).from;
            let most = binds.add(number(self.limits.examined.saturating_add(1)));
            let sql = format!(
                    "SELECT count(*), count(*) FILTER (WHERE fits), count(*) FILTER (WHERE fits IS NULL)
                    FROM (SELECT ({condition}) AS fits
                        FROM (SELECT w.*, {} AS j
                            FROM (SELECT d.id, d.assembly, d.time, d.body {from} LIMIT {most}) w
                            OFFSET 0) d) f",
                    as_jsonb!("w.body")
                );
            let statement = Statement::new(&sql, binds.into_values());
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
        let counted = Counted::default();
        let direction = Direction::Ascending;
        let counted = self.each(db, &way, direction, None, counted).await?;
        Ok(counted.0)
    }

    async fn distinct(&mut self, db: &mut PgConnection, path: &Path) -> Result<Distinct, Stop> {
        self.look(db).await?;
        let distinct = Distinct::new(path, &self.limits);
        if self.translate().0 == Truth::Never {
            return Ok(distinct);
        }
        let ways = Ways::of(self.query, None, self.scope, &self.indexes);
        let (way, _) = self.choose(db, &ways, Purpose::All).await?;
        let direction = Direction::Ascending;
        self.each(db, &way, direction, None, distinct).await
    }

    /// Says what became of the query.
    fn end<T>(
        self,
        lent: ForQuery<'_>,
        result: Result<Result<T, Stop>, Elapsed>,
    ) -> Result<Searched<T>, Failure> {
        let work = self.since.elapsed();
        let is_indexed = |path: &Path| self.indexes.has(path);
        let is_late = work > self.limits.time
            || match &result {
                Err(_)
                | Ok(Err(Stop::Limit(ScanLimit::Time) | Stop::Evaluation(Stopped::Interrupted))) => {
                    true
                }
                Ok(Err(Stop::Sql(error))) => trouble(error) == Trouble::Late,
                Ok(_) => false,
            };
        let is_given_up = is_late || matches!(result, Ok(Err(Stop::Limit(ScanLimit::Examined))));
        let (examined, query, sort) = (self.examined, self.query, self.sort);
        let scan = if is_given_up {
            Scan::given_up(examined, work, query, sort, is_indexed)
        } else {
            Scan::new(examined, work, query, sort, is_indexed)
        };
        match &result {
            // Something may still run on it.
            Err(_) => drop(lent),
            Ok(Err(Stop::Sql(error))) => lent.judge(trouble(error)),
            Ok(_) => lent.give_back(),
        }
        Ok(match result {
            Err(_) => Searched::TooMuch(ScanLimit::Time, scan),
            Ok(Err(Stop::Limit(limit))) => Searched::TooMuch(limit, scan),
            Ok(Err(Stop::Evaluation(stopped))) => Searched::TooMuch(stopped.into(), scan),
            Ok(Err(Stop::Sql(error))) if trouble(&error) != Trouble::Late => {
                return Err(error.into());
            }
            Ok(Err(Stop::Corrupt(corrupt))) => return Err(corrupt.into()),
            Ok(Err(Stop::Sql(_))) => Searched::TooMuch(ScanLimit::Time, scan),
            Ok(Ok(_)) if is_late => Searched::TooMuch(ScanLimit::Time, scan),
            Ok(Ok(found)) => Searched::Found(found, scan),
        })
    }
}

/// Begins a transaction. Given back, the connection is rolled back, for which nobody waits. (It
/// can't fail unless the connection does.)
async fn begin<'l>(
    lent: &'l mut ForQuery<'_>,
    limits: ScanLimits,
) -> Result<Transaction<'l, sqlx::Postgres>, Stop> {
    let begin = AssertSqlSafe(beginning(limits));
    Ok(lent.connection()?.begin_with(begin).await?)
}

pub(super) async fn search<A: Answer>(
    database: &Database,
    evaluations: &Evaluations,
    scope: Scope,
    search: &Search,
    limits: ScanLimits,
) -> Result<Searched<A>, Failure> {
    let mut lent = database.for_query().await?;
    let (query, sort) = (&search.query, Some(&search.sort));
    let mut reading = Reading::new(scope, query, sort, limits, evaluations);
    let read = async {
        let mut db = begin(&mut lent, limits).await?;
        reading.search(&mut db, search).await
    };
    let result = timeout(limits.time, read).await;
    reading.end(lent, result)
}

pub(super) async fn count(
    database: &Database,
    evaluations: &Evaluations,
    scope: Scope,
    query: &Query,
    limits: ScanLimits,
) -> Result<Searched<u64>, Failure> {
    let mut lent = database.for_query().await?;
    let mut reading = Reading::new(scope, query, None, limits, evaluations);
    let read = async {
        let mut db = begin(&mut lent, limits).await?;
        reading.count(&mut db).await
    };
    let result = timeout(limits.time, read).await;
    reading.end(lent, result)
}

/// The texts of the values, in order.
pub(super) async fn distinct(
    database: &Database,
    evaluations: &Evaluations,
    scope: Scope,
    query: &Query,
    path: &Path,
    limits: ScanLimits,
) -> Result<Searched<impl Iterator<Item = String> + use<>>, Failure> {
    let mut lent = database.for_query().await?;
    let mut reading = Reading::new(scope, query, None, limits, evaluations);
    let read = async {
        let mut db = begin(&mut lent, limits).await?;
        reading.distinct(&mut db, path).await
    };
    let result = timeout(limits.time, read).await;
    Ok(reading.end(lent, result)?.map(Distinct::into_texts))
}
