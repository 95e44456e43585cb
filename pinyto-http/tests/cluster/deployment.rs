//! Servers behind a balancer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::{
    balancer::Balancer,
    running_server::{RunningServer, command, write_fixed_key},
};

pub(crate) const SERVERS: usize = 3;

/// After this time another server takes over what a dead one ran.
const LEASE: &str = "10";

/// Jobs that each server runs at once.
pub(crate) const JOBS: usize = 4;

/// The servers, their folder, and what leads to them.
#[derive(Clone)]
pub(crate) struct Deployment {
    folder: Arc<TempDir>,
    database: String,
    pub(crate) balancer: Balancer,
    servers: Arc<Mutex<Vec<Option<RunningServer>>>>,
}

impl Deployment {
    pub(crate) async fn start(database: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_fixed_key(folder.path());
        let deployment = Self {
            folder: Arc::new(folder),
            database,
            balancer: Balancer::start().await,
            servers: Arc::new(Mutex::new((0..SERVERS).map(|_| None).collect())),
        };
        for number in 0..SERVERS {
            deployment.start_server(number).await;
        }
        deployment
    }

    /// As a service manager does it: again, as long as it ends at once.
    pub(crate) async fn start_server(&self, number: usize) {
        let this = self.clone();
        let start = spawn_blocking(move || {
            let until = Instant::now() + Duration::from_secs(60);
            loop {
                match RunningServer::try_started_by(this.command(number)) {
                    Ok(server) => return server,
                    Err(output) if Instant::now() > until => panic!("no start: {output:?}"),
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        });
        let server = start.await.unwrap();
        self.servers.lock().unwrap()[number] = Some(server);
        self.balancer.set(self.addresses());
    }

    fn command(&self, number: usize) -> std::process::Command {
        let log = self.folder.path().join(format!("server-{number}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log);
        let mut command = command(self.folder.path());
        command
            .args(["--database", &self.database, "--throttle", "off"])
            .args(["--job-concurrency", &JOBS.to_string()])
            .args(["--job-lease-seconds", LEASE, "--code-wall-seconds", "5"])
            .stderr(log.unwrap());
        command
    }

    /// SIGKILL. The balancer finds out by itself.
    pub(crate) fn kill_server(&self, number: usize) {
        let server = self.servers.lock().unwrap()[number].take();
        server.expect("it runs").kill();
    }

    /// Of those that run.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let servers = self.servers.lock().unwrap();
        servers
            .iter()
            .flatten()
            .map(|server| server.address)
            .collect()
    }

    /// What the servers have logged that they never should.
    pub(crate) fn suspicious_lines(&self) -> Vec<String> {
        let logs = (0..SERVERS).map(|number| {
            let log = self.folder.path().join(format!("server-{number}.log"));
            std::fs::read_to_string(log).unwrap()
        });
        let logs: String = logs.collect();
        let lines = logs
            .lines()
            .filter(|line| line.contains("panicked") || line.contains("inconsistent"));
        lines.map(str::to_owned).collect()
    }
}
