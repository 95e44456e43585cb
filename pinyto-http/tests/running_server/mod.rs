//! The real binary in a folder of its own, and a client for it.

#![allow(dead_code, unreachable_pub, reason = "not every test needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1, http::request::Builder};
use hyper_util::rt::TokioIo;
use pinyto_core::{
    challenge::{Challenge, DeviceKey},
    key::PublicKey,
    testing::keys,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A server process; killed with the value.
pub struct RunningServer {
    child: Child,
    pub address: SocketAddr,
    /// What it printed until it told where it serves.
    pub greeting: Vec<String>,
}

impl RunningServer {
    /// Starts a server on a free port that keeps everything in `folder`, with a fixed key.
    pub fn start(folder: &Path) -> Self {
        Self::start_with_fixed_key(folder, &[])
    }

    pub fn start_with_fixed_key(folder: &Path, arguments: &[&str]) -> Self {
        write_fixed_key(folder);
        Self::start_with(folder, arguments)
    }

    pub fn start_with(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(folder);
        command.args(arguments);
        Self::started_by(command)
    }

    /// The server that a [`command`] starts, on a free port.
    pub fn started_by(command: Command) -> Self {
        Self::try_started_by(command)
            .unwrap_or_else(|output| panic!("the server ended: {output:?}"))
    }

    /// The same, or what it printed until it ended.
    pub fn try_started_by(mut command: Command) -> Result<Self, Vec<String>> {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--key-stock", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                greeting.push(format!("{:?}", child.wait()));
                return Err(greeting);
            };
            greeting.push(line.clone());
            if let Some((_, address)) = line.split_once("://") {
                break address.trim().parse().unwrap();
            }
        };
        // Whatever it prints later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            address,
            greeting,
        })
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As a power cut: SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As a service manager: SIGTERM, then its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server doesn't stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The most memory that the server, without its workers, has had.
    pub fn peak_memory_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = peak
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib / 1024
    }

    /// The peak is measured anew from now on.
    pub fn forget_peak_memory(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address)
            .await
            .expect("the server doesn't listen")
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the fixed key there, if there is none.
pub fn write_fixed_key(folder: &Path) {
    if !folder.join("server-key.pem").exists() {
        write_key(folder, keys::server_pem());
    }
}

/// Puts a key there as the server does: nobody else may read it, or the server would warn.
pub fn write_key(folder: &Path, pem: &str) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(folder.join("server-key.pem")).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
}

/// The server's command with nothing of this process's environment that is meant for it.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinyto-server"));
    command
        .current_dir(folder)
        .env_clear()
        .env("PINYTO_LOG", "warn");
    command
}

/// One connection.
pub struct Client(http1::SendRequest<Full<Bytes>>);

/// The server went away.
#[derive(Debug)]
pub struct Gone;

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self, Gone> {
        let stream = TcpStream::connect(address).await.map_err(|_| Gone)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Gone)?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Status and JSON of the answer, if one came.
    pub async fn try_post(&mut self, path: &str, body: &Value) -> Result<(u16, Value), Gone> {
        self.send(Request::post(path), body.to_string()).await
    }

    /// Status and text of the answer to any request without a body.
    pub async fn text(&mut self, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", "localhost");
        let request = request.body(Full::default()).unwrap();
        self.0.ready().await.unwrap();
        let answer = self.0.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Status and JSON of a page.
    pub async fn get(&mut self, path: &str) -> (u16, Value) {
        self.send(Request::get(path), String::new())
            .await
            .expect("the server went away")
    }

    /// Status, `Retry-After` and JSON of the answer.
    pub async fn post_for_pause(&mut self, path: &str, body: &Value) -> (u16, Option<u64>, Value) {
        self.answer(Request::post(path), body.to_string())
            .await
            .expect("the server went away")
    }

    async fn send(&mut self, request: Builder, body: String) -> Result<(u16, Value), Gone> {
        let (status, _, answer) = self.answer(request, body).await?;
        Ok((status, answer))
    }

    async fn answer(
        &mut self,
        request: Builder,
        body: String,
    ) -> Result<(u16, Option<u64>, Value), Gone> {
        let request = request.header("host", "localhost");
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        // The connection may still be busy with the end of the last answer.
        self.0.ready().await.map_err(|_| Gone)?;
        let answer = self.0.send_request(request).await.map_err(|_| Gone)?;
        let status = answer.status().as_u16();
        let pause = answer.headers().get("retry-after");
        let pause = pause.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|_| Gone)?
            .to_bytes();
        let json = serde_json::from_slice(&body).expect("an answer that is no JSON");
        Ok((status, pause, json))
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.try_post(path, body)
            .await
            .expect("the server went away")
    }

    /// As [`Client::post`], of a text.
    pub async fn post_text(&mut self, path: &str, body: String) -> (u16, Value) {
        self.send(Request::post(path), body)
            .await
            .expect("the server went away")
    }

    /// The answer of a call that has to succeed.
    pub async fn expect(&mut self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub async fn register(&mut self, user: &str, key: &PublicKey) {
        let body = json!({"username": user, "public_key": numbers(key)});
        self.expect("/register", body).await;
    }

    /// Answers the server's challenge with `device`; gives the request token.
    pub async fn log_in(&mut self, user: &str, device: &DeviceKey, server: &PublicKey) -> String {
        let body = json!({"username": user, "key_hash": device.key_hash().as_str()});
        let challenge = self.expect("/authenticate", body).await;
        let challenge: Challenge = serde_json::from_value(challenge).unwrap();
        device
            .answer(&challenge, server)
            .unwrap()
            .expose()
            .to_owned()
    }
}

pub fn numbers(key: &PublicKey) -> Value {
    json!({"N": key.n_decimal(), "e": key.e().to_string()})
}
