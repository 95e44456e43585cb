use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    assembly::{AssemblyName, AssemblyRef, AssemblySource, Schedule},
    clock::Timestamp,
    document::DocumentId,
    id::{AssemblyId, JobEntryId, UserId},
    job::{
        Claim, ClaimedJob, Completion, EnqueueOutcome, JobEntry, JobRef, JobRepository, JobState,
        Lease, Trigger,
    },
    store::StoreError,
};

/// Whose job it is, and which.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobKey {
    user: UserId,
    assembly: AssemblyId,
    name: AssemblyName,
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
        job: &JobRef,
        limit: usize,
        at: Timestamp,
    ) -> EnqueueOutcome {
        match self.job_key(user, job) {
            Err(outcome) => outcome,
            Ok(_) if self.queued(user) >= limit => EnqueueOutcome::LimitReached,
            Ok(key) => {
                let trigger = Trigger::Document(document);
                self.add_entry(key, JobEntry::new(trigger, Schedule::default(), at));
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

    fn running(&self, now: Timestamp) -> impl Iterator<Item = &JobKey> {
        let entries = self.job_entries.values();
        entries
            .filter(move |(_, entry)| entry.is_running(now))
            .map(|(key, _)| key)
    }

    /// Which entries a claim takes, in the order it does.
    fn claimable(&self, claim: &Claim) -> Vec<JobEntryId> {
        let mut busy: BTreeSet<&JobKey> = self.running(claim.now).collect();
        let mut turns = BTreeMap::<UserId, usize>::new();
        for key in &busy {
            *turns.entry(key.user).or_default() += 1;
        }
        let mut due: Vec<_> = self
            .job_entries
            .iter()
            .filter(|(_, (_, entry))| entry.is_due(claim.now))
            .map(|(id, (key, entry))| (entry.due_at, *id, key))
            .collect();
        due.sort_by_key(|(due_at, id, _)| (*due_at, *id));
        let mut found = Vec::new();
        for (due_at, id, key) in due {
            if busy.insert(key) {
                let turn = turns.entry(key.user).or_default();
                *turn += 1;
                let last = self.job_turns.get(&key.user).copied().unwrap_or(0);
                found.push((*turn, last, due_at, id));
            }
        }
        found.sort();
        found.truncate(claim.limit);
        found.into_iter().map(|(.., id)| id).collect()
    }

    fn claim(&mut self, id: JobEntryId, claim: &Claim) -> Option<ClaimedJob> {
        let turn = self.next_id();
        let (key, entry) = self.job_entries.get_mut(&id)?;
        if !entry.claim(claim.lease, claim.now, claim.until) {
            return None;
        }
        let (key, entry) = (key.clone(), entry.clone());
        self.job_turns.insert(key.user, turn);
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
        let ids = state.claimable(claim);
        Ok(ids
            .into_iter()
            .filter_map(|id| state.claim(id, claim))
            .collect())
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

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let state = self.lock();
        let busy: BTreeSet<&JobKey> = state.running(now).collect();
        let entries = state.job_entries.values();
        let waiting = entries.filter(|(key, entry)| entry.is_running(now) || !busy.contains(key));
        Ok(waiting.filter_map(|(_, entry)| entry.due_at).min())
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

    async fn list_of_user(
        &self,
        user: UserId,
        now: Timestamp,
        skip: u64,
        count: u64,
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
        let page = own.into_iter().skip(bound(skip)).take(bound(count));
        Ok(page
            .filter_map(|(key, entry)| Some(JobState::of(state.job_ref(key)?, entry, now)))
            .collect())
    }
}
