//! The connections: where they lead, and which of them are still believed in.
//!
//! A restart or a failover breaks all of them at once, but each is noticed only when it is used. So
//! when one was found broken, or to a server that can't be written (any more), those that were made
//! before are thrown away unused.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use pinyto_core::slots::Slot;
use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgPoolOptions};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    error::{Failure, Trouble},
    hosts::{Hosts, is_writable, settled},
};

/// After how long of waiting for a connection it is asked whether the server is the right one.
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// The pause before the second try to connect; each further one is longer.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Connections {
    pool: PgPool,
    /// How many are used here at once.
    share: Arc<Semaphore>,
    count: u32,
    is_closed: AtomicBool,
    hosts: Hosts,
    trust: Arc<Trust>,
    patience: Duration,
}

/// What is thought of connections.
#[derive(Debug, Default)]
struct Trust {
    /// Those made before are not used any more.
    since: Mutex<Option<Instant>>,
    /// How many led to a server that can't be written.
    read_only: AtomicU64,
}

impl Trust {
    fn is_due_to(&self, age: Duration) -> bool {
        let since = *self.lock();
        since.is_none_or(|since| since.elapsed() >= age)
    }

    fn forfeit(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// Held for a moment, in which nothing panics.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, until it is dropped or [abandoned](Lent::abandon).
pub(super) struct Lent {
    connection: PoolConnection<Postgres>,
    #[expect(dead_code, reason = "held until it is dropped")]
    share: OwnedSemaphorePermit,
}

impl Lent {
    /// Closes a connection that is broken, or on which something may run that nobody waits for.
    pub(super) fn abandon(self) {
        drop(self.connection.detach());
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Connections {
    /// Connects when one is wanted.
    pub(super) fn new(hosts: Hosts, pool: PgPoolOptions, patience: Duration) -> Self {
        let trust = Arc::<Trust>::default();
        let (of_idle, of_new) = (Arc::clone(&trust), Arc::clone(&trust));
        let pool = pool
            .before_acquire(move |_, idle| {
                let is_trusted = of_idle.is_due_to(idle.age);
                Box::pin(async move { Ok(is_trusted) })
            })
            .after_connect(move |db, _| {
                let trust = Arc::clone(&of_new);
                Box::pin(async move {
                    // An error here would be logged and the same tried again, until time is over.
                    if !is_writable(db).await? {
                        trust.read_only.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(hosts.good());
        let count = pool.options().get_max_connections();
        Self {
            trust,
            ..Self::over(pool, hosts, count, patience)
        }
    }

    /// About `count` of the connections of a pool: an application's, if [`Hosts::shared`] is that, which
    /// goes on when this is closed.
    pub(super) fn over(pool: PgPool, hosts: Hosts, count: u32, patience: Duration) -> Self {
        Self {
            pool,
            share: Arc::new(Semaphore::new(count as usize)),
            count,
            is_closed: AtomicBool::new(false),
            hosts,
            trust: Arc::default(),
            patience,
        }
    }

    /// A connection to a server that can be written. Waits for one as long as the patience lasts,
    /// also while there is no such server.
    pub(super) async fn get(&self) -> Result<Lent, Failure> {
        let until = Instant::now() + self.patience;
        let mut last = None;
        let mut tries = 1;
        loop {
            let read_only = self.trust.read_only.load(Ordering::SeqCst);
            let failure = tokio::select! {
                biased;
                acquired = timeout_at(until, self.acquire()) => match acquired {
                    Ok(Ok(connection)) => {
                        if self.trust.read_only.load(Ordering::SeqCst) == read_only {
                            return Ok(connection);
                        }
                        // This one, or one that was made at the same time.
                        self.forfeit(connection);
                        Failure::ReadOnly
                    }
                    Ok(Err(failure)) => failure,
                    // What has gone wrong before tells more.
                    Err(_) => return Err(last.unwrap_or(sqlx::Error::PoolTimedOut.into())),
                },
                () = self.watch() => Failure::ReadOnly,
            };
            let pause = PAUSE * tries;
            let may_pass = matches!(
                failure.trouble(),
                Trouble::Lost | Trouble::ReadOnly | Trouble::Full | Trouble::Starting
            );
            if !may_pass || Instant::now() + pause > until {
                return Err(failure);
            }
            last = Some(failure);
            let _ = timeout_at(until, self.look()).await;
            sleep(pause).await;
            tries += 1;
        }
    }

    async fn acquire(&self) -> Result<Lent, Failure> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(sqlx::Error::PoolClosed.into());
        }
        let share = Arc::clone(&self.share).acquire_owned().await;
        let share = share.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.hosts.shared() {
            Some(pool) => settled(pool).await?,
            None => self.pool.acquire().await?,
        };
        Ok(Lent { connection, share })
    }

    /// Looks again and again which server is the right one.
    async fn watch(&self) {
        loop {
            sleep(LOOK_AFTER).await;
            self.look().await;
        }
    }

    /// Looks which server is the right one, if there are several.
    async fn look(&self) {
        if self.hosts.are_several() && self.hosts.look(&self.pool).await {
            self.trust.forfeit();
        }
    }

    /// Takes back a connection with which something went wrong: to be used again, or thrown away,
    /// and all older ones with it.
    pub(super) fn judge(&self, connection: Lent, trouble: Trouble) {
        match trouble {
            Trouble::Lost | Trouble::ReadOnly => self.forfeit(connection),
            Trouble::Stale => connection.abandon(),
            _ => drop(connection),
        }
    }

    /// Throws the connection away, and all older ones when they are wanted.
    pub(super) fn forfeit(&self, connection: Lent) {
        self.trust.forfeit();
        connection.abandon();
    }

    /// Whether a new connection can be made that can be written on.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        self.hosts.connect_anew().await.map(drop)
    }

    /// Waits for what runs; later calls fail.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        if self.hosts.shared().is_none() {
            return self.pool.close().await;
        }
        // All of them are given back then.
        let all = self.share.acquire_many(self.count).await;
        self.share.close();
        drop(all);
    }
}

/// Whose turn it is to have a connection for a change.
pub(super) enum Turn {
    /// A user's.
    Of(#[expect(dead_code, reason = "held until it is dropped")] Slot),
    /// Somebody's.
    Other(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit),
}

/// A connection on which there may be a transaction.
///
/// Whoever waits for its end may stop to do so at any moment, and the driver doesn't notice a
/// transaction whose beginning nobody has waited for. A connection that is not taken back is
/// therefore rolled back before anybody else gets it; until then it keeps its turn.
pub(super) struct InUse {
    connection: Option<Lent>,
    turn: Arc<Turn>,
    bound: Duration,
}

impl InUse {
    /// The roll-back may take as long as `bound`.
    pub(super) fn new(connection: Lent, turn: Arc<Turn>, bound: Duration) -> Self {
        Self {
            connection: Some(connection),
            turn,
            bound,
        }
    }

    pub(super) fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connection = self.connection.as_deref_mut();
        connection.ok_or(sqlx::Error::PoolClosed)
    }

    /// When the driver knows of the end of its transaction.
    pub(super) fn take_back(&mut self) -> Option<Lent> {
        self.connection.take()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            return connection.abandon();
        };
        let (turn, bound) = (Arc::clone(&self.turn), self.bound);
        runtime.spawn(async move {
            // Waits for what runs on it.
            let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
            match timeout(bound, rolled_back).await {
                Ok(Ok(_)) => drop(connection),
                _ => connection.abandon(),
            }
            drop(turn);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_made_before_trust_was_lost_is_not_used_any_more() {
        let trust = Trust::default();
        let second = Duration::from_secs(1);
        assert!(trust.is_due_to(second * 100));
        tokio::time::advance(second * 10).await;
        trust.forfeit();
        tokio::time::advance(second * 5).await;
        assert!(!trust.is_due_to(second * 6), "made before");
        assert!(trust.is_due_to(second * 4), "made since");
    }
}
