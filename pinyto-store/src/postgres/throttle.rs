use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use pinyto_core::{
    FailureQuota,
    clock::Timestamp,
    store::StoreError,
    throttle::{Attempt, FailureRepository, Settled, Subject},
};
use sqlx::PgConnection;

use super::{Intent, PostgresStore, error::Failure, lock::Lock};
use crate::row::{Corrupt, corrupt};

/// Notes a try for each of its subjects, unless that has failed too often: `$1` to `$6` say of
/// each subject what it and its group are, its credit, its limit and what the try costs it; `$7`
/// is the present. Gives those for whom it is noted, and the others of their groups.
///
/// Rows are locked in the order of the subjects, so that nobody waits in a circle. A try that
/// succeeds writes as well, with a price of nothing: so it has its place among those that fail,
/// even if they are the first.
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
        RETURNING subject, paid_at)
    SELECT subject, paid_at, TRUE FROM noted
    UNION ALL
    SELECT other.subject, other.paid_at, FALSE FROM wanted w CROSS JOIN LATERAL (
        SELECT subject, paid_at FROM pinyto.failures
        WHERE subject BETWEEN w.first AND w.last AND subject <> ALL ($1)
        ORDER BY subject LIMIT 32) AS other";

/// Unless it is being changed, or was.
const FORGET: &str = "
    DELETE FROM pinyto.failures WHERE subject = (
        SELECT subject FROM pinyto.failures WHERE subject = $1 AND paid_at = $2
        FOR UPDATE SKIP LOCKED)";

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

/// Whom a try counts for and what it costs them, as the statements want it: an array for each.
struct Prices {
    subjects: Vec<Vec<u8>>,
    prices: Vec<i64>,
    limits: Vec<i64>,
    at: Timestamp,
}

impl Prices {
    fn of(attempt: &Attempt) -> Self {
        let quotas = attempt.subjects.iter().map(|(_, quota)| quota);
        let price = |quota: &FailureQuota| {
            if attempt.failed {
                millis(quota.price())
            } else {
                0
            }
        };
        Self {
            subjects: arrays(attempt, |subject| *subject.as_bytes()),
            prices: quotas.clone().map(price).collect(),
            limits: quotas.map(|quota| millis(quota.limit())).collect(),
            at: attempt.at,
        }
    }
}

fn arrays(attempt: &Attempt, bytes: fn(&Subject) -> [u8; 16]) -> Vec<Vec<u8>> {
    let subjects = attempt.subjects.iter();
    subjects
        .map(|(subject, _)| bytes(subject).to_vec())
        .collect()
}

struct Note {
    prices: Prices,
    first: Vec<Vec<u8>>,
    last: Vec<Vec<u8>>,
    credits: Vec<i64>,
}

impl Note {
    fn new(attempt: &Attempt) -> Self {
        let quotas = attempt.subjects.iter().map(|(_, quota)| quota);
        Self {
            prices: Prices::of(attempt),
            first: arrays(attempt, |subject| *subject.group().start().as_bytes()),
            last: arrays(attempt, |subject| *subject.group().end().as_bytes()),
            credits: quotas.map(|quota| millis(quota.credit())).collect(),
        }
    }
}

/// Who owes until when.
type Debt = (Subject, Timestamp);

fn debt(subject: &[u8], paid_at: i64) -> Result<Debt, Corrupt> {
    let subject = <[u8; 16]>::try_from(subject);
    let subject = subject.map_err(corrupt("pinyto_failures.subject"))?;
    let paid_at = Timestamp::from_unix_millis(paid_at);
    Ok((Subject::from_bytes(subject), paid_at))
}

struct Noted {
    /// For whom the try is noted.
    debts: BTreeMap<Subject, Timestamp>,
    /// Who else is in their groups.
    others: BTreeMap<Subject, Timestamp>,
}

#[async_trait]
impl Intent for Note {
    type Outcome = Noted;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Noted, Failure> {
        let rows: Vec<(Vec<u8>, i64, bool)> = sqlx::query_as(NOTE)
            .bind(&self.prices.subjects)
            .bind(&self.first)
            .bind(&self.last)
            .bind(&self.credits)
            .bind(&self.prices.limits)
            .bind(&self.prices.prices)
            .bind(self.prices.at.unix_millis())
            .fetch_all(db)
            .await?;
        let (mut debts, mut others) = (BTreeMap::new(), BTreeMap::new());
        for (subject, paid_at, is_noted) in rows {
            let (subject, paid_at) = debt(&subject, paid_at)?;
            let kind = if is_noted { &mut debts } else { &mut others };
            kind.insert(subject, paid_at);
        }
        Ok(Noted { debts, others })
    }
}

struct TakeBack(Prices);

#[async_trait]
impl Intent for TakeBack {
    type Outcome = BTreeMap<Subject, Timestamp>;

    fn locks(&self) -> Option<Vec<Lock>> {
        // Twice would forgive too much.
        Some(Vec::new())
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Self::Outcome, Failure> {
        let Self(noted) = self;
        let left: Vec<(Vec<u8>, i64)> = sqlx::query_as(TAKE_BACK)
            .bind(&noted.subjects)
            .bind(&noted.prices)
            .bind(&noted.limits)
            .bind(noted.at.unix_millis())
            .fetch_all(db)
            .await?;
        let left = left
            .into_iter()
            .map(|(subject, paid_at)| debt(&subject, paid_at));
        Ok(left.collect::<Result<_, _>>()?)
    }
}

struct Forget(Vec<Debt>);

#[async_trait]
impl Intent for Forget {
    type Outcome = ();

    /// As many transactions as statements, if there are several: doing it again is no harm.
    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<(), Failure> {
        for (subject, paid_at) in &self.0 {
            sqlx::query(FORGET)
                .bind(subject.as_bytes().as_slice())
                .bind(paid_at.unix_millis())
                .execute(&mut *db)
                .await?;
        }
        Ok(())
    }
}

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
    /// One statement; two if somebody refuses, between which others may owe for one try too many,
    /// or if somebody is to be forgotten.
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError> {
        let Noted { mut debts, others } = self.write(Note::new(attempt)).await?;
        let is_allowed = debts.len() == attempt.subjects.len();
        if is_allowed {
            self.make_room(attempt, &others).await;
        } else {
            let mut noted = Prices::of(attempt);
            for ((subject, _), price) in attempt.subjects.iter().zip(&mut noted.prices) {
                if !debts.contains_key(subject) {
                    *price = 0;
                }
            }
            debts = self.write(TakeBack(noted)).await?;
        }
        let paid_at = attempt.subjects.iter().map(|(subject, _)| {
            let paid_at = debts.get(subject).copied();
            paid_at.map_or(attempt.at, |paid_at| paid_at.max(attempt.at))
        });
        Ok(Settled::new(is_allowed, paid_at.collect()))
    }

    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(ForgetPaid(now)).await
    }
}

impl PostgresStore {
    /// Forgets those of the groups whom the attempt's subjects crowd out.
    async fn make_room(&self, attempt: &Attempt, others: &BTreeMap<Subject, Timestamp>) {
        let crowded_out = attempt.subjects.iter().flat_map(|(subject, _)| {
            let others = others.range(subject.group());
            let others = others.map(|(other, paid_at)| (*other, *paid_at));
            Subject::crowded_out(others.collect(), attempt.at)
        });
        let crowded_out: Vec<Debt> = crowded_out.collect();
        if crowded_out.is_empty() {
            return;
        }
        // The try has been settled. Whoever is still there is forgotten another time.
        if let Err(error) = self.write(Forget(crowded_out)).await {
            tracing::debug!(%error, "paid failures are not forgotten now");
        }
    }
}
