//! The rules, as far as they need more than one tracker's view.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{Origin, Receipt};
use peerage_replica::{Vector, VerifiedRow};
use peerage_types::{RecordId, Stamp, Time};

use super::client::{Bundle, Submission};
use super::node::Node;

/// A rule that was broken, in words.
pub(crate) type Broken = String;

/// How long a running replica may take for an answer once its disk is done: the deadline for others, and the
/// slowest commit (3 s) that may come first.
const ANSWER_MS_MAX: u64 = 1_000 + 3_000 + 500;

/// What must hold across all disks, remembered for the whole run.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    places: BTreeMap<(Origin, u64), RecordId>,
    /// Trackers that ever had a record on disk.
    ever: BTreeMap<RecordId, BTreeSet<usize>>,
}

impl Checks {
    /// Rows are about to go on a tracker's disk.
    pub(crate) fn before_append(
        &mut self,
        at: usize,
        node: &Node,
        rows: &[VerifiedRow],
    ) -> Result<(), Broken> {
        let mut own_stamp: Stamp = node.disk.own_stamp_max();
        for row in rows {
            let Receipt { origin, seq, record, stamp, .. } = *row.receipt();
            let known = *self.places.entry((origin, seq)).or_insert(record);
            if known != record {
                return Err(format!(
                    "tracker {at}: row {seq} of {origin:?} is {known:?} elsewhere, {record:?} here"
                ));
            }
            let current = node.run.as_ref().is_some_and(|run| run.replica.origin() == origin);
            if current && stamp <= own_stamp {
                return Err(format!("tracker {at}: stamp {stamp:?} after {own_stamp:?}"));
            }
            own_stamp = if current { stamp } else { own_stamp };
            self.ever.entry(record).or_default().insert(at);
        }
        Ok(())
    }

    /// A tracker claims to have this on disk.
    pub(crate) fn claimed(at: usize, node: &Node, vector: &Vector) -> Result<(), Broken> {
        let disk = node.disk.vector();
        match disk.covers(vector) {
            true => Ok(()),
            false => Err(format!("tracker {at} claims {vector:?}, its disk holds {disk:?}")),
        }
    }

    pub(crate) fn applied(at: usize, node: &Node, rows: &[VerifiedRow]) -> Result<(), Broken> {
        match rows.iter().find(|row| !node.disk.has_row(row.receipt())) {
            None => Ok(()),
            Some(row) => Err(format!("tracker {at} applied {:?} before it was durable", row.receipt())),
        }
    }

    /// A tracker answers that a bundle is on `durable_on` disks. A disk lost since counts: the others cannot
    /// know yet.
    pub(crate) fn answered(
        &self,
        nodes: &[Node],
        submission: &Submission,
        bundle: &Bundle,
        durable_on: u32,
    ) -> Result<(), Broken> {
        let ids = bundle.ids();
        let holds = |at: usize, node: &Node| {
            let lost = || ids.iter().all(|id| self.ever.get(id).is_some_and(|at_all| at_all.contains(&at)));
            node.disk.has_all(&ids) || (node.wipes > 0 && lost())
        };
        let on = nodes.iter().enumerate().filter(|(at, node)| holds(*at, node)).count();
        let at = submission.node;
        if !nodes[at].disk.has_all(&ids) {
            return Err(format!("tracker {at} answered bundle {} before it was durable", submission.bundle));
        }
        if (durable_on as usize) > on {
            return Err(format!(
                "tracker {at} answered that bundle {} is durable on {durable_on}, it is on {on}",
                submission.bundle
            ));
        }
        Ok(())
    }

    /// Nobody waits longer than the rule allows.
    pub(crate) fn prompt<'a>(
        now: Time,
        waiting: impl IntoIterator<Item = &'a Submission>,
    ) -> Result<(), Broken> {
        let late = waiting.into_iter().find(|s| now.0 > s.since.0 + ANSWER_MS_MAX);
        match late {
            None => Ok(()),
            Some(s) => Err(format!("tracker {} has not answered since {} ms", s.node, s.since.0)),
        }
    }

    /// The end: everybody has everything.
    pub(crate) fn converged(nodes: &[Node]) -> bool {
        let [first, others @ ..] = nodes else { return true };
        let settled = |node: &Node| node.vector().is_some_and(|vector| *vector == node.disk.vector());
        nodes.iter().all(settled) && others.iter().all(|node| node.disk.equals(&first.disk))
    }

    /// The end: nothing is lost of which an acknowledging disk lives.
    pub(crate) fn kept(nodes: &[Node], bundles: &[Bundle]) -> Result<(), Broken> {
        for (number, bundle) in bundles.iter().enumerate() {
            let lives = bundle.holders.iter().any(|(at, wipes)| nodes[*at].wipes == *wipes);
            let ids = bundle.ids();
            if lives && let Some(at) = nodes.iter().position(|node| !node.disk.has_all(&ids)) {
                return Err(format!("bundle {number} was acknowledged and is missing on tracker {at}"));
            }
        }
        Ok(())
    }
}
