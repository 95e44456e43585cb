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
        let server = env::current_exe().unwrap().with_file_name("pinyto-server");
        assert!(
            server.exists(),
            "{} is missing: cargo build --release",
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

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
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

/// CPU time of this process so far.
pub(crate) fn own_cpu_time() -> Duration {
    cpu_time("self")
}

fn cpu_time(process: &str) -> Duration {
    let mut stat = String::new();
    fs::File::open(format!("/proc/{process}/stat"))
        .unwrap()
        .read_to_string(&mut stat)
        .unwrap();
    // Behind the name in brackets; user and system time are fields 14 and 15 of the line.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let times = fields.split(' ').skip(11).take(2);
    let ticks: f64 = times.map(|field| field.parse::<f64>().unwrap()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
