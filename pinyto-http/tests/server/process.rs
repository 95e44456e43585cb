//! The real binary: its exit codes, its one sentence, its signals.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinyto_core::{Cloud, testing::keys};
use pinyto_store::sqlite::SqliteStore;
use tokio::net::TcpStream;

use crate::helper::{PATIENCE, get, http1, text};

fn server(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinyto-server"));
    command.args(arguments).current_dir(directory).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let output = server(directory.path(), arguments).output().unwrap();
    let left_behind = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left_behind, 0, "something was half started");
    output
}

/// A running server on a free port; killed when the test ends early.
struct Running {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    fn start_in(directory: tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut process = server(directory.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| Some(line.unwrap().split_once("http://")?.1.trim().to_owned()))
            .expect("no address printed");
        Self {
            process,
            address,
            _directory: directory,
        }
    }

    fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &process])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit code and what was logged.
    fn end(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        let status = loop {
            match self.process.try_wait().unwrap() {
                Some(status) => break status,
                None if started.elapsed() > PATIENCE => panic!("does not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let mut log = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (status.code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn wrong_configuration_is_one_sentence_and_exit_code_2() {
    for (arguments, wanted) in [
        (
            &["--listen", "nowhere"][..],
            "--listen must be an IP address",
        ),
        (&["--colour"], "unexpected argument '--colour' found"),
        (
            &["--config", "missing.toml"],
            "The configuration file missing.toml can't be read",
        ),
        (
            &["--listen=127.0.0.1:0", "--tls-cert=c", "--tls-key=k"],
            "TLS can't be used",
        ),
        (&["--listen=192.0.2.1:1"], "Can't listen on 192.0.2.1:1"),
        (
            &["check", "--key-stock=many"],
            "--key-stock must be a whole number",
        ),
    ] {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr.starts_with(&format!("pinyto-server: {wanted}")),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_version_and_check_print_and_end_well() {
    for (argument, wanted) in [
        (&["--help"][..], "--max-body-bytes"),
        (&["-h"], "PINYTO_LISTEN"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (
            &["check", "--listen=127.0.0.1:0"],
            "It would serve HTTP on 127.0.0.1:0.",
        ),
    ] {
        let output = run(argument);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && stdout.contains(wanted),
            "{argument:?}: {stdout}"
        );
    }
}

#[tokio::test]
async fn it_serves_and_sigterm_ends_it_well() {
    let server = Running::start(&["--listen=127.0.0.1:0"]);
    let stream = TcpStream::connect(&server.address).await.unwrap();
    let answer = http1(stream)
        .await
        .send_request(get("/healthz"))
        .await
        .unwrap();
    assert_eq!(text(answer).await.0, 200);
    server.signal("HUP");
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("NO TLS"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let server = Running::start(&["--listen=127.0.0.1:0"]);
    // A request whose headers don't end keeps the server from ending by itself.
    let mut client = TcpStream::connect(&server.address).await.unwrap();
    let half = b"GET /healthz HTTP/1.1\r\nhost: x\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client, half)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("INT");
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(128 + 15), "{log}");
}

#[test]
fn it_warns_loudly_when_it_is_exposed_without_tls() {
    let server = Running::start(&["--listen=0.0.0.0:0", "--log-format=json", "--throttle=off"]);
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    assert!(
        log.contains("NO TLS") && log.contains("THROTTLING IS OFF"),
        "{log}"
    );
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
}

#[tokio::test]
async fn it_warns_of_who_has_a_reserved_name_already() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}?mode=rwc", directory.path().join("db").display());
    let store = Arc::new(SqliteStore::open(&database).await.unwrap());
    let cloud = Cloud::builder(store.clone(), keys::server());
    let cloud = cloud.build().unwrap();
    for user in ["hello", "ada"] {
        let key = keys::device(0).public_key().clone();
        cloud.register(user.parse().unwrap(), key).await.unwrap();
    }
    drop(cloud);
    store.close().await;
    let database = format!("--database={database}");
    let reserved = "--reserved-names=shop,Hello";
    let arguments = ["--listen=127.0.0.1:0", "--code=off", &database, reserved];
    let server = Running::start_in(directory, &arguments);
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    let warnings = log.lines().filter(|line| line.contains("reserved name"));
    let warnings: Vec<&str> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("WARN"), "{log}");
    assert!(warnings[0].contains("user=hello"), "{log}");
}

#[cfg(unix)]
#[test]
fn it_warns_of_a_key_that_belongs_to_another_user() {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("server-key.pem");
    std::fs::write(&key, keys::server_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    if chown(&key, Some(4321), None).is_err() {
        eprintln!("SKIPPED: only root can give files to others");
        return;
    }
    let server = Running::start_in(directory, &["--listen=127.0.0.1:0", "--code=off"]);
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("belongs to another user"), "{log}");
    assert!(log.contains("owner=4321"), "{log}");
}
