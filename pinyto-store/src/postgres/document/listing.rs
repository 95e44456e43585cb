//! Entries of indexes on their way into a statement.

use std::collections::BTreeMap;

use pinyto_core::{
    document::{Document, tree_size},
    query::Path,
};

use crate::query::{
    entry::{self, Listing},
    evaluation::{Evaluations, SMALL},
};

/// How indexes list a document.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// Roles by index and key.
    entries: BTreeMap<(i64, Vec<u8>), i64>,
    /// What each index has to know of its entries.
    traits: Vec<(i64, i64)>,
}

/// Entries as arrays of the same length.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) indexes: Vec<i64>,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) roles: Vec<i16>,
}

impl Listings {
    /// How the indexes list a document with this body: worked out where it is, if it is small.
    pub(super) async fn of(
        document: &Document,
        body: &str,
        indexes: &[(i64, Path)],
        evaluations: &Evaluations,
    ) -> Result<Self, sqlx::Error> {
        let size = tree_size(body);
        if size <= SMALL {
            return Ok(Self::now(document, indexes));
        }
        let (document, indexes) = (document.clone(), indexes.to_vec());
        let listed = evaluations.run(size, None, move |_| Self::now(&document, &indexes));
        Ok(listed.await?)
    }

    pub(super) fn now(document: &Document, indexes: &[(i64, Path)]) -> Self {
        let mut all = Self::default();
        for (index, path) in indexes {
            all.add(*index, entry::listing(path, document));
        }
        all
    }

    fn add(&mut self, index: i64, Listing { entries, traits }: Listing) {
        let entries = entries.into_iter();
        self.entries
            .extend(entries.map(|(key, role)| ((index, key), role)));
        if traits != 0 {
            self.traits.push((index, traits));
        }
    }

    /// What goes and what comes (or gets another role) when a document is listed as `new` instead.
    pub(super) fn changed_to(&self, new: &Self) -> (Entries, Entries) {
        let gone = self.entries.iter();
        let gone = gone.filter(|(entry, _)| !new.entries.contains_key(*entry));
        let come = new.entries.iter();
        let come = come.filter(|(entry, role)| self.entries.get(*entry) != Some(role));
        (Entries::of(gone), Entries::of(come))
    }

    pub(super) fn entries(&self) -> Entries {
        Entries::of(self.entries.iter())
    }

    /// Indexes and their new traits.
    pub(super) fn traits(&self) -> (Vec<i64>, Vec<i64>) {
        self.traits.iter().copied().unzip()
    }
}

impl Entries {
    fn of<'e>(entries: impl Iterator<Item = (&'e (i64, Vec<u8>), &'e i64)>) -> Self {
        let mut all = Self::default();
        for ((index, key), role) in entries {
            all.indexes.push(*index);
            all.keys.push(key.clone());
            // Roles are a few bits.
            all.roles.push(i16::try_from(*role).unwrap_or(i16::MAX));
        }
        all
    }
}

/// Entries of several documents in one index.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) documents: Vec<Vec<u8>>,
    pub(super) assemblies: Vec<i64>,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) roles: Vec<i16>,
    pub(super) traits: i64,
}

impl Batch {
    pub(super) fn add(&mut self, document: &[u8], assembly: i64, listing: Listing) {
        self.traits |= listing.traits;
        for (key, role) in listing.entries {
            self.documents.push(document.to_owned());
            self.assemblies.push(assembly);
            self.keys.push(key);
            self.roles.push(i16::try_from(role).unwrap_or(i16::MAX));
        }
    }
}
