//! What is done for a change before its turn comes.

use pinyto_core::{
    clock::Timestamp,
    document::{Document, DocumentId, Scope, tree_size},
    json,
    query::{Path, Watch},
    store::StoreError,
};
use sqlx::{
    Sqlite, SqliteConnection, encode::IsNull, error::BoxDynError, sqlite::SqliteArgumentsBuffer,
};

use super::{
    super::{
        super::{error::Failure, pool::Readers},
        body,
    },
    Listings, index_paths, size,
};
use crate::{
    query::evaluation::{Evaluations, SMALL},
    row::{
        corrupt,
        document::{BODY, DocumentRow},
    },
};

/// The fields of a document as they are handed to a statement.
#[derive(Clone)]
pub(in super::super) enum Body {
    /// Their text.
    Small(String),
    /// Their text, and SQLite's JSONB of it.
    Large { text: String, jsonb: Vec<u8> },
}

impl Body {
    pub(in super::super) async fn new(text: String, readers: &Readers) -> Result<Self, StoreError> {
        if tree_size(&text) <= SMALL {
            return Ok(Self::Small(text));
        }
        let converted = sqlx::query_as::<_, (Vec<u8>,)>("SELECT jsonb(?1)").bind(text.as_str());
        let (jsonb,) = readers.one(converted).await?.unwrap_or_default();
        Ok(Self::Large { text, jsonb })
    }
}

impl sqlx::Type<Sqlite> for Body {
    fn type_info() -> <Sqlite as sqlx::Database>::TypeInfo {
        <Vec<u8> as sqlx::Type<Sqlite>>::type_info()
    }
}

impl sqlx::Encode<'_, Sqlite> for Body {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Small(text) => sqlx::Encode::<Sqlite>::encode(text.clone(), buffer),
            Self::Large { jsonb, .. } => sqlx::Encode::<Sqlite>::encode(jsonb.clone(), buffer),
        }
    }
}

/// A change of a stored document, worked out.
pub(in super::super) struct Prepared {
    /// The body and the time as they were.
    old: Vec<u8>,
    old_time: Timestamp,
    /// Of the user's indexes.
    paths: String,
    pub(super) time: Timestamp,
    pub(super) size: i64,
    pub(super) gone: String,
    pub(super) come: String,
}

/// What there is when the turn has come.
pub(super) struct Now {
    pub(super) size: i64,
    pub(super) bytes: i64,
    pub(super) is_unchanged: bool,
}

/// The document before the change, as text and as it is, and the paths of her indexes.
pub(super) const BEFORE: &str = concat!(
    "SELECT d.id, d.assembly, d.time, ",
    body!(),
    " AS body, d.body AS old,
        (SELECT json_group_array(path) FROM pinyto_indexes WHERE user_id = $1)
            AS paths
    FROM pinyto_documents d
    WHERE d.user_id = $1 AND d.id = $2 AND ($3 IS NULL OR d.assembly_id = $3)"
);

pub(super) const UNCHANGED: &str = "
    SELECT d.size, u.bytes, d.body = $4 AND d.time = $6
        AND $5 = (SELECT json_group_array(path) FROM pinyto_indexes WHERE user_id = $1)
    FROM pinyto_documents d JOIN pinyto_users u ON u.id = d.user_id
    WHERE d.user_id = $1 AND d.id = $2 AND ($3 IS NULL OR d.assembly_id = $3)";

#[derive(sqlx::FromRow)]
struct BeforeRow {
    old: Vec<u8>,
    paths: String,
    #[sqlx(flatten)]
    document: DocumentRow,
}

impl Prepared {
    /// Works out what becomes of a document: another time and other fields, as text, or nothing.
    /// None if there is no such document.
    pub(in super::super) async fn new(
        readers: &Readers,
        evaluations: &Evaluations,
        scope: Scope,
        id: DocumentId,
        new: Option<(Option<Timestamp>, String)>,
    ) -> Result<Option<Self>, StoreError> {
        let before = sqlx::query_as::<_, BeforeRow>(BEFORE)
            .bind(scope.user.get())
            .bind(id.as_bytes().as_slice())
            .bind(scope.assembly.map(|assembly| assembly.get()));
        let Some(before) = readers.one(before).await? else {
            return Ok(None);
        };
        let new_size = new.as_ref().map_or(0, |(_, text)| tree_size(text));
        let memory = tree_size(&before.document.body) + new_size;
        let work = move |_: &mut Watch<'_>| -> Result<Self, Failure> {
            let paths = index_paths(&before.paths)?;
            let old = before.document.document()?;
            let mut prepared = Self {
                old: before.old,
                old_time: old.time,
                paths: before.paths,
                time: old.time,
                size: 0,
                gone: String::new(),
                come: String::new(),
            };
            let mut gone = Listings::of(&old, &paths);
            if let Some((time, text)) = new {
                let fields = json::object(&text).map_err(corrupt(BODY))?;
                let time = time.unwrap_or(old.time);
                let new = Document::new(old.id, old.assembly, time, fields);
                let mut come = Listings::of(&new, &paths);
                gone.without_common(&mut come);
                prepared.time = new.time;
                prepared.size = size(&new);
                prepared.come = come.json();
            }
            prepared.gone = gone.json();
            Ok(prepared)
        };
        Ok(Some(evaluations.run(memory, None, work).await??))
    }

    /// What there is now; none if it is gone.
    pub(super) async fn now(
        &self,
        db: &mut SqliteConnection,
        scope: Scope,
        id: DocumentId,
    ) -> Result<Option<Now>, Failure> {
        let row: Option<(i64, i64, bool)> = sqlx::query_as(UNCHANGED)
            .bind(scope.user.get())
            .bind(id.as_bytes().as_slice())
            .bind(scope.assembly.map(|assembly| assembly.get()))
            .bind(self.old.as_slice())
            .bind(self.paths.as_str())
            .bind(self.old_time.unix_millis())
            .fetch_optional(db)
            .await?;
        Ok(row.map(|(size, bytes, is_unchanged)| Now {
            size,
            bytes,
            is_unchanged,
        }))
    }
}

impl Listings {
    /// Those of a document that is to be stored.
    pub(in super::super) async fn before_insert(
        document: &Document,
        body: &Body,
        paths: std::sync::Arc<[Path]>,
        evaluations: &Evaluations,
    ) -> Result<String, StoreError> {
        let Body::Large { text, .. } = body else {
            return Ok(Self::of(document, paths.iter()).json());
        };
        let (id, assembly, time) = (document.id, document.assembly.clone(), document.time);
        let (memory, text) = (tree_size(text), text.clone());
        let work = move |_: &mut Watch<'_>| -> Result<String, Failure> {
            let fields = json::object(&text).map_err(corrupt(BODY))?;
            let document = Document::new(id, assembly, time, fields);
            Ok(Self::of(&document, paths.iter()).json())
        };
        Ok(evaluations.run(memory, None, work).await??)
    }
}
