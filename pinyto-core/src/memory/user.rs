use async_trait::async_trait;

use super::{MemoryStore, State, UserState};
use crate::{
    clock::Timestamp,
    id::UserId,
    store::StoreError,
    usage::Usage,
    user::{NewUser, RegisterOutcome, User, UserName, UserRepository},
};

impl State {
    pub(super) fn add_user(&mut self, name: &UserName, at: Timestamp) -> Option<User> {
        if self.names.contains_key(name) {
            return None;
        }
        let user = User {
            id: UserId::new(self.next_id()),
            name: name.clone(),
        };
        self.names.insert(name.clone(), user.id);
        self.users.insert(
            user.id,
            UserState {
                user: user.clone(),
                usage: Usage::new(at),
                hour: None,
            },
        );
        Some(user)
    }

    pub(super) fn user_named(&self, name: &UserName) -> Option<&UserState> {
        self.users.get(self.names.get(name)?)
    }
}

#[async_trait]
impl UserRepository for MemoryStore {
    async fn register(&self, new: &NewUser) -> Result<RegisterOutcome, StoreError> {
        let mut state = self.lock();
        let Some(user) = state.add_user(&new.name, new.at) else {
            return Ok(RegisterOutcome::NameTaken);
        };
        for key in [&new.key].into_iter().chain(&new.further_keys) {
            state.add_key(user.id, key, new.at);
        }
        Ok(RegisterOutcome::Registered(user))
    }

    async fn ensure_keyless(&self, name: &UserName, at: Timestamp) -> Result<User, StoreError> {
        let mut state = self.lock();
        if let Some(found) = state.user_named(name) {
            return Ok(found.user.clone());
        }
        state
            .add_user(name, at)
            .ok_or_else(|| StoreError::corrupt("users", "a name without user"))
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        Ok(self.lock().user_named(name).map(|found| found.user.clone()))
    }

    async fn usage(&self, user: UserId) -> Result<Option<Usage>, StoreError> {
        Ok(self.lock().users.get(&user).map(|found| found.usage))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::given;

    #[tokio::test]
    async fn booked_cpu_time_ends_at_the_most_there_is() {
        let store = MemoryStore::new();
        let hugo = given::name("hugo");
        let user = store.ensure_keyless(&hugo, given::at(0)).await.unwrap().id;
        for used in [Duration::from_secs(1), Duration::MAX] {
            given::booked(&store, user, used).await;
        }
        let usage = store.usage(user).await.unwrap().unwrap();
        assert_eq!(usage.cpu_time, Duration::MAX);
    }
}
