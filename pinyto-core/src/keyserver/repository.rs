use async_trait::async_trait;

use super::{Account, password::PasswordHash, sealed_key::SealedKey};
use crate::{
    clock::Timestamp,
    id::{SessionId, UserId},
    key::NewKey,
    session::Actor,
    store::StoreError,
    user::{NewUser, RegisterOutcome, UserName},
};

/// A password with the key pair it opens, as they are kept.
#[derive(Clone, Debug)]
pub struct NewCredentials {
    /// The public half of the key pair.
    pub key: NewKey,
    /// The hash of the password.
    pub password_hash: PasswordHash,
    /// The private half, sealed under the password.
    pub sealed_key: SealedKey,
}

/// What became of a change of password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangePasswordOutcome {
    /// The new password is in force.
    Changed,
    /// The user has no keyserver account; nothing was changed.
    NoAccount,
    /// The session that asked has ended; nothing was changed.
    SessionEnded,
}

/// What became of a change to whether a password opens an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordLoginOutcome {
    /// It is as was asked for.
    Done,
    /// The user has no keyserver account; nothing was changed.
    NoAccount,
    /// No other key of the user could open her account; nothing was changed.
    LastActive,
    /// The session that asked for it to be forbidden was opened with the password itself, which
    /// shows nothing about other keys; nothing was changed.
    OwnSession,
    /// The session that asked has ended; nothing was changed.
    SessionEnded,
}

/// Where the keyserver's accounts are kept, at most one per user.
#[async_trait]
pub trait KeyserverRepository: Send + Sync {
    /// Makes a user with her first key and a keyserver account for this key, all or nothing,
    /// unless the name is taken (be it by a user without a keyserver account).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn register(
        &self,
        user: &NewUser,
        password_hash: &PasswordHash,
        sealed_key: &SealedKey,
    ) -> Result<RegisterOutcome, StoreError>;

    /// The account of the user of that name, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn find(&self, name: &UserName) -> Result<Option<Account>, StoreError>;

    /// Puts new credentials in the place of the account's old ones, in one transaction: checks that
    /// `session` lives and is the user's, adds the new key (active if the old one is), points the
    /// account at it, moves `session` to it if it is a session of the old key, and deletes the old
    /// key with whatever session it still has. Sessions of other keys stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn change_password(
        &self,
        user: UserId,
        session: SessionId,
        credentials: &NewCredentials,
        at: Timestamp,
    ) -> Result<ChangePasswordOutcome, StoreError>;

    /// Allows or forbids that the password opens the account: activates or deactivates the
    /// account's key, unless it is the user's last active one and would not be any more. Other keys
    /// that have expired `at` this time don't count as active. A session of that key can't forbid
    /// it. Forbidding ends the key's session in the same transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed; then nothing was changed.
    async fn set_password_login(
        &self,
        actor: Actor,
        allowed: bool,
        at: Timestamp,
    ) -> Result<PasswordLoginOutcome, StoreError>;

    /// Replaces hash and sealed key (of the same password and key) if the hash is still `old`;
    /// says whether it was. Serves to raise the cost of hashing at a login.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn rehash(
        &self,
        user: UserId,
        old: &PasswordHash,
        password_hash: &PasswordHash,
        sealed_key: &SealedKey,
    ) -> Result<bool, StoreError>;
}
