//! What transactions lock, and in which order.
//!
//! Whatever changes what belongs to a user locks her row in `pinyto.users` before anything else:
//! either as the first statement of its transaction, so that all further ones see what the former
//! holder of the lock has done, or by changing the row in its only statement. Who needs more locks
//! takes them in the order of [`Lock`], so that nobody waits in a circle. What concerns many users
//! takes the locks that it gets without waiting (`run.rs`).

use std::{fmt::Write as _, time::Duration};

use pinyto_core::id::UserId;

use super::options::millis;

/// How many milliseconds runs of a user who is busy wait for her.
const IN_LINE: u32 = 1_000;

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
        }
    }
}

/// Waits in line for users, but not for long. If it fails, [`GIVE_UP_WAITING`] undoes it.
pub(super) fn wait_for(users: impl IntoIterator<Item = UserId>) -> String {
    let mut sql = format!("SAVEPOINT in_line; SET LOCAL lock_timeout = {IN_LINE}");
    for user in users {
        let _ = write!(sql, "; {}", Lock::User(user).sql());
    }
    sql.push_str("; SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT in_line");
    sql
}

pub(super) const GIVE_UP_WAITING: &str = "ROLLBACK TO SAVEPOINT in_line";

/// The second half of the advisory lock that migrations hold.
pub(super) fn migrations_lock() -> String {
    // However long others take, and what is to be done.
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
        SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
        SET LOCAL idle_in_transaction_session_timeout = 0;
        SELECT pg_advisory_xact_lock({LOCK_SPACE}, -2)"
    )
}

/// Begins a transaction and takes its locks, in one round trip.
pub(super) fn begin(locks: &[Lock], patience: Duration) -> String {
    let millis = millis(patience);
    let mut sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
        SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = 0; \
        SET LOCAL idle_in_transaction_session_timeout = {millis}"
    );
    for lock in locks {
        let _ = write!(sql, "; {}", lock.sql());
    }
    sql
}
