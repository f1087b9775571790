//! How much metainfo is on its way at once, of one account and altogether.
//!
//! Driven by the metainfo routes. A file counts from before it is read, from the network or the disk, until its last byte
//! has been handed on; whoever is too slow loses it. So neither slow readers nor slow uploads fill the memory up or keep
//! others out.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use peerage_link::api::ErrorCode;
use peerage_types::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Failure;
use crate::limits::{
    METAINFO_CHUNK_BYTES, METAINFO_FETCHES_MAX, METAINFO_FETCHES_OF_USER_MAX, METAINFO_GRACE,
    METAINFO_IN_FLIGHT_BYTES_MAX, METAINFO_IN_FLIGHT_OF_USER_MAX, METAINFO_RATE_MIN, METAINFO_WAIT_MAX,
};
use crate::places::Places;

/// What is counted in: small files cost little, and the counts fit into a semaphore.
const UNIT_BYTES: usize = METAINFO_CHUNK_BYTES;
/// Below this size the table of accounts is never swept.
const SWEEP_FROM: usize = 256;

/// One direction.
#[derive(Debug)]
pub(crate) struct Lane {
    all: Arc<Semaphore>,
    users: Mutex<HashMap<UserId, Weak<Semaphore>>>,
}

/// Both directions apart, so that uploads keep nobody from reading.
#[derive(Debug)]
pub(crate) struct MetainfoSlots {
    pub(crate) uploads: Lane,
    pub(crate) reads: Lane,
    /// Files that are fetched from other trackers.
    pub(crate) fetches: Semaphore,
    /// Of these, of one account.
    pub(crate) fetching: Places<UserId>,
}

/// Room for one file.
#[derive(Debug)]
pub(crate) struct Slot {
    _of_user: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl Default for MetainfoSlots {
    fn default() -> Self {
        Self {
            uploads: Lane::new(),
            reads: Lane::new(),
            fetches: Semaphore::new(METAINFO_FETCHES_MAX),
            fetching: Places::new(METAINFO_FETCHES_OF_USER_MAX),
        }
    }
}

impl Lane {
    fn new() -> Self {
        let all = Arc::new(Semaphore::new(METAINFO_IN_FLIGHT_BYTES_MAX / UNIT_BYTES));
        Self { all, users: Mutex::default() }
    }

    /// Room for a file of this size, at the expense of this account, unless a tracker of ours asks. Waits a moment.
    pub(crate) async fn room(&self, user: Option<UserId>, bytes: usize) -> Result<Slot, Failure> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let of_user = match user {
            None => None,
            Some(user) => {
                let own = self.of(user).acquire_many_owned(units);
                let Ok(permit) = timeout(METAINFO_WAIT_MAX, own).await else {
                    let mib = METAINFO_IN_FLIGHT_OF_USER_MAX >> 20;
                    let message =
                        format!("this account has more than {mib} MiB of metainfo on its way already");
                    return Err(Failure::new(ErrorCode::TooMany, message).hint(
                        "try again when an earlier upload or download of a torrent's description is through",
                    ));
                };
                Some(permit.map_err(|_| Failure::stopping())?)
            }
        };
        let all = Arc::clone(&self.all).acquire_many_owned(units);
        let Ok(of_all) = timeout(METAINFO_WAIT_MAX, all).await else {
            return Err(Failure::new(
                ErrorCode::Unavailable,
                "this tracker moves too much metainfo at the moment",
            )
            .hint("try again in a while, or ask another tracker of the list"));
        };
        Ok(Slot { _of_user: of_user, _of_all: of_all.map_err(|_| Failure::stopping())? })
    }

    fn of(&self, user: UserId) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has something on its way is there, so it is bounded by what is.
        if users.len() >= SWEEP_FROM {
            users.retain(|_, own| own.strong_count() > 0);
        }
        let own = users.entry(user).or_default();
        own.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(Semaphore::new(METAINFO_IN_FLIGHT_OF_USER_MAX / UNIT_BYTES));
            *own = Arc::downgrade(&fresh);
            fresh
        })
    }
}

/// How long a file of this size may take.
pub(crate) fn time_for(bytes: usize) -> Duration {
    METAINFO_GRACE + Duration::from_secs(bytes as u64 / METAINFO_RATE_MIN)
}

/// A file on its way to whoever asked. It lets go of file and room at its end, and when the other side is too slow.
#[derive(Debug)]
pub(crate) struct Sending {
    load: Arc<Mutex<Option<Load>>>,
    bytes_left: usize,
    watch: JoinHandle<()>,
}

#[derive(Debug)]
struct Load {
    rest: Bytes,
    _slot: Slot,
}

/// The other side took too long.
#[derive(Debug, thiserror::Error)]
#[error("the answer was taken too slowly")]
pub(crate) struct TooSlow;

impl Sending {
    pub(crate) fn new(bytes: Bytes, slot: Slot) -> Self {
        Self::within(time_for(bytes.len()), bytes, slot)
    }

    fn within(time: Duration, bytes: Bytes, slot: Slot) -> Self {
        let bytes_left = bytes.len();
        let load = Arc::new(Mutex::new(Some(Load { rest: bytes, _slot: slot })));
        let held = Arc::clone(&load);
        // HTTP/2 asks for the next part only when there is room for it, so the time has to be watched from elsewhere.
        let watch = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            held.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        Self { load, bytes_left, watch }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        if self.bytes_left == 0 {
            return Poll::Ready(None);
        }
        let mut held = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(load) = held.as_mut() else { return Poll::Ready(Some(Err(TooSlow))) };
        let chunk = load.rest.split_to(load.rest.len().min(METAINFO_CHUNK_BYTES));
        let left = load.rest.len();
        drop(held);
        self.bytes_left = left;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left as u64)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.watch.abort();
        self.load.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use peerage_types::limits::METAINFO_BYTES_MAX;

    use super::*;

    #[tokio::test]
    async fn no_account_takes_all_the_room() {
        let lane = Lane::new();
        let (ada, bob) = (Some(UserId([1; 32])), Some(UserId([2; 32])));
        let _held = [
            lane.room(ada, METAINFO_BYTES_MAX).await.unwrap(),
            lane.room(ada, METAINFO_BYTES_MAX).await.unwrap(),
        ];
        assert_eq!(lane.room(ada, 1).await.unwrap_err().0.code, ErrorCode::TooMany);
        let small = lane.room(bob, 1).await.unwrap();
        drop(small);
        let mut others = Vec::new();
        for n in 3..9 {
            others.push(lane.room(Some(UserId([n; 32])), METAINFO_BYTES_MAX).await.unwrap());
        }
        assert_eq!(lane.room(bob, 1).await.unwrap_err().0.code, ErrorCode::Unavailable);
        others.pop();
        assert!(lane.room(bob, 1).await.is_ok() && lane.room(None, METAINFO_BYTES_MAX).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_comes_whole_or_is_let_go_of() {
        let lane = Lane::new();
        let free = lane.all.available_permits();
        let content = Bytes::from(vec![7; 3 * METAINFO_CHUNK_BYTES + 1]);
        let sending = Sending::new(content.clone(), lane.room(None, content.len()).await.unwrap());
        assert_eq!(lane.all.available_permits(), free - 4);
        assert_eq!(sending.collect().await.unwrap().to_bytes(), content);
        assert_eq!(lane.all.available_permits(), free);

        let slot = lane.room(None, content.len()).await.unwrap();
        let mut slow = Sending::within(Duration::from_millis(20), content, slot);
        assert!(slow.frame().await.unwrap().is_ok());
        // Nobody reads on, and the room is there again all the same.
        let all = lane.all.acquire_many(u32::try_from(free).unwrap()).await.unwrap();
        drop(all);
        assert!(slow.frame().await.unwrap().is_err());
    }
}
