//! One tracker's disk: what a sync has reached survives everything, what was only written survives a crash of the
//! process but not a power cut.

use std::collections::VecDeque;

use peerage_replica::{BatchId, Vector, VerifiedRow};
use peerage_types::{RecordId, Stamp, TrackerId};

use super::image::Image;

/// A batch on its way: one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) batch: BatchId,
    pub(crate) what: Change,
}

/// What it does.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Rows that continue their origins, and the clock's reading.
    Append(Vec<VerifiedRow>, Stamp),
    /// Rows wherever they stand.
    Keep(Vec<VerifiedRow>),
    /// A vector whose records have been kept.
    Adopt(Vector),
}

impl Commit {
    pub(crate) fn rows(&self) -> &[VerifiedRow] {
        match &self.what {
            Change::Append(rows, _) | Change::Keep(rows) => rows,
            Change::Adopt(_) => &[],
        }
    }
}

/// The durable state of one tracker, and what is on the way there.
#[derive(Debug)]
pub(crate) struct Disk {
    image: Image,
    /// Handed over by the process, not written.
    queued: VecDeque<Commit>,
    /// The last batch handed over.
    pub(crate) last_queued: BatchId,
    /// Written, not synced: a power cut drops it from the end.
    unsynced: VecDeque<Commit>,
    /// A copy from earlier, for whoever restores it.
    backup: Option<Image>,
    /// An older copy was put in place: the tracker has given out numbers and stamps that it does not remember.
    pub(crate) restored: bool,
    /// No space is left: nothing is written.
    pub(crate) full: bool,
    /// The slowest that a commit gets.
    pub(crate) commit_ms_max: u64,
    /// How often what was on it got lost.
    pub(crate) generation: u64,
    /// How often something on it was harmed behind its back.
    pub(crate) harmed: u64,
}

impl Disk {
    pub(crate) fn new(tracker: TrackerId) -> Self {
        Self {
            image: Image::new(tracker),
            queued: VecDeque::new(),
            last_queued: BatchId(0),
            unsynced: VecDeque::new(),
            backup: None,
            restored: false,
            full: false,
            commit_ms_max: 20,
            generation: 0,
            harmed: 0,
        }
    }

    /// What survives a power cut.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// For what is done to it beside commits.
    pub(crate) fn image_mut(&mut self) -> &mut Image {
        &mut self.image
    }

    /// Everything that was reported as written: what survives if only the process ends.
    pub(crate) fn written_has_all(&self, ids: &[RecordId]) -> bool {
        let written = |id: &RecordId| {
            let mut rows = self.unsynced.iter().flat_map(Commit::rows);
            rows.any(|row| row.record().id() == *id)
        };
        ids.iter().all(|id| self.image.get(id).is_some() || written(id))
    }

    /// On their way to a place in a log.
    pub(crate) fn given_all(&self, ids: &[RecordId]) -> bool {
        let appended = |commit: &&Commit| matches!(commit.what, Change::Append(..));
        let given = |id: &RecordId| {
            let mut rows = self.unsynced.iter().chain(&self.queued).filter(appended).flat_map(Commit::rows);
            rows.any(|row| row.record().id() == *id)
        };
        ids.iter().all(given)
    }

    pub(crate) fn queue(&mut self, commit: Commit) {
        self.last_queued = self.last_queued.max(commit.batch);
        self.queued.push_back(commit);
    }

    /// The next batch up to this one that is to be written.
    pub(crate) fn next_queued(&self, up_to: BatchId) -> Option<&Commit> {
        self.queued.front().filter(|commit| commit.batch <= up_to)
    }

    /// Writes the oldest batch.
    pub(crate) fn write(&mut self) {
        self.unsynced.extend(self.queued.pop_front());
    }

    /// The oldest batch up to this one that is written and not safe.
    pub(crate) fn next_unsynced(&mut self, up_to: BatchId) -> Option<Commit> {
        self.unsynced.pop_front_if(|commit| commit.batch <= up_to)
    }

    /// Makes one batch safe.
    pub(crate) fn apply(&mut self, commit: &Commit) -> Result<(), String> {
        match &commit.what {
            Change::Append(rows, last_stamp) => self.image.append(rows, *last_stamp)?,
            Change::Keep(rows) => self.image.keep(rows),
            Change::Adopt(vector) => self.image.adopt(vector),
        }
        Ok(())
    }

    /// Nothing on the way?
    pub(crate) fn idle(&self) -> bool {
        self.queued.is_empty() && self.unsynced.is_empty()
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The process is gone: what was not written is forgotten. Of what was written and not synced the first `kept`
    /// batches happen to be there; they are still to be applied. Gives the rest.
    pub(crate) fn ended(&mut self, kept: usize) -> Vec<Commit> {
        self.last_queued = BatchId(0);
        self.queued.clear();
        self.unsynced.split_off(kept.min(self.unsynced.len())).into()
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some(self.image.clone());
    }

    /// Puts the backup in place. Tells whether there was one.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        self.generation += 1;
        self.image = backup;
        self.restored = true;
        true
    }

    /// Another, empty disk.
    pub(crate) fn lose(&mut self, tracker: TrackerId) {
        let (generation, harmed) = (self.generation + 1, self.harmed);
        *self = Self { generation, harmed, ..Self::new(tracker) };
    }
}
