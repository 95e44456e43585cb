//! Compares what clients were told with what there is in the end.
//!
//! What is promised about jobs, and checked by what a trigger in the database has noted:
//!
//! - a claim (a lease on one entry) runs the job's code at most once, and exactly once if it
//!   is completed;
//! - of the claims of one entry for one due time at most one is completed, and none follows it;
//! - claims of one job of one user never overlap: each follows the completion, the failure or
//!   the expiry of the one before;
//! - code runs only under a claim (one that has expired may still have a last run).
//!
//! So a job runs again only if its run failed, or if its server died (or could not reach the
//! database) and the lease expired. How often that may have been, the test knows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    journal::{Candidate, Fate, Journal, KeyState},
    witness::{Event, What},
};

/// What there is in the end.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Of each user: data by identifier, over HTTP.
    pub(crate) documents: BTreeMap<String, BTreeMap<String, String>>,
    /// Of each user: whether the key with this hash is active, over HTTP.
    pub(crate) keys: BTreeMap<String, BTreeMap<String, bool>>,
    /// Of each account with a password: those that open it.
    pub(crate) passwords: BTreeMap<String, BTreeSet<String>>,
    /// The hashes of all keys of each user, from the database.
    pub(crate) owners: BTreeMap<String, Vec<String>>,
    /// What the trigger has noted.
    pub(crate) events: Vec<Event>,
    /// Users whose account says other bytes than their documents have.
    pub(crate) wrong_accounts: Vec<String>,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the fields are for who reads the failure")]
pub(crate) enum Violation {
    DocumentLost {
        user: String,
        id: String,
    },
    DocumentChanged {
        user: String,
        id: String,
        found: Option<String>,
    },
    DocumentFromNowhere {
        user: String,
        id: String,
        found: String,
    },
    StoredTwice {
        user: String,
        data: String,
    },
    KeyIs {
        user: String,
        key_hash: String,
        found: KeyState,
    },
    AcceptedAfterItsEnd {
        user: String,
        ended_by: &'static str,
    },
    SessionLost {
        user: String,
    },
    PasswordRefused {
        user: String,
    },
    PasswordsAre {
        user: String,
        found: BTreeSet<String>,
    },
    SeveralTold {
        name: String,
    },
    SeveralOwners {
        name: String,
    },
    WrongOwner {
        name: String,
    },
    NoOwner {
        name: String,
    },
    QueuedJobLost {
        user: String,
        document: String,
    },
    Job {
        user: i64,
        job: String,
        entry: i64,
        what: JobTrouble,
    },
    ServerError {
        path: String,
        answer: String,
    },
    WrongAccount {
        user: String,
    },
}

/// What a job must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobTrouble {
    Overlaps,
    RanTwiceInAClaim,
    RanWithoutClaim,
    CompletedWithoutRun,
    CompletedTwice,
    ClaimedAfterCompletion,
    EndedWithoutClaim,
}

/// Everything that is wrong, that on the way included.
pub(crate) fn check(journals: &[Journal], observed: &Observed) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for journal in journals {
        wrong.extend(journal.violations.iter().cloned());
        documents(journal, observed, &mut wrong);
        keys(journal, observed, &mut wrong);
        passwords(journal, observed, &mut wrong);
        queued(journal, observed, &mut wrong);
    }
    owners(journals, observed, &mut wrong);
    jobs(&observed.events, &mut wrong);
    let accounts = observed.wrong_accounts.iter().cloned();
    wrong.extend(accounts.map(|user| Violation::WrongAccount { user }));
    wrong
}

fn documents(journal: &Journal, observed: &Observed, wrong: &mut Vec<Violation>) {
    let user = || journal.user.clone();
    let nothing = BTreeMap::new();
    let found = observed.documents.get(&journal.user).unwrap_or(&nothing);
    for (id, known) in &journal.documents {
        let now = found.get(id).cloned();
        if !known.possible.contains(&now) {
            let (user, id) = (user(), id.clone());
            wrong.push(match now {
                None => Violation::DocumentLost { user, id },
                found => Violation::DocumentChanged { user, id, found },
            });
        }
    }
    let mut seen = BTreeSet::new();
    for (id, data) in found {
        if journal.documents.contains_key(id) {
            continue;
        }
        if !journal.attempted.contains(data) {
            let (user, id, found) = (user(), id.clone(), data.clone());
            wrong.push(Violation::DocumentFromNowhere { user, id, found });
        } else if !seen.insert(data) {
            let (user, data) = (user(), data.clone());
            wrong.push(Violation::StoredTwice { user, data });
        }
    }
}

fn keys(journal: &Journal, observed: &Observed, wrong: &mut Vec<Violation>) {
    let nothing = BTreeMap::new();
    let found = observed.keys.get(&journal.user).unwrap_or(&nothing);
    for (key_hash, known) in &journal.keys {
        let found = match found.get(key_hash) {
            None => KeyState::Absent,
            Some(true) => KeyState::Active,
            Some(false) => KeyState::Inactive,
        };
        if !known.possible.contains(&found) {
            wrong.push(Violation::KeyIs {
                user: journal.user.clone(),
                key_hash: key_hash.clone(),
                found,
            });
        }
    }
}

/// Exactly one opens an account, and one that it may be.
fn passwords(journal: &Journal, observed: &Observed, wrong: &mut Vec<Violation>) {
    for (user, passwords) in &journal.passwords {
        let found = observed.passwords.get(user).cloned().unwrap_or_default();
        if found.len() != 1 || !found.is_subset(&passwords.now.possible) {
            let user = user.clone();
            wrong.push(Violation::PasswordsAre { user, found });
        }
    }
}

/// What was queued has been planned, and then has either been completed or still is to be tried.
fn queued(journal: &Journal, observed: &Observed, wrong: &mut Vec<Violation>) {
    let mut ends = BTreeMap::new();
    let mut entries = BTreeMap::new();
    for event in &observed.events {
        if let Some(document) = &event.document {
            entries.insert(document.as_str(), event.entry);
            ends.insert(event.entry, event.what);
        }
    }
    for document in &journal.queued {
        let end = entries.get(document.as_str()).and_then(|it| ends.get(it));
        if !matches!(end, Some(What::Completed | What::Failed)) {
            wrong.push(Violation::QueuedJobLost {
                user: journal.user.clone(),
                document: document.clone(),
            });
        }
    }
}

/// Exactly one owner of each name: who was told so, or, if nobody was, one who was told nothing.
fn owners(journals: &[Journal], observed: &Observed, wrong: &mut Vec<Violation>) {
    let mut names: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in journals.iter().flat_map(|journal| &journal.candidates) {
        names.entry(&candidate.name).or_default().push(candidate);
    }
    for (name, candidates) in names {
        let with = |fate| candidates.iter().filter(move |one| one.fate == fate);
        let told: Vec<&str> = with(Fate::Acknowledged)
            .map(|one| one.key_hash.as_str())
            .collect();
        let mut unknown = with(Fate::Unknown);
        let owners = observed.owners.get(name).map_or(&[][..], Vec::as_slice);
        let name = name.to_owned();
        wrong.extend(match (owners, told.as_slice()) {
            (_, [_, _, ..]) => Some(Violation::SeveralTold { name }),
            ([_, _, ..], _) => Some(Violation::SeveralOwners { name }),
            ([], [_]) => Some(Violation::NoOwner { name }),
            // All were refused, and yet nobody has it.
            ([], []) => unknown
                .next()
                .is_none()
                .then_some(Violation::NoOwner { name }),
            ([owner], [told]) => (owner != told).then_some(Violation::WrongOwner { name }),
            ([owner], []) => (!unknown.any(|one| one.key_hash == *owner))
                .then_some(Violation::WrongOwner { name }),
        });
    }
}

/// What runs of one job of one user.
#[derive(Default)]
struct Running {
    /// The claim that was made last, unless it has ended.
    claim: Option<Claim>,
    /// Claims whose leases have expired: their servers have died, or could not reach the database in
    /// time. By entry and lease.
    lapsed: BTreeSet<(i64, String)>,
    /// Runs that have begun and belong to these.
    runs: usize,
}

struct Claim {
    entry: i64,
    lease: String,
    expires: i64,
}

impl Running {
    fn claims(&self) -> usize {
        self.lapsed.len() + usize::from(self.claim.is_some())
    }

    /// Ends the claim; says whether there was one.
    fn end(&mut self, entry: i64, lease: &str) -> bool {
        if self.lapsed.remove(&(entry, lease.to_owned())) {
            return true;
        }
        let is_ours = |claim: &mut Claim| claim.entry == entry && claim.lease == lease;
        self.claim.take_if(is_ours).is_some()
    }
}

/// What has to be acknowledged now and then while clients work, else nothing is shown about it: what
/// clients do, and by which paths.
pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("store documents", &["/author/Cluster/store"]),
    ("add documents by code", &["/author/Cluster/add"]),
    ("change documents", &["/author/Cluster/change"]),
    ("remove documents", &["/author/Cluster/remove"]),
    ("log in", &["/authenticate"]),
    ("log out", &["/logout"]),
    ("register names", &["/register"]),
    ("add keys", &["/register_new_key"]),
    ("change keys", &["/set_key_active", "/delete_key"]),
    (
        "use passwords",
        &["/keyserver/authenticate", "/keyserver/change_password"],
    ),
];

/// What nobody has done with success, though all was right with what was done.
pub(crate) fn missing(journals: &[Journal], events: &[Event]) -> Vec<&'static str> {
    let count = |paths: &[&str]| {
        let acknowledged = journals.iter().flat_map(|journal| &journal.acknowledged);
        let of_kind = acknowledged.filter(|(path, _)| paths.contains(&path.as_str()));
        of_kind.map(|(_, count)| count).sum::<u64>()
    };
    let kinds = KINDS.iter().filter(|(_, paths)| count(paths) == 0);
    let mut missing: Vec<_> = kinds.map(|(kind, _)| *kind).collect();
    if journals.iter().all(|journal| journal.queued.is_empty()) {
        missing.push("queue jobs");
    }
    for (what, kind) in [(What::Ran, "run jobs"), (What::Completed, "complete jobs")] {
        if events.iter().all(|event| event.what != what) {
            missing.push(kind);
        }
    }
    missing
}

/// How many leases have expired, with the run or before it.
pub(crate) fn lapsed(events: &[Event]) -> usize {
    let count = |what| events.iter().filter(|event| event.what == what).count();
    count(What::Claimed).saturating_sub(count(What::Completed) + count(What::Failed))
}

fn jobs(events: &[Event], wrong: &mut Vec<Violation>) {
    let mut running: BTreeMap<(i64, &str), Running> = BTreeMap::new();
    let mut completed = BTreeSet::new();
    for event in events {
        let job = running.entry((event.user, &event.job)).or_default();
        let mut is_wrong = |what| {
            wrong.push(Violation::Job {
                user: event.user,
                job: event.job.clone(),
                entry: event.entry,
                what,
            });
        };
        let due = (event.entry, event.planned_at);
        match event.what {
            What::Planned | What::Removed => {}
            What::Claimed => {
                if let Some(former) = job.claim.take() {
                    if event.at < former.expires {
                        is_wrong(JobTrouble::Overlaps);
                    }
                    job.lapsed.insert((former.entry, former.lease));
                }
                if completed.contains(&due) {
                    is_wrong(JobTrouble::ClaimedAfterCompletion);
                }
                job.claim = Some(Claim {
                    entry: event.entry,
                    lease: event.lease.clone(),
                    expires: event.expires,
                });
            }
            What::Extended => match &mut job.claim {
                Some(claim) if claim.lease == event.lease => claim.expires = event.expires,
                _ => is_wrong(JobTrouble::Overlaps),
            },
            What::Ran => {
                job.runs += 1;
                match job.claims() {
                    0 => is_wrong(JobTrouble::RanWithoutClaim),
                    claims if job.runs > claims => is_wrong(JobTrouble::RanTwiceInAClaim),
                    _ => {}
                }
                job.runs = job.runs.min(job.claims());
            }
            What::Failed => {
                if !job.end(event.entry, &event.lease) {
                    is_wrong(JobTrouble::EndedWithoutClaim);
                }
                job.runs = job.runs.min(job.claims());
            }
            What::Completed => {
                if !job.end(event.entry, &event.lease) {
                    is_wrong(JobTrouble::EndedWithoutClaim);
                } else if job.runs == 0 {
                    is_wrong(JobTrouble::CompletedWithoutRun);
                }
                job.runs = job.runs.saturating_sub(1);
                if !completed.insert(due) {
                    is_wrong(JobTrouble::CompletedTwice);
                }
            }
        }
    }
}
