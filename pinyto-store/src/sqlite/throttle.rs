use std::collections::BTreeMap;

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    store::StoreError,
    throttle::{Attempt, FailureRepository, Settled, Subject},
};
use sqlx::SqliteConnection;

use super::{Intent, SqliteStore, error::Failure};
use crate::row::corrupt;

/// All of a group.
pub(super) const GROUP: &str =
    "SELECT subject, paid_at FROM pinyto_failures WHERE subject BETWEEN ?1 AND ?2";

pub(super) const NOTE: &str = "
    INSERT INTO pinyto_failures (subject, paid_at) VALUES (?1, ?2)
    ON CONFLICT (subject) DO UPDATE SET paid_at = excluded.paid_at";

pub(super) const FORGET: &str = "DELETE FROM pinyto_failures WHERE subject = ?1";

struct Settle(Attempt);

#[async_trait]
impl Intent for Settle {
    type Outcome = Settled;

    /// Writes nothing for who succeeds or is refused: he costs no `fsync`.
    async fn run(&self, db: &mut SqliteConnection) -> Result<Settled, Failure> {
        let Self(attempt) = self;
        let mut known = BTreeMap::new();
        for (subject, _) in &attempt.subjects {
            known.extend(group(db, *subject).await?);
        }
        let settled = attempt.settle(|subject| known.get(&subject).copied());
        for (subject, paid_at) in attempt.debts(&settled) {
            if known.get(&subject) == Some(&paid_at) {
                continue;
            }
            sqlx::query(NOTE)
                .bind(subject.as_bytes().as_slice())
                .bind(paid_at.unix_millis())
                .execute(&mut *db)
                .await?;
            let others = known.range(subject.group());
            let others = others.map(|(other, paid_at)| (*other, *paid_at));
            let others = others.filter(|(other, _)| *other != subject).collect();
            for (other, _) in Subject::crowded_out(others, attempt.at) {
                let other = other.as_bytes().as_slice();
                sqlx::query(FORGET).bind(other).execute(&mut *db).await?;
            }
        }
        Ok(settled)
    }
}

async fn group(
    db: &mut SqliteConnection,
    subject: Subject,
) -> Result<Vec<(Subject, Timestamp)>, Failure> {
    let group = subject.group();
    let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(GROUP)
        .bind(group.start().as_bytes().as_slice())
        .bind(group.end().as_bytes().as_slice())
        .fetch_all(db)
        .await?;
    let rows = rows.into_iter().map(|(subject, paid_at)| {
        let subject = <[u8; 16]>::try_from(subject.as_slice());
        let subject = subject.map_err(corrupt("pinyto_failures.subject"))?;
        let paid_at = Timestamp::from_unix_millis(paid_at);
        Ok((Subject::from_bytes(subject), paid_at))
    });
    rows.collect()
}

struct ForgetPaid(Timestamp);

/// Goes through the table, which is bounded.
const FORGET_PAID: &str = "DELETE FROM pinyto_failures WHERE paid_at <= ?1";

#[async_trait]
impl Intent for ForgetPaid {
    type Outcome = u64;

    async fn run(&self, db: &mut SqliteConnection) -> Result<u64, Failure> {
        let now = self.0.unix_millis();
        let forgotten = sqlx::query(FORGET_PAID).bind(now).execute(db).await?;
        Ok(forgotten.rows_affected())
    }
}

#[async_trait]
impl FailureRepository for SqliteStore {
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError> {
        self.write(Settle(attempt.clone())).await
    }

    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(ForgetPaid(now)).await
    }
}
