//! Whose turn it is: the rules that keep claims fair between users. Stores apply them without
//! looking at more than they need.

use super::JobEntry;
use crate::{clock::Timestamp, id::UserId};

/// Where a user stands among those who have a job that can be claimed. The least has the next
/// turn: who has fewest jobs running, of these who has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// How many of her jobs run.
    pub running: usize,
    /// Since when she waits: since the first of her jobs could be claimed, or since her last turn
    /// if that was later. A claim sets turns that lie ahead of it, because a clock was wrong, back
    /// to its own time.
    pub since: Timestamp,
    /// The number of her last turn; 0 if she had none. Numbers grow with each turn of anybody.
    pub last: i64,
    /// Who.
    pub user: UserId,
}

/// When a job of a user can be claimed, by all of her entries of it: when the lease on one
/// expires, otherwise when the first is due. `None`: there is nothing to be claimed.
///
/// It depends on no clock, so a store can keep it with what it is made of.
#[must_use]
pub fn claimable_at<'a>(entries: impl IntoIterator<Item = &'a JobEntry>) -> Option<Timestamp> {
    let (mut leased, mut due) = (None, None::<Timestamp>);
    for entry in entries {
        let Some(at) = entry.due_at else { continue };
        if entry.lease.is_some() {
            leased = leased.max(Some(at));
        }
        due = Some(due.map_or(at, |due| due.min(at)));
    }
    leased.or(due)
}
