use async_trait::async_trait;

use super::{Key, KeyFingerprint, KeyHash, KeyState, NewKey};
use crate::{
    clock::Timestamp,
    id::{KeyId, UserId},
    session::Actor,
    store::StoreError,
    user::{User, UserName},
};

/// What became of a key that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddKeyOutcome {
    /// The user has the key now; it is active, unless it
    /// [needs a proof](super::KeyMaterial::needs_proof).
    Added(KeyId),
    /// The user has another certificate of this OpenPGP key (by its full fingerprint), which is not
    /// valid longer. It was replaced by the new one, and the label if there is a new one; nothing
    /// else was changed.
    Renewed(KeyId),
    /// The user has a certificate of this OpenPGP key that is valid longer; nothing was changed.
    Outlasted,
    /// The user has this very key (by its full fingerprint) already; nothing was changed.
    AlreadyRegistered,
    /// The user has as many keys as allowed; nothing was changed.
    LimitReached,
    /// The session that asked has ended; nothing was changed.
    SessionEnded,
}

/// What became of a proof that a user has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProveKeyOutcome {
    /// The key is active.
    Proved,
    /// The user has no such OpenPGP key; nothing was changed.
    NotFound,
    /// The session that asked has ended; nothing was changed.
    SessionEnded,
}

/// What became of a change to one key of a user.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum KeyChange {
    /// Done; the key as it was before.
    Done(Box<Key>),
    /// The user has no key whose fingerprint begins so; nothing was changed.
    NotFound,
    /// The user has several keys whose fingerprints begin so; nothing was changed.
    Ambiguous,
    /// It is the user's last active key and would be no longer; nothing was changed.
    LastActive,
    /// Nobody has proved to have the key, so it can't be active; nothing was changed.
    Unproven,
    /// The session that asked has ended; nothing was changed.
    SessionEnded,
}

/// Where keys are kept.
///
/// No key gets the identifier that another one had. A [`KeyHash`] selects among the keys *of one
/// user* only, whatever keys others have. Every change first checks that the session of its
/// [`Actor`], if there is one, lives and is that user's.
#[async_trait]
pub trait KeyRepository: Send + Sync {
    /// The user's keys, in the order they were added.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn list(&self, user: UserId) -> Result<Vec<Key>, StoreError>;

    /// The keys of the user of that name whose fingerprints begin with `hash`, active or not:
    /// none (also if there is no such user), one, or two of several, active ones first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn matching(
        &self,
        user: &UserName,
        hash: &KeyHash,
    ) -> Result<Vec<(User, Key)>, StoreError>;

    /// The active OpenPGP key with this fingerprint, and whose it is.
    ///
    /// Several users can have the same one. Active it is only where its holder has proved to have
    /// it, so all of these are hers; it is found where she has proved it last, whatever the time
    /// was said to be then.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find_openpgp(
        &self,
        fingerprint: &KeyFingerprint,
    ) -> Result<Option<(User, Key)>, StoreError>;

    /// Adds a key, unless the user has `limit` keys. It is active unless it
    /// [needs a proof](super::KeyMaterial::needs_proof). If she has a key with this fingerprint, what
    /// becomes of that is for [`Key::registered_again`] to say.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn add(
        &self,
        actor: Actor,
        key: &NewKey,
        limit: usize,
        at: Timestamp,
    ) -> Result<AddKeyOutcome, StoreError>;

    /// Makes an OpenPGP key active whose holder has just proved to have it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn prove(
        &self,
        actor: Actor,
        key: KeyId,
        at: Timestamp,
    ) -> Result<ProveKeyOutcome, StoreError>;

    /// Activates or deactivates the key, unless it is the user's last active one and would not be
    /// any more, or it [is unproven](Key::is_unproven) and would be active. Other keys that have
    /// expired `at` this time don't count as active. Deactivating ends the key's session in the
    /// same transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn set_state(
        &self,
        actor: Actor,
        hash: &KeyHash,
        state: KeyState,
        at: Timestamp,
    ) -> Result<KeyChange, StoreError>;

    /// Deletes the key, its session and, if it is the keyserver's, the keyserver account (whose
    /// sealed private key is then worth nothing) in one transaction, unless it is the user's last
    /// active one. Other keys that have expired `at` this time don't count as active.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn delete(
        &self,
        actor: Actor,
        hash: &KeyHash,
        at: Timestamp,
    ) -> Result<KeyChange, StoreError>;
}
