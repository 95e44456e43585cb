//! Changes of stored documents.

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{DocumentId, Replacement, SaveOutcome, Scope, tree_size},
    store::StoreError,
};
use sqlx::PgConnection;

use super::{
    super::super::{PostgresStore, error::Failure, lock::Lock, pool::Intent},
    ROUNDS, SMALL_STORED, max_bytes,
    prepare::{Before, Change, New, Now, Prepared},
};
use crate::{
    query::evaluation::{Evaluations, SMALL},
    row::document::fields_text,
};

struct Save<'a> {
    change: Change<'a>,
    body: &'a str,
    at: Timestamp,
    max_bytes: i64,
}

const SAVE: &str = concat!(
    "WITH changed AS (
        UPDATE pinyto.documents SET time = $3, size = $4, body = $5::json
        WHERE user_id = $1 AND id = $2 RETURNING assembly_id),
    charged AS (
        UPDATE pinyto.users SET ",
    account!("$6", "$4", "$7"),
    " WHERE id = $1),
    gone AS (",
    remove_entries!("$8", "$9"),
    "),
    noted AS (",
    note_traits!("$10", "$11", "changed"),
    ")
    INSERT INTO pinyto.index_entries (index_id, key, document_id, assembly_id, role)
    SELECT e.index_id, e.key, $2, changed.assembly_id, e.role
    FROM changed, unnest($12::bigint[], $13::bytea[], $14::smallint[]) AS e (index_id, key, role)
    ON CONFLICT (index_id, key, document_id) DO UPDATE SET role = excluded.role"
);

pub(in super::super) async fn save(
    store: &PostgresStore,
    scope: Scope,
    id: DocumentId,
    replacement: &Replacement,
) -> Result<SaveOutcome, StoreError> {
    let evaluations = &store.evaluations;
    let body = fields_text(&replacement.fields)?;
    let is_large = tree_size(&body) > SMALL;
    let new = New {
        time: replacement.time,
        fields: replacement.fields.clone(),
        body,
    };
    let mut prepared = None;
    for round in 0..=ROUNDS {
        if round > 0 || is_large {
            let read = || Prepared::read(&store.database, scope, id, 0);
            let Some(old) = store.database.reading(read).await? else {
                return Ok(SaveOutcome::NotFound);
            };
            prepared = Some(Prepared::new(old, Some(new.clone()), evaluations).await?);
        }
        let change = Change {
            scope,
            id,
            new: Some(&new),
            prepared: prepared.as_ref(),
            largest: match round {
                ROUNDS => i64::MAX,
                _ if is_large => -1,
                _ => SMALL_STORED,
            },
            evaluations,
        };
        let save = Save {
            change,
            body: &new.body,
            at: replacement.at,
            max_bytes: max_bytes(replacement.max_bytes),
        };
        if let Some(outcome) = store.write(save).await? {
            return Ok(outcome);
        }
    }
    Err(StoreError::unavailable("a document was always in change"))
}

#[async_trait]
impl Intent for Save<'_> {
    /// `None`: it has to be prepared (again).
    type Outcome = Option<SaveOutcome>;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.change.scope.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Option<SaveOutcome>, Failure> {
        let Change { scope, id, .. } = self.change;
        let Now { size, bytes, work } = match self.change.begin(db).await? {
            Before::Gone => return Ok(Some(SaveOutcome::NotFound)),
            Before::Unprepared => return Ok(None),
            Before::There(now) => now,
        };
        let after = bytes.saturating_add(work.size).saturating_sub(size);
        if work.size > size && after > self.max_bytes {
            return Ok(Some(SaveOutcome::StorageFull));
        }
        sqlx::query(SAVE)
            .bind(scope.user.get())
            .bind(id.as_bytes().as_slice())
            .bind(work.time.unix_millis())
            .bind(work.size)
            .bind(self.body)
            .bind(self.at.unix_millis())
            .bind(size)
            .bind(work.gone.indexes.as_slice())
            .bind(work.gone.keys.as_slice())
            .bind(work.traits.0.as_slice())
            .bind(work.traits.1.as_slice())
            .bind(work.come.indexes.as_slice())
            .bind(work.come.keys.as_slice())
            .bind(work.come.roles.as_slice())
            .execute(db)
            .await?;
        Ok(Some(SaveOutcome::Saved))
    }
}

/// Removes a document, as anything that does has to: with its entries, and accounted for.
pub(in super::super::super) struct Remove<'a> {
    pub(in super::super::super) scope: Scope,
    pub(in super::super::super) id: DocumentId,
    pub(in super::super::super) at: Timestamp,
    pub(in super::super::super) prepared: Option<&'a Prepared>,
    /// The largest document that is worked out here.
    pub(in super::super::super) largest: i64,
    pub(in super::super::super) evaluations: &'a Evaluations,
}

const REMOVE: &str = concat!(
    "WITH removed AS (DELETE FROM pinyto.documents WHERE user_id = $1 AND id = $2),
    gone AS (",
    remove_entries!("$5", "$6"),
    ")
    UPDATE pinyto.users SET ",
    account!("$3", "0", "$4"),
    " WHERE id = $1"
);

pub(in super::super) async fn remove(
    store: &PostgresStore,
    scope: Scope,
    id: DocumentId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let evaluations = &store.evaluations;
    let mut prepared = None;
    for round in 0..=ROUNDS {
        let removal = Remove {
            scope,
            id,
            at,
            prepared: prepared.as_ref(),
            largest: if round == ROUNDS {
                i64::MAX
            } else {
                SMALL_STORED
            },
            evaluations,
        };
        if let Some(outcome) = store.write(removal).await? {
            return Ok(outcome);
        }
        let read = || Prepared::read(&store.database, scope, id, 0);
        let Some(old) = store.database.reading(read).await? else {
            return Ok(false);
        };
        prepared = Some(Prepared::new(old, None, evaluations).await?);
    }
    Err(StoreError::unavailable("a document was always in change"))
}

#[async_trait]
impl Intent for Remove<'_> {
    /// Whether it was there. `None`: it has to be prepared (again).
    type Outcome = Option<bool>;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.scope.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Option<bool>, Failure> {
        let change = Change {
            scope: self.scope,
            id: self.id,
            new: None,
            prepared: self.prepared,
            largest: self.largest,
            evaluations: self.evaluations,
        };
        let Now { size, work, .. } = match change.begin(db).await? {
            Before::Gone => return Ok(Some(false)),
            Before::Unprepared => return Ok(None),
            Before::There(now) => now,
        };
        sqlx::query(REMOVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.at.unix_millis())
            .bind(size)
            .bind(work.gone.indexes.as_slice())
            .bind(work.gone.keys.as_slice())
            .execute(db)
            .await?;
        Ok(Some(true))
    }
}
