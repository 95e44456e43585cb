use std::{collections::VecDeque, fmt, time::Duration};

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Counts, VERSION};
use crate::{
    clock::Timestamp,
    document::{DocumentId, ScanLimit, ScanLimits, Scope, Search, Searched},
    key::{KeyLabel, KeyMaterial, OpenPgpKey},
    query::{Direction, Query, Sort},
    store::{Store, StoreError},
    user::{User, UserName},
};

/// How many documents are read at once, at the most.
const PAGE: u64 = 256;

/// How many bytes of documents are read at once, if it is more than one.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// How many assemblies are listed at once.
const NO_LIMIT: u64 = u64::MAX;

/// What a user has, line by line. See the [module](super).
///
/// Documents are read a few at a time, in the order of their identifiers: what is changed meanwhile
/// is there as it was before or after, what is stored meanwhile comes last.
pub struct UserExport<'a> {
    store: &'a dyn Store,
    user: User,
    ready: VecDeque<String>,
    counts: Counts,
    /// The last document that was read.
    last: Option<DocumentId>,
    page: u64,
    stage: Stage,
}

impl fmt::Debug for UserExport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserExport")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

enum Stage {
    Documents,
    End,
    Over,
}

#[cfg(feature = "gpgauth")]
fn armored(key: &OpenPgpKey) -> Result<String, StoreError> {
    crate::gpgauth::armored(key)
        .map_err(|error| StoreError::corrupt("an OpenPGP key", error.to_string()))
}

#[cfg(not(feature = "gpgauth"))]
fn armored(_: &OpenPgpKey) -> Result<String, StoreError> {
    Err(StoreError::unavailable(
        "there is an OpenPGP key, which needs the feature gpgauth",
    ))
}

impl<'a> UserExport<'a> {
    /// The export of the user of that name, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    pub async fn begin(
        store: &'a dyn Store,
        name: &UserName,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let Some(user) = store.users().find(name).await? else {
            return Ok(None);
        };
        let mut export = Self {
            store,
            user,
            ready: VecDeque::new(),
            counts: Counts::default(),
            last: None,
            page: PAGE,
            stage: Stage::Documents,
        };
        let header =
            json!({"version": VERSION, "user": name.as_str(), "exported": now.to_string()});
        export.add(&json!({ "pinyto_export": header }));
        export.keys().await?;
        export.assemblies().await?;
        Ok(Some(export))
    }

    /// The next line, without its end; `None` after the last.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        while self.ready.is_empty() {
            match self.stage {
                Stage::Documents => {
                    if self.documents().await? == 0 {
                        self.stage = Stage::End;
                    }
                }
                Stage::End => {
                    self.add(&json!({ "end": self.counts }));
                    self.stage = Stage::Over;
                }
                Stage::Over => break,
            }
        }
        Ok(self.ready.pop_front())
    }

    /// What the lines so far have.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn add(&mut self, line: &serde_json::Value) {
        self.ready.push_back(line.to_string());
    }

    async fn keys(&mut self) -> Result<(), StoreError> {
        // Its private half is sealed under a password that doesn't go along.
        let account = self.store.keyserver().find(&self.user.name).await?;
        let keyserver = account.map(|account| account.key);
        for key in self.store.keys().list(self.user.id).await? {
            if Some(key.id) == keyserver {
                continue;
            }
            self.counts.keys += 1;
            let (field, public_key) = match &key.material {
                KeyMaterial::Rsa(key) => ("public_key", key.to_pem()),
                KeyMaterial::OpenPgp(key) => ("openpgp_key", armored(key)?),
            };
            self.add(&json!({"key": {
                field: public_key,
                "label": key.label.as_ref().map(KeyLabel::as_str),
                "active": key.active,
                "created_at": key.created_at.to_string(),
            }}));
        }
        Ok(())
    }

    async fn assemblies(&mut self) -> Result<(), StoreError> {
        let assemblies = self.store.assemblies();
        let own = assemblies.list_of_author(self.user.id).await?;
        for source in own {
            self.counts.assemblies += 1;
            self.add(&json!({ "assembly": source }));
        }
        for installed in assemblies.list_installed(self.user.id).await? {
            self.counts.installed += 1;
            let name = format!("{}/{}", installed.author, installed.name);
            self.add(&json!({ "installed": name }));
        }
        Ok(())
    }

    /// Reads the next documents; says how many.
    async fn documents(&mut self) -> Result<u64, StoreError> {
        let query = match self.last {
            None => Query::default(),
            Some(last) => Query::parse(&json!({"_id": {"$gt": last.to_string()}}))
                .map_err(|error| StoreError::corrupt("the query", error.to_string()))?,
        };
        let sort = Sort::by("_id", Direction::Ascending)
            .map_err(|error| StoreError::corrupt("the order", error.to_string()))?;
        let mut search = Search {
            query,
            sort,
            skip: 0,
            limit: self.page,
        };
        let scope = Scope::all_of(self.user.id);
        let found = loop {
            let limits = ScanLimits {
                examined: NO_LIMIT,
                time: Duration::from_secs(600),
                bytes: if search.limit > 1 {
                    PAGE_BYTES
                } else {
                    NO_LIMIT
                },
            };
            let documents = self.store.documents();
            match documents.search_text(scope, &search, limits).await? {
                Searched::Found(found, _) => break found,
                Searched::TooMuch(ScanLimit::Bytes, _) if search.limit > 1 => {
                    search.limit = (search.limit / 4).max(1);
                }
                Searched::TooMuch(limit, _) => {
                    let late = format!("a query was stopped: {limit:?}");
                    return Err(StoreError::unavailable(late));
                }
            }
        };
        // Large ones often come together.
        self.page = (search.limit * 2).min(PAGE);
        let damaged =
            |error: serde_json::Error| StoreError::corrupt("a document", error.to_string());
        let found: Vec<&RawValue> = serde_json::from_str(&found).map_err(damaged)?;
        for text in &found {
            #[derive(Deserialize)]
            struct Identified {
                _id: String,
            }
            let document: Identified = serde_json::from_str(text.get()).map_err(damaged)?;
            let id = document._id.parse::<DocumentId>();
            let id = id.map_err(|error| StoreError::corrupt("a document", error.to_string()))?;
            self.last = Some(id);
            // Within a line nothing may look like its end.
            let text = text.get().replace(['\n', '\r'], " ");
            self.ready.push_back(format!("{{\"document\":{text}}}"));
        }
        self.counts.documents += found.len() as u64;
        Ok(found.len() as u64)
    }
}
