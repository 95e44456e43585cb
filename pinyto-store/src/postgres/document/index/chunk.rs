//! The documents that get their entries in one transaction, read and looked at before it.

use pinyto_core::{
    document::{Document, tree_size},
    id::UserId,
    query::Path,
    store::StoreError,
};
use sqlx::PgConnection;

use super::super::{super::error::Failure, listing::Batch};
use crate::{
    query::{entry, evaluation::Evaluations},
    row::{corrupt, document::DocumentRow},
};

/// How many documents get their entries in one transaction.
const CHUNK: i64 = 500;

/// How many bytes of documents get their entries in one transaction, about.
const CHUNK_BYTES: i64 = 1024 * 1024;

#[derive(sqlx::FromRow)]
pub(super) struct IndexRow {
    pub(super) path: String,
    pub(super) state: String,
    pub(super) built_to: Vec<u8>,
}

pub(super) const INDEX: &str = "SELECT path, state, built_to FROM pinyto.indexes WHERE id = $1";

/// The next documents, at least one, and whether these are the last.
const DOCUMENTS: &str = "
    SELECT d.id, d.assembly_id, d.assembly, d.time, d.body::text AS body,
           d.xmin::text || d.ctid::text AS version, d.number = d.count AND d.count < $3 AS is_last
    FROM (
        SELECT n.*, row_number() OVER (ORDER BY n.id) AS number, count(*) OVER () AS count,
               sum(n.size) OVER (ORDER BY n.id) - n.size AS bytes
        FROM (SELECT *, xmin, ctid FROM pinyto.documents WHERE user_id = $1 AND id > $2
              ORDER BY id LIMIT $3) n) d
    WHERE d.bytes < $4 ORDER BY d.id";

#[derive(sqlx::FromRow)]
struct ListedRow {
    assembly_id: i64,
    is_last: bool,
    /// The transaction that has made the row, and its place.
    version: String,
    #[sqlx(flatten)]
    document: DocumentRow,
}

/// Documents that are to get their entries, and the index they get them in.
pub(super) struct Rows {
    path: Path,
    from: Vec<u8>,
    rows: Vec<ListedRow>,
}

/// The next documents without entries. `None` if the index isn't being built.
pub(super) async fn read_chunk(
    db: &mut PgConnection,
    index: i64,
    user: UserId,
) -> Result<Option<Rows>, Failure> {
    let row: Option<IndexRow> = sqlx::query_as(INDEX)
        .bind(index)
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row.filter(|row| row.state == "building") else {
        return Ok(None);
    };
    read_rows(db, user, row).await.map(Some)
}

pub(super) async fn read_rows(
    db: &mut PgConnection,
    user: UserId,
    index: IndexRow,
) -> Result<Rows, Failure> {
    let path = Path::parse(&index.path).map_err(corrupt("pinyto_indexes.path"))?;
    let rows = sqlx::query_as(DOCUMENTS)
        .bind(user.get())
        .bind(index.built_to.as_slice())
        .bind(CHUNK)
        .bind(CHUNK_BYTES)
        .fetch_all(db)
        .await?;
    Ok(Rows {
        path,
        from: index.built_to,
        rows,
    })
}

/// The entries of some documents, worked out for them as they were.
pub(super) struct Chunk {
    /// After which document they begin, and with which they end.
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) is_last: bool,
    pub(super) versions: Vec<String>,
    pub(super) batch: Batch,
}

impl Chunk {
    /// On a thread for it: they are many, or one is large.
    pub(super) async fn of(rows: Rows, evaluations: &Evaluations) -> Result<Self, StoreError> {
        let sizes = rows.rows.iter().map(|row| tree_size(&row.document.body));
        let memory = sizes.sum();
        Ok(evaluations.run(memory, None, |_| Self::now(rows)).await?)
    }

    pub(super) fn now(Rows { path, from, rows }: Rows) -> Self {
        let mut chunk = Self {
            to: from.clone(),
            from,
            is_last: true,
            versions: Vec::new(),
            batch: Batch::default(),
        };
        for row in rows {
            let id = row.document.id.clone();
            let listing = match Document::try_from(row.document) {
                Ok(document) => entry::listing(&path, &document),
                // Queries that use the index find it, and say what is wrong.
                Err(_) => entry::unreadable(),
            };
            chunk.batch.add(&id, row.assembly_id, listing);
            chunk.to = id;
            chunk.is_last = row.is_last;
            chunk.versions.push(row.version);
        }
        chunk
    }
}

/// The versions of the documents of user $1 after $2 up to $3, and whether there are more.
pub(super) const VERSIONS: &str = "
    SELECT ARRAY(SELECT xmin::text || ctid::text FROM pinyto.documents
                 WHERE user_id = $1 AND id > $2 AND id <= $3 ORDER BY id),
           EXISTS (SELECT 1 FROM pinyto.documents WHERE user_id = $1 AND id > $3)";
