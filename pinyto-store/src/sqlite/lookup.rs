//! Looking up many things with one query.
//!
//! A query costs two changes of thread, far more than finding a row. So concurrent look-ups are
//! gathered: the first starts at once, those that come while it runs share the next query. A
//! query always begins after all look-ups it serves, so what it finds is what the database says,
//! whoever changed it.
//!
//! What was found is remembered together with the [`State`] of the database before the query. As
//! long as the database is in that very state, a query would find the same, and is not made.

use std::{collections::HashMap, hash::Hash, marker::PhantomData, sync::Arc, time::Duration};

use async_trait::async_trait;
use pinyto_core::store::StoreError;
use quick_cache::{Weighter, sync::Cache};
use tokio::sync::{mpsc, oneshot};

use super::{
    changes::{Changes, State},
    error::{Corrupt, of_shared},
    pool::Readers,
};

/// How many look-ups may wait; more wait for a place in the queue.
const QUEUE: usize = 1024;

/// How many look-ups share a query at the most.
const MAX_SHARED: usize = 128;

/// How many bytes of what was found are remembered, about.
const REMEMBERED_BYTES: u64 = 8 * 1024 * 1024;

/// A query that finds many things at once.
#[async_trait]
pub(super) trait Find: Send + Sync + 'static {
    /// What is looked for.
    type Wanted: Clone + Eq + Hash + Send + Sync + 'static;
    /// What is found.
    type Found: Clone + Send + Sync + 'static;

    /// How many bytes remembering it takes, about.
    fn size(found: &Self::Found) -> u64;

    /// What there is of `wanted`, which has no duplicates; a row that can't be read fails only
    /// who wants it.
    async fn find(
        readers: &Readers,
        wanted: &[Self::Wanted],
    ) -> Result<HashMap<Self::Wanted, Result<Self::Found, Corrupt>>, sqlx::Error>;
}

type Answer<F> = Result<Option<<F as Find>::Found>, StoreError>;
type Waiting<F> = (<F as Find>::Wanted, oneshot::Sender<Answer<F>>);

/// The callers' end. The task ends when it is dropped.
pub(super) struct Lookup<F: Find> {
    queue: mpsc::Sender<Waiting<F>>,
    patience: Duration,
    changes: Arc<Changes>,
    remembered: Cache<F::Wanted, (State, F::Found), Size<F>>,
}

/// Weighs what is remembered.
struct Size<F>(PhantomData<fn(F)>);

impl<F> Clone for Size<F> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<F: Find> Weighter<F::Wanted, (State, F::Found)> for Size<F> {
    fn weight(&self, _: &F::Wanted, (_, found): &(State, F::Found)) -> u64 {
        F::size(found)
    }
}

impl<F: Find> Lookup<F> {
    /// Starts the task.
    pub(super) fn start(readers: Arc<Readers>, changes: Arc<Changes>, patience: Duration) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(work::<F>(readers, waiting));
        let size = Size(PhantomData);
        let remembered = Cache::with_weighter(1024, REMEMBERED_BYTES, size);
        Self {
            queue,
            patience,
            changes,
            remembered,
        }
    }

    /// Whether the task answers look-ups.
    pub(super) fn is_serving(&self) -> bool {
        !self.queue.is_closed()
    }

    /// What the database has of `wanted` now.
    pub(super) async fn find(&self, wanted: F::Wanted) -> Answer<F> {
        // Taken before the query: a commit in between makes what is remembered look older than
        // it is, never newer.
        let state = self.changes.state();
        if let Some(state) = state
            && let Some((remembered, found)) = self.remembered.get(&wanted)
            && remembered == state
        {
            return Ok(Some(found));
        }
        let found = self.query(wanted.clone()).await?;
        if let (Some(state), Some(found)) = (state, &found) {
            self.remembered.insert(wanted, (state, found.clone()));
        }
        Ok(found)
    }

    async fn query(&self, wanted: F::Wanted) -> Answer<F> {
        let (caller, answer) = oneshot::channel();
        self.queue
            .send_timeout((wanted, caller), self.patience)
            .await
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        answer
            .await
            .unwrap_or_else(|closed| Err(StoreError::unavailable(closed)))
    }
}

async fn work<F: Find>(readers: Arc<Readers>, mut waiting: mpsc::Receiver<Waiting<F>>) {
    let mut group = Vec::with_capacity(MAX_SHARED);
    let mut callers: HashMap<F::Wanted, Vec<oneshot::Sender<Answer<F>>>> = HashMap::new();
    while waiting.recv_many(&mut group, MAX_SHARED).await > 0 {
        for (wanted, caller) in group.drain(..) {
            callers.entry(wanted).or_default().push(caller);
        }
        let wanted: Vec<_> = callers.keys().cloned().collect();
        let found = F::find(&readers, &wanted).await.map_err(Arc::new);
        for (wanted, callers) in callers.drain() {
            for caller in callers {
                let answer = match &found {
                    Ok(found) => match found.get(&wanted) {
                        Some(Ok(value)) => Ok(Some(value.clone())),
                        Some(Err(corrupt)) => Err(corrupt.clone().into()),
                        None => Ok(None),
                    },
                    Err(error) => Err(of_shared(error)),
                };
                // Who has hung up doesn't need it.
                let _ = caller.send(answer);
            }
        }
    }
}

/// Numbers as the JSON array that `json_each` unfolds.
pub(super) fn json_array(numbers: impl Iterator<Item = i64>) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("[");
    for (index, number) in numbers.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a text can't fail.
        let _ = write!(text, "{comma}{number}");
    }
    text.push(']');
    text
}
