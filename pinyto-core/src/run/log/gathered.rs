//! Whose runs and CPU time wait, and which of them the next batch holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::{
    id::UserId,
    run::{CpuBooking, Run, RunOutcome},
};

/// The most runs that wait to be written.
pub(super) const MAX_RUNS: usize = 4096;

/// The most bytes that their texts take together.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most runs that are written in one transaction.
pub(super) const MAX_BATCH: usize = 512;

/// How many of them may be of users who were busy before.
const MAX_AGAIN: usize = MAX_BATCH / 2;

/// So many runs are worth writing at once,
const ENOUGH_RUNS: usize = MAX_BATCH / 2;

/// and so many bytes of texts.
const ENOUGH_BYTES: usize = MAX_BYTES / 4;

/// So many batches in a row may keep a user back before one waits for her. Most are busy for some
/// milliseconds only.
pub(super) const CHANCES: u32 = 3;

/// What waits to be written, in no batch.
#[derive(Default)]
pub(super) struct Gathered {
    /// Oldest first.
    runs: VecDeque<Run>,
    cpu: HashMap<(UserId, i64), Duration>,
    /// All of what waits of users who were kept back by the last batch that they were in. They stay
    /// here while they are in the next one.
    kept_back: BTreeMap<UserId, KeptBack>,
    /// For whom a batch has waited last.
    waited_for: Option<UserId>,
    /// How many runs there are, and what their texts take.
    count: usize,
    bytes: usize,
    /// What the texts of those take that no batch has kept back.
    fresh_bytes: usize,
}

/// What waits of one user.
#[derive(Default)]
struct KeptBack {
    /// Oldest first.
    runs: VecDeque<Run>,
    cpu: BTreeMap<i64, Duration>,
    /// How many batches in a row have kept her back.
    times: u32,
}

impl KeptBack {
    fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.cpu.is_empty()
    }

    fn has_chances(&self) -> bool {
        self.times < CHANCES
    }

    fn is_waited_for(&self) -> bool {
        !self.has_chances() && !self.is_empty()
    }

    fn book(&mut self, hour: i64, used: Duration) {
        let sum = self.cpu.entry(hour).or_default();
        *sum = sum.saturating_add(used);
    }

    /// Takes all of the CPU time and so many runs.
    fn move_to(&mut self, content: &mut Content, user: UserId, runs: usize) {
        let count = self.runs.len().min(runs);
        content.runs.extend(self.runs.drain(..count));
        let cpu = std::mem::take(&mut self.cpu).into_iter();
        let cpu = cpu.map(|(hour, used)| CpuBooking { user, hour, used });
        content.cpu.extend(cpu);
    }
}

/// What a batch is to hold.
#[derive(Default)]
pub(super) struct Content {
    pub(super) runs: Vec<Run>,
    pub(super) cpu: Vec<CpuBooking>,
}

impl Gathered {
    pub(super) fn add(&mut self, run: Run) {
        self.count += 1;
        self.bytes += bytes(&run);
        match self.kept_back.get_mut(&run.user) {
            Some(hers) => hers.runs.push_back(run),
            None => {
                self.fresh_bytes += bytes(&run);
                self.runs.push_back(run);
            }
        }
    }

    pub(super) fn book(&mut self, user: UserId, hour: i64, used: Duration) {
        if used.is_zero() {
            return;
        }
        if let Some(hers) = self.kept_back.get_mut(&user) {
            hers.book(hour, used);
        } else {
            let sum = self.cpu.entry((user, hour)).or_default();
            *sum = sum.saturating_add(used);
        }
    }

    /// CPU time of the user in that hour.
    pub(super) fn cpu(&self, user: UserId, hour: i64) -> Duration {
        let known = self.cpu.get(&(user, hour));
        let hers = self.kept_back.get(&user);
        let hers = hers.and_then(|hers| hers.cpu.get(&hour));
        let sum = known.copied().unwrap_or_default();
        sum.saturating_add(hers.copied().unwrap_or_default())
    }

    /// Whether enough has gathered to be worth writing.
    pub(super) fn has_enough(&self) -> bool {
        self.runs.len() >= ENOUGH_RUNS || self.fresh_bytes >= ENOUGH_BYTES
    }

    /// After how many batches that wait for nobody all that waits now, but for users who have to
    /// be waited for, has been in one.
    pub(super) fn batches(&self) -> usize {
        let hers = self.kept_back.values();
        let again = hers.filter(|hers| hers.has_chances());
        let again = again.map(|hers| hers.runs.len()).sum::<usize>();
        let fresh = self.runs.len().div_ceil(MAX_BATCH - MAX_AGAIN);
        let again = again.div_ceil(MAX_AGAIN);
        fresh.max(again).max(self.has_some().into())
    }

    /// Whether there is something for a batch that waits for nobody.
    pub(super) fn has_some(&self) -> bool {
        !self.runs.is_empty() || !self.cpu.is_empty() || self.has_some_again()
    }

    /// Whether there is something that was kept back, for the next batch that waits for nobody.
    pub(super) fn has_some_again(&self) -> bool {
        let again = |hers: &KeptBack| hers.has_chances() && !hers.is_empty();
        self.kept_back.values().any(again)
    }

    /// How many users there are whom a batch has to wait for.
    pub(super) fn to_wait_for(&self) -> usize {
        let hers = self.kept_back.values();
        hers.filter(|hers| hers.is_waited_for()).count()
    }

    /// What is to be written without waiting for anybody.
    pub(super) fn take(&mut self) -> Content {
        let mut content = Content::default();
        for (user, hers) in &mut self.kept_back {
            let room = MAX_AGAIN - content.runs.len();
            if room == 0 {
                break;
            }
            if hers.has_chances() {
                hers.move_to(&mut content, *user, room);
            }
        }
        let room = MAX_BATCH - content.runs.len();
        let count = self.runs.len().min(room);
        for run in self.runs.drain(..count) {
            self.fresh_bytes -= bytes(&run);
            content.runs.push(run);
        }
        let cpu = self.cpu.drain();
        let cpu = cpu.map(|((user, hour), used)| CpuBooking { user, hour, used });
        content.cpu.extend(cpu);
        self.taken(content)
    }

    /// What is to be written of the next user who has to be waited for, if there is one.
    pub(super) fn take_of_next(&mut self) -> Option<Content> {
        let waits = |&(_, hers): &(&UserId, &KeptBack)| hers.is_waited_for();
        let mut users = self.kept_back.iter().filter(waits);
        let first = users.clone().next()?;
        let next = users.find(|(user, _)| Some(**user) > self.waited_for);
        let user = *next.unwrap_or(first).0;
        self.waited_for = Some(user);
        let mut content = Content::default();
        let hers = self.kept_back.get_mut(&user)?;
        hers.move_to(&mut content, user, MAX_BATCH);
        Some(self.taken(content))
    }

    fn taken(&mut self, content: Content) -> Content {
        self.count -= content.runs.len();
        self.bytes -= content.runs.iter().map(bytes).sum::<usize>();
        content
    }

    /// Takes back what was not written of a batch, because its users were busy.
    pub(super) fn settle(&mut self, batch: Content, kept_back: &BTreeSet<UserId>) {
        let of_runs = batch.runs.iter().map(|run| run.user);
        let of_cpu = batch.cpu.iter().map(|booking| booking.user);
        for user in of_runs.chain(of_cpu).collect::<BTreeSet<_>>() {
            if kept_back.contains(&user) {
                self.kept_back.entry(user).or_default().times += 1;
            } else if let Some(hers) = self.kept_back.get_mut(&user) {
                hers.times = 0;
                if hers.is_empty() {
                    self.kept_back.remove(&user);
                }
            }
        }
        if !self.kept_back.is_empty() {
            self.move_to_their_places();
        }
        for run in batch.runs.into_iter().rev() {
            if kept_back.contains(&run.user) {
                self.count += 1;
                self.bytes += bytes(&run);
                let hers = self.kept_back.entry(run.user).or_default();
                hers.runs.push_front(run);
            }
        }
        for CpuBooking { user, hour, used } in batch.cpu {
            if kept_back.contains(&user) {
                self.kept_back.entry(user).or_default().book(hour, used);
            }
        }
    }

    /// Moves what was noted of users while a batch was out that then has kept them back.
    fn move_to_their_places(&mut self) {
        for run in std::mem::take(&mut self.runs) {
            match self.kept_back.get_mut(&run.user) {
                Some(hers) => {
                    self.fresh_bytes -= bytes(&run);
                    hers.runs.push_back(run);
                }
                None => self.runs.push_back(run),
            }
        }
        let has_place =
            |(user, _): &(UserId, i64), _: &mut Duration| self.kept_back.contains_key(user);
        let moved: Vec<_> = self.cpu.extract_if(has_place).collect();
        for ((user, hour), used) in moved {
            self.kept_back.entry(user).or_default().book(hour, used);
        }
    }

    #[cfg(test)]
    pub(super) fn is_untouched(&self) -> bool {
        let lists = self.runs.is_empty() && self.cpu.is_empty() && self.kept_back.is_empty();
        lists && (self.count, self.bytes, self.fresh_bytes) == (0, 0, 0)
    }

    /// Drops runs until there is room for all, and says how many: first those kept back, of the
    /// user who has most of them.
    pub(super) fn drop_surplus(&mut self) -> u64 {
        let mut dropped = 0;
        while self.count > MAX_RUNS || self.bytes > MAX_BYTES {
            let most = self.kept_back.iter_mut();
            let most = most.max_by_key(|(_, hers)| hers.runs.len());
            let of_most = most.and_then(|(user, hers)| {
                let run = hers.runs.pop_front()?;
                Some((run, hers.is_empty().then_some(*user)))
            });
            let run = match of_most {
                Some((run, emptied)) => {
                    emptied.map(|user| self.kept_back.remove(&user));
                    run
                }
                None => match self.runs.pop_front() {
                    Some(run) => {
                        self.fresh_bytes -= bytes(&run);
                        run
                    }
                    None => break,
                },
            };
            self.count -= 1;
            self.bytes -= bytes(&run);
            dropped += 1;
        }
        dropped
    }
}

/// What the texts of a run take.
fn bytes(run: &Run) -> usize {
    let message = match &run.outcome {
        RunOutcome::Succeeded => 0,
        RunOutcome::Failed(error) => error.message().len(),
    };
    run.output.text.len() + message
}
