//! Which server: of those that the operator names, one that can be written.
//!
//! A standby may be behind, so that a session that has ended would live on there. Therefore nothing
//! is read from one, whatever `target_session_attrs` says.

use std::{
    str::FromStr as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection, postgres::PgConnectOptions,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    OpenError,
    error::{Failure, Trouble},
};

/// The most servers of one URL.
const MOST: usize = 16;

/// How long a server may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long what was found out is believed.
const PAUSE: Duration = Duration::from_millis(250);

/// The servers of a database.
pub(super) struct Hosts {
    /// At least one.
    all: Vec<PgConnectOptions>,
    /// The one that could be written last.
    good: AtomicUsize,
    /// When somebody has looked last.
    looked: Mutex<Option<Instant>>,
    /// An application's, which makes all connections.
    shared: Option<PgPool>,
}

const IS_WRITABLE: &str =
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS it_is";

/// Whether what is written on the connection would be.
pub(super) async fn is_writable(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    ask(db, IS_WRITABLE).await
}

/// A connection of an application's pool on which can be written.
///
/// The application had it before, so it may be broken, or in the middle of a transaction of which
/// the driver doesn't know (who stops waiting for its beginning leaves one behind): what is done in
/// that would not come about, so it is ended. Connections that are of no use are closed.
pub(super) async fn settled(pool: &PgPool) -> Result<PoolConnection<Postgres>, Failure> {
    // All that there are may be of no use. A new one that isn't either says that none will be.
    let mut old = pool.size();
    loop {
        let mut unsettled = Unsettled(Some(pool.acquire().await?));
        let failure = match timeout(PATIENCE, unsettled.settle()).await {
            Ok(Ok(true)) => return unsettled.take().ok_or(sqlx::Error::PoolClosed.into()),
            Ok(Ok(false)) => Failure::ReadOnly,
            Ok(Err(error)) => error.into(),
            Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        };
        let of_this_one = match &failure {
            // What fails in a transaction that has failed.
            Failure::Sql(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("25P02") =>
            {
                true
            }
            failure => matches!(failure.trouble(), Trouble::Lost | Trouble::ReadOnly),
        };
        if old == 0 || !of_this_one {
            return Err(failure);
        }
        old -= 1;
    }
}

/// A connection that is closed unless it is taken.
struct Unsettled(Option<PoolConnection<Postgres>>);

impl Unsettled {
    /// Ends what is left on it and looks whether it can be written, in one round trip. Without
    /// `BEGIN` the server would complain that there is nothing to roll back.
    async fn settle(&mut self) -> Result<bool, sqlx::Error> {
        let db = self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        ask(db, &format!("BEGIN; ROLLBACK; {IS_WRITABLE}")).await
    }

    fn take(&mut self) -> Option<PoolConnection<Postgres>> {
        self.0.take()
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        // Given back, it would be asked whether it lives, and keep its place for as long as it doesn't say.
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

async fn ask(db: &mut PgConnection, sql: &str) -> Result<bool, sqlx::Error> {
    use sqlx::Row as _;
    // Not prepared, which would be another round trip.
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(db).await?;
    row.try_get("it_is")
}

impl Hosts {
    pub(super) fn new(all: Vec<PgConnectOptions>) -> Self {
        Self {
            all,
            good: AtomicUsize::new(0),
            looked: Mutex::new(None),
            shared: None,
        }
    }

    /// Where an application's pool leads to.
    pub(super) fn behind(pool: PgPool) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        Self {
            shared: Some(pool),
            ..Self::new(vec![options])
        }
    }

    pub(super) fn shared(&self) -> Option<&PgPool> {
        self.shared.as_ref()
    }

    /// What operators know the database by; without the password.
    pub(super) fn name(&self) -> String {
        let place = |one: &PgConnectOptions| match one.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", one.get_host(), one.get_port()),
        };
        let places: Vec<String> = self.all.iter().map(place).collect();
        let first = self.all.first();
        let name = first.map(|one| one.get_database().unwrap_or(one.get_username()));
        format!("{} at {}", name.unwrap_or_default(), places.join(", "))
    }

    /// How to connect to the one that was good last.
    pub(super) fn good(&self) -> PgConnectOptions {
        let good = self.all.get(self.good.load(Ordering::Relaxed));
        good.or(self.all.first()).cloned().unwrap_or_default()
    }

    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// A connection to the first that can be written, beginning with the one that was good last.
    pub(super) async fn connect(&self) -> Result<PgConnection, Failure> {
        match &self.shared {
            Some(pool) => Ok(settled(pool).await?.detach()),
            None => self.connect_anew().await,
        }
    }

    /// The same, whatever pool there is.
    pub(super) async fn connect_anew(&self) -> Result<PgConnection, Failure> {
        let good = self.good.load(Ordering::Relaxed);
        let mut read_only = false;
        let mut failed = None;
        for index in (good..self.all.len()).chain(0..good.min(self.all.len())) {
            match timeout(PATIENCE, try_one(&self.all[index])).await {
                Ok(Ok((connection, true))) => {
                    self.good.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Ok((_, false))) => read_only = true,
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = failed.or(Some(sqlx::Error::PoolTimedOut)),
            }
        }
        Err(match failed {
            Some(error) if !read_only => error.into(),
            _ => Failure::ReadOnly,
        })
    }

    /// Looks where the database can be written, and lets the pool connect there; says whether that
    /// is somewhere else. Who comes while somebody looks, waits for that.
    pub(super) async fn look(&self, pool: &PgPool) -> bool {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < PAUSE) {
            return false;
        }
        let before = self.good.load(Ordering::Relaxed);
        if let Ok(connection) = self.connect().await {
            let _ = connection.close().await;
        }
        *looked = Some(Instant::now());
        let good = self.good.load(Ordering::Relaxed);
        if good != before {
            tracing::warn!(
                database = self.name(),
                server = good + 1,
                "another server is used"
            );
            pool.set_connect_options(self.good());
        }
        good != before
    }
}

async fn try_one(options: &PgConnectOptions) -> Result<(PgConnection, bool), sqlx::Error> {
    let mut connection = options.connect().await?;
    let is_writable = is_writable(&mut connection).await?;
    Ok((connection, is_writable))
}

/// How to connect to each server that a URL names: `postgres://USER@HOST1:PORT1,HOST2/DATABASE` or
/// `?host=HOST1,HOST2&port=PORT1,PORT2`, as `libpq` has it.
pub(super) fn parse(url: &str) -> Result<Vec<PgConnectOptions>, OpenError> {
    let parsed = urls(url).ok_or(OpenError::Url)?;
    let parsed = parsed.iter().map(|url| PgConnectOptions::from_str(url));
    parsed.collect::<Result<_, _>>().map_err(|_| OpenError::Url)
}

/// One URL for each server.
fn urls(url: &str) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (user, places) = match authority.rsplit_once('@') {
        Some((user, places)) => (format!("{user}@"), places),
        None => (String::new(), authority),
    };
    let (mut hosts, mut ports) = (None, None);
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("host", value)) => hosts = Some(list(value)),
            Some(("port", value)) => ports = Some(list(value)),
            // Either way only a server that can be written is used.
            Some(("target_session_attrs", "any" | "read-write" | "primary")) => {}
            Some(("target_session_attrs", _)) => return None,
            _ => others.push(pair),
        }
    }
    let places: Vec<&str> = places.split(',').collect();
    let count = hosts.as_ref().map_or(places.len(), Vec::len);
    if count > MOST || places.len() > 1 && places.len() != count {
        return None;
    }
    // One port is that of all.
    if ports
        .as_ref()
        .is_some_and(|ports| ports.len() > 1 && ports.len() != count)
    {
        return None;
    }
    let one = |index: usize| {
        let place = places
            .get(index)
            .or(places.first())
            .copied()
            .unwrap_or_default();
        let mut url = format!("{scheme}://{user}{place}{path}");
        let host = hosts.as_ref().and_then(|hosts| hosts.get(index));
        let port = ports
            .as_ref()
            .and_then(|ports| ports.get(index).or(ports.first()));
        let own = [("host", host), ("port", port)].into_iter();
        let own = own.filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let parameters = own.chain(others.iter().map(ToString::to_string));
        for (number, parameter) in parameters.enumerate() {
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str(&parameter);
        }
        url
    };
    Some((0..count).map(one).collect())
}

/// Comma-separated values, which may be percent-encoded.
fn list(value: &str) -> Vec<String> {
    let value = value.replace("%2C", ",").replace("%2c", ",");
    value.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_several_servers_is_one_for_each() {
        for (url, expected) in [
            ("postgres://", &["postgres://"][..]),
            ("postgres://h/d?a=b", &["postgres://h/d?a=b"]),
            (
                "postgres://u:a,b@h1:1,[::1],h3:3/d?sslmode=require&target_session_attrs=read-write",
                &[
                    "postgres://u:a,b@h1:1/d?sslmode=require",
                    "postgres://u:a,b@[::1]/d?sslmode=require",
                    "postgres://u:a,b@h3:3/d?sslmode=require",
                ],
            ),
            (
                "postgresql://u@/d?host=/a,%2Fb&port=1%2C2&x=y",
                &[
                    "postgresql://u@/d?host=/a&port=1&x=y",
                    "postgresql://u@/d?host=%2Fb&port=2&x=y",
                ],
            ),
            (
                "postgres://u@localhost/d?host=/a,/b",
                &[
                    "postgres://u@localhost/d?host=/a",
                    "postgres://u@localhost/d?host=/b",
                ],
            ),
            (
                "postgres://h1,h2/d?port=6000",
                &["postgres://h1/d?port=6000", "postgres://h2/d?port=6000"],
            ),
        ] {
            assert_eq!(urls(url).as_deref().unwrap(), expected, "{url}");
        }
        let many = format!("postgres://{}/d", ["h"; MOST + 1].join(","));
        for bad in [
            "sqlite:x",
            "h1,h2",
            "postgres://h1,h2/d?host=/a,/b,/c",
            "postgres://h1,h2/d?port=1,2,3",
            "postgres://h1,h2/d?target_session_attrs=standby",
            &many,
        ] {
            assert_eq!(urls(bad), None, "{bad}");
        }
        let servers = parse("postgres://u@h1:1,h2:2/d").unwrap();
        let servers = Hosts::new(servers);
        assert_eq!(servers.name(), "d at h1:1, h2:2");
        assert!(matches!(
            parse("postgres://u@h1:x,h2/d"),
            Err(OpenError::Url)
        ));
    }
}
