//! Records that the database holds and that cannot be read any more: noticed when a view is loaded, fetched again from
//! another tracker.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use peerage_types::RecordId;
use tokio::sync::Notify;

use crate::limits::DAMAGED_MAX;
use crate::state::Shared;

/// Damaged records that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    ids: Mutex<BTreeSet<RecordId>>,
    found: Notify,
}

impl Damaged {
    /// This one cannot be read.
    pub(crate) fn note(&self, id: RecordId) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        // The rest is found by the next comparison, or when these are right again.
        if ids.len() < DAMAGED_MAX && ids.insert(id) {
            self.found.notify_one();
        }
    }

    async fn next(&self) -> Vec<RecordId> {
        self.found.notified().await;
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// Asks the replica to fetch them. Runs until it is dropped.
pub(crate) async fn run(state: Shared) {
    loop {
        let ids = state.views.damaged().next().await;
        tracing::error!(
            records = ids.len(),
            "the database is damaged; asking other trackers for what it lost"
        );
        state.replica.mend(ids).await;
    }
}
