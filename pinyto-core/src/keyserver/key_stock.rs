use std::{
    collections::{BTreeSet, VecDeque},
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::crypto::{RsaBackend, RsaPrivateKey};

/// How many bits the key pairs of the keyserver have.
pub(crate) const KEY_BITS: usize = 4096;

/// Ready key pairs for new accounts, because making one takes from a fifth of a second to
/// several seconds.
///
/// They are only in memory. The stock fills only while a [`KeyStockRefill`] lives.
pub struct KeyStock {
    backend: Arc<dyn RsaBackend>,
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<dyn RsaPrivateKey>>,
    /// The refills that live, by number; the oldest one works, the others stand by.
    refills: BTreeSet<u64>,
    last_refill: u64,
}

impl KeyStock {
    pub(crate) fn new(backend: Arc<dyn RsaBackend>, capacity: usize) -> Self {
        Self {
            backend,
            capacity,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// How many key pairs are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    /// How many key pairs are ready when the stock is full.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn take(&self) -> Option<Arc<dyn RsaPrivateKey>> {
        let taken = self.lock().ready.pop_front();
        self.changed.notify_all();
        taken
    }

    /// Starts a thread named `key-stock` that keeps the stock full until the returned value is
    /// dropped. The thread calls `lower_priority` first, once: set its scheduling priority there.
    ///
    /// Dropping it doesn't wait: the thread ends when it has made the key that it is at, or with the
    /// process.
    ///
    /// Of several refills the oldest works; the next one goes on when it is dropped.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn start_refill(
        self: &Arc<Self>,
        lower_priority: impl FnOnce() + Send + 'static,
    ) -> io::Result<KeyStockRefill> {
        let refill = KeyStockRefill {
            stock: self.clone(),
            number: self.add_refill(),
        };
        let (stock, number) = (self.clone(), refill.number);
        thread::Builder::new()
            .name("key-stock".into())
            .spawn(move || {
                lower_priority();
                stock.refill(number);
            })?;
        Ok(refill)
    }

    fn add_refill(&self) -> u64 {
        let mut state = self.lock();
        state.last_refill += 1;
        let number = state.last_refill;
        state.refills.insert(number);
        number
    }

    fn refill(&self, number: u64) {
        while self.wait_for_room(number) {
            match self.backend.generate(KEY_BITS) {
                Ok(key) => self.lock().ready.push_back(key),
                Err(error) => {
                    tracing::error!(%error, "can't make a key pair for the stock");
                    let pause = Duration::from_secs(10);
                    drop(self.changed.wait_timeout(self.lock(), pause));
                }
            }
        }
    }

    /// Waits until a key pair is missing and this refill has to make it; says no when it is time
    /// to stop.
    fn wait_for_room(&self, number: u64) -> bool {
        let idle = |state: &mut State| {
            let standing_by = state.refills.first() != Some(&number);
            let full = state.ready.len() >= self.capacity;
            state.refills.contains(&number) && (standing_by || full)
        };
        let state = self.changed.wait_while(self.lock(), idle);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.refills.contains(&number)
    }

    /// No code panics while it holds the lock, and the state is right at every moment anyway.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyStock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyStock({} of {} ready)", self.ready(), self.capacity)
    }
}

/// Keeps a [`KeyStock`] full. Dropped, it stops doing so, after the key pair in the making.
#[must_use = "the stock is refilled only while this lives"]
#[derive(Debug)]
pub struct KeyStockRefill {
    stock: Arc<KeyStock>,
    number: u64,
}

impl Drop for KeyStockRefill {
    fn drop(&mut self) {
        self.stock.lock().refills.remove(&self.number);
        self.stock.changed.notify_all();
    }
}
