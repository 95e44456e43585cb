//! Whose code runs next: a bounded number of calls at once, users in turn.
//!
//! A call begins with a *short* place. If it turns out to need much CPU time it is *demoted*: it
//! moves to one of a few *long* places, of which a user gets only a share, or pauses until one is
//! free. While it waits for a service for long it is *away* and holds no place. So the short
//! places are always soon free again, whatever the code of some users does.

mod turn;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinyto_core::id::UserId;
use tokio::sync::{Notify, oneshot};

use self::turn::Place;

pub(crate) use self::turn::Turn;

/// For whom.
pub(crate) type Who = UserId;

/// How many calls there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In short places.
    pub(crate) short: usize,
    /// In long places.
    pub(crate) long: usize,
    /// In long places, of one user.
    pub(crate) long_per_user: usize,
    /// Begun, of one user.
    pub(crate) per_user: usize,
    /// Paused.
    pub(crate) paused: usize,
    /// Away.
    pub(crate) away: usize,
    /// Not begun.
    pub(crate) waiting: usize,
    /// Not begun, of one user.
    pub(crate) waiting_per_user: usize,
}

/// Gives out turns.
pub(crate) struct Turns {
    bounds: Bounds,
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    closed: bool,
    short: usize,
    long: usize,
    away: usize,
    waiting: usize,
    users: HashMap<Who, User>,
    /// The users who wait, the next one first.
    round: VecDeque<Who>,
    paused: VecDeque<Paused>,
    /// Told apart by numbers.
    last_paused: u64,
}

#[derive(Default)]
struct User {
    /// Calls that have begun, wherever they are.
    begun: usize,
    long: usize,
    /// Calls that were demoted, wherever they are.
    demoted: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

struct Paused {
    number: u64,
    who: Who,
    caller: oneshot::Sender<()>,
}

/// Why there is no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many wait, or too many are paused.
    Full,
    /// No more code is run.
    Closed,
}

/// How many calls there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) begun: usize,
    pub(crate) paused: usize,
    pub(crate) waiting: usize,
}

impl Turns {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::default(),
            emptied: Notify::new(),
        })
    }

    /// Waits for a turn. Giving up gives up the place in the queue.
    pub(crate) async fn wait(self: &Arc<Self>, who: Who) -> Result<Turn, Refused> {
        let waiting = {
            let mut state = self.lock();
            if state.closed {
                return Err(Refused::Closed);
            }
            let bounds = &self.bounds;
            if state.short < bounds.short && state.user(who).begun < bounds.per_user {
                return Ok(self.begin(&mut state, who));
            }
            state.enqueue(bounds, who)?
        };
        waiting.await.map_err(|_| Refused::Closed)
    }

    /// Refuses everything that hasn't begun, from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting = 0;
        state.round.clear();
        for user in state.users.values_mut() {
            user.waiting.clear();
        }
        state.users.retain(|_, user| user.is_known());
    }

    /// Waits until nothing runs any more.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.counts().begun == 0 {
                return;
            }
            emptied.await;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.lock();
        let paused = state.paused.len();
        Counts {
            begun: state.short + state.long + state.away + paused,
            paused,
            waiting: state.waiting,
        }
    }

    fn begin(self: &Arc<Self>, state: &mut State, who: Who) -> Turn {
        state.short += 1;
        let user = state.user(who);
        user.begun += 1;
        Turn {
            turns: self.clone(),
            who,
            place: Place::Short,
            suspect: user.demoted > 0,
        }
    }

    /// Gives free places to those who wait.
    fn hand_out(self: &Arc<Self>) {
        let mut begun = Vec::new();
        {
            let mut state = self.lock();
            state.resume_paused(&self.bounds);
            while state.short < self.bounds.short
                && let Some((who, caller)) = state.next(self.bounds.per_user)
            {
                begun.push((caller, self.begin(&mut state, who)));
            }
            if state.users.is_empty() {
                self.emptied.notify_waiters();
            }
        }
        // A turn whose caller has given up is dropped here, which hands it out again.
        for (caller, turn) in begun {
            let _ = caller.send(turn);
        }
    }

    /// Nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn user(&mut self, who: Who) -> &mut User {
        self.users.entry(who).or_default()
    }

    fn forget(&mut self, who: Who) {
        if self.users.get(&who).is_some_and(|user| !user.is_known()) {
            self.users.remove(&who);
        }
    }

    fn enqueue(&mut self, bounds: &Bounds, who: Who) -> Result<oneshot::Receiver<Turn>, Refused> {
        if self.waiting >= bounds.waiting || self.user(who).waiting.len() >= bounds.waiting_per_user
        {
            self.drop_who_gave_up();
        }
        if self.waiting >= bounds.waiting || self.user(who).waiting.len() >= bounds.waiting_per_user
        {
            self.forget(who);
            return Err(Refused::Full);
        }
        let (caller, turn) = oneshot::channel();
        self.waiting += 1;
        let queue = &mut self.user(who).waiting;
        queue.push_back(caller);
        if queue.len() == 1 {
            self.round.push_back(who);
        }
        Ok(turn)
    }

    fn drop_who_gave_up(&mut self) {
        for user in self.users.values_mut() {
            user.waiting.retain(|caller| !caller.is_closed());
        }
        self.waiting = self.users.values().map(|user| user.waiting.len()).sum();
        let users = &mut self.users;
        self.round
            .retain(|who| users.get(who).is_some_and(|user| !user.waiting.is_empty()));
        users.retain(|_, user| user.is_known());
    }

    /// The next caller of the next user who may begin a call.
    fn next(&mut self, per_user: usize) -> Option<(Who, oneshot::Sender<Turn>)> {
        let may_begin = |who: &Who| {
            self.users
                .get(who)
                .is_some_and(|user| user.begun < per_user)
        };
        let index = self.round.iter().position(may_begin)?;
        // Who may not begin now keeps the place in front.
        let who = self.round.remove(index)?;
        let queue = &mut self.user(who).waiting;
        let caller = queue.pop_front()?;
        if !queue.is_empty() {
            self.round.push_back(who);
        }
        self.waiting = self.waiting.saturating_sub(1);
        Some((who, caller))
    }

    fn resume_paused(&mut self, bounds: &Bounds) {
        while self.long < bounds.long {
            let users = &self.users;
            let may_run = |paused: &Paused| {
                users
                    .get(&paused.who)
                    .is_some_and(|user| user.long < bounds.long_per_user)
            };
            let Some(paused) = self
                .paused
                .iter()
                .position(may_run)
                .and_then(|index| self.paused.remove(index))
            else {
                return;
            };
            self.long += 1;
            self.user(paused.who).long += 1;
            // The receiver lives as long as the entry: see `Turn::drop`.
            let _ = paused.caller.send(());
        }
    }

    /// Makes room for a paused call of this user: if there is none, the user with the most
    /// paused calls loses the latest. `false` if that is the user herself.
    fn make_room(&mut self, bounds: &Bounds, who: Who) -> bool {
        if self.paused.len() < bounds.paused {
            return true;
        }
        let mut counts: HashMap<Who, usize> = HashMap::from([(who, 1)]);
        for paused in &self.paused {
            *counts.entry(paused.who).or_default() += 1;
        }
        let own = counts.get(&who).copied().unwrap_or_default();
        let Some((loser, _)) = counts
            .into_iter()
            .filter(|(_, count)| *count > own)
            .max_by_key(|(_, count)| *count)
        else {
            return false;
        };
        let latest = self.paused.iter().rposition(|paused| paused.who == loser);
        latest.and_then(|index| self.paused.remove(index)).is_some()
    }
}

impl User {
    fn is_known(&self) -> bool {
        self.begun > 0 || !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
