//! The one thread that appends to the store.
//!
//! Driven by the replica's shell: batches come in through a channel, all that wait go into one transaction (group
//! commit), and each is reported back when it is durable. A full disk is waited out: nothing was written then. Any other
//! failed append ends the tracker: after a failed fsync nobody knows what is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use peerage_replica::{BatchId, VerifiedRow};
use peerage_store::{Store, StoreError};
use peerage_types::Stamp;

use crate::limits::{COMMIT_BATCHES_MAX, COMMIT_ROWS_MAX};

/// Between two attempts on a full disk.
const FULL_RETRY: Duration = Duration::from_millis(500);

/// One batch that must become durable as a whole.
pub(crate) struct Commit {
    pub(crate) batch: BatchId,
    pub(crate) rows: Vec<VerifiedRow>,
    /// The clock's reading to be restored at the next boot.
    pub(crate) last_stamp: Stamp,
}

/// What the writer thread and the rest of the tracker tell each other beside batches.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The disk is full: submissions would only wait.
    pub(crate) disk_full: AtomicBool,
    /// The tracker is going down: do not wait for space any longer.
    pub(crate) stopping: AtomicBool,
}

/// Runs until the other end of `inbox` is dropped and everything before that is durable.
pub(crate) fn write(
    store: &Arc<dyn Store>,
    inbox: &Receiver<Commit>,
    signals: &Signals,
    durable: impl Fn(BatchId),
) -> Result<(), StoreError> {
    while let Ok(first) = inbox.recv() {
        let (last_batch, rows, last_stamp) = gather(first, inbox);
        append(store, &rows, last_stamp, signals)?;
        durable(last_batch);
    }
    Ok(())
}

fn append(
    store: &Arc<dyn Store>,
    rows: &[VerifiedRow],
    last_stamp: Stamp,
    signals: &Signals,
) -> Result<(), StoreError> {
    loop {
        match store.append(rows, last_stamp) {
            Err(error @ StoreError::Full { .. }) if !signals.stopping.load(Ordering::Relaxed) => {
                if !signals.disk_full.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "waiting for space; until then this tracker only reads");
                }
                std::thread::park_timeout(FULL_RETRY);
            }
            outcome => {
                signals.disk_full.store(false, Ordering::Relaxed);
                return outcome;
            }
        }
    }
}

/// `first` and what already waits behind it; batches come in rising order, and the last one stands for all.
fn gather(first: Commit, inbox: &Receiver<Commit>) -> (BatchId, Vec<VerifiedRow>, Stamp) {
    let Commit { mut batch, mut rows, mut last_stamp } = first;
    for _ in 1..COMMIT_BATCHES_MAX {
        if rows.len() >= COMMIT_ROWS_MAX {
            break;
        }
        match inbox.try_recv() {
            Ok(next) => {
                batch = next.batch;
                rows.extend(next.rows);
                last_stamp = last_stamp.max(next.last_stamp);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    (batch, rows, last_stamp)
}
