//! How often somebody waits for the server, counted on the wire.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::missing;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
};

/// Stands between a store and the server and counts questions.
#[derive(Debug)]
pub struct RoundTrips {
    _directory: tempfile::TempDir,
    url: String,
    questions: Arc<AtomicUsize>,
}

impl RoundTrips {
    /// Counts those to the database at this URL, within the runtime that this is called in. `None`
    /// if it isn't at a Unix socket, which is said.
    ///
    /// # Panics
    ///
    /// If there can be no socket; with `CI=true` also if the database isn't at one.
    #[must_use]
    #[allow(clippy::expect_used, clippy::panic, reason = "tests fail by it")]
    pub fn counted(url: &str) -> Option<Self> {
        let (Some(socket), Some((address, _))) = (socket(url), url.split_once('?')) else {
            if let Err(error) = missing("the database is not at a Unix socket") {
                panic!("{error}");
            }
            return None;
        };
        let directory = tempfile::tempdir().expect("no directory for a socket");
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432"));
        let listener = listener.expect("no socket");
        let questions = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&questions);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&socket).await else {
                    continue;
                };
                let (mut from_server, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
                tokio::spawn(count(from_client, to_server, Arc::clone(&counted)));
            }
        });
        Some(Self {
            url: format!("{address}?host={}", directory.path().display()),
            _directory: directory,
            questions,
        })
    }

    /// For `PostgresStore::open`; what goes over it is counted.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many questions a call asks.
    pub async fn of<T>(&self, call: impl Future<Output = T>) -> usize {
        self.questions.store(0, Ordering::SeqCst);
        call.await;
        self.questions.load(Ordering::SeqCst)
    }
}
/// The body of the message `SSLRequest`: 80877103.
const ASKS_FOR_TLS: [u8; 4] = [0x04, 0xd2, 0x16, 0x2f];

/// Passes a client's messages on. A question is a simple query, or a `Sync` after something was
/// executed or prepared (and not the lone one that asks a connection whether it lives).
async fn count(
    mut client: impl AsyncRead + Unpin,
    mut server: OwnedWriteHalf,
    questions: Arc<AtomicUsize>,
) {
    let mut is_started = false;
    let mut asks = false;
    loop {
        // The first message has no type.
        let kind = if is_started {
            match client.read_u8().await {
                Ok(kind) => Some(kind),
                Err(_) => return,
            }
        } else {
            None
        };
        let Ok(length) = client.read_u32().await else {
            return;
        };
        let mut body = vec![0; (length - 4) as usize];
        if client.read_exact(&mut body).await.is_err() {
            return;
        }
        match kind {
            // Another message without a type follows the question whether there is TLS.
            None => is_started = body != ASKS_FOR_TLS,
            Some(b'P' | b'B') => asks = true,
            // Nobody waits for a roll-back, or for the end of a connection.
            Some(b'Q') if !body.starts_with(b"ROLLBACK") => {
                questions.fetch_add(1, Ordering::SeqCst);
            }
            Some(b'S') if asks => {
                asks = false;
                questions.fetch_add(1, Ordering::SeqCst);
            }
            Some(_) => {}
        }
        if let Some(kind) = kind
            && server.write_u8(kind).await.is_err()
        {
            return;
        }
        if server.write_u32(length).await.is_err() || server.write_all(&body).await.is_err() {
            return;
        }
    }
}

/// The socket in a URL that names its directory.
fn socket(url: &str) -> Option<PathBuf> {
    let (_, directory) = url.split_once("?host=")?;
    Some(Path::new(directory).join(".s.PGSQL.5432"))
}
