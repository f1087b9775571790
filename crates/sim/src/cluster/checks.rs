//! What must hold of logs, disks and answers, remembered for the whole run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_ledger::{Order, Origin, Receipt, Record};
use peerage_replica::{BatchId, LogRow, Vector, VerifiedRow};
use peerage_types::{RecordId, Stamp, Time};

use super::disk::{Change, Commit};
use super::image::Image;
use super::node::Node;
use super::submission::Submission;
use super::{Broken, Rule};

/// How long a running replica may take for an answer once its own disk is done: the deadline for others, and what
/// the simulated shell adds.
const ANSWER_MS_MAX: u64 = 1_000 + 500;

/// A disk that acknowledged something: tracker, and how often its disk had been lost before.
type Holder = (usize, u64);

/// Remembers what was promised.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    places: BTreeMap<(Origin, u64), (RecordId, Stamp)>,
    /// All places of each record, on whichever disk.
    placed: BTreeMap<RecordId, BTreeSet<(Origin, u64)>>,
    /// Trackers that ever had a record on disk.
    ever: BTreeMap<RecordId, BTreeSet<usize>>,
    /// Disks that held a record when it was acknowledged.
    acknowledged: BTreeMap<RecordId, BTreeSet<Holder>>,
    /// Records that were harmed on any disk: where these are missing, somebody may have taken them over so.
    harmed: BTreeSet<RecordId>,
}

impl Checks {
    /// Rows are about to go on a tracker's disk.
    pub(crate) fn before_write(&mut self, at: usize, node: &Node, commit: &Commit) -> Result<(), Broken> {
        let appends = matches!(commit.what, Change::Append(..));
        let mut own_stamp: Stamp = node.disk.image().own_stamp_max();
        for row in commit.rows() {
            let Receipt { origin, seq, record, stamp, .. } = *row.receipt();
            let (known, _) = *self.places.entry((origin, seq)).or_insert((record, stamp));
            if known != record {
                return Rule::Log.broken(format!(
                    "tracker {at}: row {seq} of {origin:?} is {known:?} elsewhere, {record:?} here"
                ));
            }
            self.placed.entry(record).or_default().insert((origin, seq));
            let current = appends && node.run.as_ref().is_some_and(|run| run.replica.origin() == origin);
            if current && stamp <= own_stamp && !node.disk.restored {
                return Rule::Log.broken(format!("tracker {at}: stamp {stamp:?} after {own_stamp:?}"));
            }
            own_stamp = if current { stamp } else { own_stamp };
            self.ever.entry(record).or_default().insert(at);
        }
        Ok(())
    }

    /// A tracker is about to give these records places in its log: it has no place of theirs there that it reached.
    /// Otherwise whoever sends one record again and again makes logs grow.
    pub(crate) fn admitted(&self, at: usize, node: &Node, new: &[Arc<Record>]) -> Result<(), Broken> {
        let (Some(vector), image) = (node.vector(), node.disk.image()) else { return Ok(()) };
        for id in new.iter().map(|record| record.id()).filter(|id| !self.harmed.contains(id)) {
            let mut places = self.placed.get(&id).into_iter().flatten();
            let reached = |(origin, seq): &&(Origin, u64)| {
                vector.get(origin) >= *seq && image.has_place(origin, *seq, &id)
            };
            if let Some(place) = places.find(reached) {
                return Rule::Log.broken(format!(
                    "tracker {at} gives {id:?} one more place, its log has it at {place:?}"
                ));
            }
        }
        Ok(())
    }

    /// A tracker answers that these records are on `durable_on` disks. A disk lost since counts: the others cannot
    /// know yet.
    pub(crate) fn answered(
        &mut self,
        nodes: &[Node],
        submission: &Submission,
        durable_on: u32,
        trusting: bool,
    ) -> Result<(), Broken> {
        // What a disk reported as safe: with disks that lie, what was written.
        let safe = |node: &Node, ids: &[RecordId]| match trusting {
            true => node.disk.written_has_all(ids),
            false => ids.iter().all(|id| node.disk.image().get(id).is_some()),
        };
        let (at, ids) = (submission.node, submission.ids());
        // Who was harmed does not know yet, nor who took a snapshot of it: what they claim may be less.
        let harmed = ids.iter().any(|id| self.harmed.contains(id));
        if !safe(&nodes[at], &ids) && !harmed {
            return Rule::Durability.broken(format!("tracker {at} answered before {ids:?} was durable"));
        }
        let holds = |at: usize, node: &Node| {
            let had = || ids.iter().all(|id| self.ever.get(id).is_some_and(|all| all.contains(&at)));
            safe(node, &ids) || (node.disk.generation > 0 && had())
        };
        let on = nodes.iter().enumerate().filter(|(at, node)| holds(*at, node)).count();
        if (durable_on as usize) > on && !harmed {
            return Rule::Durability.broken(format!(
                "tracker {at} answered that {ids:?} is durable on {durable_on}, it is on {on}"
            ));
        }
        let now = nodes.iter().enumerate().filter(|(_, node)| safe(node, &ids));
        let holders: Vec<Holder> = now.map(|(at, node)| (at, node.disk.generation)).collect();
        for id in ids {
            self.acknowledged.entry(id).or_default().extend(&holders);
        }
        Ok(())
    }

    /// A power cut took these batches: a disk that lives has to have what it acknowledged.
    pub(crate) fn dropped(&self, at: usize, node: &Node, lost: &[Commit]) -> Result<(), Broken> {
        let holder = (at, node.disk.generation);
        for row in lost.iter().flat_map(Commit::rows) {
            let id = row.record().id();
            let promised = self.acknowledged.get(&id).is_some_and(|holders| holders.contains(&holder));
            if promised && node.disk.image().get(&id).is_none() {
                return Rule::Durability
                    .broken(format!("a power cut took acknowledged {id:?} from tracker {at}"));
            }
        }
        Ok(())
    }

    /// A tracker ends in good order: whatever has a number, among that all that somebody waits for, is signed and on its disk.
    pub(crate) fn stopped<'a>(
        &self,
        at: usize,
        node: &Node,
        waiting: impl IntoIterator<Item = &'a Submission>,
    ) -> Result<(), Broken> {
        let unsigned = node.run.as_ref().map_or(0, |run| run.replica.unsigned_rows());
        if unsigned > 0 {
            return Rule::Durability.broken(format!("tracker {at} ends and leaves {unsigned} rows unsigned"));
        }
        let lost = |id: &RecordId| !self.harmed.contains(id) && node.disk.image().get(id).is_none();
        let mut ids = waiting.into_iter().filter(|s| s.node == at).flat_map(Submission::ids);
        match ids.find(lost) {
            None => Ok(()),
            Some(id) => Rule::Durability.broken(format!("tracker {at} ends and leaves {id:?} unwritten")),
        }
    }

    /// An older copy took the disk's place: what is on it goes on being held.
    pub(crate) fn restored(&mut self, at: usize, node: &Node) {
        let now = (at, node.disk.generation);
        for (id, holders) in &mut self.acknowledged {
            let before = holders.iter().any(|(tracker, generation)| *tracker == at && *generation < now.1);
            if before && node.disk.image().get(id).is_some() {
                holders.insert(now);
            }
        }
    }

    /// A tracker claims to have this on disk.
    pub(crate) fn claimed(at: usize, node: &Node, vector: &Vector, trusting: bool) -> Result<(), Broken> {
        let disk = node.disk.image().vector();
        match trusting || disk.covers(vector) {
            true => Ok(()),
            false => {
                Rule::Durability.broken(format!("tracker {at} claims {vector:?}, its disk holds {disk:?}"))
            }
        }
    }

    pub(crate) fn applied(
        at: usize,
        node: &Node,
        rows: &[VerifiedRow],
        trusting: bool,
    ) -> Result<(), Broken> {
        match rows.iter().find(|row| !trusting && !node.disk.image().has_row(row.receipt())) {
            None => Ok(()),
            Some(row) => Rule::Durability
                .broken(format!("tracker {at} applied {:?} before it was durable", row.receipt())),
        }
    }

    /// Nobody waits longer than the rule allows.
    pub(crate) fn prompt<'a>(
        now: Time,
        waiting: impl IntoIterator<Item = &'a Submission>,
    ) -> Result<(), Broken> {
        let late = |s: &&Submission| s.durable_at.is_some_and(|at| now.0 > at.0 + ANSWER_MS_MAX);
        match waiting.into_iter().find(late) {
            None => Ok(()),
            Some(s) => Rule::Liveness
                .broken(format!("tracker {} has not answered what it has since {:?}", s.node, s.durable_at)),
        }
    }

    /// Whoever waits at a tracker that has given everything to its disk waits for something there: else nobody would notice
    /// that no answer comes.
    pub(crate) fn watched<'a>(
        at: usize,
        unsigned_rows: usize,
        waiting: impl IntoIterator<Item = &'a Submission>,
    ) -> Result<(), Broken> {
        let lost = |s: &&Submission| s.node == at && s.batch == BatchId(u64::MAX);
        match waiting.into_iter().find(lost).filter(|_| unsigned_rows == 0) {
            None => Ok(()),
            Some(s) => Rule::Liveness.broken(format!("{:?} at tracker {at} waits for no batch", s.sender)),
        }
    }

    /// The end: everybody has everything.
    pub(crate) fn converged(nodes: &[Node]) -> bool {
        let mut nodes = nodes.iter().filter(|node| !node.retired);
        let Some(first) = nodes.next() else { return true };
        let settled = |node: &Node| node.disk.idle() && node.vector() == Some(node.disk.image().vector());
        let same = |node: &Node| node.disk.image().vector() == first.disk.image().vector();
        settled(first) && nodes.all(|node| settled(node) && same(node))
    }

    /// Everybody has the same to show, and vouches for nothing else.
    pub(crate) fn equal(nodes: &[Node]) -> Result<(), Broken> {
        let mut members = nodes.iter().enumerate().filter(|(_, node)| !node.retired);
        let Some((first_at, first)) = members.next() else { return Ok(()) };
        let first = first.disk.image();
        if let Some(scope) = first.lie(first.scopes().copied()) {
            return Rule::Repair
                .broken(format!("tracker {first_at} vouches for what is gone from {scope:?}"));
        }
        for (at, node) in members {
            let image = node.disk.image();
            if !image.equals(first) || image.root() != first.root() {
                let (ours, theirs) = (first.root(), image.root());
                return Rule::Repair.broken(format!(
                    "trackers {first_at} and {at} hold different records, with digests {ours:?} and {theirs:?}"
                ));
            }
        }
        Ok(())
    }

    /// A disk was harmed: this record is not held there any more.
    pub(crate) fn harm(&mut self, at: usize, id: RecordId) {
        self.harmed.insert(id);
        if let Some(holders) = self.acknowledged.get_mut(&id) {
            holders.retain(|(holder, _)| *holder != at);
        }
    }

    /// Was anything ever harmed?
    pub(crate) fn is_harmed(&self) -> bool {
        !self.harmed.is_empty()
    }

    /// A snapshot's vector was claimed.
    pub(crate) fn adopted(&self, at: usize, image: &Image, before: &Vector) -> Result<(), Broken> {
        if !image.vector().covers(before) {
            let after = image.vector();
            return Rule::Snapshots.broken(format!("tracker {at} had reached {before:?}, now {after:?}"));
        }
        self.claims_what_it_has(at, image)
    }

    /// Every row up to a tracker's vector is there, or a lower receipt of its record.
    pub(crate) fn claims_what_it_has(&self, at: usize, image: &Image) -> Result<(), Broken> {
        match image.lacks(&self.places, |id| self.harmed.contains(id)) {
            None => Ok(()),
            Some((origin, seq, id)) => Rule::Snapshots.broken(format!(
                "tracker {at} claims {:?} and cannot read {id:?}, row {seq} of {origin:?}",
                image.vector()
            )),
        }
    }

    /// Rows were put where they belong: they can be read, and nothing got worse.
    pub(crate) fn mended(
        at: usize,
        image: &Image,
        rows: &[VerifiedRow],
        before: &BTreeMap<RecordId, Order>,
    ) -> Result<(), Broken> {
        for row in rows {
            let (id, order) = (row.record().id(), row.receipt().order());
            let wanted = before.get(&id).map_or(order, |before| order.min(*before));
            let found = image.get(&id).map(|row| row.receipt().order());
            if found.is_none_or(|found| found > wanted) || !image.has_row(row.receipt()) {
                return Rule::Repair.broken(format!(
                    "tracker {at} was to keep {:?}; its lowest receipt is {found:?} and was {:?}",
                    row.receipt(),
                    before.get(&id)
                ));
            }
        }
        Ok(())
    }

    /// A pull was answered: of each origin what follows there, and nothing was passed over.
    pub(crate) fn served(
        at: usize,
        image: &Image,
        asked: &Vector,
        rows: &[LogRow],
        snapshot: bool,
        claimed: &Vector,
    ) -> Result<(), Broken> {
        let mut reached = asked.clone();
        for LogRow { receipt, .. } in rows {
            let expected = reached.get(&receipt.origin) + 1;
            if receipt.seq != expected {
                return Rule::Snapshots.broken(format!(
                    "tracker {at} answers row {} of {:?} to whoever needs {expected}",
                    receipt.seq, receipt.origin
                ));
            }
            reached.raise(receipt.origin, receipt.seq);
        }
        let silent = |(origin, floor): &(&Origin, u64)| {
            asked.get(origin) < *floor && claimed.get(origin) >= *floor && !snapshot
        };
        match image.floors().find(silent) {
            None => Ok(()),
            Some((origin, floor)) => Rule::Snapshots.broken(format!(
                "tracker {at} does not tell who asks below {floor} of {origin:?} to take a snapshot"
            )),
        }
    }

    /// Does a disk live that acknowledged this record?
    fn promised(&self, nodes: &[Node], id: &RecordId) -> bool {
        let holders = self.acknowledged.get(id).into_iter().flatten();
        holders.into_iter().any(|(at, generation)| nodes[*at].disk.generation == *generation)
    }

    /// The end: nothing is lost of which an acknowledging disk lives.
    pub(crate) fn kept(&self, nodes: &[Node]) -> Result<(), Broken> {
        for id in self.acknowledged.keys().filter(|id| self.promised(nodes, id)) {
            let lacks = |node: &Node| node.disk.image().get(id).is_none();
            if let Some(at) = nodes.iter().position(|node| !node.retired && lacks(node)) {
                return Rule::Durability
                    .broken(format!("{id:?} was acknowledged and is missing on tracker {at}"));
            }
        }
        Ok(())
    }
}
