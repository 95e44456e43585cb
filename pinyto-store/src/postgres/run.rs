use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use pinyto_core::{
    Page,
    assembly::{AssemblyName, AssemblyRef},
    clock::Timestamp,
    id::UserId,
    run::{
        BatchId, CpuBooking, HourUsage, Recorded, Run, RunBatch, RunId, RunRepository,
        RunRetention, WRITER_MEMORY,
    },
    store::StoreError,
};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Intent, PostgresStore,
    error::{Failure, Trouble},
    lock::{GIVE_UP_WAITING, Lock, wait_for},
};
use crate::row::run::{NewRun, RunRow, figure, nanos};

macro_rules! select_runs {
    ($($rest:tt)+) => {
        concat!(
            "SELECT id, user_id, assembly_id, assembly, part_kind, part, started_at,
                    duration_nanos, cpu_nanos, failure_kind, failure_message, failure_line,
                    output, truncated, attempt
             FROM pinyto.runs WHERE ",
            $($rest)+
        )
    };
}
pub(super) use select_runs;

/// The run $2 of `$user`.
macro_rules! find_run {
    ($user:literal) => {
        $crate::postgres::run::select_runs!("id = $2 AND user_id = ", $user)
    };
}
pub(super) use find_run;

/// Of `$user`'s runs, only those of $2 unless that is null, $4 after the first $3.
macro_rules! runs_of_user {
    ($user:literal) => {
        $crate::postgres::run::select_runs!(
            "user_id = ",
            $user,
            " AND ($2::text IS NULL OR assembly = $2) ORDER BY id DESC LIMIT $4 OFFSET $3"
        )
    };
}
pub(super) use runs_of_user;

/// Of the runs of `$assembly`, `$count` after the first `$skip`.
macro_rules! runs_of_assembly {
    ($assembly:literal, $skip:literal, $count:literal) => {
        $crate::postgres::run::select_runs!(
            "assembly_id = ",
            $assembly,
            " ORDER BY id DESC LIMIT ",
            $count,
            " OFFSET ",
            $skip
        )
    };
}
pub(super) use runs_of_assembly;

const FIND: &str = find_run!("$1");

const LIST_OF_USER: &str = runs_of_user!("$1");

const OWN_ASSEMBLY: &str = "SELECT id FROM pinyto.assemblies WHERE author_id = $1 AND name = $2";

const LIST_OF_ASSEMBLY: &str = runs_of_assembly!("$1", "$2", "$3");

const HOUR_USAGE: &str = "
    SELECT id, hour, hour_cpu_nanos FROM pinyto.users WHERE id = ANY($1) AND hour IS NOT NULL";

struct Record {
    id: BatchId,
    now: Timestamp,
    /// A JSON array of [`NewRun`].
    runs: String,
    of_runs: BTreeSet<UserId>,
    bookings: Bookings,
    waits: bool,
    per_user: i64,
    oldest: Timestamp,
}

/// What is booked for each user: all of it, the last hour of it, and how much of it is for that
/// hour; each as an array.
#[derive(Default)]
struct Bookings {
    users: Vec<i64>,
    totals: Vec<i64>,
    hours: Vec<i64>,
    of_hour: Vec<i64>,
}

impl Bookings {
    fn new(cpu: &[CpuBooking]) -> Self {
        let mut of_users = BTreeMap::<UserId, BTreeMap<i64, i64>>::new();
        for booking in cpu {
            let hours = of_users.entry(booking.user).or_default();
            let nanos_of_hour = hours.entry(booking.hour).or_default();
            *nanos_of_hour = nanos_of_hour.saturating_add(nanos(booking.used));
        }
        let mut bookings = Self::default();
        for (user, hours) in of_users {
            let total = hours.values().copied().fold(0, i64::saturating_add);
            if let Some((hour, nanos)) = hours.into_iter().next_back() {
                bookings.users.push(user.get());
                bookings.totals.push(total);
                bookings.hours.push(hour);
                bookings.of_hour.push(nanos);
            }
        }
        bookings
    }
}

/// Waits for nobody.
const FORGET_WRITERS: &str = "
    DELETE FROM pinyto.run_writers WHERE id IN (
        SELECT id FROM pinyto.run_writers WHERE recorded_at < $1 FOR UPDATE SKIP LOCKED)";

/// Locks those of the users $4 who are not busy, and says who is and who isn't. Nothing if the batch
/// was recorded already. Waits for nobody but this writer's own batches, and then for no user.
const BEGIN_BATCH: &str = "
    WITH free AS MATERIALIZED (
        SELECT id FROM pinyto.users WHERE id = ANY($4) FOR NO KEY UPDATE SKIP LOCKED),
    begun AS (
        INSERT INTO pinyto.run_writers AS w (id, batch, recorded_at, kept_back)
        VALUES ($1, $2, $3, ARRAY(
            SELECT u.id FROM pinyto.users u
            WHERE u.id = ANY($4) AND u.id NOT IN (SELECT id FROM free)))
        ON CONFLICT (id) DO UPDATE SET batch = excluded.batch,
            recorded_at = excluded.recorded_at, kept_back = excluded.kept_back
        WHERE w.batch < excluded.batch RETURNING w.kept_back)
    SELECT kept_back, ARRAY(SELECT id FROM free) FROM begun";

/// What the batch kept back when it was recorded.
const KEPT_BACK: &str = "SELECT kept_back FROM pinyto.run_writers WHERE id = $1 AND batch = $2";

const INSERT: &str = r#"
    INSERT INTO pinyto.runs (id, user_id, assembly_id, assembly, part_kind, part, started_at,
        duration_nanos, cpu_nanos, failure_kind, failure_message, failure_line, output, truncated,
        attempt)
    SELECT decode(r.id, 'hex'), u.id, r.assembly_id, r.assembly, r.part_kind, r.part, r.started_at,
        r.duration, r.cpu, r.kind, r.message, r.line, r.output, r.truncated, r.attempt
    FROM json_to_recordset($1::json) AS r (id text, "user" bigint, assembly_id bigint,
        assembly text, part_kind text, part text, started_at bigint, duration bigint, cpu bigint,
        kind text, message text, line bigint, output text, truncated boolean, attempt bigint)
    JOIN pinyto.users u ON u.id = r."user" AND u.id = ANY($2)
    ON CONFLICT (user_id, id) DO NOTHING"#;

const TRIM: &str = "
    DELETE FROM pinyto.runs r
    USING (SELECT wanted.user_id, (
               SELECT newest.id FROM pinyto.runs newest WHERE newest.user_id = wanted.user_id
               ORDER BY newest.id DESC LIMIT 1 OFFSET $2) AS last
           FROM unnest($1::bigint[]) AS wanted (user_id) OFFSET 0) AS kept
    WHERE r.user_id = kept.user_id AND (r.id <= kept.last OR r.started_at < $3)";

const BOOK: &str = "
    UPDATE pinyto.users u SET
        cpu_nanos = u.cpu_nanos + least(b.total, 9223372036854775807 - u.cpu_nanos),
        hour_cpu_nanos = CASE
            WHEN u.hour IS NULL OR u.hour < b.hour THEN b.of_hour
            WHEN u.hour = b.hour THEN
                u.hour_cpu_nanos + least(b.of_hour, 9223372036854775807 - u.hour_cpu_nanos)
            ELSE u.hour_cpu_nanos END,
        hour = greatest(u.hour, b.hour)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
        AS b (user_id, total, hour, of_hour)
    WHERE u.id = b.user_id AND u.id = ANY($5)";

#[async_trait]
impl Intent for Record {
    type Outcome = Recorded;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(Vec::new())
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Recorded, Failure> {
        if self.waits {
            self.wait(db).await?;
        }
        let forgotten = self.now.saturating_sub(WRITER_MEMORY);
        sqlx::query(FORGET_WRITERS)
            .bind(forgotten.unix_millis())
            .execute(&mut *db)
            .await?;
        let kept_back = self.begin(db).await?;
        let figures: Vec<(i64, i64, i64)> = sqlx::query_as(HOUR_USAGE)
            .bind(&self.bookings.users)
            .fetch_all(db)
            .await?;
        let mut figures = figures
            .into_iter()
            .map(|(user, hour, nanos)| figure(UserId::new(user), (hour, nanos)))
            .collect::<Result<Vec<_>, _>>()?;
        figures.sort_unstable_by_key(|figure| figure.user);
        let mut recorded = Recorded::new(figures);
        recorded.kept_back = kept_back.into_iter().map(UserId::new).collect();
        Ok(recorded)
    }
}

impl Record {
    fn users(&self) -> BTreeSet<UserId> {
        let booked = self.bookings.users.iter().copied().map(UserId::new);
        booked.chain(self.of_runs.iter().copied()).collect()
    }

    /// Locks the users if that is possible soon. If it is not they are still busy, perhaps.
    async fn wait(&self, db: &mut PgConnection) -> Result<(), Failure> {
        let in_line = sqlx::raw_sql(AssertSqlSafe(wait_for(self.users())));
        match in_line.execute(&mut *db).await.map_err(Failure::from) {
            // (Late, where a statement may take less time than that.)
            Err(failure) if matches!(failure.trouble(), Trouble::Conflict | Trouble::Late) => {
                sqlx::raw_sql(GIVE_UP_WAITING).execute(db).await?;
                Ok(())
            }
            waited => waited.map(drop),
        }
    }

    /// Records what is of users who are not busy, unless that was done before; says who are.
    async fn begin(&self, db: &mut PgConnection) -> Result<Vec<i64>, Failure> {
        let users: Vec<i64> = self.users().into_iter().map(UserId::get).collect();
        let begun: Option<(Vec<i64>, Vec<i64>)> = sqlx::query_as(BEGIN_BATCH)
            .bind(self.id.writer.as_bytes().as_slice())
            .bind(number(self.id.number))
            .bind(self.now.unix_millis())
            .bind(users)
            .fetch_optional(&mut *db)
            .await?;
        if let Some((kept_back, free)) = begun {
            self.record(&free, db).await?;
            return Ok(kept_back);
        }
        let recorded: Option<(Vec<i64>,)> = sqlx::query_as(KEPT_BACK)
            .bind(self.id.writer.as_bytes().as_slice())
            .bind(number(self.id.number))
            .fetch_optional(db)
            .await?;
        Ok(recorded.unwrap_or_default().0)
    }

    async fn record(&self, free: &[i64], db: &mut PgConnection) -> Result<(), Failure> {
        let of_runs = |user: &i64| self.of_runs.contains(&UserId::new(*user));
        let with_runs: Vec<i64> = free.iter().copied().filter(of_runs).collect();
        if !with_runs.is_empty() {
            sqlx::query(INSERT)
                .bind(self.runs.as_str())
                .bind(&with_runs)
                .execute(&mut *db)
                .await?;
            sqlx::query(TRIM)
                .bind(with_runs)
                .bind(self.per_user)
                .bind(self.oldest.unix_millis())
                .execute(&mut *db)
                .await?;
        }
        if !self.bookings.users.is_empty() {
            sqlx::query(BOOK)
                .bind(&self.bookings.users)
                .bind(&self.bookings.totals)
                .bind(&self.bookings.hours)
                .bind(&self.bookings.of_hour)
                .bind(free)
                .execute(db)
                .await?;
        }
        Ok(())
    }
}

pub(super) fn runs(rows: Vec<RunRow>) -> Result<Vec<Run>, StoreError> {
    let runs = rows.into_iter().map(Run::try_from);
    Ok(runs.collect::<Result<_, _>>().map_err(Failure::from)?)
}

pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[async_trait]
impl RunRepository for PostgresStore {
    async fn record(
        &self,
        batch: &RunBatch,
        retention: RunRetention,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let runs: Vec<NewRun<'_>> = batch.runs.iter().map(NewRun::from).collect();
        self.write(Record {
            id: batch.id,
            now,
            // Texts and numbers always become JSON.
            runs: serde_json::to_string(&runs).map_err(StoreError::unavailable)?,
            of_runs: batch.runs.iter().map(|run| run.user).collect(),
            bookings: Bookings::new(&batch.cpu),
            waits: batch.waits,
            per_user: i64::try_from(retention.per_user).unwrap_or(i64::MAX),
            oldest: now.saturating_sub(retention.max_age),
        })
        .await
    }

    async fn hour_usage(&self, user: UserId) -> Result<Option<HourUsage>, StoreError> {
        let find = || sqlx::query_as::<_, (i64, i64, i64)>(HOUR_USAGE).bind([user.get()]);
        let row = self.database.one(find).await?;
        let usage = row.map(|(_, hour, nanos)| figure(user, (hour, nanos)));
        Ok(usage.transpose().map_err(Failure::from)?)
    }

    async fn find(&self, user: UserId, run: RunId) -> Result<Option<Run>, StoreError> {
        let find = || {
            sqlx::query_as::<_, RunRow>(FIND)
                .bind(user.get())
                .bind(run.as_bytes().as_slice())
        };
        let row = self.database.one(find).await?;
        Ok(row.map(Run::try_from).transpose().map_err(Failure::from)?)
    }

    async fn list_of_user(
        &self,
        user: UserId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, StoreError> {
        let list = || {
            sqlx::query_as::<_, RunRow>(LIST_OF_USER)
                .bind(user.get())
                .bind(assembly.map(ToString::to_string))
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        runs(self.database.all(list).await?)
    }

    async fn list_of_author(
        &self,
        author: UserId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<Option<Vec<Run>>, StoreError> {
        let find = || {
            sqlx::query_as::<_, (i64,)>(OWN_ASSEMBLY)
                .bind(author.get())
                .bind(assembly.as_str())
        };
        // Its identity stays hers, whatever happens before the next query.
        let Some((assembly,)) = self.database.one(find).await? else {
            return Ok(None);
        };
        let list = || {
            sqlx::query_as::<_, RunRow>(LIST_OF_ASSEMBLY)
                .bind(assembly)
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        runs(self.database.all(list).await?).map(Some)
    }

    async fn sweep(&self, moment: Timestamp) -> Result<u64, StoreError> {
        self.write(Sweep(moment)).await
    }
}

struct Sweep(Timestamp);

/// Waits for nobody: whatever is locked is being deleted just now.
const SWEEP: &str = "
    DELETE FROM pinyto.runs r USING (
        SELECT user_id, id FROM pinyto.runs WHERE started_at < $1 FOR UPDATE SKIP LOCKED) AS old
    WHERE r.user_id = old.user_id AND r.id = old.id";

#[async_trait]
impl Intent for Sweep {
    type Outcome = u64;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<u64, Failure> {
        let swept = sqlx::query(SWEEP)
            .bind(self.0.unix_millis())
            .execute(db)
            .await?;
        Ok(swept.rows_affected())
    }
}
