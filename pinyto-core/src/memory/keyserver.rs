use async_trait::async_trait;

use super::{AccountState, MemoryStore};
use crate::{
    clock::Timestamp,
    id::{SessionId, UserId},
    keyserver::{
        Account, ChangePasswordOutcome, KeyserverRepository, NewCredentials, PasswordHash,
        PasswordLoginOutcome, SealedKey,
    },
    session::Actor,
    store::StoreError,
    user::{NewUser, RegisterOutcome, UserName},
};

#[async_trait]
impl KeyserverRepository for MemoryStore {
    async fn register(
        &self,
        new: &NewUser,
        password_hash: &PasswordHash,
        sealed_key: &SealedKey,
    ) -> Result<RegisterOutcome, StoreError> {
        let mut state = self.lock();
        let Some(user) = state.add_user(&new.name, new.at) else {
            return Ok(RegisterOutcome::NameTaken);
        };
        let key = state.add_key(user.id, &new.key, new.at);
        for key in &new.further_keys {
            state.add_key(user.id, key, new.at);
        }
        let (password_hash, sealed_key) = (password_hash.clone(), sealed_key.clone());
        state.accounts.insert(
            user.id,
            AccountState {
                key,
                password_hash,
                sealed_key,
            },
        );
        Ok(RegisterOutcome::Registered(user))
    }

    async fn find(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        let state = self.lock();
        Ok(state.user_named(name).and_then(|found| {
            let account = state.accounts.get(&found.user.id)?;
            Some(Account {
                user: found.user.clone(),
                key: account.key,
                active: state.keys.get(&account.key)?.active,
                password_hash: account.password_hash.clone(),
                sealed_key: account.sealed_key.clone(),
            })
        }))
    }

    async fn change_password(
        &self,
        user: UserId,
        session: SessionId,
        credentials: &NewCredentials,
        at: Timestamp,
    ) -> Result<ChangePasswordOutcome, StoreError> {
        let mut state = self.lock();
        if !state.may_act(Actor {
            user,
            session: Some(session),
        }) {
            return Ok(ChangePasswordOutcome::SessionEnded);
        }
        let Some(old_key) = state.accounts.get(&user).map(|account| account.key) else {
            return Ok(ChangePasswordOutcome::NoAccount);
        };
        let NewCredentials {
            key,
            password_hash,
            sealed_key,
        } = credentials.clone();
        let is_active = state.keys.get(&old_key).is_some_and(|key| key.active);
        let key = state.add_key(user, &key, at);
        state.set_key_active(key, is_active);
        if let Some(session) = state.sessions.get_mut(&session)
            && session.key == old_key
        {
            session.key = key;
        }
        state.accounts.insert(
            user,
            AccountState {
                key,
                password_hash,
                sealed_key,
            },
        );
        state.drop_key(old_key);
        Ok(ChangePasswordOutcome::Changed)
    }

    async fn set_password_login(
        &self,
        actor: Actor,
        allowed: bool,
        at: Timestamp,
    ) -> Result<PasswordLoginOutcome, StoreError> {
        let mut state = self.lock();
        if !state.may_act(actor) {
            return Ok(PasswordLoginOutcome::SessionEnded);
        }
        let account = state.accounts.get(&actor.user);
        let Some(key) = account.and_then(|account| state.keys.get(&account.key)) else {
            return Ok(PasswordLoginOutcome::NoAccount);
        };
        if key.active && !allowed && !state.has_other_active_key(key, at) {
            return Ok(PasswordLoginOutcome::LastActive);
        }
        let session = actor.session.and_then(|id| state.sessions.get(&id));
        if !allowed && session.is_some_and(|session| session.key == key.id) {
            return Ok(PasswordLoginOutcome::OwnSession);
        }
        let key = key.id;
        state.set_key_active(key, allowed);
        Ok(PasswordLoginOutcome::Done)
    }

    async fn rehash(
        &self,
        user: UserId,
        old: &PasswordHash,
        password_hash: &PasswordHash,
        sealed_key: &SealedKey,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(account) = state.accounts.get_mut(&user) else {
            return Ok(false);
        };
        if account.password_hash != *old {
            return Ok(false);
        }
        account.password_hash = password_hash.clone();
        account.sealed_key = sealed_key.clone();
        Ok(true)
    }
}
