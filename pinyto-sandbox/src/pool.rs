//! The workers that are there: fresh ones, and those that wait for the next call of the code that
//! they have run, for the user that they have run it for.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pinyto_core::id::{AssemblyId, UserId};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::{
    error::SandboxError,
    frame::{self, ALLOWANCE, Lockdown, Report},
    metrics::Counters,
    process::{Process, Starter},
};

/// What a worker that has run something is for. It never gets anything else to do: who has broken
/// through the interpreter in it finds what this code could ask for anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// For whom.
    pub(crate) user: UserId,
    /// Whose code. `None`: the code is only looked at, for its author.
    pub(crate) assembly: Option<AssemblyId>,
}

/// How long a worker may take until it is ready, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// CPU time that a worker can't use by waiting. One that does was taken over.
const RESTLESS: Duration = Duration::from_millis(50);

/// How many workers there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// That have run nothing yet.
    pub(crate) fresh: usize,
    /// That wait for a next call.
    pub(crate) idle: usize,
    /// How long they do.
    pub(crate) idle_time: Duration,
    /// Calls after which a worker is replaced.
    pub(crate) calls: u32,
    /// CPU time after which a worker is replaced.
    pub(crate) cpu: Duration,
}

/// Where workers come from and go to.
pub(crate) struct Pool {
    starter: Starter,
    sizes: Sizes,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    fresh: Vec<Process>,
    /// That have been asked for and aren't ready yet.
    starting: usize,
    wanting: VecDeque<oneshot::Sender<Result<Process, SandboxError>>>,
    /// The one that has waited longest first.
    idle: VecDeque<Idle>,
}

struct Idle {
    purpose: Purpose,
    since: Instant,
    /// Its CPU time when it began to wait.
    cpu: Duration,
    process: Process,
}

impl Pool {
    pub(crate) fn new(starter: Starter, sizes: Sizes, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            starter,
            sizes,
            counters,
            state: Mutex::default(),
        })
    }

    /// Starts a worker and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<(Process, Lockdown), SandboxError> {
        let mut process = self.starter.start().await?;
        let ready = timeout(PATIENCE, process.link.receive(ALLOWANCE)).await;
        let Ok(Ok(report)) = ready else {
            // A worker says why it can't be one.
            return Err(SandboxError::NoWorker);
        };
        match frame::read(&report) {
            Ok(Report::Ready(lockdown)) => {
                self.counters.started();
                Ok((process, lockdown))
            }
            Ok(Report::Failed(reason)) => Err(SandboxError::Lockdown(reason.to_owned())),
            _ => Err(SandboxError::NoWorker),
        }
    }

    /// A worker that has run nothing, or only for this purpose.
    pub(crate) async fn take(self: &Arc<Self>, purpose: Purpose) -> Result<Process, SandboxError> {
        let (found, dead) = self.lock().find(purpose);
        drop(dead);
        if let Some(process) = found {
            self.refill();
            return Ok(process);
        }
        let wanted = {
            let (caller, wanted) = oneshot::channel();
            let mut state = self.lock();
            if !state.closed {
                state.wanting.push_back(caller);
            }
            wanted
        };
        self.refill();
        wanted.await.unwrap_or(Err(SandboxError::NoWorker))
    }

    /// Keeps a worker for the next call of its purpose.
    pub(crate) fn give_back(&self, purpose: Purpose, mut process: Process) {
        let worn = process.calls >= self.sizes.calls || process.body.cpu() >= self.sizes.cpu;
        if worn || process.body.is_lowered() || !process.link.is_quiet() {
            return;
        }
        process.link.rest();
        let idle = Idle {
            purpose,
            since: Instant::now(),
            cpu: process.body.cpu(),
            process,
        };
        let unwanted = {
            let mut state = self.lock();
            state.idle.push_back(idle);
            let kept = if state.closed { 0 } else { self.sizes.idle };
            let mut unwanted = Vec::new();
            while state.idle.len() > kept {
                let users = state.idle.iter().map(|idle| idle.purpose.user);
                let surplus = first_of_most(users);
                unwanted.extend(surplus.and_then(|index| state.idle.remove(index)));
            }
            unwanted
        };
        drop(unwanted);
    }

    /// Ends the workers that have waited for too long, and those that do more than wait.
    pub(crate) fn tidy(&self) {
        let unwanted: VecDeque<_> = {
            let mut state = self.lock();
            let all = std::mem::take(&mut state.idle);
            let (kept, unwanted) = all
                .into_iter()
                .partition(|idle| idle.since.elapsed() < self.sizes.idle_time && idle.rests());
            state.idle = kept;
            unwanted
        };
        drop(unwanted);
    }

    /// Ends all workers that aren't in use, and starts no more.
    pub(crate) fn close(&self) {
        let unwanted = {
            let mut state = self.lock();
            state.closed = true;
            state.wanting.clear();
            (
                std::mem::take(&mut state.fresh),
                std::mem::take(&mut state.idle),
            )
        };
        drop(unwanted);
    }

    /// How many workers wait: fresh ones and used ones.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.lock();
        state.fresh.len() + state.idle.len()
    }

    /// Starts as many workers as are wanted, without waiting for them.
    pub(crate) fn refill(self: &Arc<Self>) {
        let missing = {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            let wanted = self.sizes.fresh + state.wanting.len();
            let missing = wanted.saturating_sub(state.fresh.len() + state.starting);
            state.starting += missing;
            missing
        };
        for _ in 0..missing {
            let pool = self.clone();
            tokio::spawn(async move {
                let started = pool.start().await.map(|(process, _)| process);
                if let Err(error) = &started {
                    tracing::error!(%error, code = error.code(), "no code worker could be started");
                }
                pool.deliver(started);
            });
        }
    }

    /// Gives a new worker, or the reason why there is none, to who waits for one.
    pub(crate) fn deliver(&self, started: Result<Process, SandboxError>) {
        let mut state = self.lock();
        state.starting = state.starting.saturating_sub(1);
        let mut started = started;
        while let Some(caller) = state.wanting.pop_front() {
            match caller.send(started) {
                Ok(()) => return,
                // Who has given up doesn't need it.
                Err(back) => started = back,
            }
        }
        match started {
            Ok(process) if !state.closed => state.fresh.push(process),
            unwanted => {
                drop(state);
                drop(unwanted);
            }
        }
    }

    /// Nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn rests(&self) -> bool {
        self.process.body.cpu().saturating_sub(self.cpu) < RESTLESS && self.process.link.is_quiet()
    }
}

impl State {
    /// A worker for this purpose, and those that were found dead on the way.
    fn find(&mut self, purpose: Purpose) -> (Option<Process>, Vec<Process>) {
        let mut dead = Vec::new();
        while let Some(index) = self.idle.iter().rposition(|idle| idle.purpose == purpose) {
            match self.idle.remove(index) {
                Some(idle) if idle.rests() => return (Some(idle.process), dead),
                other => dead.extend(other.map(|idle| idle.process)),
            }
        }
        while let Some(process) = self.fresh.pop() {
            if process.link.is_quiet() {
                return (Some(process), dead);
            }
            dead.push(process);
        }
        (None, dead)
    }
}

/// Where in a queue the first worker is of the user who has most there, of several such users the
/// one who comes first: however many assemblies a user calls, she takes no worker away from
/// somebody who has fewer.
fn first_of_most(users: impl Iterator<Item = UserId> + Clone) -> Option<usize> {
    let mut counts: HashMap<UserId, usize> = HashMap::new();
    for user in users.clone() {
        *counts.entry(user).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    users
        .into_iter()
        .position(|user| counts.get(&user) == Some(&most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_workers_waiting_loses_the_one_that_has_waited_longest() {
        let first = |users: &[i64]| first_of_most(users.iter().copied().map(UserId::new));
        assert_eq!(first(&[]), None);
        assert_eq!(first(&[1]), Some(0));
        assert_eq!(first(&[1, 2, 3]), Some(0));
        assert_eq!(first(&[1, 2, 3, 2]), Some(1));
        assert_eq!(first(&[1, 2, 2, 1, 3]), Some(0));
    }
}
