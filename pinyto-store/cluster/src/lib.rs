//! Empty PostgreSQL databases for tests.
//!
//! The first test of a process that wants one starts a cluster of its own: from the installed
//! binaries (in `PATH`, or where distributions put them), in a temporary directory, on a Unix
//! socket, without any durability. It ends with the process, however that ends. Started as root, it
//! runs as `postgres` or `nobody`, since PostgreSQL refuses to be root.
//!
//! Instead, `PINYTO_TEST_POSTGRES_URL` names a server where databases may be made and dropped:
//! `postgres://user:password@host/postgres`.
//!
//! ```no_run
//! # async fn test() {
//! let database = pinyto_postgres_cluster::database().await;
//! // ... a store on `database.url()`, dropped before `database` is.
//! # }
//! ```
//!
//! Where the database itself is to come to harm, there is [`Instance`].

mod cluster;
mod instance;
mod round_trips;

use std::{
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

use cluster::Cluster;
pub use instance::Instance;
pub use round_trips::RoundTrips;

/// The server that tests use.
enum Server {
    /// Started by us; what a test leaves behind is cleaned away and used again.
    Own(Cluster),
    /// Somebody else's; nothing stays there.
    Given { url: String },
}

impl Server {
    /// A database that is there anyway.
    fn maintenance(&self) -> String {
        match self {
            Self::Own(cluster) => cluster.url("postgres"),
            Self::Given { url } => url.clone(),
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// `None` inside: there is none.
static SERVER: OnceCell<Option<Server>> = OnceCell::const_new();

/// Databases of our own cluster that no test uses just now.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database without rows, possibly with Pinyto's tables. Nobody else uses it while this lives.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    is_reused: bool,
}

impl Database {
    /// For `PostgresStore::open`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements in the database, as its owner.
    ///
    /// # Panics
    ///
    /// If they fail.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn execute(&self, statements: &str) {
        if let Err(error) = execute(&self.url, statements.to_owned()).await {
            panic!("{statements} failed: {error}");
        }
    }

    /// Lets nobody use the database and ends all connections to it, or lets everybody use it again.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[allow(clippy::panic, reason = "tests fail by it")]
    pub async fn set_reachable(&self, is_reachable: bool) {
        let name = &self.name;
        let Some(Some(server)) = SERVER.get() else {
            return;
        };
        let maintenance = server.maintenance();
        let allow = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {is_reachable}");
        // In another transaction: until the first is committed, they would come back.
        let terminate = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = '{name}' AND NOT {is_reachable}"
        );
        let changed = async {
            execute(&maintenance, allow).await?;
            execute(&maintenance, terminate).await
        };
        if let Err(error) = changed.await {
            panic!("{name} can't be made reachable or unreachable: {error}");
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.is_reused {
            // What a failed test has left may be anything.
            if !std::thread::panicking() {
                free().push(self.name.clone());
            }
            return;
        }
        let Some(Some(Server::Given { url })) = SERVER.get() else {
            return;
        };
        let (url, name) = (url.clone(), self.name.clone());
        // A thread, since there may be a runtime around, in which nothing may block.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                // If it can't be dropped, it stays: there is nobody to tell.
                let _ = runtime.block_on(execute(&url, drop));
            }
        });
        let _ = dropping.join();
    }
}

fn free() -> std::sync::MutexGuard<'static, Vec<String>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database without rows; for tests of a process in which all need one.
///
/// Where there is no PostgreSQL, this says so and ends the process *successfully*: the tests that
/// follow would say nothing. With `CI=true` in the environment it fails instead.
///
/// # Panics
///
/// As [`database_if_any`].
pub async fn database() -> Database {
    match database_if_any().await {
        Some(database) => database,
        None => std::process::exit(0),
    }
}

/// A database without rows; for tests among others that need none. `None` where there is no
/// PostgreSQL, which is said once: then the test has to be left out.
///
/// # Panics
///
/// If there is a PostgreSQL and it doesn't work, or none with `CI=true`.
#[allow(clippy::panic, reason = "tests fail by it")]
pub async fn database_if_any() -> Option<Database> {
    match try_database().await {
        Ok(database) => database,
        Err(error) => panic!("no database for the test: {error}"),
    }
}

async fn try_database() -> Result<Option<Database>, Error> {
    let Some(server) = SERVER.get_or_try_init(server).await? else {
        return Ok(None);
    };
    let reused = match server {
        Server::Own(_) => free().pop(),
        Server::Given { .. } => None,
    };
    if let Some(name) = reused
        && let Server::Own(cluster) = server
    {
        let url = cluster.url(&name);
        clean(&url).await?;
        return Ok(Some(Database {
            name,
            url,
            is_reused: true,
        }));
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("pinyto_test_{}_{number}", std::process::id());
    let maintenance = server.maintenance();
    // Whatever the template's encoding is.
    let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
    execute(&maintenance, create).await?;
    Ok(Some(match server {
        Server::Own(cluster) => Database {
            url: cluster.url(&name),
            name,
            is_reused: true,
        },
        Server::Given { url } => Database {
            url: with_database(url, &name),
            name,
            is_reused: false,
        },
    }))
}

/// The URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..]
        .find('/')
        .map_or(address.len(), |at| host + at);
    format!("{}/{name}{parameters}", &address[..end])
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// Removes all rows but those that say which migrations have run. (With so few of them deleting is
/// much quicker than truncating, which makes new files.)
async fn clean(url: &str) -> Result<(), sqlx::Error> {
    const ROWS: &str = "
        SELECT 'SET session_replication_role = replica; ' || coalesce(
            string_agg(format('DELETE FROM %I.%I', schemaname, tablename), '; '), '')
        FROM pg_tables WHERE schemaname = 'pinyto' AND tablename <> 'migrations'";
    let mut connection = PgConnection::connect(url).await?;
    // What the last test has left running.
    sqlx::raw_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut connection)
    .await?;
    let delete: String = sqlx::query_scalar(ROWS).fetch_one(&mut connection).await?;
    sqlx::raw_sql(AssertSqlSafe(delete))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

async fn server() -> Result<Option<Server>, Error> {
    if let Ok(url) = std::env::var("PINYTO_TEST_POSTGRES_URL") {
        return Ok(Some(Server::Given { url }));
    }
    if let Some(cluster) = Cluster::start()? {
        cluster.wait_until_ready().await?;
        return Ok(Some(Server::Own(cluster)));
    }
    missing(NO_POSTGRES).map(|()| None)
}

/// Why there is no cluster.
const NO_POSTGRES: &str = "there is no PostgreSQL here (initdb is neither in PATH nor in \
    /usr/lib/postgresql/*/bin), and PINYTO_TEST_POSTGRES_URL is not set";

/// Says that tests are skipped, or that this is an error.
fn missing(why: &str) -> Result<(), Error> {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Err(format!("{why}, and CI may not skip tests of PostgreSQL").into());
    }
    // Not by a macro, whose output the harness keeps.
    let line = format!("SKIPPED: tests of PostgreSQL: {why}.\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn a_url_keeps_everything_but_its_database() {
        for (url, expected) in [
            ("postgres://a:b@h:1/x", "postgres://a:b@h:1/new"),
            ("postgres://h", "postgres://h/new"),
            (
                "postgres://h/x?sslmode=require",
                "postgres://h/new?sslmode=require",
            ),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }
}
