//! What a replica keeps about one other tracker.

use peerage_ledger::Origin;
use peerage_types::Time;

use crate::io::BatchId;
use crate::vector::Vector;

/// A push under way. There is one at a time; rows that come meanwhile go together with the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    pub(crate) batch: BatchId,
    pub(crate) deadline: Time,
    /// How far, as we knew, the other tracker had our log when we sent it.
    pub(crate) base: u64,
    /// The rows that follow `base` are not in memory any more: it has to pull them.
    pub(crate) gap: bool,
}

/// One other tracker, as far as we know.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What its disk holds, by its last word. Replaced, not merged: after a restored backup it holds less, and
    /// to think less of it than is true only costs a repetition.
    pub(crate) vector: Vector,
    pub(crate) suspected: bool,
    pub(crate) push: Option<Push>,
    /// It is so far behind that pushes do not reach it: submissions do not wait for it until it has pulled.
    pub(crate) lagging: bool,
    /// Set when a push brought nothing forward, so that two confused trackers do not push in circles.
    pub(crate) push_not_before: Time,
    /// Deadline of the pull under way.
    pub(crate) pull: Option<Time>,
    /// When the next pull is due.
    pub(crate) pull_at: Time,
    /// Pull again as soon as the own disk holds this: there was more than one answer could carry.
    pub(crate) pull_when: Option<Vector>,
    /// Its last answer to a pull said that only a snapshot brings all that we lack.
    pub(crate) snapshot_told: bool,
    /// A reason to pull at once came up while a pull was under way.
    pub(crate) pull_again: bool,
    pub(crate) skew_ms: Option<i64>,
    pub(crate) skew_report_at: Time,
}

impl Peer {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            vector: Vector::new(),
            suspected: false,
            push: None,
            lagging: false,
            push_not_before: now,
            pull: None,
            pull_at: now,
            pull_when: None,
            snapshot_told: false,
            pull_again: false,
            skew_ms: None,
            skew_report_at: now,
        }
    }

    /// It said what its disk holds. Whoever gets on with the log of `us` is no laggard any more.
    pub(crate) fn heard(&mut self, vector: Vector, us: &Origin) {
        self.lagging &= vector.get(us) <= self.vector.get(us);
        self.vector = vector;
    }

    pub(crate) fn pull_now(&mut self, now: Time) {
        match self.pull {
            Some(_) => self.pull_again = true,
            None => self.pull_at = now,
        }
    }
}
