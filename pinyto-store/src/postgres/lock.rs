//! What transactions lock, and in which order.
//!
//! Whatever changes what belongs to a user locks her row in `pinyto.users` before anything else:
//! either as the first statement of its transaction, so that all further ones see what the former
//! holder of the lock has done, or by changing the row in its only statement. Who needs more locks
//! takes them in the order of [`Lock`], so that nobody waits in a circle.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use pinyto_core::id::UserId;

use super::options::millis;

/// How many milliseconds who holds the locks of other users waits for another one.
const SOON: u32 = 100;

/// The first half of our advisory locks, so that an embedder's are others. (Spells "Piny".)
const LOCK_SPACE: i32 = 0x5069_6e79;

/// What a transaction locks before it looks at anything, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Claims of jobs: one after the other, on all servers.
    Claims,
    /// What an author has written: to change it.
    Writings(UserId),
    /// What an author has written stays as it is meanwhile.
    WritingsShared(UserId),
    /// A user: everything that belongs to her.
    User(UserId),
    /// Several users.
    Users(BTreeSet<UserId>),
}

impl Lock {
    /// The statement. Numbers only, nothing that comes from outside.
    fn sql(&self) -> String {
        // Of two authors with the same lock one waits for the other, nothing worse.
        let author = |user: &UserId| user.get() & 0x7fff_ffff;
        match self {
            Self::Claims => format!("SELECT pg_advisory_xact_lock({LOCK_SPACE}, -1)"),
            Self::Writings(user) => {
                format!(
                    "SELECT pg_advisory_xact_lock({LOCK_SPACE}, {})",
                    author(user)
                )
            }
            Self::WritingsShared(user) => format!(
                "SELECT pg_advisory_xact_lock_shared({LOCK_SPACE}, {})",
                author(user)
            ),
            Self::User(user) => format!(
                "SELECT 1 FROM pinyto.users WHERE id = {} FOR NO KEY UPDATE",
                user.get()
            ),
            Self::Users(users) => {
                let users: Vec<String> = users.iter().map(|user| user.get().to_string()).collect();
                // Who has some of them must not wait long for another.
                format!(
                    "SET LOCAL lock_timeout = {SOON}; \
                    SELECT 1 FROM pinyto.users WHERE id = ANY('{{{}}}') ORDER BY id \
                    FOR NO KEY UPDATE; SET LOCAL lock_timeout = 0",
                    users.join(",")
                )
            }
        }
    }
}

/// The second half of the advisory lock that migrations hold.
pub(super) fn migrations_lock() -> String {
    // However long others take, and what is to be done.
    format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
        SET LOCAL idle_in_transaction_session_timeout = 0;
        SELECT pg_advisory_xact_lock({LOCK_SPACE}, -2)"
    )
}

/// Begins a transaction and takes its locks, in one round trip.
pub(super) fn begin(locks: &[Lock], patience: Duration) -> String {
    let millis = millis(patience);
    let mut sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
        SET LOCAL statement_timeout = {millis}; \
        SET LOCAL idle_in_transaction_session_timeout = {millis}"
    );
    for lock in locks {
        let _ = write!(sql, "; {}", lock.sql());
    }
    sql
}
