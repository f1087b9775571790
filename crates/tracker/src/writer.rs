//! The one thread that appends to the store.
//!
//! Driven by the replica's shell: batches come in through a channel, all that wait go into one transaction (group
//! commit), and each is reported back when it is durable. A full disk is waited out: nothing was written then. Any other
//! failed append ends the tracker: after a failed fsync nobody knows what is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use peerage_replica::{BatchId, Twin, Vector, VerifiedRow};
use peerage_store::{Store, StoreError};
use peerage_types::Stamp;

use crate::limits::{COMMIT_BATCHES_MAX, COMMIT_QUICK, COMMIT_ROWS_MAX, COMMIT_ROWS_QUICK};
use crate::metrics::Metrics;

/// Between two attempts on a full disk.
const FULL_RETRY: Duration = Duration::from_millis(500);

/// What goes to the writer, in the order in which it is to be done.
pub(crate) enum Commit {
    /// One batch that must become durable as a whole.
    Append {
        batch: BatchId,
        rows: Vec<VerifiedRow>,
        /// The clock's reading to be restored at the next boot.
        last_stamp: Stamp,
    },
    /// Rows wherever they stand.
    Keep { batch: BatchId, rows: Vec<VerifiedRow> },
    /// A vector whose records have been kept.
    Adopt { batch: BatchId, vector: Vector },
    /// Somebody else's write failed so that nobody knows what is on the disk: end.
    Failed(StoreError),
}

/// What the writer thread and the rest of the tracker tell each other beside batches.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The disk is full: submissions would only wait.
    pub(crate) disk_full: AtomicBool,
    /// The tracker is going down: do not wait for space any longer.
    pub(crate) stopping: AtomicBool,
}

/// What the writer tells of.
#[derive(Debug)]
pub(crate) enum Written {
    /// This batch and all before it are durable.
    Batch(BatchId),
    /// These rows of the next such batch found their places taken.
    Twins(Vec<Twin>),
}

/// Runs until the other end of `inbox` is dropped and everything before that is durable.
pub(crate) fn write(
    store: &Arc<dyn Store>,
    inbox: &Receiver<Commit>,
    signals: &Signals,
    metrics: &Metrics,
    durable: impl Fn(Written),
) -> Result<(), StoreError> {
    let mut next = None;
    let mut rows_max = COMMIT_ROWS_QUICK;
    while let Some(commit) = next.take().or_else(|| inbox.recv().ok()) {
        let (batch, twins) = match commit {
            Commit::Append { batch, rows, last_stamp } => {
                let mut group = Group { batch, rows, last_stamp };
                next = group.gather(inbox, rows_max);
                let begun = Instant::now();
                let twins = patiently(signals, || store.append(&group.rows, group.last_stamp))?;
                let took = begun.elapsed();
                rows_max = if took <= COMMIT_QUICK { COMMIT_ROWS_QUICK } else { COMMIT_ROWS_MAX };
                metrics.committed(group.rows.len(), took);
                (group.batch, twins)
            }
            Commit::Keep { batch, rows } => (batch, patiently(signals, || store.keep(&rows))?),
            Commit::Adopt { batch, vector } => {
                patiently(signals, || store.adopt(&vector))?;
                (batch, Vec::new())
            }
            Commit::Failed(error) => return Err(error),
        };
        if !twins.is_empty() {
            durable(Written::Twins(twins));
        }
        durable(Written::Batch(batch));
    }
    Ok(())
}

/// Waits for space as long as there is none.
fn patiently<T>(signals: &Signals, write: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match write() {
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

/// Batches that are committed together; the last one stands for all.
struct Group {
    batch: BatchId,
    rows: Vec<VerifiedRow>,
    last_stamp: Stamp,
}

impl Group {
    /// Takes in what already waits until there are so many rows, never more than [`COMMIT_ROWS_MAX`] together, up to the
    /// first commit of another kind. Returns what it may not take.
    fn gather(&mut self, inbox: &Receiver<Commit>, rows_max: usize) -> Option<Commit> {
        for _ in 1..COMMIT_BATCHES_MAX {
            if self.rows.len() >= rows_max {
                break;
            }
            match inbox.try_recv() {
                // Two large ones together would take the disk twice as long, and somebody's deadline runs.
                Ok(Commit::Append { batch, rows, last_stamp })
                    if self.rows.len() + rows.len() > COMMIT_ROWS_MAX =>
                {
                    return Some(Commit::Append { batch, rows, last_stamp });
                }
                Ok(Commit::Append { batch, rows, last_stamp }) => {
                    self.batch = batch;
                    self.rows.extend(rows);
                    self.last_stamp = self.last_stamp.max(last_stamp);
                }
                Ok(other) => return Some(other),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use ed25519_dalek::SigningKey;
    use peerage_ledger::{Body, Draft, Origin, Receipt, Record};
    use peerage_replica::LogRow;
    use peerage_types::{ClusterId, PublicKey, Scope, TrackerId, UserId};

    use super::*;

    fn row() -> VerifiedRow {
        let key = SigningKey::from_bytes(&[1; 32]);
        let public = PublicKey(key.verifying_key().to_bytes());
        let (cluster, author) = (ClusterId([3; 16]), UserId::of_identity(&public));
        let (scope, body) = (Scope::Account(author), Body::AccountGenesis { identity: public });
        let record = Record::sign(Draft { cluster, scope, author, prev: None, body }, &key);
        let origin = Origin { tracker: TrackerId([1; 16]), incarnation: 1 };
        let receipt = Receipt::sign(origin, 1, Stamp(1), record.id(), &key);
        let row = LogRow { receipt, record: record.shared_bytes() };
        VerifiedRow::verify(&row, &cluster, &public).unwrap()
    }

    /// Of commits with so many rows, how many rows go into each transaction.
    fn transactions(rows_max: usize, commits: &[usize]) -> Vec<usize> {
        let row = row();
        let (send, inbox) = channel();
        for (batch, count) in (1..).zip(commits) {
            let rows = vec![row.clone(); *count];
            send.send(Commit::Append { batch: BatchId(batch), rows, last_stamp: Stamp(batch) }).unwrap();
        }
        drop(send);
        let (mut next, mut taken) = (None, Vec::new());
        while let Some(commit) = next.take().or_else(|| inbox.recv().ok()) {
            let Commit::Append { batch, rows, last_stamp } = commit else { panic!("of another kind") };
            let mut group = Group { batch, rows, last_stamp };
            next = group.gather(&inbox, rows_max);
            assert_eq!(group.last_stamp, Stamp(group.batch.0));
            taken.push(group.rows.len());
        }
        taken
    }

    #[test]
    fn a_transaction_holds_no_more_than_its_maximum_unless_one_commit_does() {
        let max = COMMIT_ROWS_MAX;
        assert_eq!(transactions(max, &[max - 1, 1, 1]), [max, 1]);
        assert_eq!(transactions(max, &[max - 1, 2, max - 2, 3]), [max - 1, max, 3]);
        assert_eq!(transactions(max, &[max + 1, max + 2]), [max + 1, max + 2]);
        let quick = COMMIT_ROWS_QUICK;
        assert_eq!(transactions(quick, &[1, quick, 1, 1]), [quick + 1, 2]);
        assert_eq!(transactions(quick, &[1, max, 1]), [1, max, 1]);
    }
}
