use async_trait::async_trait;

use super::{LoginTokenHash, Session};
use crate::{
    challenge::SessionTokenHash,
    clock::Timestamp,
    id::{KeyId, SessionId, UserId},
    store::StoreError,
};

/// A session that is to be opened.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Who opens it.
    pub user: UserId,
    /// Her key that opens it.
    pub key: KeyId,
    /// SHA-256 of its token.
    pub token_hash: SessionTokenHash,
    /// When.
    pub at: Timestamp,
}

/// What became of a session that was to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplaceOutcome {
    /// The session lives; one that the key had before is dead.
    Opened(SessionId),
    /// The user has no such key, or it is not active (any more); nothing was changed.
    KeyNotActive,
}

/// Where sessions are kept.
///
/// A session whose key is deleted or deactivated is gone with that very transaction. What one of
/// several processes on the same database ended, none of them may find any more.
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// Opens a session of the key, ending the one it had, if the user has that and it is active; notes
    /// `at` as the key's last use.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn replace(&self, session: &NewSession) -> Result<ReplaceOutcome, StoreError>;

    /// The session, if it has not ended. Called once per request: should be fast.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(&self, session: SessionId) -> Result<Option<Session>, StoreError>;

    /// The session with that token, if it has not ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find_by_token(&self, token: &SessionTokenHash) -> Result<Option<Session>, StoreError>;

    /// Notes `at` as the last use of the user's session and of its key, unless a later one is noted;
    /// nothing happens if the session has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn renew(
        &self,
        user: UserId,
        session: SessionId,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Ends the user's session; says whether it was still there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn end(&self, user: UserId, session: SessionId) -> Result<bool, StoreError>;

    /// Notes that somebody has shown this login token, until `expires_at`; says whether nobody had
    /// before. Of several who show it at once, one is the first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then it may or may not be noted.
    async fn spend(
        &self,
        token: &LoginTokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Forgets the login tokens that expired before `now`; says how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn forget_spent(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Ends all sessions that were last used before `moment`; says how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn end_unused_since(&self, moment: Timestamp) -> Result<u64, StoreError>;
}
