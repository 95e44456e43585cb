//! What a client knows: what was acknowledged, and what may or may not have come about.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::Violation;

/// Something that changes, as far as the answers tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known<T> {
    /// It is one of these.
    pub(crate) possible: BTreeSet<T>,
}

impl<T: Ord> Known<T> {
    pub(crate) fn certain(state: T) -> Self {
        Self {
            possible: BTreeSet::from([state]),
        }
    }

    /// Whether there is no doubt. What there is doubt about is left alone for good: whatever the
    /// doubt is about may still come about, also after a later change.
    pub(crate) fn is_certain(&self) -> bool {
        self.possible.len() == 1
    }

    /// A change was acknowledged.
    pub(crate) fn is_now(&mut self, state: T) {
        self.possible = BTreeSet::from([state]);
    }

    /// There was no answer to a change.
    pub(crate) fn may_be(&mut self, state: T) {
        self.possible.insert(state);
    }
}

/// What became of a request, as far as the client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was answered with 200.
    Acknowledged,
    /// It was refused: it has not come about.
    Refused,
    /// No answer, or 503.
    Unknown,
}

/// How a key of the account can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyState {
    Absent,
    Active,
    Inactive,
}

/// The passwords of an account.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    pub(crate) now: Known<String>,
    /// That it ever may have had.
    pub(crate) all: BTreeSet<String>,
}

/// A try to register a name that others want, too.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// The beginning of the key's fingerprint.
    pub(crate) key_hash: String,
    pub(crate) fate: Fate,
}

/// Of one client, who is one user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) user: String,
    /// Documents whose identifier is known, by it: their data, or nothing after their removal.
    pub(crate) documents: BTreeMap<String, Known<Option<String>>>,
    /// The data of documents that may have been stored. Each text comes once.
    pub(crate) attempted: BTreeSet<String>,
    /// Documents that queue a job and were acknowledged.
    pub(crate) queued: BTreeSet<String>,
    /// By their hashes.
    pub(crate) keys: BTreeMap<String, Known<KeyState>>,
    /// Of accounts with a password, by user.
    pub(crate) passwords: BTreeMap<String, Passwords>,
    /// Tokens whose end was acknowledged, and by what.
    pub(crate) dead: Vec<(String, &'static str)>,
    pub(crate) candidates: Vec<Candidate>,
    /// What was found wrong on the way.
    pub(crate) violations: Vec<Violation>,
    pub(crate) tally: Tally,
    /// How many requests were acknowledged while its client worked, by path.
    pub(crate) acknowledged: BTreeMap<String, u64>,
}

/// How often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) logins: u64,
    pub(crate) logouts: u64,
    pub(crate) calls: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.logins += other.logins;
        self.logouts += other.logouts;
        self.calls += other.calls;
    }
}
