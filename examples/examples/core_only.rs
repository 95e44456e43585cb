//! The core alone, without HTTP: whoever may open a Unix socket registers, logs in by the challenge
//! and asks for her keys. One line of JSON asks, one answers.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example core_only -- serve pinyto.sock
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example core_only -- login pinyto.sock ada
//!
//! The second one prints `ada has logged in with the key ... and has 1 key.` Where there are no Unix
//! sockets, `-- stdio` serves one client over stdin and stdout:
//!
//!     {"do": "list_keys", "token": "none"}
//!     {"code":"unknown_token","error":"Unknown token. Please authenticate."}

use std::{
    error::Error,
    io::{self, BufRead as _, Read as _, Write as _},
    sync::Arc,
    time::Duration,
};

use pinyto_core::{
    Cloud,
    challenge::{Challenge, DeviceKey, RequestToken, ServerKey},
    crypto::default_backend,
    key::{KeyHash, PublicKey},
    memory::MemoryStore,
    user::UserName,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    runtime::Runtime,
    time::timeout,
};

/// The longest line, in bytes, its end included. A request with a key of 8192 bits has less than 2 KiB.
const MAX_LINE: usize = 8 * 1024;

/// Who says nothing for so long, or takes so long to read an answer, is hung up on.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many clients are served at once; others wait.
#[cfg(unix)]
const CLIENTS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = Runtime::new()?;
    match arguments[..] {
        #[cfg(unix)]
        ["serve", path] => runtime.block_on(async {
            let listener = tokio::net::UnixListener::bind(path)?;
            Ok(serve(listener, cloud()?).await?)
        }),
        #[cfg(unix)]
        ["login", path, name] => runtime.block_on(async {
            let stream = tokio::net::UnixStream::connect(path).await?;
            let device = DeviceKey::generate(default_backend())?;
            println!("{}", log_in(&mut Client::new(stream), name, device).await?);
            Ok(())
        }),
        ["stdio"] => Ok(serve_stdio(&runtime, &cloud()?)?),
        _ => Err("say `serve SOCKET`, `login SOCKET NAME` or `stdio`".into()),
    }
}

/// A real one keeps its key, and its data in a store of `pinyto-store`.
fn cloud() -> Result<Cloud, Box<dyn Error>> {
    let key = ServerKey::generate(default_backend())?;
    Ok(Cloud::builder(Arc::new(MemoryStore::new()), key).build()?)
}

/// What a line may ask for.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request {
    /// Which key the server proves itself with, for those who don't know it yet.
    ServerKey,
    Register {
        name: String,
        public_key: String,
    },
    Authenticate {
        name: String,
        key_hash: String,
    },
    ListKeys {
        token: String,
    },
    Logout {
        token: String,
    },
}

/// The answer to a line: JSON without line breaks.
async fn answer(cloud: &Cloud, line: &str) -> Value {
    let request = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => return refusal("malformed_line", &error.to_string()),
    };
    let answered = obey(cloud, request).await;
    answered.unwrap_or_else(|error| refusal(error.code(), &error.to_string()))
}

async fn obey(cloud: &Cloud, request: Request) -> Result<Value, pinyto_core::Error> {
    Ok(match request {
        Request::ServerKey => json!({"public_key": cloud.server_public_key().to_pem()}),
        Request::Register { name, public_key } => {
            let (name, key) = (UserName::parse(&name)?, PublicKey::from_pem(&public_key)?);
            json!({"registered": cloud.register(name, key).await?.name.as_str()})
        }
        Request::Authenticate { name, key_hash } => {
            let (name, hash) = (UserName::parse(&name)?, KeyHash::parse(&key_hash)?);
            let challenge = cloud.authenticate(&name, &hash).await?;
            json!({"encrypted_token": challenge.encrypted_token, "signature": challenge.signature})
        }
        Request::ListKeys { token } => {
            let session = cloud.session(&RequestToken::new(token)).await?;
            let keys = cloud.list_keys(&session).await?;
            let keys = keys.iter().map(|listed| {
                let fingerprint = listed.key.material.fingerprint().to_hex();
                json!({"key_hash": fingerprint, "active": listed.key.active, "current": listed.current})
            });
            json!({"keys": keys.collect::<Vec<_>>()})
        }
        Request::Logout { token } => {
            let session = cloud.session(&RequestToken::new(token)).await?;
            cloud.logout(&session).await?;
            json!({"logged_out": session.user.name.as_str()})
        }
    })
}

fn refusal(code: &str, error: &str) -> Value {
    json!({"code": code, "error": error})
}

/// What was read up to the end of a line: the line, `None` at the end of all, or why nobody listens
/// any longer.
fn whole_line(mut read: Vec<u8>) -> Result<Option<String>, Value> {
    if read.is_empty() {
        return Ok(None);
    }
    if read.pop() != Some(b'\n') {
        let sentence = format!("A line has at most {MAX_LINE} bytes and an end.");
        return Err(refusal("line_too_long", &sentence));
    }
    let line = String::from_utf8(read);
    line.map(Some)
        .map_err(|_| refusal("malformed_line", "A line is UTF-8."))
}

/// Takes clients until the task is aborted.
#[cfg(unix)]
async fn serve(listener: tokio::net::UnixListener, cloud: Cloud) -> io::Result<()> {
    let places = Arc::new(tokio::sync::Semaphore::new(CLIENTS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        let cloud = cloud.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(&cloud, stream).await {
                eprintln!("a client is gone: {error}");
            }
            drop(place);
        });
    }
}

/// Answers one client's lines until she hangs up, or sends what is no line.
async fn converse(cloud: &Cloud, stream: impl AsyncRead + AsyncWrite + Send) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    loop {
        let mut read = Vec::new();
        let mut limited = (&mut reader).take(MAX_LINE as u64);
        timeout(PATIENCE, limited.read_until(b'\n', &mut read)).await??;
        let (answer, goes_on) = match whole_line(read) {
            Ok(Some(line)) => (answer(cloud, &line).await, true),
            Ok(None) => return Ok(()),
            Err(refusal) => (refusal, false),
        };
        let line = format!("{answer}\n");
        timeout(PATIENCE, writer.write_all(line.as_bytes())).await??;
        if !goes_on {
            return writer.shutdown().await;
        }
    }
}

/// The same for one client who can wait while we do.
fn serve_stdio(runtime: &Runtime, cloud: &Cloud) -> io::Result<()> {
    let mut input = io::stdin().lock();
    loop {
        let mut read = Vec::new();
        (&mut input)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut read)?;
        let (answer, goes_on) = match whole_line(read) {
            Ok(Some(line)) => (runtime.block_on(answer(cloud, &line)), true),
            Ok(None) => return Ok(()),
            Err(refusal) => (refusal, false),
        };
        writeln!(io::stdout(), "{answer}")?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// The other half: whoever has a stream to the server.
#[cfg(unix)]
struct Client<S>(BufReader<S>);

#[cfg(unix)]
impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// The answer, or the server's sentence about what is wrong.
    async fn ask(&mut self, request: &Value) -> Result<Value, Box<dyn Error>> {
        let line = format!("{request}\n");
        self.0.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).await?;
        let answer: Value = serde_json::from_str(&answer)?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }
}

/// Registers a new user with a new key, logs in and lists her keys; a sentence about that.
#[cfg(unix)]
async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    server: &mut Client<S>,
    name: &str,
    device: DeviceKey,
) -> Result<String, Box<dyn Error>> {
    // Trust on first use. A real client keeps the server's key and doesn't ask again.
    let key = server.ask(&json!({"do": "server_key"})).await?;
    let server_key = PublicKey::from_pem(key["public_key"].as_str().unwrap_or_default())?;

    let public_key = device.public_key().to_pem();
    let registration = json!({"do": "register", "name": name, "public_key": public_key});
    server.ask(&registration).await?;

    let key_hash = device.key_hash();
    let login = json!({"do": "authenticate", "name": name, "key_hash": key_hash.as_str()});
    let challenge: Challenge = serde_json::from_value(server.ask(&login).await?)?;
    // Refuses unless the server's signature is right. Computes for milliseconds.
    let token =
        tokio::task::spawn_blocking(move || device.answer(&challenge, &server_key)).await??;

    let request = json!({"do": "list_keys", "token": token.expose()});
    let keys = server.ask(&request).await?;
    let count = keys["keys"].as_array().map_or(0, Vec::len);
    let request = json!({"do": "logout", "token": token.expose()});
    server.ask(&request).await?;
    let key_hash = key_hash.as_str();
    Ok(format!(
        "{name} has logged in with the key {key_hash} and has {count} key{}.",
        if count == 1 { "" } else { "s" }
    ))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use pinyto_core::testing::keys;
    use tempfile::TempDir;
    use tokio::{
        net::{UnixListener, UnixStream},
        task::JoinHandle,
    };

    use super::*;

    /// A server on a socket, which goes with what is returned.
    struct Served {
        socket: std::path::PathBuf,
        task: JoinHandle<io::Result<()>>,
        _folder: TempDir,
    }

    impl Served {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = folder.path().join("pinyto.sock");
            let listener = UnixListener::bind(&socket).unwrap();
            let store = Arc::new(MemoryStore::new());
            let cloud = Cloud::builder(store, keys::server()).build().unwrap();
            Self {
                socket,
                task: tokio::spawn(serve(listener, cloud)),
                _folder: folder,
            }
        }

        async fn client(&self) -> Client<UnixStream> {
            Client::new(UnixStream::connect(&self.socket).await.unwrap())
        }
    }

    impl Drop for Served {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn refused(client: &mut Client<UnixStream>, request: Value) -> String {
        client.ask(&request).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_user_registers_and_logs_in_over_a_socket() {
        let served = Served::new().await;
        let mut client = served.client().await;
        let done = log_in(&mut client, "ada", keys::device(0)).await.unwrap();
        let hash = keys::device(0).key_hash();
        let expected = format!(
            "ada has logged in with the key {} and has 1 key.",
            hash.as_str()
        );
        assert_eq!(done, expected);

        let mut other = served.client().await;
        let taken = log_in(&mut other, "ada", keys::device(1)).await;
        let taken = taken.unwrap_err().to_string();
        assert!(taken.starts_with("That user name is taken."), "{taken}");
    }

    #[tokio::test]
    async fn a_token_is_good_until_its_user_has_logged_out() {
        let served = Served::new().await;
        let mut client = served.client().await;
        let (device, name) = (keys::device(0), "ada");
        log_in(&mut client, name, device.clone()).await.unwrap();
        let login =
            json!({"do": "authenticate", "name": name, "key_hash": device.key_hash().as_str()});
        let challenge = client.ask(&login).await.unwrap();
        let challenge = serde_json::from_value(challenge).unwrap();
        let token = device.answer(&challenge, keys::server().public_key());
        let token = token.unwrap().expose().to_owned();

        // From any connection.
        let mut client = served.client().await;
        let list = json!({"do": "list_keys", "token": token});
        let listed = client.ask(&list).await.unwrap();
        assert_eq!(listed["keys"][0]["current"], true);
        let logout = json!({"do": "logout", "token": token});
        assert_eq!(client.ask(&logout).await.unwrap()["logged_out"], name);
        let ended = refused(&mut client, list).await;
        assert_eq!(ended, "Unknown token. Please authenticate.");
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_and_the_next_one_answered() {
        let served = Served::new().await;
        let mut client = served.client().await;
        for request in [json!(1), json!({"do": "dance"}), json!({"do": "logout"})] {
            refused(&mut client, request).await;
        }
        let unknown = json!({"do": "list_keys", "token": "none"});
        let unknown = refused(&mut client, unknown).await;
        assert_eq!(unknown, "Unknown token. Please authenticate.");
        let unknown = json!({"do": "authenticate", "name": "eve", "key_hash": "0123456789"});
        let unknown = refused(&mut client, unknown).await;
        assert!(unknown.starts_with("There is no user"), "{unknown}");
        client.ask(&json!({"do": "server_key"})).await.unwrap();
    }

    #[tokio::test]
    async fn who_sends_too_long_a_line_is_hung_up_on_and_nobody_else() {
        let served = Served::new().await;
        let (mut long, mut other) = (served.client().await, served.client().await);
        // With its end it would have one byte more than a line may.
        long.0.write_all(&[b' '; MAX_LINE]).await.unwrap();
        let mut told = String::new();
        long.0.read_to_string(&mut told).await.unwrap();
        assert!(told.contains("line_too_long"), "{told}");
        other.ask(&json!({"do": "server_key"})).await.unwrap();

        let mut longest = br#"{"do": "server_key"}"#.to_vec();
        longest.resize(MAX_LINE - 1, b' ');
        longest.push(b'\n');
        other.0.write_all(&longest).await.unwrap();
        let mut answered = String::new();
        other.0.read_line(&mut answered).await.unwrap();
        assert!(answered.contains("public_key"), "{answered}");
    }
}
