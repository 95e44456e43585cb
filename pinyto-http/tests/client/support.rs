//! Servers on a port of this machine.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use pinyto_core::{
    Cloud, Settings,
    assembly::AssemblyRef,
    challenge::ServerKey,
    keyserver::HashCost,
    memory::MemoryStore,
    store::Store,
    testing::{ScriptedRuntime, keys},
    user::UserName,
};
use pinyto_http::{
    Api,
    client::{Client, ClientBuilder, Login, PinStore, Retries, Session},
    routes,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use warp::Filter as _;

/// A server with everything in memory, which ends when it is dropped.
pub(crate) struct Server {
    pub(crate) cloud: Cloud,
    address: SocketAddr,
    /// The paths it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::running(ScriptedRuntime::default()).await
    }

    pub(crate) async fn running(runtime: ScriptedRuntime) -> Self {
        Self::with(Arc::new(MemoryStore::new()), keys::server(), runtime).await
    }

    pub(crate) async fn with(
        store: Arc<dyn Store>,
        key: ServerKey,
        runtime: ScriptedRuntime,
    ) -> Self {
        let cloud = cloud(store, key, runtime);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let log = warp::log::custom(move |info| log.lock().unwrap().push(info.path().to_owned()));
        let routes = routes::all(Api::new(cloud.clone())).with(log);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self {
            cloud,
            address,
            asked,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked for `path`.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == path).count()
    }

    /// A client that knows the server's key.
    pub(crate) fn client(&self) -> Client {
        let key = self.cloud.server_public_key().clone();
        quick(&self.url(), key).build().unwrap()
    }

    /// A new user with a session of one of the test keys.
    pub(crate) async fn user(&self, user: &str, device: usize) -> Session {
        let (client, key) = (self.client(), keys::device(device));
        client
            .register(&name(user), key.public_key())
            .await
            .unwrap();
        client.log_in(Login::key(name(user), key)).await.unwrap()
    }
}

pub(crate) fn cloud(store: Arc<dyn Store>, key: ServerKey, runtime: ScriptedRuntime) -> Cloud {
    let mut settings = Settings::default();
    settings.throttle.enabled = false;
    settings.hash_cost = HashCost::new(64, 1);
    Cloud::builder(store, key)
        .runtime(Arc::new(runtime))
        .settings(settings)
        .build()
        .unwrap()
}

/// A client that tries again at once.
pub(crate) fn quick(url: &str, pin: impl PinStore + 'static) -> ClientBuilder {
    let retries = Retries::at_most(3).first_pause(Duration::from_millis(1));
    Client::builder(url, pin).retries(retries)
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(crate) fn assembly(text: &str) -> AssemblyRef {
    AssemblyRef::parse(text).unwrap()
}

/// What a server does that follows a script.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Answers with this status, these headers and this body.
    Answer(u16, &'static str, String),
    /// Reads the request and closes the connection.
    HangUp,
    /// Reads the request and says nothing.
    Hang,
}

pub(crate) fn answer(status: u16, body: &str) -> Step {
    Step::Answer(status, "", body.to_owned())
}

/// An error of the protocol.
pub(crate) fn error(status: u16, code: &str, headers: &'static str) -> Step {
    let body = format!(r#"{{"error": "No.", "code": "{code}"}}"#);
    Step::Answer(status, headers, body)
}

/// A server that takes one step for each request, and repeats the last one for ever.
pub(crate) struct Scripted {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(crate) async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(follow(listener, steps, Arc::clone(&requests)));
        Self {
            url,
            requests,
            task,
        }
    }

    /// One that answers without saying how long the answer is.
    pub(crate) async fn chunked(parts: &[String]) -> Self {
        let chunks = parts
            .iter()
            .map(|part| format!("{:x}\r\n{part}\r\n", part.len()));
        let body = chunks.collect::<String>() + "0\r\n\r\n";
        let headers = "transfer-encoding: chunked\r\n";
        Self::start(vec![Step::Answer(200, headers, body)]).await
    }

    /// The requests it got, each as it was written.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// A client with a key that nobody asks for.
    pub(crate) fn client(&self) -> Client {
        quick(&self.url, keys::server().public_key().clone())
            .build()
            .unwrap()
    }
}

async fn follow(listener: TcpListener, steps: Vec<Step>, requests: Arc<Mutex<Vec<String>>>) {
    let mut silent = Vec::new();
    for turn in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        requests.lock().unwrap().push(request);
        match steps.get(turn).or(steps.last()).unwrap() {
            Step::Answer(status, headers, body) => {
                let length = match headers.contains("chunked") {
                    true => String::new(),
                    false => format!("content-length: {}\r\n", body.len()),
                };
                let head =
                    format!("HTTP/1.1 {status} Some\r\n{length}connection: close\r\n{headers}\r\n");
                // Who finds the answer too long hangs up.
                let _ = stream.write_all((head + body).as_bytes()).await;
            }
            Step::HangUp => {}
            Step::Hang => silent.push(stream),
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length: ")?.parse().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

/// Gives a file to somebody else, which takes root: whether that was done.
#[cfg(target_os = "linux")]
pub(crate) fn change_owner(path: &std::path::Path, owner: u32) -> bool {
    let changed = std::os::unix::fs::chown(path, Some(owner), None);
    if let Err(error) = &changed {
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        eprintln!("SKIPPED: only root can give files to others");
    }
    changed.is_ok()
}
