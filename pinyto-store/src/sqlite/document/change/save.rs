//! Replacing and removing documents.

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    document::{Document, DocumentId, Replacement, SaveOutcome, Scope},
};
use serde_json::{Map, Value};
use sqlx::SqliteConnection;

use super::{
    super::super::{Intent, error::Failure},
    Body, Listings, Prepared, SMALL_STORED, max_bytes, size, stored,
};

/// Replaces a document.
pub(in super::super) struct Save {
    scope: Scope,
    id: DocumentId,
    time: Option<Timestamp>,
    at: Timestamp,
    max_bytes: Option<u64>,
    /// Of a small one.
    fields: Map<String, Value>,
    body: Body,
    prepared: Option<Prepared>,
}

impl Save {
    /// A large body has to be prepared.
    pub(in super::super) fn new(
        scope: Scope,
        id: DocumentId,
        new: &Replacement,
        body: Body,
        prepared: Option<Prepared>,
    ) -> Self {
        let fields = match prepared {
            None => new.fields.clone(),
            Some(_) => Map::new(),
        };
        Self {
            scope,
            id,
            time: new.time,
            at: new.at,
            max_bytes: new.max_bytes,
            fields,
            body,
            prepared,
        }
    }

    /// Whether so much more is too much.
    fn is_full(&self, stored: i64, size: i64, old_size: i64) -> bool {
        let after = stored.saturating_add(size).saturating_sub(old_size);
        size > old_size && after > max_bytes(self.max_bytes)
    }

    async fn write(
        &self,
        db: &mut SqliteConnection,
        time: Timestamp,
        (size, old_size): (i64, i64),
        (gone, come): (&str, &str),
    ) -> Result<SaveOutcome, Failure> {
        sqlx::query(SAVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(time.unix_millis())
            .bind(size)
            .bind(&self.body)
            .bind(self.at.unix_millis())
            .bind(old_size)
            .bind(gone)
            .bind(come)
            .execute(db)
            .await?;
        Ok(SaveOutcome::Saved)
    }
}

pub(super) const SAVE: &str = concat!(
    "UPDATE pinyto_documents SET time = $3, size = $4, body = jsonb($5)
    WHERE user_id = $1 AND id = $2;
    ",
    account!("$6", "$4", "$7"),
    ";
    ",
    remove_entries!("$8"),
    ";
    ",
    add_entries!("$9", "true")
);

#[async_trait]
impl Intent for Save {
    /// None if it has to be prepared (again).
    type Outcome = Option<SaveOutcome>;

    async fn run(&self, db: &mut SqliteConnection) -> Result<Self::Outcome, Failure> {
        if let Some(prepared) = &self.prepared {
            let Some(now) = prepared.now(db, self.scope, self.id).await? else {
                return Ok(Some(SaveOutcome::NotFound));
            };
            if !now.is_unchanged {
                return Ok(None);
            }
            if self.is_full(now.bytes, prepared.size, now.size) {
                return Ok(Some(SaveOutcome::StorageFull));
            }
            let (sizes, listings) = (
                (prepared.size, now.size),
                (&*prepared.gone, &*prepared.come),
            );
            let saved = self.write(db, prepared.time, sizes, listings).await?;
            return Ok(Some(saved));
        }
        let Some(old) = stored(db, self.scope, self.id, SMALL_STORED).await? else {
            return Ok(Some(SaveOutcome::NotFound));
        };
        let Some(old_document) = old.document else {
            return Ok(None);
        };
        let (id, assembly) = (old_document.id, old_document.assembly.clone());
        let time = self.time.unwrap_or(old_document.time);
        let new = Document::new(id, assembly, time, self.fields.clone());
        let size = size(&new);
        if self.is_full(old.bytes, size, old.size) {
            return Ok(Some(SaveOutcome::StorageFull));
        }
        let mut gone = Listings::of(&old_document, &old.paths);
        let mut come = Listings::of(&new, &old.paths);
        gone.without_common(&mut come);
        let listings = (&*gone.json(), &*come.json());
        let saved = self.write(db, new.time, (size, old.size), listings);
        Ok(Some(saved.await?))
    }
}

/// Removes a document, as anything that does has to: with its entries, and accounted for. Takes as
/// long as it takes.
pub(in super::super::super) struct Remove {
    pub(in super::super::super) scope: Scope,
    pub(in super::super::super) id: DocumentId,
    pub(in super::super::super) at: Timestamp,
}

pub(super) const REMOVE: &str = concat!(
    "DELETE FROM pinyto_documents WHERE user_id = $1 AND id = $2;
    ",
    account!("$3", "0", "$4"),
    ";
    ",
    remove_entries!("$5")
);

impl Remove {
    async fn write(
        &self,
        db: &mut SqliteConnection,
        size: i64,
        listings: &str,
    ) -> Result<(), Failure> {
        sqlx::query(REMOVE)
            .bind(self.scope.user.get())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.at.unix_millis())
            .bind(size)
            .bind(listings)
            .execute(db)
            .await?;
        Ok(())
    }

    /// None if the document is larger than that.
    async fn up_to(
        &self,
        db: &mut SqliteConnection,
        largest: i64,
    ) -> Result<Option<bool>, Failure> {
        let Some(old) = stored(db, self.scope, self.id, largest).await? else {
            return Ok(Some(false));
        };
        let Some(document) = old.document else {
            return Ok(None);
        };
        let listings = Listings::of(&document, &old.paths).json();
        self.write(db, old.size, &listings).await?;
        Ok(Some(true))
    }
}

#[async_trait]
impl Intent for Remove {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        Ok(self.up_to(db, i64::MAX).await?.unwrap_or(false))
    }
}

/// Removes a document; a large one has to be prepared.
pub(in super::super) struct RemoveOnce {
    pub(in super::super) removal: Remove,
    pub(in super::super) prepared: Option<Prepared>,
}

#[async_trait]
impl Intent for RemoveOnce {
    /// None if it has to be prepared (again).
    type Outcome = Option<bool>;

    async fn run(&self, db: &mut SqliteConnection) -> Result<Option<bool>, Failure> {
        let Some(prepared) = &self.prepared else {
            return self.removal.up_to(db, SMALL_STORED).await;
        };
        let (scope, id) = (self.removal.scope, self.removal.id);
        let Some(now) = prepared.now(db, scope, id).await? else {
            return Ok(Some(false));
        };
        if !now.is_unchanged {
            return Ok(None);
        }
        self.removal.write(db, now.size, &prepared.gone).await?;
        Ok(Some(true))
    }
}
