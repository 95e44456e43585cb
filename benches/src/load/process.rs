//! A process under load, and what the kernel says it used.

use std::{
    env, fs,
    io::Read,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server that is killed with the value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What `/proc` counts CPU time in, per second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// The reference server, built beside this program, with an empty database in `folder`.
    pub(crate) fn pinyto(folder: &Path, key_stock: usize) -> Self {
        Self::pinyto_on(folder, key_stock, None)
    }

    /// The same, with the database at this URL instead.
    pub(crate) fn pinyto_on(folder: &Path, key_stock: usize, database: Option<&str>) -> Self {
        let server = env::current_exe().unwrap().with_file_name("pinyto-server");
        assert!(
            server.exists(),
            "{} is missing: cargo build --release --ignore-rust-version",
            server.display()
        );
        fs::write(
            folder.join("server-key.pem"),
            pinyto_core::testing::keys::server_pem(),
        )
        .unwrap();
        let log = env::var("PINYTO_LOG").unwrap_or_else(|_| "error".to_owned());
        let mut command = Command::new(server);
        command
            .current_dir(folder)
            .env("PINYTO_LOG", log)
            .env("PINYTO_THROTTLE", "off");
        command.arg("--key-stock").arg(key_stock.to_string());
        command.args(["--gpgauth-key", "openpgp.asc"]);
        if let Some(url) = database {
            command.arg("--database").arg(url);
        }
        Self::start(command, |command, address| {
            command.arg("--listen").arg(address.to_string());
        })
    }

    /// The bare warp route, as another process of this program.
    pub(crate) fn echo() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("echo");
        Self::start(command, |command, address| {
            command.env("ECHO_ADDRESS", address.to_string());
        })
    }

    fn start(mut command: Command, listen: impl FnOnce(&mut Command, SocketAddr)) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        listen(&mut command, address);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let process = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the server doesn't listen");
            thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// CPU time of all threads so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(&self.child.id().to_string())
    }

    /// CPU time of it and of the processes it has started, those that have ended included.
    pub(crate) fn family_cpu_time(&self) -> Duration {
        family_cpu_time(&self.child.id().to_string())
    }

    /// Resident memory in MiB of each process it has started.
    pub(crate) fn children_resident_mib(&self) -> Vec<f64> {
        let children = children(&self.child.id().to_string());
        children.iter().map(|child| resident_mib(child)).collect()
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        resident_mib(&self.child.id().to_string())
    }

    /// Waits until the process does nothing any more.
    pub(crate) fn wait_until_idle(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let before = self.cpu_time();
            thread::sleep(Duration::from_secs(1));
            if self.cpu_time() == before {
                return;
            }
            assert!(Instant::now() < deadline, "the server doesn't come to rest");
        }
    }
}

/// CPU time of a process and of those it has started, those that have ended included.
pub(crate) fn family_cpu_time(process: &str) -> Duration {
    let living = children(process).into_iter().map(|child| cpu_time(&child));
    cpu_time(process) + ended_children_cpu_time(process) + living.sum::<Duration>()
}

/// The processes it has started, by any of its threads.
fn children(process: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut children = Vec::new();
    for task in tasks {
        let list = fs::read_to_string(task.unwrap().path().join("children"));
        let list = list.unwrap_or_default();
        children.extend(list.split_whitespace().map(str::to_owned));
    }
    children
}

/// CPU time of this process so far.
pub(crate) fn own_cpu_time() -> Duration {
    cpu_time("self")
}

fn resident_mib(process: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// Behind the name in brackets; user and system time are fields 14 and 15 of the line.
fn cpu_time(process: &str) -> Duration {
    times(process, 11)
}

/// Of the processes it has started and waited for: fields 16 and 17.
fn ended_children_cpu_time(process: &str) -> Duration {
    times(process, 13)
}

/// What is gone meanwhile has used nothing more.
fn times(process: &str, first: usize) -> Duration {
    let mut stat = String::new();
    let Ok(mut file) = fs::File::open(format!("/proc/{process}/stat")) else {
        return Duration::ZERO;
    };
    file.read_to_string(&mut stat).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let times = fields.split(' ').skip(first).take(2);
    let ticks: f64 = times.map(|field| field.parse::<f64>().unwrap()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
