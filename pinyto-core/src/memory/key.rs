use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    clock::Timestamp,
    id::{KeyId, UserId},
    key::{
        AddKeyOutcome, Key, KeyChange, KeyFingerprint, KeyHash, KeyRepository, KeyState, NewKey,
        ProveKeyOutcome,
    },
    session::Actor,
    store::StoreError,
    user::{User, UserName},
};

impl State {
    pub(super) fn add_key(&mut self, user: UserId, new: &NewKey, at: Timestamp) -> KeyId {
        let id = KeyId::new(self.next_id());
        let NewKey { material, label } = new.clone();
        let (active, created_at, last_used_at) = (!material.needs_proof(), at, None);
        self.keys.insert(
            id,
            Key {
                id,
                user,
                material,
                label,
                active,
                created_at,
                last_used_at,
            },
        );
        id
    }

    /// Deletes the key with all that hangs on it.
    pub(super) fn drop_key(&mut self, key: KeyId) {
        self.keys.remove(&key);
        self.proofs.remove(&key);
        self.sessions.retain(|_, session| session.key != key);
        self.accounts.retain(|_, account| account.key != key);
    }

    fn keys_of(&self, user: UserId) -> impl Iterator<Item = &Key> {
        self.keys.values().filter(move |key| key.user == user)
    }

    pub(super) fn has_other_active_key(&self, key: &Key, at: Timestamp) -> bool {
        let has_expired = |key: &Key| key.material.expires_at().is_some_and(|end| end <= at);
        self.keys_of(key.user)
            .any(|other| other.active && other.id != key.id && !has_expired(other))
    }

    pub(super) fn set_key_active(&mut self, key: KeyId, active: bool) {
        if let Some(stored) = self.keys.get_mut(&key) {
            stored.active = active;
        }
        if !active {
            self.sessions.retain(|_, session| session.key != key);
        }
    }

    /// The one key of the user that `hash` selects, if its change is allowed.
    fn select(
        &self,
        actor: Actor,
        hash: &KeyHash,
        stays_active: bool,
        at: Timestamp,
    ) -> Result<Key, KeyChange> {
        if !self.may_act(actor) {
            return Err(KeyChange::SessionEnded);
        }
        let user = actor.user;
        let mut found = self
            .keys_of(user)
            .filter(|key| hash.matches(&key.material.fingerprint()));
        let key = found.next().ok_or(KeyChange::NotFound)?;
        if found.next().is_some() {
            return Err(KeyChange::Ambiguous);
        }
        if key.active && !stays_active && !self.has_other_active_key(key, at) {
            return Err(KeyChange::LastActive);
        }
        Ok(key.clone())
    }
}

#[async_trait]
impl KeyRepository for MemoryStore {
    async fn list(&self, user: UserId) -> Result<Vec<Key>, StoreError> {
        Ok(self.lock().keys_of(user).cloned().collect())
    }

    async fn matching(
        &self,
        name: &UserName,
        hash: &KeyHash,
    ) -> Result<Vec<(User, Key)>, StoreError> {
        let state = self.lock();
        let Some(found) = state.user_named(name) else {
            return Ok(Vec::new());
        };
        let matching = |key: &&Key| hash.matches(&key.material.fingerprint());
        let mut keys: Vec<_> = state.keys_of(found.user.id).filter(matching).collect();
        keys.sort_by_key(|key| !key.active);
        let two = keys.into_iter().take(2);
        Ok(two.map(|key| (found.user.clone(), key.clone())).collect())
    }

    async fn find_openpgp(
        &self,
        fingerprint: &KeyFingerprint,
    ) -> Result<Option<(User, Key)>, StoreError> {
        let state = self.lock();
        let found = state.keys.values().filter(|key| {
            key.active
                && key.material.as_openpgp().is_some()
                && key.material.fingerprint() == *fingerprint
        });
        let last = found.max_by_key(|key| (state.proofs.get(&key.id), key.id));
        Ok(last.and_then(|key| {
            let owner = state.users.get(&key.user)?.user.clone();
            Some((owner, key.clone()))
        }))
    }

    async fn add(
        &self,
        actor: Actor,
        new: &NewKey,
        limit: usize,
        at: Timestamp,
    ) -> Result<AddKeyOutcome, StoreError> {
        let mut state = self.lock();
        if !state.may_act(actor) {
            return Ok(AddKeyOutcome::SessionEnded);
        }
        let user = actor.user;
        let fingerprint = new.material.fingerprint();
        let is_same =
            |key: &&mut Key| key.user == user && key.material.fingerprint() == fingerprint;
        if let Some(key) = state.keys.values_mut().find(is_same) {
            let outcome = key.registered_again(&new.material);
            if let AddKeyOutcome::Renewed(_) = outcome {
                key.material = new.material.clone();
                if new.label.is_some() {
                    key.label.clone_from(&new.label);
                }
            }
            return Ok(outcome);
        }
        if state.keys_of(user).count() >= limit {
            return Ok(AddKeyOutcome::LimitReached);
        }
        Ok(AddKeyOutcome::Added(state.add_key(user, new, at)))
    }

    async fn prove(
        &self,
        actor: Actor,
        key: KeyId,
        at: Timestamp,
    ) -> Result<ProveKeyOutcome, StoreError> {
        let mut state = self.lock();
        if !state.may_act(actor) {
            return Ok(ProveKeyOutcome::SessionEnded);
        }
        let state = &mut *state;
        let key = state.keys.get_mut(&key);
        let is_hers = |key: &&mut Key| key.user == actor.user && key.material.needs_proof();
        let Some(key) = key.filter(is_hers) else {
            return Ok(ProveKeyOutcome::NotFound);
        };
        key.active = true;
        key.last_used_at = key.last_used_at.max(Some(at));
        state.last_proof += 1;
        state.proofs.insert(key.id, state.last_proof);
        Ok(ProveKeyOutcome::Proved)
    }

    async fn set_state(
        &self,
        actor: Actor,
        hash: &KeyHash,
        state: KeyState,
        at: Timestamp,
    ) -> Result<KeyChange, StoreError> {
        let active = state.is_active();
        let mut state = self.lock();
        let key = match state.select(actor, hash, active, at) {
            Ok(key) => key,
            Err(refused) => return Ok(refused),
        };
        if active && key.is_unproven() {
            return Ok(KeyChange::Unproven);
        }
        state.set_key_active(key.id, active);
        Ok(KeyChange::Done(Box::new(key)))
    }

    async fn delete(
        &self,
        actor: Actor,
        hash: &KeyHash,
        at: Timestamp,
    ) -> Result<KeyChange, StoreError> {
        let mut state = self.lock();
        let key = match state.select(actor, hash, false, at) {
            Ok(key) => key,
            Err(refused) => return Ok(refused),
        };
        state.drop_key(key.id);
        Ok(KeyChange::Done(Box::new(key)))
    }
}
