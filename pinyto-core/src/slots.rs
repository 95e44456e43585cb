//! A bounded number of things at once, users in turn: for adapters whose means (connections,
//! threads) many users share.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::id::UserId;

/// Gives out slots. Of those who wait, the next user gets one, not the next caller, and a user has
/// at most a share of them: so what one user asks for is never all that goes on.
#[derive(Debug)]
pub struct Slots {
    all: usize,
    per_user: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    users: HashMap<UserId, User>,
    /// The users who wait, the next one first.
    round: VecDeque<UserId>,
}

#[derive(Debug, Default)]
struct User {
    used: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// The permission to go on. Dropping it gives it to the next.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    user: UserId,
}

impl Slots {
    /// So many slots, at least one; so many of them for each user, at least one.
    #[must_use]
    pub fn new(all: usize, per_user: usize) -> Arc<Self> {
        Arc::new(Self {
            all: all.max(1),
            per_user: per_user.max(1),
            state: Mutex::default(),
        })
    }

    /// A slot, if the user may have one at once.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, user: UserId) -> Option<Slot> {
        let mut state = self.lock();
        self.may_begin(&state, user)
            .then(|| self.begin(&mut state, user))
    }

    /// Whoever waits could have had any slot that is free.
    fn may_begin(&self, state: &State, user: UserId) -> bool {
        let used = state.users.get(&user).map_or(0, |user| user.used);
        state.used < self.all && used < self.per_user
    }

    /// Waits for a slot. Giving up gives up the place in the queue.
    pub async fn take(self: &Arc<Self>, user: UserId) -> Slot {
        loop {
            let waiting = {
                let mut state = self.lock();
                if self.may_begin(&state, user) {
                    return self.begin(&mut state, user);
                }
                let (caller, slot) = oneshot::channel();
                let queue = &mut state.users.entry(user).or_default().waiting;
                queue.push_back(caller);
                if queue.len() == 1 {
                    state.round.push_back(user);
                }
                slot
            };
            // Nobody drops a caller who still waits.
            if let Ok(slot) = waiting.await {
                return slot;
            }
        }
    }

    fn begin(self: &Arc<Self>, state: &mut State, user: UserId) -> Slot {
        state.used += 1;
        state.users.entry(user).or_default().used += 1;
        Slot {
            slots: self.clone(),
            user,
        }
    }

    /// Nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next caller of the next user who may have a slot.
    fn next(&mut self, per_user: usize) -> Option<(UserId, oneshot::Sender<Slot>)> {
        loop {
            let users = &self.users;
            let may = |user: &UserId| users.get(user).is_some_and(|user| user.used < per_user);
            // Who may not now keeps the place in front.
            let index = self.round.iter().position(may)?;
            let user = self.round.remove(index)?;
            let queue = &mut self.users.get_mut(&user)?.waiting;
            queue.retain(|caller| !caller.is_closed());
            let caller = queue.pop_front();
            if !queue.is_empty() {
                self.round.push_back(user);
            }
            match caller {
                Some(caller) => return Some((user, caller)),
                None => self.forget(user),
            }
        }
    }

    fn forget(&mut self, user: UserId) {
        let known = |user: &User| user.used > 0 || !user.waiting.is_empty();
        if self.users.get(&user).is_some_and(|user| !known(user)) {
            self.users.remove(&user);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let next = {
            let mut state = self.slots.lock();
            state.used -= 1;
            if let Some(user) = state.users.get_mut(&self.user) {
                user.used -= 1;
            }
            let next = state.next(self.slots.per_user);
            let next = next.map(|(user, caller)| (caller, self.slots.begin(&mut state, user)));
            state.forget(self.user);
            next
        };
        // A slot whose caller has given up is dropped here, which hands it on.
        if let Some((caller, slot)) = next {
            drop(caller.send(slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, task::Poll};

    use super::*;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Slot> + Send + 'a>>;

    fn waiting(slots: &Arc<Slots>, user: i64) -> Waiting<'_> {
        Box::pin(slots.take(UserId::new(user)))
    }

    /// What the future gives if it gives it at once.
    async fn now(waiting: &mut Waiting<'_>) -> Option<Slot> {
        poll_fn(|context| {
            Poll::Ready(match waiting.as_mut().poll(context) {
                Poll::Ready(slot) => Some(slot),
                Poll::Pending => None,
            })
        })
        .await
    }

    async fn taken(slots: &Arc<Slots>, user: i64) -> Slot {
        now(&mut waiting(slots, user)).await.unwrap()
    }

    #[tokio::test]
    async fn a_user_has_at_most_her_share() {
        let slots = Slots::new(8, 2);
        let first = taken(&slots, 1).await;
        let _second = taken(&slots, 1).await;
        let mut third = waiting(&slots, 1);
        assert!(now(&mut third).await.is_none());
        let _other = taken(&slots, 2).await;
        assert!(now(&mut third).await.is_none());
        assert!(slots.try_take(UserId::new(1)).is_none());
        assert!(slots.try_take(UserId::new(2)).is_some());
        drop(first);
        assert!(now(&mut third).await.is_some());
    }

    #[tokio::test]
    async fn users_take_turns_however_many_wait_for_each() {
        let slots = Slots::new(1, 1);
        let slot = taken(&slots, 9).await;
        let mut queue = [
            waiting(&slots, 1),
            waiting(&slots, 1),
            waiting(&slots, 2),
            waiting(&slots, 3),
        ];
        for caller in &mut queue {
            assert!(now(caller).await.is_none());
        }
        let mut slot = Some(slot);
        for index in [0, 2, 3, 1] {
            drop(slot.take());
            slot = now(&mut queue[index]).await;
            assert!(slot.is_some(), "{index}");
        }
    }

    #[tokio::test]
    async fn who_gives_up_is_passed_over() {
        let slots = Slots::new(1, 1);
        let first = taken(&slots, 1).await;
        let (mut given_up, mut next) = (waiting(&slots, 2), waiting(&slots, 3));
        let mut late = waiting(&slots, 4);
        for caller in [&mut given_up, &mut next, &mut late] {
            assert!(now(caller).await.is_none());
        }
        drop(given_up);
        drop(first);
        // Given a slot, but never woken.
        drop(next);
        assert!(now(&mut late).await.is_some());
        drop(late);
        assert!(slots.lock().users.is_empty());
        assert_eq!(slots.lock().used, 0);
    }
}
