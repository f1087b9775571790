//! Batches on their way to a tracker's disk: handed over, written, synced, reported.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::Order;
use peerage_replica::{BatchId, Input, VerifiedRow};
use peerage_types::{RecordId, Time};

use super::checks::Checks;
use super::disk::{Change, Commit};
use super::event::Event;
use super::image::Image;
use super::submission::Submission;
use super::world::World;
use super::{Broken, Sabotage};

/// A full disk is tried again after so long.
const FULL_RETRY_MS: u64 = 500;
/// The slowest sync of what is written.
const SYNC_MS_MAX: u64 = 40;

impl World {
    pub(super) fn commit(&mut self, at: usize, batch: BatchId, what: Change) {
        let (life, slowest) = (self.nodes[at].life, self.nodes[at].disk.commit_ms_max);
        let takes = self.rng.between(0, slowest);
        let mut commit = Commit { batch, what };
        self.trace.add("persist", &[self.now.0, at as u64, batch.0, commit.rows().len() as u64]);
        let Some(run) = &mut self.nodes[at].run else { return };
        let own = |row: &&VerifiedRow| row.receipt().origin == run.replica.origin();
        for row in commit.rows().iter().filter(own) {
            self.verified.insert((row.receipt().origin, row.receipt().seq), row.clone());
        }
        let ids: BTreeSet<_> = commit.rows().iter().filter(own).map(|row| row.record().id()).collect();
        let waits = |s: &&mut Submission| s.node == at && s.batch == BatchId(u64::MAX);
        for submission in self.waiting.values_mut().filter(waits) {
            if submission.records.iter().any(|record| ids.contains(&record.id())) {
                submission.batch = batch;
            }
        }
        let mut held_back = Vec::new();
        if self.options.sabotage == Some(Sabotage::EarlyAdopt) {
            match commit.what {
                // The page is reported as kept, and is written behind the vector.
                Change::Keep(ref mut rows) if run.replica.status().snapshot_from.is_some() => {
                    let late = Change::Keep(std::mem::take(rows));
                    run.held_back.push(Commit { batch, what: late });
                }
                Change::Adopt(_) => held_back = std::mem::take(&mut run.held_back),
                _ => {}
            }
        }
        // Group commit: batches wait for the one before, not for each other's full time.
        let done = run.disk_free_at.max(Time(self.now.0 + takes));
        run.disk_free_at = done;
        self.nodes[at].disk.queue(commit);
        held_back.into_iter().for_each(|late| self.nodes[at].disk.queue(late));
        self.schedule(done.0 - self.now.0, Event::Written { node: at, life, batch });
    }

    /// The batches up to this one get written, unless there is no space.
    pub(super) fn written(&mut self, at: usize, batch: BatchId) -> Result<(), Broken> {
        let life = self.nodes[at].life;
        if self.nodes[at].disk.full {
            self.schedule(FULL_RETRY_MS, Event::Written { node: at, life, batch });
            return Ok(());
        }
        while let Some(commit) = self.nodes[at].disk.next_queued(batch) {
            let commit = commit.clone();
            self.checks.before_write(at, &self.nodes[at], &commit)?;
            self.nodes[at].disk.write();
        }
        self.trace.add("written", &[self.now.0, at as u64, batch.0]);
        let delay = self.rng.between(0, SYNC_MS_MAX);
        self.schedule(delay, Event::Synced { node: at, life, batch });
        if self.trusting() {
            self.schedule(0, Event::Persisted { node: at, life, batch });
        }
        Ok(())
    }

    pub(super) fn synced(&mut self, at: usize, batch: BatchId) -> Result<(), Broken> {
        let life = self.nodes[at].life;
        self.settle_commits(at, batch)?;
        let delay = self.rng.between(0, 3);
        if !self.trusting() {
            self.schedule(delay, Event::Persisted { node: at, life, batch });
        }
        Ok(())
    }

    /// What was written up to this batch becomes safe.
    pub(super) fn settle_commits(&mut self, at: usize, up_to: BatchId) -> Result<(), Broken> {
        while let Some(mut commit) = self.nodes[at].disk.next_unsynced(up_to) {
            let disk = &mut self.nodes[at].disk;
            let before = (disk.image().vector().clone(), orders(disk.image(), &commit));
            match (&mut commit.what, self.options.sabotage) {
                (Change::Adopt(vector), Some(Sabotage::SnapshotReplaces)) => disk.image_mut().replace(vector),
                (Change::Keep(rows), Some(Sabotage::DeafRepair)) => {
                    let vector = disk.image().vector();
                    let fresh = |row: &&VerifiedRow| row.receipt().seq > vector.get(&row.receipt().origin);
                    let fresh: Vec<_> = rows.iter().filter(fresh).cloned().collect();
                    disk.image_mut().keep(&fresh);
                }
                _ => disk.apply(&commit)?,
            }
            let disk = &self.nodes[at].disk;
            match &commit.what {
                Change::Append(..) => {}
                Change::Keep(rows) => Checks::mended(at, disk.image(), rows, &before.1)?,
                Change::Adopt(_) => {
                    self.checks.adopted(at, disk.image(), &before.0)?;
                    self.report.snapshots_adopted += 1;
                }
            }
        }
        self.views.disk(at, self.nodes[at].disk.image(), self.checks.is_harmed())
    }

    pub(super) fn persisted(&mut self, at: usize, batch: BatchId) -> Result<(), Broken> {
        self.handle(at, Input::Persisted { batch })?;
        let unsigned = self.nodes[at].run.as_ref().map_or(0, |run| run.replica.unsigned_rows());
        Checks::watched(at, unsigned, self.waiting.values())?;
        for submission in self.waiting.values_mut().filter(|s| s.node == at && s.batch <= batch) {
            submission.durable_at.get_or_insert(self.now);
        }
        Ok(())
    }
}

/// The lowest receipts of what is to be kept, as far as it is there.
fn orders(image: &Image, commit: &Commit) -> BTreeMap<RecordId, Order> {
    let Change::Keep(rows) = &commit.what else { return BTreeMap::new() };
    let ids = rows.iter().map(|row| row.record().id());
    ids.filter_map(|id| Some((id, image.get(&id)?.receipt().order()))).collect()
}
