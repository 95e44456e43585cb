use std::{cmp::Reverse, fmt, ops::RangeInclusive};

use async_trait::async_trait;

use super::FailureQuota;
use crate::{clock::Timestamp, store::StoreError};

/// Whose failures are counted: an account or an address, as a digest that tells neither without
/// the server's private key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject([u8; 16]);

impl Subject {
    /// The most subjects that are kept of a group (see [`Subject::group`]).
    pub const MAX_PER_GROUP: usize = 8;

    /// The subject with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// All subjects that begin with the same two bytes.
    ///
    /// Their number is bounded, which bounds all of them and is checked with a glance at the few
    /// neighbours of one. Nobody who doesn't know the server's key chooses his neighbours.
    #[must_use]
    pub fn group(&self) -> RangeInclusive<Self> {
        let [a, b, ..] = self.0;
        let (mut first, mut last) = ([0; 16], [0xff; 16]);
        (first[0], first[1], last[0], last[1]) = (a, b, a, b);
        Self(first)..=Self(last)
    }

    /// Which of the others of its group are to be forgotten when the subject is written: those
    /// that owe nothing, and of too many those that owe least. Each comes with the moment when it
    /// will have paid.
    pub fn crowded_out(
        mut others: Vec<(Self, Timestamp)>,
        now: Timestamp,
    ) -> impl Iterator<Item = (Self, Timestamp)> {
        others.sort_unstable_by_key(|(_, paid_at)| Reverse(*paid_at));
        let kept = others
            .iter()
            .take(Self::MAX_PER_GROUP - 1)
            .take_while(|(_, paid_at)| *paid_at > now)
            .count();
        others.into_iter().skip(kept)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({:032x})", u128::from_be_bytes(self.0))
    }
}

/// A try whose outcome is known to its server, and to nobody else yet.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// For whom it counts if it has failed, and how many failures are too many; each once.
    pub subjects: Vec<(Subject, FailureQuota)>,
    /// Whether it has failed.
    pub failed: bool,
    /// When.
    pub at: Timestamp,
}

/// Whether the outcome of a try may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settled {
    /// If not, somebody has failed too often: the try counts for nobody, and nobody may learn
    /// what would have become of it.
    pub is_allowed: bool,
    /// When each of the attempt's subjects will have paid for all failures, in their order; not
    /// later than [`Attempt::at`] if it owes nothing.
    pub paid_at: Vec<Timestamp>,
}

impl Settled {
    /// Whether the outcome may be told, and when each subject will have paid.
    #[must_use]
    pub const fn new(is_allowed: bool, paid_at: Vec<Timestamp>) -> Self {
        Self {
            is_allowed,
            paid_at,
        }
    }
}

impl Attempt {
    /// The rule, for stores that apply it in their transactions: what becomes of the try, given
    /// when each subject will have paid as far as is known.
    #[must_use]
    pub fn settle(&self, paid_at: impl Fn(Subject) -> Option<Timestamp>) -> Settled {
        let owed: Vec<_> = self
            .subjects
            .iter()
            .map(|(subject, quota)| quota.owed(paid_at(*subject).unwrap_or(self.at), self.at))
            .collect();
        let mut owed_of = self.subjects.iter().zip(&owed);
        let is_allowed = owed_of.all(|((_, quota), owed)| *owed <= quota.credit());
        let counts = self.failed && is_allowed;
        let paid_at = self
            .subjects
            .iter()
            .zip(owed)
            .map(|((_, quota), owed)| {
                let price = if counts {
                    quota.price()
                } else {
                    Default::default()
                };
                self.at.saturating_add(owed.saturating_add(price))
            })
            .collect();
        Settled {
            is_allowed,
            paid_at,
        }
    }

    /// What is to be kept of a settled try: who owes something, and when it will be paid.
    pub fn debts<'a>(
        &'a self,
        settled: &'a Settled,
    ) -> impl Iterator<Item = (Subject, Timestamp)> + 'a {
        let subjects = self.subjects.iter().map(|(subject, _)| *subject);
        let debts = subjects.zip(settled.paid_at.iter().copied());
        debts.filter(|(_, paid_at)| *paid_at > self.at)
    }
}

/// Where failed tries are counted for all servers that share a store.
///
/// A server computes what becomes of a try, has it settled here, and only then tells it to
/// anybody. So of guesses that several servers compute at the same time no more are answered than
/// of guesses in a row, and nothing has to be reserved and given back.
///
/// What is kept may be lost when the database crashes, but not when a server does. It is bounded:
/// of each [group](Subject::group) there are at most [`Subject::MAX_PER_GROUP`]; who owes nothing
/// is forgotten with the next that is written of the group, and who owes least if there are more
/// (but never who is written just now).
#[async_trait]
pub trait FailureRepository: Send + Sync {
    /// Decides whether the outcome of a try may be told and, if it has failed and may be, counts
    /// it for all its subjects: applies [`Attempt::settle`] atomically.
    ///
    /// A try that succeeds takes its place among those that are settled at the same time: if it
    /// is allowed, fewer than a burst of failures have been told before.
    ///
    /// What is found to be later than any debt reaches (a clock was set back) is corrected.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed. The outcome must not be told then.
    async fn settle(&self, attempt: &Attempt) -> Result<Settled, StoreError>;

    /// Forgets who has paid for everything until `now`; says how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store failed.
    async fn forget_paid(&self, now: Timestamp) -> Result<u64, StoreError>;
}
