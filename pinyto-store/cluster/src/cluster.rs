//! A cluster that ends with the process.

use std::{
    fs,
    io::{self, BufReader},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::instance::pipes;

/// How long the server may take to start.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing has to survive, and tests are many.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "max_connections=500",
    "shared_buffers=64MB",
    "log_min_messages=fatal",
];

/// Runs the server until its standard input ends, which it does with whoever holds the other end;
/// then clears everything away. Follows orders and says when each has been.
const KEEPER: &str = r#"
    trap '' PIPE
    serve() {
        "$1/postgres" -D "$2/data" -k "$2" $3 >>"$2/log" 2>&1 &
        server=$!
    }
    serve "$@"
    while read -r order; do
        case $order in
        stop) kill -QUIT $server; wait $server; server= ;;
        start) serve "$@" ;;
        restart) kill -QUIT $server; wait $server; serve "$@" ;;
        kill) kill -KILL $server $(cat /proc/$server/task/$server/children); wait $server; server= ;;
        esac
        echo "$order"
    done
    if [ -n "$server" ]; then
        kill -QUIT $server
        wait $server
    fi
    rm -rf "$2"
"#;

#[derive(Debug)]
pub(crate) struct Cluster {
    directory: PathBuf,
    _keeper: Child,
    _open: Option<ChildStdin>,
}

/// What the keeper reads orders from, and what it answers on.
type Orders = (ChildStdin, BufReader<ChildStdout>);

/// Whom the server runs as, if not as whoever runs the tests.
#[derive(Clone, Copy)]
struct Identity {
    user: u32,
    group: u32,
}

impl Cluster {
    /// Starts one, if PostgreSQL is installed.
    pub(crate) fn start() -> io::Result<Option<Self>> {
        let settings: Vec<String> = SETTINGS.iter().map(|one| (*one).to_owned()).collect();
        let Some((mut cluster, (input, _))) = Self::start_with(&settings, None)? else {
            return Ok(None);
        };
        cluster._open = Some(input);
        Ok(Some(cluster))
    }

    /// Starts one with other settings, empty or as a standby of the one on this port; also gives
    /// what its keeper takes orders from.
    pub(crate) fn start_with(
        settings: &[String],
        primary: Option<u16>,
    ) -> io::Result<Option<(Self, Orders)>> {
        let Some(binaries) = binaries() else {
            return Ok(None);
        };
        let directory = tempfile::Builder::new()
            .prefix("pinyto-pg-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?
            .keep();
        let identity = identity(&directory)?;
        if let Some(Identity { user, group }) = identity {
            chown(&directory, Some(user), Some(group))?;
        }
        let started = run(&binaries, &directory, identity, settings, primary);
        if started.is_err() {
            let _ = fs::remove_dir_all(&directory);
        }
        let mut keeper = started?;
        let orders = pipes(keeper.stdin.take(), keeper.stdout.take())?;
        let cluster = Self {
            directory,
            _open: None,
            _keeper: keeper,
        };
        Ok(Some((cluster, orders)))
    }

    /// The first of its processes.
    pub(crate) fn process_id(&self) -> io::Result<u32> {
        let file = fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let id = file.lines().next().and_then(|line| line.parse().ok());
        id.ok_or_else(|| io::Error::other("postmaster.pid has no number"))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let directory = self.directory.display();
        format!("postgres://pinyto@localhost/{database}?host={directory}")
    }

    /// On the socket that belongs to this port, in a directory that nobody else has: whoever
    /// answers there is this cluster.
    pub(crate) fn url_of_port(&self, port: u16) -> String {
        let directory = self.directory.display();
        format!("postgres://pinyto@localhost:{port}/postgres?host={directory}")
    }

    /// Whether the server could not start because somebody else has its port.
    pub(crate) fn has_no_port(&self) -> bool {
        let log = fs::read_to_string(self.directory.join("log"));
        log.is_ok_and(|log| log.contains("could not create any TCP/IP sockets"))
    }

    pub(crate) async fn wait_until_ready(&self) -> Result<(), sqlx::Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            match PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => return connection.close().await,
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn run(
    binaries: &Path,
    directory: &Path,
    identity: Option<Identity>,
    settings: &[String],
    primary: Option<u16>,
) -> io::Result<Child> {
    let program = binaries.join(primary.map_or("initdb", |_| "pg_basebackup"));
    let mut make = command(&program, directory, identity);
    match primary {
        None => make
            .args(["--no-sync", "--no-instructions", "--auth=trust"])
            .args(["--username=pinyto", "--encoding=UTF8", "--locale=C"]),
        Some(port) => make
            .args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf"])
            .args(["--username=pinyto", "--host=127.0.0.1"])
            .arg(format!("--port={port}")),
    };
    make.arg("-D").arg(directory.join("data"));
    let made = make.stdin(Stdio::null()).output()?;
    if !made.status.success() {
        let reason = String::from_utf8_lossy(&made.stderr).into_owned();
        return Err(io::Error::other(reason));
    }
    let settings: Vec<String> = settings.iter().map(|one| format!("-c {one}")).collect();
    command(Path::new("/bin/sh"), directory, identity)
        .args(["-c", KEEPER, "keeper"])
        .arg(binaries)
        .arg(directory)
        .arg(settings.join(" "))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Not to be interrupted together with the tests: it has to clear away.
        .process_group(0)
        .spawn()
}

fn command(program: &Path, directory: &Path, identity: Option<Identity>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env("LC_ALL", "C");
    if let Some(Identity { user, group }) = identity {
        command.uid(user).gid(group);
    }
    command
}

/// Where `initdb` and `postgres` are, of the newest version.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The other programs are where it really is.
    let in_path = std::env::split_paths(&path).find_map(|folder| {
        Some(
            folder
                .join("initdb")
                .canonicalize()
                .ok()?
                .parent()?
                .to_owned(),
        )
    });
    in_path.or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let newest = versions.flatten().max_by_key(|version| {
            let name = version.file_name().to_string_lossy().parse::<u32>();
            name.unwrap_or(0)
        })?;
        let folder = newest.path().join("bin");
        folder.join("initdb").is_file().then_some(folder)
    })
}

/// Somebody else, if we are root: what we make belongs to us.
fn identity(ours: &Path) -> io::Result<Option<Identity>> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata(ours)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (user, group) = (fields.nth(1)?, fields.next()?);
            (name == wanted).then(|| {
                Some(Identity {
                    user: user.parse().ok()?,
                    group: group.parse().ok()?,
                })
            })?
        })
    };
    match find("postgres").or_else(|| find("nobody")) {
        Some(identity) => Ok(Some(identity)),
        None => Err(io::Error::other("PostgreSQL can't run as root")),
    }
}
