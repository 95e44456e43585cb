use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    Page,
    assembly::{AssemblyRef, AssemblySource, JobName, Schedule},
    clock::Timestamp,
    document::{DocumentId, QueuedJob},
    id::{AssemblyId, JobEntryId, UserId},
    job::{
        Claim, ClaimedJob, Completion, EnqueueOutcome, JobEntry, JobRef, JobRepository, JobState,
        Lease, Trigger, Turn, claimable_at,
    },
    run::RunId,
    store::StoreError,
};

/// Whose job it is, and which.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobKey {
    user: UserId,
    assembly: AssemblyId,
    name: JobName,
}

/// What is to be run, by identifier.
pub(super) type JobEntries = BTreeMap<JobEntryId, (JobKey, JobEntry)>;

impl State {
    /// Plans the jobs of an assembly that the user has just installed.
    pub(super) fn plan_jobs(&mut self, user: UserId, assembly: AssemblyId, at: Timestamp) {
        let Some((_, found)) = self.assemblies.get(&assembly) else {
            return;
        };
        for job in found.source.jobs().to_vec() {
            let key = JobKey {
                user,
                assembly,
                name: job.name,
            };
            let entry = JobEntry::new(Trigger::Schedule, job.schedule, at);
            self.add_entry(key, entry);
        }
    }

    /// Brings what is planned in line with an assembly whose source was `old` until now.
    pub(super) fn replan_jobs(
        &mut self,
        assembly: AssemblyId,
        old: &AssemblySource,
        at: Timestamp,
    ) {
        let Some((_, found)) = self.assemblies.get(&assembly) else {
            return;
        };
        let jobs = found.source.jobs().to_vec();
        self.job_entries.retain(|_, (key, _)| {
            key.assembly != assembly || jobs.iter().any(|job| job.name == key.name)
        });
        for job in jobs {
            let mut planned = BTreeSet::new();
            for (key, entry) in self.job_entries.values_mut() {
                if key.assembly != assembly || key.name != job.name {
                    continue;
                }
                let same =
                    |old: &crate::assembly::Job| old.name == job.name && old.code == job.code;
                if !old.jobs().iter().any(same) {
                    entry.revive(at);
                }
                if entry.trigger == Trigger::Schedule {
                    planned.insert(key.user);
                    if entry.schedule != job.schedule {
                        entry.reschedule(job.schedule, at);
                    }
                }
            }
            let users: Vec<UserId> = self
                .installations
                .iter()
                .filter(|(user, installed)| *installed == assembly && !planned.contains(user))
                .map(|(user, _)| *user)
                .collect();
            for user in users {
                let key = JobKey {
                    user,
                    assembly,
                    name: job.name.clone(),
                };
                self.add_entry(key, JobEntry::new(Trigger::Schedule, job.schedule, at));
            }
        }
    }

    /// Forgets what is to be run of an assembly that is gone, or gone for the user.
    pub(super) fn cancel_jobs(&mut self, assembly: AssemblyId, user: Option<UserId>) {
        self.job_entries.retain(|_, (key, _)| {
            key.assembly != assembly || user.is_some_and(|user| user != key.user)
        });
    }

    /// Forgets what is to be run for a document that is gone.
    pub(super) fn cancel_job_of(&mut self, user: UserId, document: DocumentId) {
        self.job_entries.retain(|_, (key, entry)| {
            key.user != user || entry.trigger != Trigger::Document(document)
        });
    }

    /// Queues a run for a document of the user.
    pub(super) fn enqueue(
        &mut self,
        user: UserId,
        document: DocumentId,
        wanted: &QueuedJob,
        at: Timestamp,
    ) -> EnqueueOutcome {
        match self.job_key(user, &wanted.job) {
            Err(outcome) => outcome,
            Ok(_) if self.queued(user) >= wanted.limit => EnqueueOutcome::LimitReached,
            Ok(key) => {
                let trigger = Trigger::Document(document);
                let entry = JobEntry::new(trigger, Schedule::default(), at);
                self.add_entry(key, entry.held(wanted.hold));
                EnqueueOutcome::Queued
            }
        }
    }

    fn add_entry(&mut self, key: JobKey, entry: JobEntry) {
        let id = JobEntryId::new(self.next_id());
        self.job_entries.insert(id, (key, entry));
    }

    fn job_key(&self, user: UserId, job: &JobRef) -> Result<JobKey, EnqueueOutcome> {
        let assembly = self.installed(user, &job.assembly);
        let assembly = assembly.ok_or(EnqueueOutcome::NotInstalled)?;
        if !assembly.source.jobs().iter().any(|j| j.name == job.name) {
            return Err(EnqueueOutcome::UnknownJob);
        }
        Ok(JobKey {
            user,
            assembly: assembly.id,
            name: job.name.clone(),
        })
    }

    fn queued(&self, user: UserId) -> usize {
        let entries = self.job_entries.values();
        entries
            .filter(|(key, entry)| key.user == user && entry.trigger != Trigger::Schedule)
            .count()
    }

    /// When each user has the first job that can be claimed, and which.
    fn first_claimable(&self) -> BTreeMap<UserId, (Timestamp, JobKey)> {
        let mut of_jobs = BTreeMap::<&JobKey, Vec<&JobEntry>>::new();
        for (key, entry) in self.job_entries.values() {
            of_jobs.entry(key).or_default().push(entry);
        }
        let mut first = BTreeMap::<UserId, (Timestamp, &JobKey)>::new();
        for (key, entries) in of_jobs {
            if let Some(at) = claimable_at(entries) {
                let found = first.entry(key.user).or_insert((at, key));
                *found = (*found).min((at, key));
            }
        }
        first
            .into_iter()
            .map(|(user, (due, key))| (user, (due, key.clone())))
            .collect()
    }

    /// The entry that is to be claimed next.
    fn next_claimable(&self, now: Timestamp) -> Option<JobEntryId> {
        let mut running = BTreeMap::<UserId, usize>::new();
        for (key, _) in self.job_entries.values().filter(|(_, e)| e.is_running(now)) {
            *running.entry(key.user).or_default() += 1;
        }
        let due = self.first_claimable().into_iter();
        let due = due.filter(|(_, (due, _))| *due <= now);
        let turns = due.map(|(user, (due, key))| {
            let last = self.job_turns.get(&user);
            let turn = Turn {
                running: running.get(&user).copied().unwrap_or(0),
                since: last.map_or(due, |(at, _)| due.max(*at)),
                last: last.map_or(0, |(_, number)| *number),
                user,
            };
            (turn, key)
        });
        let (_, key) = turns.min()?;
        let entries = self.job_entries.iter();
        entries
            .filter(|(_, (of, entry))| *of == key && entry.due_at.is_some())
            .min_by_key(|(id, (_, entry))| (entry.due_at, **id))
            .map(|(id, _)| *id)
    }

    fn claim(&mut self, id: JobEntryId, claim: &Claim) -> Option<ClaimedJob> {
        let turn = self.next_id();
        let (key, entry) = self.job_entries.get_mut(&id)?;
        self.job_turns.insert(key.user, (claim.now, turn));
        let lost = entry.lost(claim.now);
        if !entry.claim(claim.lease, claim.now, claim.until) {
            return None;
        }
        let (key, entry) = (key.clone(), entry.clone());
        let (_, assembly) = self.assemblies.get(&key.assembly)?;
        let job = assembly.source.jobs().iter().find(|j| j.name == key.name)?;
        Some(ClaimedJob {
            lease: Lease {
                entry: id,
                id: claim.lease,
            },
            user: self.users.get(&key.user)?.user.clone(),
            assembly: key.assembly,
            job: self.job_ref(&key)?,
            only_own_data: assembly.source.only_own_data(),
            http_hosts: assembly.source.http_hosts().map(<[_]>::to_vec),
            code: job.code.clone(),
            attempt: entry.attempts,
            trigger: entry.trigger,
            planned_at: entry.planned_at,
            lost,
        })
    }

    fn job_ref(&self, key: &JobKey) -> Option<JobRef> {
        let (_, assembly) = self.assemblies.get(&key.assembly)?;
        Some(JobRef {
            assembly: AssemblyRef {
                author: assembly.author.clone(),
                name: assembly.source.name().clone(),
            },
            name: key.name.clone(),
        })
    }

    fn held(&mut self, lease: Lease) -> Option<&mut (JobKey, JobEntry)> {
        let found = self.job_entries.get_mut(&lease.entry)?;
        (found.1.lease == Some(lease.id)).then_some(found)
    }
}

#[async_trait]
impl JobRepository for MemoryStore {
    async fn claim_due(&self, claim: &Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        let mut state = self.lock();
        for (at, _) in state.job_turns.values_mut() {
            *at = claim.now.min(*at);
        }
        let mut claimed = Vec::new();
        for _ in 0..claim.limit {
            let Some(id) = state.next_claimable(claim.now) else {
                break;
            };
            claimed.extend(state.claim(id, claim));
        }
        Ok(claimed)
    }

    async fn extend(&self, lease: Lease, until: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let held = state.held(lease);
        Ok(held.map(|(_, entry)| entry.due_at = Some(until)).is_some())
    }

    async fn complete(
        &self,
        lease: Lease,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some((key, entry)) = state.held(lease) else {
            return Ok(false);
        };
        if entry.complete(completion, now) {
            return Ok(true);
        }
        let (user, trigger) = (key.user, entry.trigger);
        state.job_entries.remove(&lease.entry);
        if let Trigger::Document(document) = trigger {
            state.remove_document(user, document, now);
        }
        Ok(true)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let first = self.lock().first_claimable().into_values();
        Ok(first.map(|(due, _)| due).min())
    }

    async fn run_now(
        &self,
        user: UserId,
        job: &JobRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<EnqueueOutcome, StoreError> {
        let mut state = self.lock();
        let wanted = match state.job_key(user, job) {
            Ok(wanted) => wanted,
            Err(outcome) => return Ok(outcome),
        };
        let (mut revived, mut waits) = (false, false);
        for (_, entry) in state
            .job_entries
            .values_mut()
            .filter(|(key, _)| *key == wanted)
        {
            revived |= entry.parked;
            entry.revive(at);
            waits |= entry.hasten(at);
        }
        if revived || waits {
            return Ok(EnqueueOutcome::Queued);
        }
        if state.queued(user) >= limit {
            return Ok(EnqueueOutcome::LimitReached);
        }
        let entry = JobEntry::new(Trigger::RunNow, Schedule::default(), at);
        state.add_entry(wanted, entry);
        Ok(EnqueueOutcome::Queued)
    }

    async fn release(&self, user: UserId, run: RunId, now: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let entries = state.job_entries.values_mut();
        let of_user = entries.filter(|(key, _)| key.user == user);
        Ok(of_user
            .map(|(_, entry)| entry.release(run, now))
            .fold(false, |any, released| any | released))
    }

    async fn list_of_user(
        &self,
        user: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Vec<JobState>, StoreError> {
        let state = self.lock();
        let bound = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let mut own: Vec<_> = state
            .job_entries
            .values()
            .filter(|(key, _)| key.user == user)
            .collect();
        // What is equal stays in the order it came.
        own.sort_by_key(|(key, _)| key);
        let page = own
            .into_iter()
            .skip(bound(page.skip))
            .take(bound(page.count));
        Ok(page
            .filter_map(|(key, entry)| Some(JobState::of(state.job_ref(key)?, entry, now)))
            .collect())
    }
}
