//! The replica's part in comparisons and snapshots: when they begin, and what comes of their answers.

use std::time::Duration;

use peerage_types::{RecordId, Scope, Time};

use super::{Batch, Replica};
use crate::compare::{self, Step};
use crate::exchange::{Ask, Place, Told};
use crate::io::{BatchId, CompareFault, ExchangeId, Outcome, Output, PeerId, Ticket};
use crate::row::VerifiedRow;
use crate::snapshot::{self, Snapshot};
use crate::vector::Vector;
use crate::walk::Side;

impl Replica {
    /// At once for whom somebody waits. Others must not keep the disk busy for ever about what nobody can mend.
    pub(super) fn compare_now(&mut self, now: Time, ticket: Option<Ticket>, damaged: Vec<RecordId>) {
        let pause = if damaged.is_empty() { self.limits.compare_pause } else { self.limits.mend_pause };
        let not_before = self.compare.ended_at.map_or(now, |ended| ended.after(pause));
        self.compare.damaged.extend(damaged);
        if ticket.is_none() && now < not_before {
            self.compare.next_at = self.compare.next_at.min(not_before);
            return;
        }
        self.compare.waiting.extend(ticket);
        self.compare.asked = true;
    }

    pub(super) fn looked(&mut self, exchange: ExchangeId, told: Option<Told>) {
        if self.compare.pending != Some(compare::Pending::Own(exchange.0)) {
            return;
        }
        self.compare.pending = None;
        // Questions to the own store are never about rows.
        let told = told.and_then(|told| told.try_map(|_| Err::<VerifiedRow, ()>(())).ok());
        if !told.is_some_and(|told| self.compare.told(Side::Ours, told)) {
            self.compare.give_up_all();
        }
    }

    pub(super) fn scrubbed(&mut self, exchange: ExchangeId, found: Option<(Option<Scope>, u64)>) {
        if self.compare.pending != Some(compare::Pending::Own(exchange.0)) {
            return;
        }
        self.compare.pending = None;
        match found {
            Some((next, corrected)) => self.compare.scrubbed(next, corrected),
            None => self.compare.give_up_all(),
        }
    }

    pub(super) fn told(
        &mut self,
        now: Time,
        unix_ms: u64,
        peer: PeerId,
        exchange: ExchangeId,
        told: Option<Told<VerifiedRow>>,
    ) {
        if matches!(&self.snapshot, Some(Snapshot { peer: from, pending: snapshot::Pending::Page(id, _), .. })
            if (*from, *id) == (peer, exchange.0))
        {
            return match told {
                Some(Told::Snapshot { rows, next, vector, run }) => {
                    self.page_arrived(now, unix_ms, rows, next, (run, vector));
                    self.trust(peer);
                }
                _ => self.snapshot_failed(now, peer),
            };
        }
        match self.compare.pending {
            Some(compare::Pending::Peer(id, from, _)) if (id, from) == (exchange.0, peer) => {}
            _ => return,
        }
        self.compare.pending = None;
        let fault = match told {
            None => Some(CompareFault::Unreachable),
            Some(told) => (!self.compare.told(Side::Theirs, told)).then_some(CompareFault::Confused),
        };
        if let Some(fault) = fault {
            self.compare.give_up(fault);
        }
    }

    /// The batch that a comparison or a snapshot waits for is on the disk.
    pub(super) fn exchange_persisted(&mut self, now: Time, batch: BatchId) {
        if matches!(self.compare.pending, Some(compare::Pending::Disk(waits)) if waits <= batch) {
            self.compare.pending = None;
            let alarms = &self.alarms;
            self.compare.kept(|receipt| !alarms.is_twin(receipt.origin, receipt.seq, receipt.record));
        }
        let Some(Snapshot { peer, begun, pending }) = &self.snapshot else { return };
        match *pending {
            snapshot::Pending::Disk(waits, Some(next)) if waits <= batch => {
                let peer = *peer;
                self.ask_page(now, peer, next);
            }
            snapshot::Pending::Disk(waits, None) if waits <= batch => {
                let (_, vector) = begun.clone().unwrap_or_default();
                self.adopt(vector);
            }
            snapshot::Pending::Adopted(waits) if waits <= batch => {
                self.snapshot = None;
                self.peers.values_mut().for_each(|peer| peer.pull_now(now));
            }
            _ => {}
        }
    }

    /// Begins a snapshot if the log alone would take too long to catch up with this tracker, or cannot. `told`: it says
    /// that its log does not hold all that we lack.
    pub(super) fn consider_snapshot(&mut self, now: Time, from: PeerId, told: bool) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        // Another tracker's log may still hold it: who is told twice in a row has waited for that long enough.
        let hopeless = told && std::mem::replace(&mut peer.snapshot_told, told);
        peer.snapshot_told = told;
        let lacks = peer.vector.rows_beyond(&self.durable);
        let empty = self.durable.is_empty();
        let min = if empty { self.limits.snapshot_rows_min_empty } else { self.limits.snapshot_rows_min };
        if self.snapshot.is_some() || !(hopeless || lacks > min) {
            return;
        }
        for peer in self.peers.values_mut() {
            peer.pull_when = None;
            peer.snapshot_told = false;
        }
        self.snapshot =
            Some(Snapshot { peer: from, begun: None, pending: snapshot::Pending::Disk(BatchId(0), None) });
        self.ask_page(now, from, 0);
    }

    fn ask_page(&mut self, now: Time, peer: PeerId, after: u64) {
        let exchange = self.next_exchange();
        let deadline = now.after(self.limits.exchange_timeout);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.pending = snapshot::Pending::Page(exchange.0, deadline);
        }
        self.outputs.push_back(Output::Ask { peer, exchange, ask: Ask::Snapshot(after) });
    }

    fn page_arrived(
        &mut self,
        now: Time,
        unix_ms: u64,
        rows: Vec<VerifiedRow>,
        next: Option<u64>,
        page: (u64, Vector),
    ) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let (run, vector) = snapshot.begun.get_or_insert(page.clone()).clone();
        // Another run may have another disk: what lay behind the last page need not lie there now.
        if run != page.0 {
            return self.snapshot_broken_off(now);
        }
        let batch = (!rows.is_empty()).then(|| self.keep(unix_ms, rows));
        let Some(snapshot) = &mut self.snapshot else { return };
        let peer = snapshot.peer;
        match (batch, next) {
            (Some(batch), next) => snapshot.pending = snapshot::Pending::Disk(batch, next),
            (None, Some(next)) => self.ask_page(now, peer, next),
            (None, None) => self.adopt(vector),
        }
    }

    /// All pages are on the disk: their vector may be claimed. Nobody else knows better how far our own log reaches.
    fn adopt(&mut self, mut vector: Vector) {
        vector.forget(&self.origin);
        let batch = self.next_batch();
        // From now on rows up to there are known ones.
        self.staged.merge(&vector);
        self.batches.push_back((batch, Batch::Adopt(vector.clone())));
        self.outputs.push_back(Output::Adopt { batch, vector });
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.pending = snapshot::Pending::Adopted(batch);
        }
    }

    fn keep(&mut self, unix_ms: u64, rows: Vec<VerifiedRow>) -> BatchId {
        for row in &rows {
            self.clock.observe(row.receipt().stamp, unix_ms);
        }
        let batch = self.next_batch();
        self.batches.push_back((batch, Batch::Keep(rows.clone())));
        self.outputs.push_back(Output::Keep { batch, rows });
        batch
    }

    fn snapshot_failed(&mut self, now: Time, peer: PeerId) {
        self.snapshot_broken_off(now);
        self.suspect(peer);
    }

    /// What was kept so far stays; the next pull that is answered may begin anew, with whomever.
    fn snapshot_broken_off(&mut self, now: Time) {
        self.snapshot = None;
        let at = now.after(self.limits.pull_interval);
        self.peers.values_mut().for_each(|peer| peer.pull_at = peer.pull_at.max(at));
    }

    /// Called for every tracker that leaves the list.
    pub(super) fn exchange_without(&mut self, peer: PeerId) {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.peer == peer)
            && !matches!(self.snapshot, Some(Snapshot { pending: snapshot::Pending::Adopted(_), .. }))
        {
            self.snapshot = None;
        }
        if matches!(self.compare.pending, Some(compare::Pending::Peer(_, from, _)) if from == peer) {
            self.compare.pending = None;
            self.compare.give_up(CompareFault::Removed);
        }
    }

    pub(super) fn expire_exchanges(&mut self, now: Time) {
        if let Some(Snapshot { peer, pending: snapshot::Pending::Page(_, deadline), .. }) = self.snapshot
            && deadline <= now
        {
            self.snapshot_failed(now, peer);
        }
        if let Some(compare::Pending::Peer(_, _, deadline)) = self.compare.pending
            && deadline <= now
        {
            self.compare.pending = None;
            self.compare.give_up(CompareFault::Unreachable);
        }
    }

    pub(super) fn drive_comparison(&mut self, now: Time, unix_ms: u64) {
        let due = self.compare.asked || (self.compare.next_at <= now && !self.peers.is_empty());
        // While a snapshot is being taken the own disk is anything but complete.
        if self.snapshot.is_some() || self.compare.pending.is_some() {
            return;
        }
        if !self.compare.is_running() {
            if !due {
                return;
            }
            self.compare.begin(self.peers.keys().copied());
        }
        // A suspect costs a deadline, and a pull will tell soon enough when it is back.
        if self.compare.peer().is_some_and(|peer| self.peers.get(&peer).is_some_and(|p| p.suspected)) {
            self.compare.give_up(CompareFault::Unreachable);
        }
        let (peers, alarms) = (&self.peers, &self.alarms);
        let theirs = |peer| peers.get(&peer).map(|peer| &peer.vector);
        let contested = |place: &Place| alarms.is_contested(place.origin, place.seq);
        let step = self.compare.step(&self.durable, theirs, contested);
        let Some(step) = step else { return };
        self.take_step(now, unix_ms, step);
    }

    fn take_step(&mut self, now: Time, unix_ms: u64, step: Step) {
        let exchange = self.next_exchange();
        match step {
            Step::Scrub(after) => {
                self.compare.pending = Some(compare::Pending::Own(exchange.0));
                self.outputs.push_back(Output::Scrub { exchange, after });
            }
            Step::Look(ask) => {
                self.compare.pending = Some(compare::Pending::Own(exchange.0));
                self.outputs.push_back(Output::Look { exchange, ask });
            }
            Step::Ask(peer, ask) => {
                let deadline = now.after(self.limits.exchange_timeout);
                self.compare.pending = Some(compare::Pending::Peer(exchange.0, peer, deadline));
                self.outputs.push_back(Output::Ask { peer, exchange, ask });
            }
            Step::Keep(rows) => {
                let batch = self.keep(unix_ms, rows);
                self.compare.pending = Some(compare::Pending::Disk(batch));
            }
            Step::Finished { tickets, corrected, peers } => {
                self.compare.next_at = now.after(self.limits.compare_interval);
                self.compare.ended_at = Some(now);
                for comparison in &peers {
                    if matches!(comparison.outcome, Outcome::Differed { lacks: 1.., .. }) {
                        let exchange = self.next_exchange();
                        let peer = comparison.peer;
                        self.outputs.push_back(Output::Ask { peer, exchange, ask: Ask::Compare });
                    }
                }
                self.outputs.push_back(Output::Compared { tickets, corrected, peers });
                if self.compare.asked {
                    self.drive_comparison(now, unix_ms);
                }
            }
        }
    }

    fn next_exchange(&mut self) -> ExchangeId {
        self.exchange_last.0 += 1;
        self.exchange_last
    }

    /// When a comparison or a snapshot needs to be woken.
    pub(super) fn exchange_wake_at(&self) -> Option<Time> {
        let page = match &self.snapshot {
            Some(Snapshot { pending: snapshot::Pending::Page(_, deadline), .. }) => Some(*deadline),
            _ => None,
        };
        let compare = match self.compare.pending {
            Some(compare::Pending::Peer(_, _, deadline)) => Some(deadline),
            Some(_) => None,
            None if self.snapshot.is_some() || self.peers.is_empty() => None,
            None => Some(self.compare.next_at),
        };
        page.into_iter().chain(compare).min()
    }
}

/// The first comparison.
pub(super) fn first_comparison(now: Time, after: Duration) -> compare::Compare {
    compare::Compare::new(now.after(after))
}
