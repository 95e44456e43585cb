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
use sqlx::SqliteConnection;

use super::{
    Intent, SqliteStore,
    error::{Corrupt, Failure},
};
use crate::row::run::{NewRun, RunRow, figure, nanos};

macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, assembly_id, assembly, part_kind, part, started_at,
                    duration_nanos, cpu_nanos, failure_kind, failure_message, failure_line,
                    output, truncated, attempt
             FROM pinyto_runs WHERE ",
            $rest
        )
    };
}

pub(super) const FIND: &str = select_runs!("user_id = ?1 AND id = ?2");

pub(super) const LIST_OF_USER: &str = select_runs!(
    "user_id = ?1 AND (?2 IS NULL OR assembly = ?2) ORDER BY id DESC LIMIT ?4 + 0 OFFSET ?3"
);

pub(super) const OWN_ASSEMBLY: &str =
    "SELECT id FROM pinyto_assemblies WHERE author_id = ?1 AND name = ?2";

pub(super) const LIST_OF_ASSEMBLY: &str =
    select_runs!("assembly_id = ?1 ORDER BY id DESC LIMIT ?3 + 0 OFFSET ?2");

pub(super) const HOUR_USAGE: &str =
    "SELECT hour, hour_cpu_nanos FROM pinyto_users WHERE id = ?1 AND hour IS NOT NULL";

struct Record {
    id: BatchId,
    now: Timestamp,
    /// A JSON array of [`NewRun`].
    runs: String,
    users: BTreeSet<UserId>,
    cpu: Vec<CpuBooking>,
    per_user: i64,
    oldest: Timestamp,
}

/// A run that is there already was written by a commit that seemed to fail.
pub(super) const INSERT: &str = "
    INSERT INTO pinyto_runs (id, user_id, assembly_id, assembly, part_kind, part, started_at,
        duration_nanos, cpu_nanos, failure_kind, failure_message, failure_line, output, truncated,
        attempt)
    SELECT unhex(value ->> 'id'), u.id, value ->> 'assembly_id', value ->> 'assembly',
        value ->> 'part_kind', value ->> 'part', value ->> 'started_at', value ->> 'duration',
        value ->> 'cpu', value ->> 'kind', value ->> 'message', value ->> 'line',
        value ->> 'output', value ->> 'truncated', value ->> 'attempt'
    FROM json_each(?1) wanted CROSS JOIN pinyto_users u ON u.id = value ->> 'user'
    WHERE true ON CONFLICT (user_id, id) DO NOTHING";

pub(super) const TRIM: &str = "
    DELETE FROM pinyto_runs WHERE user_id = ?1 AND id <= (
        SELECT id FROM pinyto_runs WHERE user_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2);
    DELETE FROM pinyto_runs WHERE user_id = ?1 AND started_at < ?3";

pub(super) const BOOK: &str = "
    UPDATE pinyto_users SET
        cpu_nanos = min(cpu_nanos + ?3, 9223372036854775807),
        hour_cpu_nanos = CASE
            WHEN hour IS NULL OR hour < ?2 THEN ?3
            WHEN hour = ?2 THEN min(hour_cpu_nanos + ?3, 9223372036854775807)
            ELSE hour_cpu_nanos END,
        hour = max(coalesce(hour, ?2), ?2)
    WHERE id = ?1 RETURNING hour, hour_cpu_nanos";

/// Forgets writers of long ago; gives nothing if the batch was recorded already.
pub(super) const BEGIN_BATCH: &str = "
    DELETE FROM pinyto_run_writers WHERE recorded_at < ?4;
    INSERT INTO pinyto_run_writers (id, batch, recorded_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, recorded_at = excluded.recorded_at
    WHERE batch < excluded.batch RETURNING batch";

impl Record {
    /// Whether the batch is new.
    async fn begin(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let forgotten = self.now.saturating_sub(WRITER_MEMORY);
        let begun: Vec<(i64,)> = sqlx::query_as(BEGIN_BATCH)
            .bind(self.id.writer.as_bytes().as_slice())
            .bind(number(self.id.number))
            .bind(self.now.unix_millis())
            .bind(forgotten.unix_millis())
            .fetch_all(db)
            .await?;
        Ok(!begun.is_empty())
    }

    /// What is booked for the users of the batch. The only writer never meets a user who is busy.
    async fn figures(&self, db: &mut SqliteConnection) -> Result<Recorded, Failure> {
        let users: BTreeSet<UserId> = self.cpu.iter().map(|booking| booking.user).collect();
        let mut figures = Vec::new();
        for user in users {
            let booked: Option<(i64, i64)> = sqlx::query_as(HOUR_USAGE)
                .bind(user.get())
                .fetch_optional(&mut *db)
                .await?;
            if let Some(booked) = booked {
                figures.push(figure(user, booked)?);
            }
        }
        Ok(Recorded::new(figures))
    }
}

#[async_trait]
impl Intent for Record {
    type Outcome = Recorded;

    async fn run(&self, db: &mut SqliteConnection) -> Result<Recorded, Failure> {
        if !self.begin(db).await? {
            return self.figures(db).await;
        }
        if !self.users.is_empty() {
            sqlx::query(INSERT)
                .bind(self.runs.as_str())
                .execute(&mut *db)
                .await?;
        }
        for user in &self.users {
            sqlx::query(TRIM)
                .bind(user.get())
                .bind(self.per_user)
                .bind(self.oldest.unix_millis())
                .execute(&mut *db)
                .await?;
        }
        let mut figures = BTreeMap::new();
        for booking in &self.cpu {
            let booked: Option<(i64, i64)> = sqlx::query_as(BOOK)
                .bind(booking.user.get())
                .bind(booking.hour)
                .bind(nanos(booking.used))
                .fetch_optional(&mut *db)
                .await?;
            if let Some(booked) = booked {
                figures.insert(booking.user, figure(booking.user, booked)?);
            }
        }
        Ok(Recorded::new(figures.into_values().collect()))
    }
}

fn runs(rows: Vec<RunRow>) -> Result<Vec<Run>, StoreError> {
    let runs = rows.into_iter().map(Run::try_from);
    Ok(runs.collect::<Result<_, Corrupt>>()?)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[async_trait]
impl RunRepository for SqliteStore {
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
            users: batch.runs.iter().map(|run| run.user).collect(),
            cpu: batch.cpu.clone(),
            per_user: i64::try_from(retention.per_user).unwrap_or(i64::MAX),
            oldest: now.saturating_sub(retention.max_age),
        })
        .await
    }

    async fn hour_usage(&self, user: UserId) -> Result<Option<HourUsage>, StoreError> {
        let query = sqlx::query_as::<_, (i64, i64)>(HOUR_USAGE).bind(user.get());
        let row = self.readers.one(query).await?;
        Ok(row.map(|row| figure(user, row)).transpose()?)
    }

    async fn find(&self, user: UserId, run: RunId) -> Result<Option<Run>, StoreError> {
        let query = sqlx::query_as::<_, RunRow>(FIND)
            .bind(user.get())
            .bind(run.as_bytes().as_slice());
        let row = self.readers.one(query).await?;
        Ok(row.map(Run::try_from).transpose()?)
    }

    async fn list_of_user(
        &self,
        user: UserId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, StoreError> {
        let query = sqlx::query_as::<_, RunRow>(LIST_OF_USER)
            .bind(user.get())
            .bind(assembly.map(ToString::to_string))
            .bind(number(page.skip))
            .bind(number(page.count));
        runs(self.readers.all(query).await?)
    }

    async fn list_of_author(
        &self,
        author: UserId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<Option<Vec<Run>>, StoreError> {
        let query = sqlx::query_as::<_, (i64,)>(OWN_ASSEMBLY)
            .bind(author.get())
            .bind(assembly.as_str());
        // Its identity stays hers, whatever happens before the next query.
        let Some((assembly,)) = self.readers.one(query).await? else {
            return Ok(None);
        };
        let query = sqlx::query_as::<_, RunRow>(LIST_OF_ASSEMBLY)
            .bind(assembly)
            .bind(number(page.skip))
            .bind(number(page.count));
        runs(self.readers.all(query).await?).map(Some)
    }

    async fn sweep(&self, moment: Timestamp) -> Result<u64, StoreError> {
        self.write(Sweep(moment)).await
    }
}

struct Sweep(Timestamp);

pub(super) const SWEEP: &str = "DELETE FROM pinyto_runs WHERE started_at < ?1";

#[async_trait]
impl Intent for Sweep {
    type Outcome = u64;

    async fn run(&self, db: &mut SqliteConnection) -> Result<u64, Failure> {
        let swept = sqlx::query(SWEEP)
            .bind(self.0.unix_millis())
            .execute(db)
            .await?;
        Ok(swept.rows_affected())
    }
}
