//! How much memory JSON values take for all requests together.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    cloud::Cloud,
    document::tree_size,
    error::Error,
    id::UserId,
    slots::{Slot, Slots},
};

/// What takes no more bytes as values needs no room of its own.
const SMALL: usize = 64 * 1024;

/// How many large texts wait for room or have it, and how many of one user.
const LARGE: usize = 16;
const LARGE_PER_USER: usize = 2;

/// How long somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Room for values: a text of JSON may take a hundred times its length as values.
pub(crate) struct ValueMemory {
    slots: Arc<Slots>,
    kib: Arc<Semaphore>,
    all: u32,
}

/// Room for the values of one text. Dropping it gives it to the next.
#[derive(Debug)]
#[must_use = "the room is given to the next when this is dropped"]
pub struct Room(
    #[expect(dead_code, reason = "they are held")] Option<(OwnedSemaphorePermit, Slot)>,
);

impl ValueMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).max(1);
        Self {
            slots: Slots::new(LARGE, LARGE_PER_USER),
            kib: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    async fn room_for(&self, user: UserId, json: &str) -> Result<Room, Error> {
        let size = tree_size(json);
        if size <= SMALL {
            return Ok(Room(None));
        }
        let wanted = u32::try_from(size / 1024 + 1).unwrap_or(u32::MAX);
        if wanted > self.all {
            return Err(Error::TooManyValues);
        }
        let room = async {
            let slot = self.slots.take(user).await;
            let permit = Arc::clone(&self.kib).acquire_many_owned(wanted).await;
            let permit = permit.map_err(|_| Error::ShuttingDown)?;
            Ok(Room(Some((permit, slot))))
        };
        let retry_after = Duration::from_secs(1);
        let room = timeout(PATIENCE, room).await;
        room.unwrap_or(Err(Error::Busy { retry_after }))
    }
}

impl Cloud {
    /// Waits until there is room in memory for the values of a text of JSON that a user has sent;
    /// users have it in turn. Adapters that read documents hold it as long as they have the
    /// values; small texts need no waiting.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyValues`] if there never is, [`Error::Busy`] if it takes too long.
    pub async fn room_for_values(&self, user: UserId, json: &str) -> Result<Room, Error> {
        self.value_memory().room_for(user, json).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const ANN: UserId = UserId::new(1);
    const BOB: UserId = UserId::new(2);

    #[tokio::test(start_paused = true)]
    async fn large_texts_wait_for_each_other_and_small_ones_for_nobody() {
        let memory = ValueMemory::new(1024 * 1024);
        let large = format!("[{}0]", "0,".repeat(12_000));
        assert!(tree_size(&large) > 512 * 1024);
        let first = memory.room_for(ANN, &large).await.unwrap();
        let refused = memory.room_for(BOB, &large).await.unwrap_err();
        assert_eq!(refused.code(), "busy");
        let wait = Duration::from_secs(1);
        assert!(timeout(wait, memory.room_for(BOB, "[1, 2]")).await.is_ok());
        drop(first);
        assert!(timeout(wait, memory.room_for(BOB, &large)).await.is_ok());
        let too_large = "{".repeat(2_000);
        let refused = memory.room_for(ANN, &too_large).await.unwrap_err();
        assert_eq!(refused.code(), "too_many_values");
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_never_has_all_the_places() {
        let memory = ValueMemory::new(16 * 1024 * 1024);
        let large = format!("[{}0]", "0,".repeat(12_000));
        let _first = memory.room_for(ANN, &large).await.unwrap();
        let _second = memory.room_for(ANN, &large).await.unwrap();
        assert!(memory.room_for(ANN, &large).await.is_err());
        let wait = Duration::from_secs(1);
        assert!(timeout(wait, memory.room_for(BOB, &large)).await.is_ok());
    }
}
