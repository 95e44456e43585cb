//! Queries: finding the way, going it within limits, and asking the evaluator where SQL doesn't
//! know.

mod at_once;
#[cfg(test)]
pub(in super::super) mod explain;
mod statement;

use std::time::Duration;

use futures_util::{FutureExt as _, TryStreamExt as _, future::BoxFuture};
use pinyto_core::{
    document::{DocumentId, Scan, ScanLimit, ScanLimits, Scope, Search, Searched},
    query::{Direction, Path, Query, Sort, Stopped},
    store::StoreError,
};
use sqlx::{SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    task::yield_now,
    time::{Instant, error::Elapsed, timeout},
};

use super::{
    super::{
        error::Failure,
        pool::{Lent, Readers},
    },
    body,
    change::hexadecimal,
    dialect::Sqlite,
};
use crate::{
    query::{
        column::{FIRST_TIME, LAST_TIME},
        dialect::{Bind, Binds, Truth},
        evaluation::Evaluations,
        gather::{Answer, Bytes, Counted, Distinct, First, Gather, InOrder, Rows},
        judge::Judge,
        pushdown::translate,
        stop::Stop,
        way::{Indexes, Purpose, Way, Ways},
    },
    row::{
        Corrupt,
        document::{BODY, DocumentRow},
    },
};
use statement::{Found, FoundRow, ReadAhead, Statement, documents};

/// After how long others get their turn.
const TURN: Duration = Duration::from_millis(1);

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => Self::Sql(error),
            Failure::Corrupt(corrupt) => Self::Corrupt(corrupt),
        }
    }
}

/// Why a query ends without an answer.
enum End {
    Stop(Stop),
    /// A long body was left out: begin again where such are not read ahead.
    LeftOut,
}

impl<E: Into<Stop>> From<E> for End {
    fn from(stop: E) -> Self {
        Self::Stop(stop.into())
    }
}

/// A user's indexes that are ready, and last whether any time is out of order.
macro_rules! indexes {
    () => {
        "SELECT id, path, traits FROM pinyto_indexes WHERE user_id = ?1 AND state = 'ready'
        UNION ALL
        SELECT 0, '', EXISTS (SELECT 1 FROM pinyto_documents WHERE user_id = ?1 AND time < ?2)
                   OR EXISTS (SELECT 1 FROM pinyto_documents WHERE user_id = ?1 AND time > ?3)"
    };
}

/// The answer is from one moment. (One statement's text, because each that SQLite's thread is sent
/// costs two changes of thread.)
const BEGIN: &str = concat!("BEGIN; ", indexes!());

/// How many rows without long bodies SQLite's thread may be ahead.
const ROWS_AHEAD: usize = 32;

const COMMIT: &str = "COMMIT";

/// What SQLite says to a [`COMMIT`] of what is over already.
const IS_OVER: &str = "cannot commit - no transaction is active";

const FETCH: &str = concat!(
    "SELECT d.id, d.assembly, d.time, ",
    body!(),
    " AS body FROM pinyto_documents d
    WHERE d.user_id = ?1 AND d.id IN (SELECT unhex(value) FROM json_each(?2))"
);

#[cfg(test)]
pub(in super::super) const STATEMENTS: &[&str] = &[indexes!(), FETCH];

/// The connections for queries.
pub(in super::super) struct Connections {
    far_ahead: Readers,
    careful: Readers,
}

impl Connections {
    /// For so many queries at once. `options` is asked how to connect when so many rows are to be
    /// read ahead.
    pub(in super::super) fn new(
        at_once: u32,
        patience: Duration,
        options: impl Fn(usize) -> SqliteConnectOptions,
    ) -> Self {
        Self {
            far_ahead: Readers::new(options(ROWS_AHEAD), at_once, patience),
            careful: Readers::new(options(2), at_once.div_ceil(2), patience),
        }
    }

    fn of(&self, read_ahead: ReadAhead) -> &Readers {
        match read_ahead {
            ReadAhead::Many => &self.far_ahead,
            ReadAhead::Few => &self.careful,
        }
    }

    /// Those for documents that may be long.
    pub(super) const fn careful(&self) -> &Readers {
        &self.careful
    }

    pub(in super::super) async fn close(&self) {
        self.far_ahead.close().await;
        self.careful.close().await;
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
    indexes: Indexes,
    read_ahead: ReadAhead,
    /// Whether the transaction is known to be over.
    is_over: bool,
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
            read_ahead: ReadAhead::Many,
            is_over: false,
            evaluations,
        }
    }

    /// Begins a transaction and looks at what there is.
    async fn begin(&mut self, db: &mut SqliteConnection) -> Result<(), End> {
        self.is_over = false;
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(BEGIN)
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

    fn documents(
        &self,
        way: &Way,
        direction: Direction,
        condition: &Truth,
        binds: Binds,
    ) -> Statement {
        documents(
            way,
            self.scope,
            direction,
            condition,
            self.read_ahead,
            binds,
        )
    }

    /// The way to take, and whether it has the order that is wanted.
    async fn choose(
        &self,
        db: &mut SqliteConnection,
        ways: &Ways,
        purpose: Purpose,
    ) -> Result<(Way, bool), End> {
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
        let statement = Statement::new(lengths.join(" UNION ALL "), binds.into_values());
        let mut lengths: Vec<(i64, i64)> = statement.query()?.fetch_all(db).await?;
        lengths.sort_unstable();
        let lengths: Vec<i64> = lengths.into_iter().map(|(_, length)| length).collect();
        Ok(ways.choose(purpose, &lengths))
    }

    /// When the time is over; none if that is beyond all time.
    fn deadline(&self) -> Option<Instant> {
        self.since.checked_add(self.limits.time)
    }

    /// Looks at one more document, within the limits, and has it taken if it matches; also says
    /// whether more are wanted. `turn` is when others had theirs.
    async fn take<G: Gather>(
        &mut self,
        row: FoundRow,
        judge: &mut Judge<'_>,
        gather: G,
        turn: &mut Instant,
    ) -> Result<(G, bool), End> {
        if self.examined >= self.limits.examined {
            return Err(Stop::Limit(ScanLimit::Examined).into());
        }
        self.examined += 1;
        if self.since.elapsed() > self.limits.time {
            return Err(Stop::Limit(ScanLimit::Time).into());
        }
        if turn.elapsed() > TURN {
            yield_now().await;
            *turn = Instant::now();
        }
        match Found::new(row) {
            Found::No => Ok((gather, true)),
            Found::TooLong => Err(End::LeftOut),
            Found::Candidate(candidate) => Ok(judge.judge(candidate, gather).await?),
        }
    }

    /// Has each document taken that matches, until there are enough. The transaction ends with a
    /// statement that is the [last](Statement::last) one, if all its rows are taken.
    async fn each<G: Gather>(
        &mut self,
        db: &mut SqliteConnection,
        statement: Statement,
        mut gather: G,
    ) -> Result<G, End> {
        let mut judge = Judge::new(self.evaluations, self.query, self.deadline());
        let (is_last, mut rows_left) = (statement.is_last, statement.limit);
        let mut rows = statement.query::<FoundRow>()?.fetch(db);
        let mut turn = Instant::now();
        loop {
            let Some(row) = rows.try_next().await? else {
                self.is_over = is_last;
                break;
            };
            rows_left = rows_left.map(|left| left.saturating_sub(1));
            let wants_more;
            (gather, wants_more) = self.take(row, &mut judge, gather, &mut turn).await?;
            // After the last row there is the end of the transaction.
            if !wants_more && rows_left != Some(0) {
                break;
            }
        }
        Ok(gather)
    }

    async fn search<A: Answer>(
        &mut self,
        db: &mut SqliteConnection,
        search: &Search,
    ) -> Result<A, End> {
        self.begin(db).await?;
        if search.limit == 0 {
            return Ok(A::default());
        }
        let mut ways = Ways::of(self.query, self.sort, self.scope, &self.indexes);
        if let Some(way) = ways.at_once()
            && self.takes_at_once(search)
        {
            if let Some(answer) = self.at_once(db, search, way).await? {
                return Ok(answer);
            }
            self.examined = 0;
            self.begin(db).await?;
            ways = Ways::of(self.query, self.sort, self.scope, &self.indexes);
        }
        let (condition, binds) = self.translate();
        if condition == Truth::Never {
            return Ok(A::default());
        }
        let (way, in_order) = self.choose(db, &ways, Purpose::First).await?;
        let is_exact = ways.leads_to_nothing_else(&way);
        self.follow(db, search, (&way, in_order, is_exact), &condition, binds)
            .await
    }

    /// Finds the documents along a way, of which is known whether it gives them in the order that is
    /// wanted, and whether all it leads to match.
    async fn follow<A: Answer>(
        &mut self,
        db: &mut SqliteConnection,
        search: &Search,
        (way, in_order, is_exact): (&Way, bool, bool),
        condition: &Truth,
        binds: Binds,
    ) -> Result<A, End> {
        let enough = search.skip.saturating_add(search.limit);
        let direction = search.sort.direction;
        let mut statement = self.documents(way, direction, condition, binds);
        if in_order {
            if is_exact {
                statement = statement.limited(enough.min(self.limits.examined.saturating_add(1)));
            }
            let statement = statement.last();
            let in_order = InOrder::new(search, &self.limits);
            let found = self.each(db, statement, in_order).await?;
            return Ok(found.answer);
        }
        let first = First::new(&search.sort, enough);
        let first = self.each(db, statement, first).await?;
        self.fetch(db, first.into_order(search.skip)).await
    }

    /// The documents with these identifiers and sizes, in this order.
    async fn fetch<A: Answer>(
        &self,
        db: &mut SqliteConnection,
        wanted: Vec<(DocumentId, i64)>,
    ) -> Result<A, End> {
        let mut bytes = Bytes::new(&self.limits);
        for (_, size) in &wanted {
            bytes.found(u64::try_from(*size).unwrap_or(0))?;
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
        let rows = Rows { rows, wanted };
        Ok(rows.answer(self.evaluations, self.deadline()).await?)
    }

    async fn count(&mut self, db: &mut SqliteConnection) -> Result<u64, End> {
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
            let counted: (i64,) = Statement::from(statement).query()?.fetch_one(db).await?;
            return Ok(u64::try_from(counted.0).unwrap_or(0));
        }
        let direction = Direction::Ascending;
        if let Truth::Sql(condition) = &condition {
            let mut binds = self.translate().1;
            let from = way.sql(self.scope, direction, &mut binds).from;
            let most = self.limits.examined.saturating_add(1);
            let most = binds.add(Bind::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
            let statement = Statement::new(
                format!(
                    "SELECT count(*), coalesce(sum(fits IS 1), 0), coalesce(sum(fits IS NULL), 0)
                    FROM (SELECT ({condition}) AS fits {from} LIMIT {most} + 0)"
                ),
                binds.into_values(),
            );
            let (examined, fitting, unknown): (i64, i64, i64) =
                statement.query()?.fetch_one(&mut *db).await?;
            let examined = u64::try_from(examined).unwrap_or(0);
            if examined > self.limits.examined {
                self.examined = self.limits.examined;
                return Err(Stop::Limit(ScanLimit::Examined).into());
            }
            if unknown == 0 {
                self.examined = examined;
                return Ok(u64::try_from(fitting).unwrap_or(0));
            }
        }
        let statement = self.documents(&way, direction, &condition, binds);
        let counted = self.each(db, statement.last(), Counted::default()).await?;
        Ok(counted.0)
    }

    async fn distinct(&mut self, db: &mut SqliteConnection, path: &Path) -> Result<Distinct, End> {
        self.begin(db).await?;
        let (condition, binds) = self.translate();
        let distinct = Distinct::new(path, &self.limits);
        if condition == Truth::Never {
            return Ok(distinct);
        }
        let ways = Ways::of(self.query, None, self.scope, &self.indexes);
        let (way, _) = self.choose(db, &ways, Purpose::All).await?;
        let statement = self.documents(&way, Direction::Ascending, &condition, binds);
        self.each(db, statement.last(), distinct).await
    }

    /// Asks, and if there are long documents on the way, asks once more where such are read one by
    /// one.
    async fn run<T>(
        mut self,
        connections: &Connections,
        ask: impl for<'r> Fn(&'r mut Self, &'r mut SqliteConnection) -> BoxFuture<'r, Result<T, End>>
        + Sync,
    ) -> Result<Searched<T>, StoreError> {
        let mut spent = Duration::ZERO;
        loop {
            let readers = connections.of(self.read_ahead);
            let mut lent = readers.borrow().await?;
            self.since = Instant::now();
            let db = lent.connection().map_err(Failure::from)?;
            let result = timeout(self.limits.time, ask(&mut self, db)).await;
            if let Some(searched) = self.end(readers, lent, result).await? {
                return Ok(searched.with_more_work(spent));
            }
            spent += self.since.elapsed();
            self.limits.time = self.limits.time.saturating_sub(spent);
            self.examined = 0;
            self.read_ahead = ReadAhead::Few;
        }
    }

    /// Gives the connection back, if it is worth it, and says what became of the query; nothing
    /// if it has to be asked again.
    async fn end<T>(
        &self,
        readers: &Readers,
        mut lent: Lent,
        result: Result<Result<T, End>, Elapsed>,
    ) -> Result<Option<Searched<T>>, StoreError> {
        let work = self.since.elapsed();
        let is_indexed = |path: &Path| self.indexes.has(path);
        let is_given_up = work > self.limits.time
            || matches!(
                result,
                Err(_)
                    | Ok(Err(End::Stop(
                        Stop::Limit(ScanLimit::Time | ScanLimit::Examined)
                            | Stop::Evaluation(Stopped::Interrupted)
                    )))
            );
        let (examined, query, sort) = (self.examined, self.query, self.sort);
        let scan = if is_given_up {
            Scan::given_up(examined, work, query, sort, is_indexed)
        } else {
            Scan::new(examined, work, query, sort, is_indexed)
        };
        let searched = match result {
            // A connection that is not given back stops what it is doing.
            Err(_) => return Ok(Some(Searched::TooMuch(ScanLimit::Time, scan))),
            Ok(Err(End::Stop(Stop::Sql(error)))) => return Err(named(error.into()).into()),
            Ok(Err(End::Stop(Stop::Corrupt(corrupt)))) => return Err(corrupt.into()),
            Ok(Err(End::Stop(Stop::Limit(limit)))) => Some(Searched::TooMuch(limit, scan)),
            Ok(Err(End::Stop(Stop::Evaluation(stopped)))) => {
                Some(Searched::TooMuch(stopped.into(), scan))
            }
            Ok(_) if work > self.limits.time => Some(Searched::TooMuch(ScanLimit::Time, scan)),
            Ok(Err(End::LeftOut)) => None,
            Ok(Ok(found)) => Some(Searched::Found(found, scan)),
        };
        if self.is_over || ended(lent.connection()).await {
            readers.take_back(lent);
        }
        Ok(searched)
    }
}

/// Whether no transaction is open any more.
async fn ended(connection: Result<&mut SqliteConnection, sqlx::Error>) -> bool {
    let Ok(db) = connection else {
        return false;
    };
    match sqlx::query(COMMIT).execute(db).await {
        Ok(_) => true,
        Err(sqlx::Error::Database(error)) => error.message() == IS_OVER,
        Err(_) => false,
    }
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

pub(super) async fn search<A: Answer>(
    connections: &Connections,
    evaluations: &Evaluations,
    scope: Scope,
    search: &Search,
    limits: ScanLimits,
) -> Result<Searched<A>, StoreError> {
    let (query, sort) = (&search.query, Some(&search.sort));
    Reading::new(scope, query, sort, limits, evaluations)
        .run(connections, |reading, db| {
            reading.search(db, search).boxed()
        })
        .await
}

pub(super) async fn count(
    connections: &Connections,
    evaluations: &Evaluations,
    scope: Scope,
    query: &Query,
    limits: ScanLimits,
) -> Result<Searched<u64>, StoreError> {
    Reading::new(scope, query, None, limits, evaluations)
        .run(connections, |reading, db| reading.count(db).boxed())
        .await
}

/// The texts of the values, in order.
pub(super) async fn distinct(
    connections: &Connections,
    evaluations: &Evaluations,
    scope: Scope,
    query: &Query,
    path: &Path,
    limits: ScanLimits,
) -> Result<Searched<impl Iterator<Item = String> + use<>>, StoreError> {
    let searched = Reading::new(scope, query, None, limits, evaluations)
        .run(connections, |reading, db| {
            reading.distinct(db, path).boxed()
        })
        .await?;
    Ok(searched.map(Distinct::into_texts))
}
