use async_trait::async_trait;

use super::{User, UserName};
use crate::{clock::Timestamp, id::UserId, key::NewKey, store::StoreError, usage::Usage};

/// What a registration brings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewUser {
    /// The wanted name.
    pub name: UserName,
    /// The first key.
    pub key: NewKey,
    /// More keys, no two of all the same. Who registers has none yet; an import may bring some.
    pub further_keys: Vec<NewKey>,
    /// When.
    pub at: Timestamp,
}

impl NewUser {
    /// A registration of that name with a first key.
    #[must_use]
    pub const fn new(name: UserName, key: NewKey, at: Timestamp) -> Self {
        Self {
            name,
            key,
            further_keys: Vec::new(),
            at,
        }
    }
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterOutcome {
    /// The user exists now, with her keys.
    Registered(User),
    /// The name belongs to somebody; nothing was changed.
    NameTaken,
}

/// Where users are kept.
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// Makes a user together with her keys, all active, unless the name is taken.
    ///
    /// Of several registrations racing for one name exactly one wins. Other users may have the
    /// same key; that is nobody's business.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn register(&self, user: &NewUser) -> Result<RegisterOutcome, StoreError>;

    /// The user of that name, made without any key if there is none: the author of bundled
    /// assemblies.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn ensure_keyless(&self, name: &UserName, at: Timestamp) -> Result<User, StoreError>;

    /// The user of that name, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(&self, name: &UserName) -> Result<Option<User>, StoreError>;

    /// What the user has used, as of the last change ([`Usage::at`] brings it up to the present).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn usage(&self, user: UserId) -> Result<Option<Usage>, StoreError>;
}
