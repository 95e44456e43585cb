//! Stands between a server and PostgreSQL and counts what is said.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

#[derive(Default)]
struct Counters {
    statements: AtomicU64,
    round_trips: AtomicU64,
}

/// Serves as long as the runtime runs.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    counters: Arc<Counters>,
}

impl Wire {
    pub(crate) async fn start(postgres: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Arc::<Counters>::default();
        let counted = Arc::clone(&counters);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(postgres).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (mut from_server, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    // Ends with the connection.
                    let _ = pass_on(from_client, to_server, &counted).await;
                });
            }
        });
        Self { address, counters }
    }

    /// Statements and round trips so far.
    pub(crate) fn counted(&self) -> [u64; 2] {
        let Counters {
            statements,
            round_trips,
        } = &*self.counters;
        [statements, round_trips].map(|counter| counter.load(Ordering::SeqCst))
    }
}

/// The body of the message `SSLRequest`: 80877103.
const ASKS_FOR_TLS: [u8; 4] = [0x04, 0xd2, 0x16, 0x2f];

/// A statement is an `Execute` or a part of a simple query; a round trip is a simple query, or a
/// `Sync` after something.
async fn pass_on(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    counters: &Counters,
) -> std::io::Result<()> {
    let add = |counter: &AtomicU64, count: usize| counter.fetch_add(count as u64, Ordering::SeqCst);
    let (mut is_started, mut asks) = (false, false);
    loop {
        // The first message has no type.
        let kind = if is_started {
            Some(client.read_u8().await?)
        } else {
            None
        };
        let length = client.read_u32().await?;
        let mut body = vec![0; (length as usize).saturating_sub(4)];
        client.read_exact(&mut body).await?;
        match kind {
            // Another message without a type follows the question whether there is TLS.
            None => is_started = body != ASKS_FOR_TLS,
            Some(b'E') => {
                add(&counters.statements, 1);
            }
            Some(b'P' | b'B') => asks = true,
            Some(b'Q') => {
                let parts = body.split(|byte| *byte == b';');
                let parts = parts.filter(|part| part.iter().any(u8::is_ascii_alphabetic));
                add(&counters.statements, parts.count());
                add(&counters.round_trips, 1);
            }
            Some(b'S') if asks => {
                asks = false;
                add(&counters.round_trips, 1);
            }
            Some(_) => {}
        }
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        server.write_all(&message).await?;
    }
}
