use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{
    clock::Timestamp,
    store::StoreError,
    throttle::{Attempt, FailureRepository, Settled, Subject},
};

impl State {
    fn note_debt(&mut self, subject: Subject, paid_at: Timestamp, now: Timestamp) {
        let group = self.failures.range(subject.group());
        let others = group.filter(|(other, _)| **other != subject);
        let others = others.map(|(other, paid_at)| (*other, *paid_at)).collect();
        for (other, _) in Subject::crowded_out(others, now) {
            self.failures.remove(&other);
        }
        self.failures.insert(subject, paid_at);
    }
}

#[async_trait]
impl FailureRepository for MemoryStore {
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError> {
        let mut state = self.lock();
        let settled = attempt.settle(|subject| state.failures.get(&subject).copied());
        for (subject, paid_at) in attempt.debts(&settled) {
            state.note_debt(subject, paid_at, attempt.at);
        }
        Ok(settled)
    }

    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.failures.len();
        state.failures.retain(|_, paid_at| *paid_at > now);
        Ok((before - state.failures.len()) as u64)
    }
}
