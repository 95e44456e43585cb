//! Reads a request's body with a limit of bytes, of time, and of what all bodies take together.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use pinyto_core::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{
    api::{Api, HttpSettings},
    error::ApiError,
};

/// So much of a body that is not kept is still read and thrown away, for so long: a client that
/// is cut off while it sends doesn't read the answer.
const DISCARDED_BYTES: usize = 8 * 1024 * 1024;
const DISCARDING_TIME: Duration = Duration::from_secs(5);

/// So much of each body counts for nothing, so that usual requests don't meet at the budget.
const FREE_BYTES: usize = 16 * 1024;

/// How long a client is told to wait when the bodies of others take all the room.
const BUSY: Duration = Duration::from_secs(2);

/// The memory that the unfinished and undecoded bodies of all requests may take together.
#[derive(Clone)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    pub(crate) fn of(settings: &HttpSettings) -> Self {
        // The largest body has to fit.
        let bytes = settings.body_memory.max(settings.max_body_bytes);
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    fn share(&self) -> Share {
        Share {
            memory: Arc::clone(&self.0),
            counted: FREE_BYTES,
            permit: None,
        }
    }
}

/// One body's share of the memory.
struct Share {
    memory: Arc<Semaphore>,
    counted: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn grow_to(&mut self, bytes: usize) -> Result<(), Unread> {
        let Some(more) = bytes.checked_sub(self.counted).filter(|more| *more > 0) else {
            return Ok(());
        };
        let more = u32::try_from(more).map_err(|_| Unread::NoRoom)?;
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(more);
        let permit = permit.map_err(|_| Unread::NoRoom)?;
        match &mut self.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        self.counted = bytes;
        Ok(())
    }
}

/// A whole body. Drop it as soon as it is decoded: others may wait for its memory.
#[derive(Default)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
enum Unread {
    TooLarge,
    NoRoom,
    Broken(warp::Error),
}

/// The whole body, whatever the headers say about its type and length.
///
/// Never holds more than the limit and one network buffer.
pub(crate) async fn read<S, B>(body: S, api: &Api) -> Result<Body, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let mut body = pin!(body);
    let settings = api.limits();
    let limit = settings.max_body_bytes;
    let deadline = Instant::now() + settings.body_timeout;
    let whole = collect(&mut body, limit, api.body_memory());
    let refusal = match timeout_at(deadline, whole).await {
        Ok(Ok(whole)) => return Ok(whole),
        Ok(Err(Unread::TooLarge)) => ApiError::body_too_large(limit),
        Ok(Err(Unread::NoRoom)) => Error::Busy { retry_after: BUSY }.into(),
        Ok(Err(Unread::Broken(error))) => {
            tracing::debug!(%error, "a body ended early");
            return Err(ApiError::body_incomplete());
        }
        Err(_) => return Err(ApiError::body_too_slow()),
    };
    let deadline = deadline.min(Instant::now() + DISCARDING_TIME);
    let _ = timeout_at(deadline, discard(&mut body)).await;
    Err(refusal)
}

async fn collect<S, B>(body: &mut S, limit: usize, memory: &BodyMemory) -> Result<Body, Unread>
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin + Send,
    B: Buf + Send,
{
    // Most bodies come in one piece, which needs no copy.
    let first = match body.next().await {
        Some(part) => whole_part(part.map_err(Unread::Broken)?),
        None => return Ok(Body::default()),
    };
    if first.len() > limit {
        return Err(Unread::TooLarge);
    }
    let mut share = memory.share();
    share.grow_to(first.len())?;
    let Some(second) = body.next().await else {
        return Ok(Body {
            bytes: first,
            _memory: share.permit,
        });
    };
    let mut whole = Vec::from(first);
    let mut part = second.map_err(Unread::Broken)?;
    loop {
        let length = whole.len() + part.remaining();
        if length > limit {
            return Err(Unread::TooLarge);
        }
        if length > whole.capacity() {
            // What is reserved counts, not only what is filled.
            let capacity = length.max(2 * whole.capacity()).min(limit);
            share.grow_to(capacity)?;
            whole.reserve_exact(capacity - whole.len());
        }
        while part.has_remaining() {
            let piece = part.chunk();
            whole.extend_from_slice(piece);
            let read = piece.len();
            part.advance(read);
        }
        part = match body.next().await {
            Some(part) => part.map_err(Unread::Broken)?,
            None => {
                return Ok(Body {
                    bytes: whole.into(),
                    _memory: share.permit,
                });
            }
        };
    }
}

async fn discard<S, B>(body: &mut S)
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin + Send,
    B: Buf + Send,
{
    let mut left = DISCARDED_BYTES;
    while let Some(Ok(part)) = body.next().await {
        match left.checked_sub(part.remaining()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn whole_part(mut part: impl Buf) -> Bytes {
    part.copy_to_bytes(part.remaining())
}
