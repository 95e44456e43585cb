use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use pinyto_core::{
    FailureQuota,
    clock::Timestamp,
    store::StoreError,
    throttle::{Attempt, FailureRepository, Settled, Subject},
};
use sqlx::PgConnection;

use super::{Intent, PostgresStore, error::Failure, pool::Lock};

/// Notes a try for each of its subjects, unless that has failed too often: `$1` to `$6` say of
/// each subject what it and its group are, its credit, its limit and what the try costs it; `$7`
/// is the present, `$8` how many of a group are kept beside the subject itself. Gives those for
/// whom it is noted.
///
/// Rows are locked in the order of the subjects and only there, so that nobody waits in a circle.
/// A try that succeeds writes as well, with a price of nothing: so it has its place among those
/// that fail, even if they are the first.
const NOTE: &str = "
    WITH wanted AS MATERIALIZED (
        SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[],
            $6::bigint[]) AS w (subject, first, last, credit, most, price)),
    noted AS (
        INSERT INTO pinyto.failures AS f (subject, paid_at)
        SELECT subject, $7 + price FROM wanted ORDER BY subject
        ON CONFLICT (subject) DO UPDATE SET paid_at = excluded.paid_at + greatest(0,
            least(f.paid_at - $7, (SELECT most FROM wanted w WHERE w.subject = f.subject)))
        WHERE least(f.paid_at - $7, (SELECT most FROM wanted w WHERE w.subject = f.subject))
            <= (SELECT credit FROM wanted w WHERE w.subject = f.subject)
        RETURNING subject, paid_at),
    crowd AS (
        SELECT f.subject, f.paid_at, row_number() OVER (
            PARTITION BY w.subject ORDER BY f.paid_at DESC) AS place
        FROM wanted w JOIN pinyto.failures f ON f.subject BETWEEN w.first AND w.last
        WHERE f.subject <> ALL ($1)),
    leaving AS (
        SELECT f.subject FROM pinyto.failures f JOIN crowd c USING (subject)
        WHERE f.paid_at = c.paid_at AND (c.paid_at <= $7 OR c.place > $8)
        FOR UPDATE OF f SKIP LOCKED),
    forgotten AS (
        DELETE FROM pinyto.failures WHERE subject IN (SELECT subject FROM leaving))
    SELECT subject, paid_at FROM noted";

/// After a refusal: takes back what was noted for others than who refused (`$2`: how much), and
/// corrects what is more than a limit (`$3`), which a clock that was set back has left.
const TAKE_BACK: &str = "
    WITH locked AS MATERIALIZED (
        SELECT subject FROM pinyto.failures WHERE subject = ANY ($1) ORDER BY subject FOR UPDATE),
    wanted AS (
        SELECT w.* FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS w (subject, noted, most)
        JOIN locked USING (subject))
    UPDATE pinyto.failures f SET paid_at = least(f.paid_at - w.noted, $4 + w.most)
    FROM wanted w WHERE f.subject = w.subject RETURNING f.subject, f.paid_at";

struct Settle(Attempt);

/// When debts are paid for, by the bytes of their subjects.
type Debts = HashMap<Vec<u8>, i64>;

impl Settle {
    fn subjects(&self, bytes: fn(&Subject) -> [u8; 16]) -> Vec<Vec<u8>> {
        let subjects = self.0.subjects.iter();
        subjects
            .map(|(subject, _)| bytes(subject).to_vec())
            .collect()
    }

    fn quotas(&self, time: fn(&FailureQuota) -> Duration) -> Vec<i64> {
        let quotas = self.0.subjects.iter();
        quotas.map(|(_, quota)| millis(time(quota))).collect()
    }

    fn prices(&self) -> Vec<i64> {
        self.quotas(if self.0.failed {
            FailureQuota::price
        } else {
            |_| Duration::ZERO
        })
    }

    async fn note(&self, db: &mut PgConnection) -> Result<Debts, Failure> {
        let noted: Vec<(Vec<u8>, i64)> = sqlx::query_as(NOTE)
            .bind(self.subjects(|subject| *subject.as_bytes()))
            .bind(self.subjects(|subject| *subject.group().start().as_bytes()))
            .bind(self.subjects(|subject| *subject.group().end().as_bytes()))
            .bind(self.quotas(FailureQuota::credit))
            .bind(self.quotas(FailureQuota::limit))
            .bind(self.prices())
            .bind(self.0.at.unix_millis())
            .bind(OTHERS_PER_GROUP)
            .fetch_all(db)
            .await?;
        Ok(noted.into_iter().collect())
    }

    async fn take_back(&self, noted: &Debts, db: &mut PgConnection) -> Result<Debts, Failure> {
        let subjects = self.subjects(|subject| *subject.as_bytes());
        let prices = subjects.iter().zip(self.prices());
        let prices = prices.map(|(subject, price)| match noted.get(subject) {
            Some(_) => price,
            None => 0,
        });
        let prices: Vec<i64> = prices.collect();
        let left: Vec<(Vec<u8>, i64)> = sqlx::query_as(TAKE_BACK)
            .bind(subjects)
            .bind(prices)
            .bind(self.quotas(FailureQuota::limit))
            .bind(self.0.at.unix_millis())
            .fetch_all(db)
            .await?;
        Ok(left.into_iter().collect())
    }
}

#[async_trait]
impl Intent for Settle {
    type Outcome = Settled;

    /// One statement, or two that needn't be one transaction: between them somebody may owe for
    /// one try too many.
    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Settled, Failure> {
        let Self(attempt) = self;
        let mut debts = self.note(&mut *db).await?;
        let is_allowed = debts.len() == attempt.subjects.len();
        if !is_allowed {
            debts = self.take_back(&debts, db).await?;
        }
        let paid_at = attempt.subjects.iter().map(|(subject, _)| {
            let debt = debts.get(subject.as_bytes().as_slice()).copied();
            let paid_at = debt.map(Timestamp::from_unix_millis);
            paid_at.map_or(attempt.at, |paid_at| paid_at.max(attempt.at))
        });
        Ok(Settled {
            is_allowed,
            paid_at: paid_at.collect(),
        })
    }
}

/// How many of a group stay when one of them is written.
const OTHERS_PER_GROUP: i64 = Subject::MAX_PER_GROUP as i64 - 1;

/// So large that nobody lives to see its end, and so small that sums of a few are numbers.
const FOREVER: i64 = i64::MAX / 8;

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(FOREVER, |millis| millis.min(FOREVER))
}

struct ForgetPaid(Timestamp);

/// Goes through the table, which is bounded, and waits for nobody.
const FORGET_PAID: &str = "
    DELETE FROM pinyto.failures WHERE subject IN (
        SELECT subject FROM pinyto.failures WHERE paid_at <= $1 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Intent for ForgetPaid {
    type Outcome = u64;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<u64, Failure> {
        let now = self.0.unix_millis();
        let forgotten = sqlx::query(FORGET_PAID).bind(now).execute(db).await?;
        Ok(forgotten.rows_affected())
    }
}

#[async_trait]
impl FailureRepository for PostgresStore {
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError> {
        self.write(Settle(attempt.clone())).await
    }

    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(ForgetPaid(now)).await
    }
}
