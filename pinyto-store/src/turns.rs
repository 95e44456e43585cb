//! Whose query is next, so that one user's scans don't keep those of others waiting.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use pinyto_core::{
    document::Searched,
    id::UserId,
    slots::{Slot, Slots},
    store::StoreError,
};
use tokio::time::timeout;

/// After how long a query is no longer a short one.
const SHORT: Duration = Duration::from_millis(50);

/// Turns for queries. Half of the places are for short ones only: a query that turns out to be
/// long goes on if there is one of the other half for it, else it is begun again when there is.
pub(crate) struct Turns {
    all: Arc<Slots>,
    long: Arc<Slots>,
    patience: Duration,
}

impl Turns {
    /// For so many queries at once; who waits does it no longer than `patience`.
    pub(crate) fn new(at_once: usize, patience: Duration) -> Self {
        Self {
            all: Slots::new(at_once, at_once / 4),
            long: Slots::new(at_once / 2, at_once / 8),
            patience,
        }
    }

    /// Does the query when it is the user's turn, and maybe once more.
    pub(crate) async fn take<T, F>(
        &self,
        user: UserId,
        query: impl Fn() -> F,
    ) -> Result<Searched<T>, StoreError>
    where
        F: Future<Output = Result<Searched<T>, StoreError>>,
    {
        let place = self.wait(&self.all, user).await?;
        {
            let mut begun = pin!(query());
            if let Ok(done) = timeout(SHORT, &mut begun).await {
                return done;
            }
            if let Some(_long) = self.long.try_take(user) {
                return begun.await;
            }
        }
        drop(place);
        let _long = self.wait(&self.long, user).await?;
        let _place = self.wait(&self.all, user).await?;
        Ok(query().await?.with_more_work(SHORT))
    }

    async fn wait(&self, slots: &Arc<Slots>, user: UserId) -> Result<Slot, StoreError> {
        let slot = timeout(self.patience, slots.take(user)).await;
        slot.map_err(|_| StoreError::busy())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pinyto_core::document::Scan;
    use tokio::time::{Instant, sleep};

    use super::*;

    const HER: UserId = UserId::new(1);

    async fn query(takes: Duration) -> Result<Searched<()>, StoreError> {
        sleep(takes).await;
        Ok(Searched::Found((), Scan::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn short_queries_have_places_however_many_long_ones_there_are() {
        let turns = Turns::new(8, Duration::from_secs(10));
        let long = Duration::from_secs(2);
        let scans = (2..34).map(|user| turns.take(UserId::new(user % 4 + 2), || query(long)));
        let scans = futures_util::future::join_all(scans);
        let honest = async {
            sleep(Duration::from_secs(1)).await;
            let begun = Instant::now();
            turns
                .take(HER, || query(Duration::from_millis(1)))
                .await
                .unwrap();
            begun.elapsed()
        };
        let (_, waited) = tokio::join!(scans, honest);
        assert!(waited < Duration::from_millis(100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_query_is_begun_again_when_there_is_a_place_and_pays_for_both() {
        let turns = Turns::new(2, Duration::from_secs(10));
        let (begun, takes) = (AtomicUsize::new(0), Duration::from_secs(1));
        let count = || {
            begun.fetch_add(1, Ordering::Relaxed);
            query(takes)
        };
        let others = turns.take(UserId::new(2), || query(takes));
        let hers = async {
            sleep(Duration::from_millis(1)).await;
            turns.take(HER, count).await
        };
        let (_, found) = tokio::join!(others, hers);
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        let Searched::Found((), scan) = found.unwrap() else {
            panic!("it has ended");
        };
        assert_eq!(scan.work, SHORT);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let turns = Turns::new(1, Duration::from_secs(1));
        let first = turns.take(UserId::new(2), || query(Duration::from_secs(60)));
        let second = turns.take(HER, || query(Duration::ZERO));
        let both = async { tokio::join!(first, second) };
        let (_, second) = both.await;
        assert!(matches!(second, Err(StoreError::Busy { .. })));
    }
}
