//! What a user had set up when that was last seen.
//!
//! An insert has to make entries for each of the user's indexes. Instead of asking for them first,
//! it is made for those that were there last, under the condition that nothing has changed: her row
//! counts the changes of what she has installed and of which indexes she has. So it is one
//! statement, whoever changes what at the same time.

use std::sync::Arc;

use pinyto_core::{id::UserId, query::Path};
use quick_cache::sync::Cache;

use crate::row::{Corrupt, corrupt};

/// A state of what a user has set up.
#[derive(Debug)]
pub(super) struct Setup {
    /// The number of changes so far.
    pub(super) changes: i64,
    /// Number and path of her indexes.
    pub(super) indexes: Vec<(i64, Path)>,
}

impl Setup {
    pub(super) fn new(changes: i64, indexes: Vec<i64>, paths: &[String]) -> Result<Self, Corrupt> {
        Ok(Self {
            changes,
            indexes: with_paths(indexes, paths)?,
        })
    }
}

/// Indexes with their paths.
pub(super) fn with_paths(indexes: Vec<i64>, paths: &[String]) -> Result<Vec<(i64, Path)>, Corrupt> {
    let paths = paths.iter().map(|path| Path::parse(path));
    indexes
        .into_iter()
        .zip(paths)
        .map(|(index, path)| Ok((index, path?)))
        .collect::<Result<_, _>>()
        .map_err(corrupt::<pinyto_core::query::InvalidPath>(
            "pinyto_indexes.path",
        ))
}

/// The setups of the users who stored something last.
pub(in super::super) struct KnownSetups(Cache<UserId, Arc<Setup>>);

impl Default for KnownSetups {
    fn default() -> Self {
        Self(Cache::new(10_000))
    }
}

impl KnownSetups {
    pub(super) fn of(&self, user: UserId) -> Option<Arc<Setup>> {
        self.0.get(&user)
    }

    /// It has changed, so asking first is quicker.
    pub(in super::super) fn forget(&self, user: UserId) {
        self.0.remove(&user);
    }

    pub(super) fn note(&self, user: UserId, setup: Arc<Setup>) {
        self.0.insert(user, setup);
    }
}
