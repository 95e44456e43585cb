//! How much memory JSON values take for all requests together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{cloud::Cloud, document::tree_size, error::Error};

/// What takes no more bytes as values needs no room of its own.
const SMALL: usize = 64 * 1024;

/// Room for values: a text of JSON may take a hundred times its length as values.
pub(crate) struct ValueMemory {
    kib: Arc<Semaphore>,
    all: u32,
}

/// Room for the values of one text. Dropping it gives it to the next.
#[derive(Debug)]
#[must_use = "the room is given to the next when this is dropped"]
pub struct Room(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

impl ValueMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).max(1);
        Self {
            kib: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    async fn room_for(&self, json: &str) -> Result<Room, Error> {
        let size = tree_size(json);
        if size <= SMALL {
            return Ok(Room(None));
        }
        let wanted = u32::try_from(size / 1024 + 1).unwrap_or(u32::MAX);
        if wanted > self.all {
            return Err(Error::TooManyValues);
        }
        let permit = Arc::clone(&self.kib).acquire_many_owned(wanted).await;
        permit
            .map(|permit| Room(Some(permit)))
            .map_err(|_| Error::ShuttingDown)
    }
}

impl Cloud {
    /// Waits until there is room in memory for the values of a text of JSON. Adapters that read
    /// documents hold it as long as they have the values; small texts need no waiting.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyValues`] if there never is.
    pub async fn room_for_values(&self, json: &str) -> Result<Room, Error> {
        self.value_memory().room_for(json).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_texts_wait_for_each_other_and_small_ones_for_nobody() {
        let memory = ValueMemory::new(1024 * 1024);
        let large = format!("[{}0]", "0,".repeat(12_000));
        assert!(tree_size(&large) > 512 * 1024);
        let first = memory.room_for(&large).await.unwrap();
        let wait = Duration::from_secs(1);
        assert!(timeout(wait, memory.room_for(&large)).await.is_err());
        assert!(timeout(wait, memory.room_for("[1, 2]")).await.is_ok());
        drop(first);
        assert!(timeout(wait, memory.room_for(&large)).await.is_ok());
        let too_large = "{".repeat(2_000);
        let refused = memory.room_for(&too_large).await.unwrap_err();
        assert_eq!(refused.code(), "too_many_values");
    }
}
