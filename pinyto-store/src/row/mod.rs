//! What rows mean, whichever database they come from.
//!
//! The tables of all databases have the same columns, so these types and what becomes of them stand
//! here once. A row that can't have been written by this crate is [`Corrupt`].

pub(crate) mod assembly;
pub(crate) mod document;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod keyserver;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod user;

use std::fmt;

use pinyto_core::store::StoreError;

/// A row that this crate can't have written.
#[derive(Clone, Debug)]
pub(crate) struct Corrupt {
    /// `table.column`.
    pub(crate) place: &'static str,
    /// What is wrong; nothing secret.
    pub(crate) detail: String,
}

/// Turns the reason why a column can't be read into a [`Corrupt`] that names the column.
pub(crate) fn corrupt<E: fmt::Display>(place: &'static str) -> impl FnOnce(E) -> Corrupt {
    move |reason| Corrupt {
        place,
        detail: reason.to_string(),
    }
}

impl From<Corrupt> for StoreError {
    fn from(Corrupt { place, detail }: Corrupt) -> Self {
        Self::corrupt(place, detail)
    }
}
