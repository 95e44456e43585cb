//! A cluster of its own, for tests in which the database itself comes to harm.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{ChildStdin, ChildStdout},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    Error, NO_POSTGRES,
    cluster::{Cluster, PATIENCE},
    execute, missing,
};

/// As PostgreSQL has it by itself: what is committed survives.
const SETTINGS: &[&str] = &[
    "max_connections=200",
    "shared_buffers=128MB",
    "log_min_messages=fatal",
];

/// How many ports are tried.
const PORTS: u32 = 5;

/// A PostgreSQL server of its own, durable as in operation, on a port of 127.0.0.1. It ends with the
/// value.
#[derive(Debug)]
pub struct Instance {
    cluster: Cluster,
    port: u16,
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Instance {
    /// Starts one. `None` where there is no PostgreSQL, which is said once.
    ///
    /// # Panics
    ///
    /// If there is a PostgreSQL and it doesn't work, or none with `CI=true`.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn start() -> Option<Self> {
        match Self::try_start(None).await {
            Ok(instance) => instance,
            Err(error) => panic!("no PostgreSQL for the test: {error}"),
        }
    }

    /// A streaming standby, for which every commit here waits from now on.
    ///
    /// # Panics
    ///
    /// If it doesn't come about.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn synchronous_standby(&self) -> Self {
        let standby = async {
            let standby = Self::try_start(Some(self.port)).await?;
            let standby = standby.ok_or("there is no PostgreSQL any more")?;
            self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                .await;
            self.execute("SELECT pg_reload_conf()").await;
            let state = "SELECT sync_state FROM pg_stat_replication";
            let until = Instant::now() + PATIENCE;
            while self.texts(state).await != ["sync"] {
                if Instant::now() > until {
                    return Err("it doesn't follow".into());
                }
                sleep(Duration::from_millis(50)).await;
            }
            Ok::<_, Error>(standby)
        };
        match standby.await {
            Ok(standby) => standby,
            Err(error) => panic!("no standby for the test: {error}"),
        }
    }

    async fn try_start(primary: Option<u16>) -> Result<Option<Self>, Error> {
        for _ in 0..PORTS {
            let port = free_port()?;
            let Some(instance) = Self::try_start_on(port, primary)? else {
                return missing(NO_POSTGRES).map(|()| None);
            };
            match instance.wait_until_ready().await {
                // Somebody else has taken it meanwhile.
                Err(_) if instance.cluster.has_no_port() => {}
                ready => return ready.map(|()| Some(instance)),
            }
        }
        Err("no port stays free".into())
    }

    fn try_start_on(port: u16, primary: Option<u16>) -> Result<Option<Self>, Error> {
        let mut settings: Vec<String> = SETTINGS.iter().map(|one| (*one).to_owned()).collect();
        settings.push("listen_addresses=127.0.0.1".to_owned());
        settings.push(format!("port={port}"));
        let started = Cluster::start_with(&settings, primary)?;
        Ok(started.map(|(cluster, orders)| Self {
            cluster,
            port,
            orders: Mutex::new(orders),
        }))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// For `PostgresStore::open`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://pinyto@127.0.0.1:{}/{database}", self.port)
    }

    /// The first of its processes, which has started the others.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    #[must_use]
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub fn process_id(&self) -> u32 {
        match self.cluster.process_id() {
            Ok(id) => id,
            Err(error) => panic!("PostgreSQL doesn't run: {error}"),
        }
    }

    /// Runs statements in the database `postgres`, as its owner.
    ///
    /// # Panics
    ///
    /// If they fail.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn execute(&self, statements: &str) {
        if let Err(error) = execute(&self.url("postgres"), statements.to_owned()).await {
            panic!("{statements} failed: {error}");
        }
    }

    /// The rows of a query of one text, in the database `postgres`.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let rows = async {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            let rows = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
            let rows = rows.fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(rows)
        };
        match rows.await {
            Ok(rows) => rows,
            Err(error) => panic!("{query} failed: {error}"),
        }
    }

    /// As `pg_ctl restart --mode immediate`: it is ended at once and recovers from its log. Returns
    /// when it answers again.
    ///
    /// # Panics
    ///
    /// If it doesn't.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn restart_immediately(&self) {
        self.order("restart");
        if let Err(error) = self.wait_until_ready().await {
            panic!("PostgreSQL doesn't come back: {error}");
        }
    }

    /// As `pg_ctl stop --mode immediate`: it is ended at once.
    pub fn stop_immediately(&self) {
        self.order("stop");
    }

    /// Starts one again that was stopped; returns when it answers.
    ///
    /// # Panics
    ///
    /// If it doesn't.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn start_again(&self) {
        self.order("start");
        if let Err(error) = self.wait_until_ready().await {
            panic!("PostgreSQL doesn't come back: {error}");
        }
    }

    /// Kills all of its processes at once. It doesn't come back.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// Makes a standby a primary; returns when it is one.
    pub async fn promote(&self) {
        self.execute("SELECT pg_promote(true, 60)").await;
    }

    /// Has the keeper do something, and waits until that is done.
    #[allow(clippy::panic, reason = "tests fail by it")]
    fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *orders;
        let mut answer = String::new();
        let given = writeln!(input, "{order}").and_then(|()| output.read_line(&mut answer));
        if !given.is_ok_and(|length| length > 0) {
            panic!("the keeper of PostgreSQL is gone");
        }
    }

    /// Until this very server answers, on a socket of its own; on its port it does so as well then.
    async fn wait_until_ready(&self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            match PgConnection::connect(&self.cluster.url_of_port(self.port)).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) if self.cluster.has_no_port() => {
                    return Err("somebody else has its port".into());
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// What orders are given to, and where they are answered.
pub(crate) fn pipes(
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
) -> io::Result<(ChildStdin, BufReader<ChildStdout>)> {
    match (input, output) {
        (Some(input), Some(output)) => Ok((input, BufReader::new(output))),
        _ => Err(io::Error::other("the keeper has no pipes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_noticed() {
        let Some(other) = Instance::start().await else {
            return;
        };
        let Some(instance) = Instance::try_start_on(other.port, None).unwrap() else {
            return;
        };
        assert!(instance.wait_until_ready().await.is_err());
        assert!(instance.cluster.has_no_port());
        assert_eq!(other.texts("SELECT 'still there'").await, ["still there"]);
    }
}
