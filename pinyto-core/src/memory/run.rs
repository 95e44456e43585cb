use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    Page,
    assembly::{AssemblyName, AssemblyRef},
    clock::Timestamp,
    id::UserId,
    run::{
        BatchId, CpuBooking, HourUsage, Recorded, Run, RunBatch, RunId, RunRepository,
        RunRetention, WRITER_MEMORY,
    },
    store::StoreError,
};

impl State {
    fn book(&mut self, booking: &CpuBooking) -> Option<HourUsage> {
        let found = self.users.get_mut(&booking.user)?;
        found.usage.cpu_time = found.usage.cpu_time.saturating_add(booking.used);
        let (hour, used) = found.hour.unwrap_or((booking.hour, Duration::ZERO));
        let figure = match booking.hour.cmp(&hour) {
            std::cmp::Ordering::Less => (hour, used),
            std::cmp::Ordering::Equal => (hour, used.saturating_add(booking.used)),
            std::cmp::Ordering::Greater => (booking.hour, booking.used),
        };
        found.hour = Some(figure);
        self.figure(booking.user)
    }

    fn figure(&self, user: UserId) -> Option<HourUsage> {
        let (hour, used) = self.users.get(&user)?.hour?;
        Some(HourUsage { user, hour, used })
    }

    /// Nobody is ever busy.
    fn recorded(&self, booked: &BTreeSet<UserId>) -> Recorded {
        Recorded {
            figures: booked
                .iter()
                .filter_map(|user| self.figure(*user))
                .collect(),
            kept_back: BTreeSet::new(),
        }
    }

    fn trim_runs(&mut self, user: UserId, retention: RunRetention, now: Timestamp) {
        let oldest = now.saturating_sub(retention.max_age);
        let all: Vec<RunId> = self.runs_of(user).map(|run| run.id).collect();
        for (n, id) in all.into_iter().enumerate() {
            let key = (user, id);
            let too_old = |run: &Run| run.started_at < oldest;
            if n >= retention.per_user || self.runs.get(&key).is_some_and(too_old) {
                self.runs.remove(&key);
            }
        }
    }

    /// Newest first.
    fn runs_of(&self, user: UserId) -> impl Iterator<Item = &Run> {
        let all = (user, RunId::from_bytes([0; 12]))..=(user, RunId::from_bytes([0xff; 12]));
        self.runs.range(all).rev().map(|(_, run)| run)
    }
}

fn part<'a>(runs: impl Iterator<Item = &'a Run>, page: Page) -> Vec<Run> {
    let bound = |number| usize::try_from(number).unwrap_or(usize::MAX);
    runs.skip(bound(page.skip))
        .take(bound(page.count))
        .cloned()
        .collect()
}

#[async_trait]
impl RunRepository for MemoryStore {
    async fn record(
        &self,
        batch: &RunBatch,
        retention: RunRetention,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let mut state = self.lock();
        let forgotten = now.saturating_sub(WRITER_MEMORY);
        state.run_writers.retain(|_, (_, at)| *at >= forgotten);
        let BatchId { writer, number } = batch.id;
        let last = state.run_writers.get(&writer);
        if last.is_some_and(|(last, _)| *last >= number) {
            let users: BTreeSet<UserId> = batch.cpu.iter().map(|booking| booking.user).collect();
            return Ok(state.recorded(&users));
        }
        state.run_writers.insert(writer, (number, now));
        let mut touched = BTreeSet::new();
        for run in &batch.runs {
            if state.users.contains_key(&run.user) {
                state.runs.insert((run.user, run.id), run.clone());
                touched.insert(run.user);
            }
        }
        for user in touched {
            state.trim_runs(user, retention, now);
        }
        let booked: BTreeSet<UserId> = batch
            .cpu
            .iter()
            .filter_map(|booking| state.book(booking))
            .map(|figure| figure.user)
            .collect();
        Ok(state.recorded(&booked))
    }

    async fn hour_usage(&self, user: UserId) -> Result<Option<HourUsage>, StoreError> {
        Ok(self.lock().figure(user))
    }

    async fn find(&self, user: UserId, run: RunId) -> Result<Option<Run>, StoreError> {
        Ok(self.lock().runs.get(&(user, run)).cloned())
    }

    async fn list_of_user(
        &self,
        user: UserId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<Vec<Run>, StoreError> {
        let state = self.lock();
        let runs = state
            .runs_of(user)
            .filter(|run| assembly.is_none_or(|assembly| run.assembly_name == *assembly));
        Ok(part(runs, page))
    }

    async fn list_of_author(
        &self,
        author: UserId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<Option<Vec<Run>>, StoreError> {
        let state = self.lock();
        let Some(assembly) = state.assembly_of(author, assembly.as_str()) else {
            return Ok(None);
        };
        let mut runs: Vec<&Run> = state
            .runs
            .values()
            .filter(|run| run.assembly == assembly)
            .collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(Some(part(runs.into_iter(), page)))
    }

    async fn sweep(&self, moment: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.runs.len();
        state.runs.retain(|_, run| run.started_at >= moment);
        Ok((before - state.runs.len()) as u64)
    }
}
