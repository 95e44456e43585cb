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

/// [`Attempt::settle`] as one statement: `$1` to `$6` say of each subject what it and its group
/// are, its credit, its limit and what the try costs it; `$7` is the present, `$8` how many of a
/// group are kept beside the subject itself.
///
/// Rows are locked in the order of the subjects, others are skipped if they are locked. A row that
/// isn't there can't be locked: of tries that meet before there is one, the insert lets one after
/// the other decide. A try that succeeds writes as well, with a price of nothing, and so has its
/// place in that order; it must not be told before failures that came first.
const SETTLE: &str = "
    WITH wanted AS MATERIALIZED (
        SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[],
            $6::bigint[]) AS w (subject, first, last, credit, most, price)),
    known AS MATERIALIZED (
        SELECT subject, paid_at FROM pinyto.failures WHERE subject = ANY ($1)
        ORDER BY subject FOR UPDATE),
    refusing AS MATERIALIZED (
        SELECT 1 FROM known JOIN wanted USING (subject)
        WHERE least(paid_at - $7, most) > credit),
    corrected AS (
        UPDATE pinyto.failures f SET paid_at = $7 + w.most FROM wanted w
        WHERE f.subject = w.subject AND f.paid_at > $7 + w.most
            AND EXISTS (SELECT FROM refusing)),
    noted AS (
        INSERT INTO pinyto.failures AS f (subject, paid_at)
        SELECT subject, $7 + price FROM wanted
        WHERE NOT EXISTS (SELECT FROM refusing) ORDER BY subject
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
    SELECT w.subject, noted.paid_at AS noted, known.paid_at AS known
    FROM wanted w LEFT JOIN noted USING (subject) LEFT JOIN known USING (subject)";

const FIND: &str = "SELECT subject, paid_at FROM pinyto.failures WHERE subject = ANY ($1)";

#[derive(sqlx::FromRow)]
struct Judged {
    subject: Vec<u8>,
    noted: Option<i64>,
    known: Option<i64>,
}

struct Settle(Attempt);

#[async_trait]
impl Intent for Settle {
    type Outcome = Settled;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Settled, Failure> {
        let Self(attempt) = self;
        let each = |bytes: fn(&Subject) -> [u8; 16]| -> Vec<Vec<u8>> {
            let subjects = attempt.subjects.iter();
            subjects
                .map(|(subject, _)| bytes(subject).to_vec())
                .collect()
        };
        let quotas = |time: fn(&FailureQuota) -> Duration| -> Vec<i64> {
            let quotas = attempt.subjects.iter();
            quotas.map(|(_, quota)| millis(time(quota))).collect()
        };
        let price: fn(&FailureQuota) -> Duration = if attempt.failed {
            FailureQuota::price
        } else {
            |_| Duration::ZERO
        };
        let subjects = each(|subject| *subject.as_bytes());
        let judged: Vec<Judged> = sqlx::query_as(SETTLE)
            .bind(&subjects)
            .bind(each(|subject| *subject.group().start().as_bytes()))
            .bind(each(|subject| *subject.group().end().as_bytes()))
            .bind(quotas(FailureQuota::credit))
            .bind(quotas(FailureQuota::limit))
            .bind(quotas(price))
            .bind(attempt.at.unix_millis())
            .bind(OTHERS_PER_GROUP)
            .fetch_all(&mut *db)
            .await?;
        let is_allowed = judged.iter().all(|row| row.noted.is_some());
        let mut debts: HashMap<Vec<u8>, i64> = judged
            .into_iter()
            .filter_map(|row| Some((row.subject, row.noted.or(row.known)?)))
            .collect();
        if !is_allowed && debts.len() < subjects.len() {
            // Somebody else's try made the row and was the last that was allowed.
            let found: Vec<(Vec<u8>, i64)> =
                sqlx::query_as(FIND).bind(&subjects).fetch_all(db).await?;
            debts.extend(found);
        }
        let paid_at = attempt.subjects.iter().map(|(subject, quota)| {
            let debt = debts.get(subject.as_bytes().as_slice()).copied();
            let paid_at = debt.map_or(attempt.at, Timestamp::from_unix_millis);
            attempt.at.saturating_add(quota.owed(paid_at, attempt.at))
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
