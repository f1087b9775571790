//! What must hold of logs, disks and answers, remembered for the whole run.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{Origin, Receipt};
use peerage_replica::{Vector, VerifiedRow};
use peerage_types::{RecordId, Stamp, Time};

use super::disk::Commit;
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
    places: BTreeMap<(Origin, u64), RecordId>,
    /// Trackers that ever had a record on disk.
    ever: BTreeMap<RecordId, BTreeSet<usize>>,
    /// Disks that held a record when it was acknowledged.
    acknowledged: BTreeMap<RecordId, BTreeSet<Holder>>,
}

impl Checks {
    /// Rows are about to go on a tracker's disk.
    pub(crate) fn before_write(
        &mut self,
        at: usize,
        node: &Node,
        rows: &[VerifiedRow],
    ) -> Result<(), Broken> {
        let mut own_stamp: Stamp = node.disk.image().own_stamp_max();
        for row in rows {
            let Receipt { origin, seq, record, stamp, .. } = *row.receipt();
            let known = *self.places.entry((origin, seq)).or_insert(record);
            if known != record {
                return Rule::Log.broken(format!(
                    "tracker {at}: row {seq} of {origin:?} is {known:?} elsewhere, {record:?} here"
                ));
            }
            let current = node.run.as_ref().is_some_and(|run| run.replica.origin() == origin);
            if current && stamp <= own_stamp && !node.disk.restored {
                return Rule::Log.broken(format!("tracker {at}: stamp {stamp:?} after {own_stamp:?}"));
            }
            own_stamp = if current { stamp } else { own_stamp };
            self.ever.entry(record).or_default().insert(at);
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
        if !safe(&nodes[at], &ids) {
            return Rule::Durability.broken(format!("tracker {at} answered before {ids:?} was durable"));
        }
        let holds = |at: usize, node: &Node| {
            let had = || ids.iter().all(|id| self.ever.get(id).is_some_and(|all| all.contains(&at)));
            safe(node, &ids) || (node.disk.generation > 0 && had())
        };
        let on = nodes.iter().enumerate().filter(|(at, node)| holds(*at, node)).count();
        if (durable_on as usize) > on {
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
        for row in lost.iter().flat_map(|commit| &commit.rows) {
            let id = row.record().id();
            let promised = self.acknowledged.get(&id).is_some_and(|holders| holders.contains(&holder));
            if promised && node.disk.image().get(&id).is_none() {
                return Rule::Durability
                    .broken(format!("a power cut took acknowledged {id:?} from tracker {at}"));
            }
        }
        Ok(())
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

    /// The end: everybody has everything.
    pub(crate) fn converged(nodes: &[Node]) -> bool {
        let [first, others @ ..] = nodes else { return true };
        let settled = |node: &Node| node.disk.idle() && node.vector() == Some(node.disk.image().vector());
        let quick = |node: &Node| node.disk.image().root() == first.disk.image().root();
        nodes.iter().all(settled)
            && others.iter().all(quick)
            && others.iter().all(|node| node.disk.image().equals(first.disk.image()))
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
            if let Some(at) = nodes.iter().position(lacks) {
                return Rule::Durability
                    .broken(format!("{id:?} was acknowledged and is missing on tracker {at}"));
            }
        }
        Ok(())
    }
}
