//! A balancer of TCP connections, as HAProxy would be in front of servers: round robin, and who
//! refuses is passed over.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy,
    net::{TcpListener, TcpStream},
};

/// Serves as long as the runtime runs.
#[derive(Clone)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    backends: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let balancer = Self {
            address: listener.local_addr().unwrap(),
            backends: Arc::default(),
        };
        let (backends, next) = (balancer.backends.clone(), AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut backends = backends.lock().unwrap().clone();
                if !backends.is_empty() {
                    let first = next.fetch_add(1, Ordering::Relaxed) % backends.len();
                    backends.rotate_left(first);
                }
                tokio::spawn(forward(client, backends));
            }
        });
        balancer
    }

    /// Where new connections go from now on.
    pub(crate) fn set(&self, backends: Vec<SocketAddr>) {
        *self.backends.lock().unwrap() = backends;
    }
}

/// To the first that accepts, until either side ends.
async fn forward(mut client: TcpStream, backends: Vec<SocketAddr>) {
    for backend in backends {
        let Ok(mut server) = TcpStream::connect(backend).await else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            _ = copy(&mut from_server, &mut to_client) => {}
        }
        return;
    }
}
