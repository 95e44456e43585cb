//! Which database is used, and how.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    OpenError,
    hosts::{self, Hosts},
};

/// Which database to use, and how. Anything that is text becomes one with the defaults:
///
/// ```
/// use pinyto_store::postgres::PostgresOptions;
///
/// let options = PostgresOptions::new("postgres://pinyto@localhost/pinyto").connections(20);
/// ```
#[derive(Clone)]
pub struct PostgresOptions {
    place: Place,
    connections: u32,
    pub(super) patience: Duration,
    idle_timeout: Duration,
    max_lifetime: Duration,
    tells_timeouts: bool,
}

/// Where the database is.
#[derive(Clone)]
enum Place {
    Url(String),
    /// Behind an application's connections.
    Shared(PgPool),
}

/// The fewest connections that do: one for a long query, one for a short one, one for changes, and
/// one for what only reads.
const FEWEST: u32 = 4;

/// And as many for the application that shares them.
const FEWEST_SHARED: u32 = 2 * FEWEST;

/// More couldn't be told from forever, and some of it couldn't be added to a moment.
const LONGEST_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

impl<T: Into<String>> From<T> for PostgresOptions {
    fn from(url: T) -> Self {
        Self::new(url)
    }
}

impl PostgresOptions {
    /// The database at `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...`, as `libpq` writes
    /// it (`?host=/run/postgresql` is a Unix socket). What is left out is taken from `PGHOST`,
    /// `PGUSER` and their like, the password also from the file `.pgpass`.
    ///
    /// There may be several servers, `postgres://USER@HOST1:PORT1,HOST2:PORT2/DATABASE` (or
    /// `?host=...,...`): the first one that can be written is used, and when it can't be any more,
    /// the next. A standby is never read from, since it may be behind.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::at(Place::Url(url.into()), 10)
    }

    /// The database that an application's own pool leads to, on connections of that pool, which
    /// needs 8 at least. By default half of them are used at once
    /// ([`connections`](Self::connections)), and now and then a few more that are on their way
    /// back. **Call nothing of Pinyto's while you hold a connection of the pool**: if all who hold
    /// one wait for another, nobody gets one until patience ends.
    ///
    /// The pool stays the application's. How it connects and when it replaces connections is its
    /// affair, and [`close`](super::PostgresStore::close) leaves it open. Before the store uses a
    /// connection, it ends what transaction was left on it, and asks whether the server can be
    /// written, which is a round trip more for each call; so the pool needn't test connections itself
    /// ([`test_before_acquire`](PgPoolOptions::test_before_acquire)).
    ///
    /// What the application sets on its connections holds for the store, too, except for the search
    /// path (tables are in the schema `pinyto`), and in transactions of several statements isolation
    /// and timeouts (but not `transaction_timeout`). So `synchronous_commit` decides whether what was
    /// acknowledged is durable, and without a `statement_timeout` a single statement that was given
    /// up may come about later. Whom a connection belongs to (`SET ROLE`) has to be the same for all, because tables are made
    /// on one of them.
    ///
    /// ```no_run
    /// use pinyto_store::postgres::{PostgresOptions, PostgresStore};
    /// use sqlx::postgres::PgPoolOptions;
    ///
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPoolOptions::new().max_connections(20).connect("postgres://localhost/app").await?;
    /// let store = PostgresStore::open(PostgresOptions::sharing(pool.clone())).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn sharing(pool: PgPool) -> Self {
        let half = pool.options().get_max_connections() / 2;
        Self::at(Place::Shared(pool), half.max(FEWEST))
    }

    const fn at(place: Place, connections: u32) -> Self {
        Self {
            place,
            connections,
            patience: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10 * 60),
            max_lifetime: Duration::from_secs(30 * 60),
            tells_timeouts: true,
        }
    }

    /// How many connections are used at once at the most, at least 4; default 10. Half of them
    /// serve the queries of assemblies' code, so that those never keep anything else waiting.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(FEWEST);
        self
    }

    /// How long a call may wait for a connection, and how long each of its tries may take, before
    /// it fails as unavailable; default 10 s, at most a day. (A pool that is
    /// [shared](Self::sharing) may have less patience itself.)
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(LONGEST_PATIENCE);
        self
    }

    /// After how long a connection is closed that nobody needs; default 10 minutes. (Not of a pool
    /// that is [shared](Self::sharing).)
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// After how long a connection is replaced by a new one; default 30 minutes. Bounds how much
    /// memory the server's process behind it can gather. (Not of a pool that is
    /// [shared](Self::sharing).)
    #[must_use]
    pub const fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Whether the server is told when connecting (by the startup parameter `options`) that no
    /// statement may take longer than the patience; default true. Without, one that was given up
    /// may come about later, so set `statement_timeout` for the role instead. For proxies that
    /// refuse the parameter.
    #[must_use]
    pub const fn tells_timeouts(mut self, tells_timeouts: bool) -> Self {
        self.tells_timeouts = tells_timeouts;
        self
    }

    /// Without any at the same time, for tests that look at what is said on it.
    #[cfg(test)]
    pub(super) fn one_connection(mut self) -> Self {
        self.connections = 1;
        self
    }

    /// How to connect.
    pub(super) fn hosts(&self) -> Result<Hosts, OpenError> {
        let url = match &self.place {
            Place::Url(url) => url,
            Place::Shared(pool) => return Ok(Hosts::behind(pool.clone())),
        };
        let servers = hosts::parse(url)?.into_iter();
        Ok(Hosts::new(
            servers.map(|one| self.with_settings(one)).collect(),
        ))
    }

    /// How many connections are used at once at the most.
    pub(super) fn count(&self) -> Result<u32, OpenError> {
        let Place::Shared(pool) = &self.place else {
            return Ok(self.connections);
        };
        match pool.options().get_max_connections() {
            found if found < FEWEST_SHARED => Err(OpenError::SmallPool {
                found,
                fewest: FEWEST_SHARED,
            }),
            found => Ok(found.min(self.connections)),
        }
    }

    fn with_settings(&self, options: PgConnectOptions) -> PgConnectOptions {
        let named = options.get_application_name().is_some();
        let options = if named {
            options
        } else {
            options.application_name("pinyto")
        };
        let options = if self.tells_timeouts {
            let millis = millis(self.patience);
            options.options([
                ("statement_timeout", millis),
                ("idle_in_transaction_session_timeout", millis),
            ])
        } else {
            options
        };
        options
            // Numbers come in binary; and a proxy between may not know the setting.
            .extra_float_digits(None)
            .disable_statement_logging()
    }

    pub(super) fn pool(&self) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(self.connections)
            .acquire_timeout(self.patience)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            // Costs a round trip each time. What is broken is noticed with the first statement.
            .test_before_acquire(false)
    }
}

/// As PostgreSQL's settings have it, in which 0 would be no limit.
pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis())
        .unwrap_or(i32::MAX)
        .max(1)
}

/// Without the URL, which may contain a password.
impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("connections", &self.connections)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
