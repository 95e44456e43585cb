use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    challenge::SessionTokenHash,
    clock::Timestamp,
    id::{SessionId, UserId},
    session::{Actor, LoginTokenHash, NewSession, ReplaceOutcome, Session, SessionRepository},
    store::StoreError,
};

impl State {
    /// Whether the actor's session lives and is the user's, or the program acts on its own.
    pub(super) fn may_act(&self, actor: Actor) -> bool {
        let lives = |session| self.sessions.get(&session).map(|session| session.user.id);
        actor
            .session
            .is_none_or(|session| lives(session) == Some(actor.user))
    }
}

#[async_trait]
impl SessionRepository for MemoryStore {
    async fn replace(&self, new: &NewSession) -> Result<ReplaceOutcome, StoreError> {
        let mut state = self.lock();
        let key = state.keys.get_mut(&new.key);
        let Some(key) = key.filter(|key| key.active && key.user == new.user) else {
            return Ok(ReplaceOutcome::KeyNotActive);
        };
        key.last_used_at = key.last_used_at.max(Some(new.at));
        let Some(user) = state.users.get(&new.user).map(|found| found.user.clone()) else {
            return Err(StoreError::corrupt("keys", "a key without user"));
        };
        state.sessions.retain(|_, session| session.key != new.key);
        let id = SessionId::new(state.next_id());
        let NewSession {
            key,
            token_hash,
            at,
            ..
        } = new.clone();
        let session = Session {
            id,
            user,
            key,
            token_hash,
            created_at: at,
            last_used_at: at,
        };
        state.sessions.insert(id, session);
        Ok(ReplaceOutcome::Opened(id))
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.lock().sessions.get(&session).cloned())
    }

    async fn find_by_token(&self, token: &SessionTokenHash) -> Result<Option<Session>, StoreError> {
        let state = self.lock();
        Ok(state
            .sessions
            .values()
            .find(|session| session.token_hash == *token)
            .cloned())
    }

    async fn renew(
        &self,
        user: UserId,
        session: SessionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let session = state.sessions.get_mut(&session);
        let Some(session) = session.filter(|session| session.user.id == user) else {
            return Ok(());
        };
        session.last_used_at = session.last_used_at.max(at);
        let key = session.key;
        if let Some(key) = state.keys.get_mut(&key) {
            key.last_used_at = key.last_used_at.max(Some(at));
        }
        Ok(())
    }

    async fn end(&self, user: UserId, session: SessionId) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let living = state.sessions.get(&session);
        let is_hers = living.is_some_and(|session| session.user.id == user);
        Ok(is_hers && state.sessions.remove(&session).is_some())
    }

    async fn spend(
        &self,
        token: &LoginTokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let is_new = !state.spent_tokens.contains_key(token);
        state.spent_tokens.entry(*token).or_insert(expires_at);
        Ok(is_new)
    }

    async fn forget_spent(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.spent_tokens.len();
        state
            .spent_tokens
            .retain(|_, expires_at| *expires_at >= now);
        Ok((before - state.spent_tokens.len()) as u64)
    }

    async fn end_unused_since(&self, moment: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.sessions.len();
        state
            .sessions
            .retain(|_, session| session.last_used_at >= moment);
        Ok((before - state.sessions.len()) as u64)
    }
}
