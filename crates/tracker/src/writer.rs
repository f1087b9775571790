//! The one thread that appends to the store.
//!
//! Driven by the replica's shell: batches come in through a channel, all that wait go into one transaction (group
//! commit), and each is reported back when it is durable. A failed append ends the tracker: after a failed fsync nobody
//! knows what is on disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use peerage_replica::{BatchId, VerifiedRow};
use peerage_store::{Store, StoreError};
use peerage_types::Stamp;

use crate::limits::{COMMIT_BATCHES_MAX, COMMIT_ROWS_MAX};

/// One batch that must become durable as a whole.
pub(crate) struct Commit {
    pub(crate) batch: BatchId,
    pub(crate) rows: Vec<VerifiedRow>,
    /// The clock's reading to be restored at the next boot.
    pub(crate) last_stamp: Stamp,
}

/// Runs until the other end of `inbox` is dropped and everything before that is durable.
pub(crate) fn write(
    store: &Arc<dyn Store>,
    inbox: &Receiver<Commit>,
    durable: impl Fn(BatchId),
) -> Result<(), StoreError> {
    while let Ok(first) = inbox.recv() {
        let (batches, rows, last_stamp) = gather(first, inbox);
        store.append(&rows, last_stamp)?;
        batches.into_iter().for_each(&durable);
    }
    Ok(())
}

/// `first` and what already waits behind it.
fn gather(first: Commit, inbox: &Receiver<Commit>) -> (Vec<BatchId>, Vec<VerifiedRow>, Stamp) {
    let mut batches = vec![first.batch];
    let mut rows = first.rows;
    let mut last_stamp = first.last_stamp;
    while batches.len() < COMMIT_BATCHES_MAX && rows.len() < COMMIT_ROWS_MAX {
        match inbox.try_recv() {
            Ok(next) => {
                batches.push(next.batch);
                rows.extend(next.rows);
                last_stamp = last_stamp.max(next.last_stamp);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    (batches, rows, last_stamp)
}
