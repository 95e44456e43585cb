//! Sessions: what a user has after she has answered a challenge.

mod login_token;
mod reads;
mod remembered;
mod repository;
mod service;

pub use login_token::LoginTokenHash;
pub use reads::{ReadFor, SessionReads};
pub use repository::{NewSession, ReplaceOutcome, SessionRepository};

pub(crate) use remembered::RememberedTokens;

use crate::{
    challenge::SessionTokenHash,
    clock::Timestamp,
    id::{KeyId, SessionId, UserId},
    key::KeyFingerprint,
    user::{User, UserName},
};

/// A session, at most one per key.
///
/// Holding one means: at the time it was returned by [`Cloud::session`](crate::Cloud::session)
/// the caller had proved to be this user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The store's identifier.
    pub id: SessionId,
    /// Whose session it is.
    pub user: User,
    /// The key that opened it.
    pub key: KeyId,
    /// SHA-256 of the session token; the token itself is kept nowhere.
    pub token_hash: SessionTokenHash,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used, exact to [`Settings::session_renewal`](crate::Settings::session_renewal).
    pub last_used_at: Timestamp,
}

impl Session {
    /// A session that was opened then, and not used since.
    #[must_use]
    pub const fn new(
        id: SessionId,
        user: User,
        key: KeyId,
        token_hash: SessionTokenHash,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            user,
            key,
            token_hash,
            created_at,
            last_used_at: created_at,
        }
    }
}

/// Whose session it is, as its owner may know it and tell others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhoAmI {
    /// The user.
    pub user: UserName,
    /// What identifies the key that opened the session.
    pub key: KeyFingerprint,
    /// When the session was opened.
    pub created_at: Timestamp,
    /// When it was last used, exact to [`Settings::session_renewal`](crate::Settings::session_renewal).
    pub last_used_at: Timestamp,
}

/// What a token claims to be: a session that lived when its token was decrypted, and may have ended
/// since.
///
/// Proves nothing by itself. Whatever is read for it has as its precondition that it lives, so that
/// no look-up is needed before; for everything else there is
/// [`Cloud::session_of`](crate::Cloud::session_of). A [`Session`] claims itself.
///
/// It claims the token, too: a database that lost its last commits in a failover gives the
/// identifiers of the sessions in them again, to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionClaim {
    pub(crate) id: SessionId,
    token_hash: SessionTokenHash,
}

impl SessionClaim {
    /// Whether this is the session, and no other one with its identifier.
    fn is_of(&self, session: &Session) -> bool {
        *self == Self::from(session)
    }
}

impl From<&Session> for SessionClaim {
    fn from(session: &Session) -> Self {
        Self {
            id: session.id,
            token_hash: session.token_hash,
        }
    }
}

/// Who changes what opens an account, and on whose word.
///
/// Between the check of a session and the change lies time. A change that would outlive the
/// session (another key, another password) therefore has the session among its preconditions: in
/// the store's transaction it is checked once more that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Whose account it is.
    pub user: UserId,
    /// The session the user acts through; without one the program acts on its own authority.
    pub session: Option<SessionId>,
}

impl From<&Session> for Actor {
    fn from(session: &Session) -> Self {
        Self {
            user: session.user.id,
            session: Some(session.id),
        }
    }
}

/// On the program's own authority.
impl From<UserId> for Actor {
    fn from(user: UserId) -> Self {
        Self {
            user,
            session: None,
        }
    }
}
