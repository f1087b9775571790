//! One lane per scope and name: what admission checks must still hold when the records are applied.
//!
//! A bundle holds the lanes of everything its admission looked at from the check until its rows are durable
//! and in the views. Bundles about different groups and names go side by side and share a commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use peerage_types::{FoldedName, Scope};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// What one bundle at a time may decide about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    Scope(Scope),
    UserName(FoldedName),
    GroupName(FoldedName),
}

/// Held lanes; dropping them lets the next bundle in.
#[derive(Debug, Default)]
pub(crate) struct Held {
    _guards: Vec<OwnedMutexGuard<()>>,
}

/// The table of lanes in use; a lane that nobody holds or waits for is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    lanes: HashMap<Lane, Weak<AsyncMutex<()>>>,
    /// At this size it is swept for forgotten lanes: twice what was left the last time, so that each costs little.
    sweep_at: usize,
}

/// Below this size the table is never swept.
const SWEEP_FROM: usize = 256;

impl Lanes {
    /// Waits for all of `wanted`, in their order, so that two bundles cannot wait for each other.
    pub(crate) async fn hold(&self, wanted: BTreeSet<Lane>) -> Held {
        let mut guards = Vec::with_capacity(wanted.len());
        for lane in wanted {
            guards.push(self.lane(lane).lock_owned().await);
        }
        Held { _guards: guards }
    }

    fn lane(&self, lane: Lane) -> Arc<AsyncMutex<()>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.lanes.len() >= table.sweep_at.max(SWEEP_FROM) {
            table.lanes.retain(|_, lane| lane.strong_count() > 0);
            table.sweep_at = 2 * table.lanes.len();
        }
        let slot = table.lanes.entry(lane).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(AsyncMutex::new(()));
            *slot = Arc::downgrade(&fresh);
            fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn lane(name: &str) -> Lane {
        Lane::UserName(name.parse::<peerage_types::Name>().unwrap().folded())
    }

    #[tokio::test]
    async fn same_lane_waits_other_lane_does_not() {
        let lanes = Lanes::default();
        let first = lanes.hold(BTreeSet::from([lane("a"), lane("b")])).await;
        let _other = lanes.hold(BTreeSet::from([lane("c")])).await;
        let mut second = std::pin::pin!(lanes.hold(BTreeSet::from([lane("B")])));
        let pending = std::future::poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        drop(first);
        second.await;
    }
}
