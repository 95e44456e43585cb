//! What is done for a change before its user is locked.
//!
//! How indexes list a large document takes long to work out, and meanwhile nobody else could change
//! anything of the user's. So it is worked out before; when she is locked, only whether the document
//! and her indexes are still the same is checked. If they aren't, it is done again.

use std::sync::Arc;

use pinyto_core::{
    clock::Timestamp,
    document::{Document, DocumentId, Scope, tree_size},
    query::Path,
    store::StoreError,
};
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::{
    super::{
        super::{error::Failure, pool::Database},
        listing::{Entries, Listings},
        setup::with_paths,
    },
    size,
};
use crate::{
    query::evaluation::{Evaluations, SMALL},
    row::{Corrupt, document::DocumentRow},
};

/// What a document is to become.
#[derive(Clone)]
pub(super) struct New {
    pub(super) time: Option<Timestamp>,
    pub(super) fields: Map<String, Value>,
    /// The fields as text.
    pub(super) body: String,
}

/// A stored document, with the user's indexes.
pub(in super::super::super) struct Old {
    version: String,
    indexes: Vec<i64>,
    paths: Vec<String>,
    row: DocumentRow,
}

/// A change, worked out for a document as it was and indexes as they were.
pub(in super::super::super) struct Prepared {
    version: String,
    indexes: Vec<i64>,
    work: Arc<Work>,
}

/// What a change does.
pub(super) struct Work {
    pub(super) time: Timestamp,
    pub(super) size: i64,
    pub(super) gone: Entries,
    pub(super) come: Entries,
    /// Indexes and their new traits.
    pub(super) traits: (Vec<i64>, Vec<i64>),
}

/// What there is when the user is locked.
pub(super) enum Before {
    Gone,
    /// There is something larger than is read now, and nothing prepared that fits.
    Unprepared,
    There(Now),
}

pub(super) struct Now {
    pub(super) size: i64,
    pub(super) bytes: i64,
    pub(super) work: Arc<Work>,
}

/// The body if the document has more than $4 bytes and at most $5. A version of a row is the
/// transaction that has made it, and its place.
const BEFORE: &str = "
    SELECT d.id, d.assembly, d.time, d.size, u.bytes,
        CASE WHEN d.size > $4 AND d.size <= $5 THEN d.body::text END AS body,
        d.xmin::text || d.ctid::text AS version,
        ARRAY(SELECT id FROM pinyto.indexes WHERE user_id = $1 ORDER BY id) AS indexes,
        ARRAY(SELECT path FROM pinyto.indexes WHERE user_id = $1 ORDER BY id) AS paths
    FROM pinyto.documents d JOIN pinyto.users u ON u.id = d.user_id
    WHERE d.user_id = $1 AND d.id = $2 AND ($3::bigint IS NULL OR d.assembly_id = $3)";

#[derive(sqlx::FromRow)]
struct BeforeRow {
    id: Vec<u8>,
    assembly: String,
    time: i64,
    size: i64,
    bytes: i64,
    body: Option<String>,
    version: String,
    indexes: Vec<i64>,
    paths: Vec<String>,
}

impl BeforeRow {
    /// The document, if its body was wanted.
    fn old(self) -> Option<Old> {
        let (id, assembly, time) = (self.id, self.assembly, self.time);
        Some(Old {
            version: self.version,
            indexes: self.indexes,
            paths: self.paths,
            row: DocumentRow {
                id,
                assembly,
                time,
                body: self.body?,
            },
        })
    }
}

/// A change of one document.
pub(super) struct Change<'a> {
    pub(super) scope: Scope,
    pub(super) id: DocumentId,
    /// What it is to become; nothing, if it is to be removed.
    pub(super) new: Option<&'a New>,
    pub(super) prepared: Option<&'a Prepared>,
    /// The largest document that is worked out when its user is locked.
    pub(super) largest: i64,
    pub(super) evaluations: &'a Evaluations,
}

impl Change<'_> {
    /// What is there and what is to be done: what was prepared if that fits, else it is worked out
    /// for a document that is not too large. The user has to be locked.
    pub(super) async fn begin(&self, db: &mut PgConnection) -> Result<Before, Failure> {
        // What is prepared fits nearly always; else the body is asked for another time.
        let is_prepared = self.prepared.is_some();
        let wanted = if is_prepared { -1 } else { self.largest };
        let Some(mut row) = read(db, self.scope, self.id, -1, wanted).await? else {
            return Ok(Before::Gone);
        };
        let (size, bytes) = (row.size, row.bytes);
        if let Some(prepared) = self.prepared {
            if (&prepared.version, &prepared.indexes) == (&row.version, &row.indexes) {
                let work = Arc::clone(&prepared.work);
                return Ok(Before::There(Now { size, bytes, work }));
            }
            match read(db, self.scope, self.id, -1, self.largest).await? {
                Some(again) => row = again,
                None => return Ok(Before::Gone),
            }
        }
        let Some(old) = row.old() else {
            return Ok(Before::Unprepared);
        };
        let work = Arc::new(Work::of(old, self.new.cloned(), self.evaluations).await?);
        Ok(Before::There(Now { size, bytes, work }))
    }
}

async fn read(
    db: &mut PgConnection,
    scope: Scope,
    id: DocumentId,
    larger_than: i64,
    largest: i64,
) -> Result<Option<BeforeRow>, Failure> {
    let row = sqlx::query_as(BEFORE)
        .bind(scope.user.get())
        .bind(id.as_bytes().as_slice())
        .bind(scope.assembly.map(|assembly| assembly.get()))
        .bind(larger_than)
        .bind(largest)
        .fetch_optional(db);
    Ok(row.await?)
}

impl Prepared {
    /// The document, if it is there and has more than so many bytes.
    pub(in super::super::super) async fn read(
        database: &Database,
        scope: Scope,
        id: DocumentId,
        larger_than: i64,
    ) -> Result<Option<Old>, Failure> {
        let row = database.lend(async |db| read(db, scope, id, larger_than, i64::MAX).await);
        Ok(row.await?.and_then(BeforeRow::old))
    }

    /// Works out what becomes of the document: something new, or nothing.
    pub(super) async fn new(
        old: Old,
        new: Option<New>,
        evaluations: &Evaluations,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            version: old.version.clone(),
            indexes: old.indexes.clone(),
            work: Arc::new(Work::of(old, new, evaluations).await?),
        })
    }

    /// The removal of the document.
    pub(in super::super::super) async fn removal(
        old: Old,
        evaluations: &Evaluations,
    ) -> Result<Self, StoreError> {
        Self::new(old, None, evaluations).await
    }
}

impl Work {
    /// Where it is, if all is small.
    pub(super) async fn of(
        old: Old,
        new: Option<New>,
        evaluations: &Evaluations,
    ) -> Result<Self, Failure> {
        let new_size = new.as_ref().map_or(0, |new| tree_size(&new.body));
        let memory = tree_size(&old.row.body) + new_size;
        if memory <= 2 * SMALL {
            return Ok(Self::now(old, new)?);
        }
        let worked_out = evaluations.run(memory, None, move |_| Self::now(old, new));
        Ok(worked_out.await.map_err(sqlx::Error::from)??)
    }

    fn now(old: Old, new: Option<New>) -> Result<Self, Corrupt> {
        let indexes: Vec<(i64, Path)> = with_paths(old.indexes, &old.paths)?;
        let document = old.row.document()?;
        let before = Listings::now(&document, &indexes);
        let Some(new) = new else {
            return Ok(Self {
                time: document.time,
                size: 0,
                gone: before.entries(),
                come: Entries::default(),
                traits: Default::default(),
            });
        };
        let time = new.time.unwrap_or(document.time);
        let document = Document::new(document.id, document.assembly, time, new.fields);
        let after = Listings::now(&document, &indexes);
        let (gone, come) = before.changed_to(&after);
        Ok(Self {
            time: document.time,
            size: size(&document),
            gone,
            come,
            traits: after.traits(),
        })
    }
}
