//! What somebody asked a tracker to take, and how that was answered.

use std::sync::Arc;

use peerage_ledger::Record;
use peerage_replica::{BatchId, BundleId};
use peerage_types::{RecordId, Time};

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A client with an outbox.
    Person { person: usize, attempt: u64, bundle: BundleId },
    /// Somebody who tries something forbidden once.
    Forger,
    /// Somebody who sends what a tracker has.
    Repeater,
    /// The simulator itself, after healing.
    Probe,
}

/// A bundle at a tracker.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) sender: Sender,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) records: Vec<Arc<Record>>,
    /// The last batch that the tracker's disk was given when this was admitted, or the one with its records if they were
    /// signed later; until then the highest.
    pub(crate) batch: BatchId,
    /// When that batch was durable.
    pub(crate) durable_at: Option<Time>,
}

impl Submission {
    pub(crate) fn new(sender: Sender, node: usize, records: Vec<Arc<Record>>) -> Self {
        Self { sender, node, life: 0, records, batch: BatchId(0), durable_at: None }
    }

    pub(crate) fn ids(&self) -> Vec<RecordId> {
        self.records.iter().map(|record| record.id()).collect()
    }
}

/// A tracker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Durable {
        durable_on: u32,
        of: u32,
    },
    /// It lacks records that these rest on.
    Missing,
    Refused,
    /// Its disk is full.
    Full,
    /// Nobody listens there.
    Unreachable,
}
