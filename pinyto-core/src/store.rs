//! What a store is, and how to write one.
//!
//! A store is one value that gives access to the repositories, one per subject:
//!
//! | subject | trait |
//! |---|---|
//! | users and their usage | [`UserRepository`] |
//! | public keys | [`KeyRepository`] |
//! | sessions | [`SessionRepository`] |
//! | keyserver accounts | [`KeyserverRepository`] |
//! | assemblies and who has installed them | [`AssemblyRepository`] |
//! | documents | [`DocumentRepository`] |
//! | runs | [`RunRepository`] |
//! | jobs | [`JobRepository`] |
//! | failed tries | [`FailureRepository`] |
//! | what is read for a session | [`SessionReads`] |
//!
//! [`MemoryStore`](crate::memory::MemoryStore) is one; the crate `pinyto-store` has one on SQLite and
//! one on PostgreSQL.
//!
//! # How to write one
//!
//! 1. Implement the nine traits. Each method is one *atomic intent*: it checks its precondition and
//!    acts in one transaction, and says by its outcome what became of it. Everything that must
//!    hold when callers race (one owner per name, the last active key, one session per key) is
//!    decided there; no rule of the services depends on two calls in a row.
//! 2. Return only after the change is durable. Acknowledged means durable. (Failed tries are the
//!    exception: losing them when the database crashes is no harm.)
//! 3. Report [`StoreError::Unavailable`] for what may work later, [`StoreError::Busy`] for what had
//!    to wait too long for its turn and [`StoreError::Corrupt`] for
//!    what can't have been written by us. Never hand out half a transaction with an error.
//! 4. Take time from the arguments, never from a clock of your own.
//! 5. Implement [`SessionReads`], of which only one method is not provided, and [`Store`], and run the contract suite over it (feature `testing`, see
//!    `pinyto_core::store_contract!`).
//!
//! # A store of parts
//!
//! [`FailureRepository`] shares no transaction with the others, so failed tries may be kept elsewhere
//! than the rest: give [`Store::failures`] a repository of your own and hand everything else on
//! (`custom_store` among the examples does). The others can't be taken apart, since what one decides
//! depends on what others keep: a deactivated key ends its session, changes of keys and passwords
//! have a session as their precondition, an installation plans jobs, a document needs its assembly
//! installed and counts for its user, a run books CPU time to her.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    assembly::AssemblyRepository,
    document::DocumentRepository,
    job::JobRepository,
    key::KeyRepository,
    keyserver::KeyserverRepository,
    run::RunRepository,
    session::{SessionReads, SessionRepository},
    throttle::FailureRepository,
    user::UserRepository,
};

/// Everything that is kept. See the [module](self) on how to write one.
#[async_trait]
pub trait Store: Send + Sync {
    /// Users and their usage.
    fn users(&self) -> &dyn UserRepository;

    /// Public keys.
    fn keys(&self) -> &dyn KeyRepository;

    /// Sessions.
    fn sessions(&self) -> &dyn SessionRepository;

    /// Keyserver accounts.
    fn keyserver(&self) -> &dyn KeyserverRepository;

    /// Assemblies and who has installed them.
    fn assemblies(&self) -> &dyn AssemblyRepository;

    /// Documents.
    fn documents(&self) -> &dyn DocumentRepository;

    /// What became of calls and jobs.
    fn runs(&self) -> &dyn RunRepository;

    /// What is to be run.
    fn jobs(&self) -> &dyn JobRepository;

    /// Failed tries, of which all servers are to know.
    fn failures(&self) -> &dyn FailureRepository;

    /// What is read for a session, with its look-up.
    fn reads(&self) -> &dyn SessionReads;

    /// Whether the store can be used: succeeds if a write would, as far as that can be told without
    /// one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotReady`] or [`StoreError::Unavailable`] if it can't.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// What went wrong in a store. Expected outcomes (a name is taken) are no errors but part of what
/// each method returns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store can't be reached, is full or shutting down. Nothing was changed, unless the
    /// connection to it broke in a commit; the same call may succeed later.
    #[error("the store is not available")]
    Unavailable {
        /// For the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store can't serve at present: what a ping says.
    #[error("the store is not available: {reason}")]
    NotReady {
        /// Why, in words that anybody may read: `it can't be reached`.
        reason: &'static str,
    },
    /// So much is to be done that the call was not begun.
    #[error("the store has too much to do")]
    Busy {
        /// How long to wait before another try.
        retry_after: Duration,
    },
    /// The store holds something that was not written by this library.
    #[error("the store is inconsistent at {place}: {detail}")]
    Corrupt {
        /// Where: table and column, or whatever the store calls its places.
        place: String,
        /// What is wrong there; nothing secret.
        detail: String,
    },
}

impl StoreError {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } | Self::NotReady { .. } => "database_unavailable",
            Self::Busy { .. } => "busy",
            Self::Corrupt { .. } => "database_inconsistent",
        }
    }
}

impl StoreError {
    /// An [`StoreError::Unavailable`] with its reason for the log.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable {
            source: source.into(),
        }
    }

    /// A [`StoreError::Busy`], for those who have waited in vain for their turn.
    #[must_use]
    pub const fn busy() -> Self {
        Self::Busy {
            retry_after: Duration::from_secs(2),
        }
    }

    /// A [`StoreError::Corrupt`].
    pub fn corrupt(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Corrupt {
            place: place.into(),
            detail: detail.into(),
        }
    }
}
