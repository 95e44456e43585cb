//! From names to addresses.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};

use async_trait::async_trait;
use pinyto_core::{id::UserId, slots::Slots};
use tokio::task::spawn_blocking;

/// Finds the addresses of a host.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a name, in the order they should be tried in. Asked once for each
    /// connection, for a user: many names of one should not delay those of others.
    ///
    /// # Errors
    ///
    /// Any, if there is no answer.
    async fn resolve(&self, name: &str, user: UserId) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug)]
pub(super) struct SystemResolver {
    slots: Arc<Slots>,
}

impl SystemResolver {
    /// How many names are looked up at a time, a quarter of them for one user. The operating
    /// system's function can't be interrupted, and each one occupies a thread that others need too.
    const SLOTS: usize = 16;

    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(Self::SLOTS, Self::SLOTS / 4),
        }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str, user: UserId) -> io::Result<Vec<IpAddr>> {
        let slot = self.slots.take(user).await;
        let name = name.to_owned();
        spawn_blocking(move || {
            // Held until the thread is free, even if nobody waits for it any more.
            let _slot = slot;
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|socket| socket.ip()).collect())
        })
        .await?
    }
}
