//! One user's keys, assemblies and documents as lines of JSON: out of one cloud, into another.
//!
//! The lines are for people, too: they can be read, searched and edited. The first says whose they
//! are, the last how many there are, so that a file that was cut off is noticed:
//!
//! ```json
//! {"pinyto_export":{"version":1,"user":"ada","exported":"2026-11-28T12:00:00.000Z"}}
//! {"key":{"public_key":"-----BEGIN PUBLIC KEY-----\n...","label":"phone","active":true,"created_at":"..."}}
//! {"key":{"openpgp_key":"-----BEGIN PGP PUBLIC KEY BLOCK-----\n...","label":null,"active":true,"created_at":"..."}}
//! {"assembly":{"name":"Notes","description":"","api_functions":[],"jobs":[],"only_own_data":true}}
//! {"installed":"pinyto/Todo"}
//! {"document":{"_id":"65f0...","assembly":"ada/Notes","time":"...","type":"note","tags":[],"data":{}}}
//! {"end":{"keys":2,"assemblies":1,"installed":1,"documents":1}}
//! ```
//!
//! [`UserExport`] makes them, [`UserImport`] takes them, or the documents that MongoDB's
//! `mongoexport` writes. Neither does any I/O but with the store: the program that embeds them
//! brings the lines where they are to go.
//!
//! OpenPGP keys need the feature `gpgauth`.
//!
//! What opens an account by itself doesn't go along: no password, no sealed private key, no
//! session. Neither do the runs and what was used; a backup of the store has all that.

mod export;
mod import;
mod lines;
mod mongo;
mod preview;

pub use export::UserExport;
pub use import::{ImportSettings, UserImport};
pub use preview::{Needs, Preview};

use std::fmt;

use crate::{store::StoreError, user::UserName};

/// The version of the lines that are written, and the newest that are read.
pub const VERSION: u32 = 1;

/// How many things of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Public keys.
    pub keys: u64,
    /// Assemblies that the user has written.
    pub assemblies: u64,
    /// Assemblies that she has installed.
    pub installed: u64,
    /// Documents.
    pub documents: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            keys,
            assemblies,
            installed,
            documents,
        } = self;
        write!(
            f,
            "{keys} keys, {assemblies} assemblies, {installed} installed ones and {documents} documents"
        )
    }
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Whose all of it has become, once that is known.
    pub user: Option<UserName>,
    /// What is there now and was not before.
    pub new: Counts,
    /// What was there already, just so.
    pub known: Counts,
    /// What was there already, but otherwise, and stays as it is.
    pub kept: Counts,
    /// Whether the user was made.
    pub made_user: bool,
    /// Keys that were left out because the user was there already: who has one gets at everything.
    pub keys_left_out: u64,
    /// Keys of a user who was made that were left out because they are not active.
    pub inactive_keys_left_out: u64,
    /// Assemblies that were installed for her.
    pub installed: Vec<String>,
    /// Assemblies that she had installed and that are not here.
    pub missing: Vec<String>,
}

/// Why an import stops. What went before stays; importing the same lines again goes on, the
/// user being named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A line can't be taken.
    #[error("Line {line} can't be taken: {reason}.")]
    Line {
        /// Which line, the first being 1.
        line: u64,
        /// Why not.
        reason: String,
    },
    /// The store failed.
    #[error("Line {line} can't be taken now: {source}.")]
    Store {
        /// At which line.
        line: u64,
        /// How.
        #[source]
        source: StoreError,
    },
}

impl ImportError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Line { .. } => "import_line_invalid",
            Self::Store { source, .. } => source.code(),
        }
    }
}
