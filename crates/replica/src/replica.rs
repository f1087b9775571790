//! The state machine of one tracker's log.
//!
//! Rows go one way: *staged* (numbered, on their way to the disk), *durable*, and only then applied,
//! acknowledged and passed on. Own rows are signed on their way to the disk, all that wait for it together. Two vectors
//! say where the first two steps stand. Everything that waits (submissions, answers to pushes) waits for a vector to be
//! covered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Origin, Receipt, Record};
use peerage_types::{RecordId, Stamp, Time};

use crate::compare::Compare;
use crate::exchange::Place;
use crate::hlc::Hlc;
use crate::io::{
    BatchId, Config, ExchangeId, Input, Limits, Output, PeerId, PeerReport, ReplyId, Status, Ticket, Twin,
};
use crate::log::{Alarms, Recent, Tail};
use crate::peer::Peer;
use crate::row::VerifiedRow;
use crate::snapshot::Snapshot;
use crate::vector::Vector;

mod exchanges;
mod neighbours;

/// One tracker's part of the replication. Driven by a shell that owns the disk and the network.
///
/// Invariants: `staged` covers `durable`; per origin every number from 1 to `staged` was seen; a submission is
/// answered only when `durable` covers it; nothing is counted as durable elsewhere before the other tracker said
/// so.
pub struct Replica {
    origin: Origin,
    signing_key: SigningKey,
    limits: Limits,
    clock: Hlc,
    durable: Vector,
    staged: Vector,
    /// The last own rows that are staged: they have their numbers, and get their signature when the disk can take them.
    accepted: VecDeque<Accepted>,
    batches: VecDeque<(BatchId, Batch)>,
    batch_last: BatchId,
    peers: BTreeMap<PeerId, Peer>,
    waiting: BTreeMap<Ticket, Waiting>,
    deadlines: BTreeSet<(Time, Ticket)>,
    replies: BTreeMap<ReplyId, Vector>,
    /// Places that stand for another record elsewhere, each with where that one gets its own; until it is there on the
    /// disk. Not more than `recent` knows.
    unplaced: BTreeMap<(Origin, u64), Vector>,
    tail: Tail,
    recent: Recent,
    compare: Compare,
    snapshot: Option<Snapshot>,
    exchange_last: ExchangeId,
    alarms: Alarms,
    outputs: VecDeque<Output>,
    /// Something changed on which answers may depend.
    unsettled: bool,
    /// Of the last input.
    now: Time,
    /// The disk took long for the last commit of own rows.
    slow: bool,
    /// Nothing waits for the disk to have less to do any more.
    stopping: bool,
}

/// What is on its way to the disk.
#[derive(Debug)]
enum Batch {
    /// Own rows, the numbers with which a bundle ends, and when the disk got them.
    Own(Vec<VerifiedRow>, BTreeSet<u64>, Time),
    /// Rows that continue other origins.
    Append(Vec<VerifiedRow>),
    /// Rows wherever they stand.
    Keep(Vec<VerifiedRow>),
    /// A vector whose records have been kept.
    Adopt(Vector),
}

/// An own row without its signature.
#[derive(Debug)]
struct Accepted {
    stamp: Stamp,
    record: Arc<Record>,
    /// A bundle ends with it.
    ends: bool,
}

/// A submission without an answer.
#[derive(Debug)]
struct Waiting {
    needs: Vector,
    stamp: Stamp,
    /// Set once it is on the own disk: others get no longer than this.
    deadline: Option<Time>,
    durable_on: BTreeSet<PeerId>,
}

/// What became of rows from another tracker.
struct Taken {
    /// Covered once all of them that are not behind a gap are on the disk.
    needs: Vector,
    gap: bool,
    fresh: bool,
}

impl Batch {
    fn rows(&self) -> usize {
        match self {
            Self::Own(rows, ..) | Self::Append(rows) | Self::Keep(rows) => rows.len(),
            Self::Adopt(_) => 0,
        }
    }
}

impl Replica {
    /// Starts from what the disk holds; asks every other tracker at once.
    pub fn new(config: Config, now: Time) -> Self {
        let Config { tracker, incarnation, peers, signing_key, vector, last_stamp, limits } = config;
        let origin = Origin { tracker, incarnation };
        let compare_first = limits.compare_first;
        let mut replica = Self {
            origin,
            signing_key,
            limits,
            clock: Hlc::new(last_stamp),
            staged: vector.clone(),
            durable: vector,
            accepted: VecDeque::new(),
            batches: VecDeque::new(),
            batch_last: BatchId(0),
            peers: peers.into_iter().map(|peer| (peer, Peer::new(now))).collect(),
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            replies: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            tail: Tail::default(),
            recent: Recent::default(),
            compare: exchanges::first_comparison(now, compare_first),
            snapshot: None,
            exchange_last: ExchangeId(0),
            alarms: Alarms::default(),
            outputs: VecDeque::new(),
            unsettled: false,
            now,
            slow: false,
            stopping: false,
        };
        assert_eq!(replica.durable.get(&origin), 0, "the incarnation {incarnation} was used before");
        // A new replica has nothing to compare or to keep: the wall clock does not matter.
        replica.advance(now, 0);
        replica
    }

    /// Takes one input. Never blocks. Call [`Self::poll`] until `WakeAt` some time afterwards.
    ///
    /// `now` is monotonic; `unix_ms` is the wall clock in milliseconds since the Unix epoch and may jump.
    pub fn handle(&mut self, now: Time, unix_ms: u64, input: Input) {
        self.now = now;
        match input {
            Input::Submit { ticket, records, known } => self.submit(unix_ms, ticket, records, &known),
            Input::PeerAdded { peer } => self.peer_added(now, peer),
            Input::PeerRemoved { peer } => self.peer_removed(peer),
            Input::Persisted { batch } => self.persisted(now, batch),
            Input::TwinsKept { twins } => self.twins_kept(unix_ms, twins),
            Input::PushReceived { from, rows, reply } => self.push_received(now, unix_ms, from, rows, reply),
            Input::PushAcked { peer, batch, vector } => self.push_acked(now, peer, batch, vector),
            Input::PushFailed { peer, batch } => self.push_failed(peer, batch),
            Input::PullReceived { from, vector, reply } => self.pull_received(from, vector, reply),
            Input::PullAnswered { peer, rows, more, snapshot, vector, unix_ms: theirs_ms } => {
                self.clock_compared(now, peer, unix_ms, theirs_ms);
                self.pull_answered(now, unix_ms, peer, rows, more, vector);
                self.consider_snapshot(now, peer, snapshot);
            }
            Input::PullFailed { peer } => self.pull_failed(now, peer),
            Input::RowsLoaded { reply, rows, more, snapshot } => {
                let vector = self.shown();
                self.outputs.push_back(Output::PullReply { reply, rows, more, snapshot, vector });
            }
            Input::PullNow => self.peers.values_mut().for_each(|peer| peer.pull_now(now)),
            Input::CompareNow { ticket, damaged } => self.compare_now(now, ticket, damaged),
            Input::Looked { exchange, told } => self.looked(exchange, told),
            Input::Scrubbed { exchange, found } => self.scrubbed(exchange, found),
            Input::Told { peer, exchange, told } => self.told(now, unix_ms, peer, exchange, told),
            Input::Stopping => self.stopping = true,
            Input::Timeout => {}
        }
        self.advance(now, unix_ms);
    }

    /// The next thing to do. Drain until [`Output::WakeAt`]: inputs between two drains share commits and signatures.
    pub fn poll(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.commit();
        }
        self.outputs.pop_front().unwrap_or_else(|| Output::WakeAt(self.wake_at()))
    }

    /// What the own disk holds.
    pub fn vector(&self) -> &Vector {
        &self.durable
    }

    /// Own rows that have their numbers and wait to be signed, because the disk has enough to do.
    pub fn unsigned_rows(&self) -> usize {
        self.accepted.len()
    }

    /// This run of this tracker.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// A reading of the own clock that is not given to a record.
    pub fn last_stamp(&self) -> Stamp {
        self.clock.last()
    }

    /// For logs, metrics and people.
    pub fn status(&self) -> Status {
        let peers = self.peers.iter().map(|(peer, state)| PeerReport {
            peer: *peer,
            suspected: state.suspected,
            lacks_rows: self.durable.rows_beyond(&state.vector),
            ahead_rows: state.vector.rows_beyond(&self.durable),
            skew_ms: state.skew_ms,
        });
        Status {
            origin: self.origin,
            staged_rows: self.accepted.len()
                + self.batches.iter().map(|(_, batch)| batch.rows()).sum::<usize>(),
            waiting: self.waiting.len(),
            peers: peers.collect(),
            equivocations: self.alarms.count(),
            snapshot_from: self.snapshot.as_ref().map(|snapshot| snapshot.peer),
        }
    }

    fn peer_added(&mut self, now: Time, peer: PeerId) {
        self.peers.entry(peer).or_insert_with(|| Peer::new(now));
    }

    /// What it acknowledged is still true, but it is not one of `of` any more.
    fn peer_removed(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.exchange_without(peer);
        for waiting in self.waiting.values_mut() {
            waiting.durable_on.remove(&peer);
        }
        self.unsettled = true;
    }

    fn submit(&mut self, unix_ms: u64, ticket: Ticket, records: Vec<Arc<Record>>, known: &[Receipt]) {
        let mut needs = Vector::new();
        let mut stamp = Stamp::default();
        for receipt in known {
            needs.raise(receipt.origin, receipt.seq);
            stamp = stamp.max(receipt.stamp);
        }
        let mut fresh = 0;
        for record in records {
            // The store may not know yet what was staged a moment ago.
            let place = self.recent.place_of(&record.id()).unwrap_or_else(|| {
                fresh += 1;
                self.accept_own(record, unix_ms)
            });
            needs.raise(place.origin, place.seq);
            stamp = stamp.max(place.stamp);
        }
        self.accepted.iter_mut().rev().take(fresh).skip(1).for_each(|row| row.ends = false);
        // What waits for the disk is looked at when the disk has something.
        self.unsettled |= self.durable.covers(&needs);
        let waiting = Waiting { needs, stamp, deadline: None, durable_on: BTreeSet::new() };
        self.waiting.insert(ticket, waiting);
    }

    /// Stages a record as the next row of the own log, and a bundle of its own.
    fn accept_own(&mut self, record: Arc<Record>, unix_ms: u64) -> Place {
        let seq = self.staged.get(&self.origin) + 1;
        let stamp = self.clock.now(unix_ms);
        let place = Place { origin: self.origin, seq, stamp, ahead: false };
        self.staged.raise(self.origin, seq);
        self.recent.insert(record.id(), place, self.limits.recent_rows_max);
        self.accepted.push_back(Accepted { stamp, record, ends: true });
        place
    }

    /// Signs what waits and hands it to the disk, unless that has enough to do: more comes together until then.
    fn commit(&mut self) {
        let own = |(_, batch): &&(BatchId, Batch)| matches!(batch, Batch::Own(..));
        let mut under_way = self.batches.iter().filter(own).count();
        let most = if self.stopping { usize::MAX } else { self.limits.commits_under_way_max };
        while !self.accepted.is_empty() && under_way < most {
            let rows_max = match self.slow {
                true => self.limits.commit_rows_max_slow,
                false => self.limits.commit_rows_max,
            };
            let full = |(index, row): (usize, &Accepted)| row.ends && index + 1 >= rows_max;
            let last = self.accepted.iter().enumerate().position(full);
            let count = last.map_or(self.accepted.len(), |last| last + 1);
            let first = self.staged.get(&self.origin) + 1 - self.accepted.len() as u64;
            let ends = self.accepted.iter().take(count).zip(first..).filter(|(row, _)| row.ends);
            let ends = ends.map(|(_, seq)| seq).collect();
            let accepted = self.accepted.drain(..count).map(|row| (row.stamp, row.record));
            let rows = VerifiedRow::accept(accepted, self.origin, first, &self.signing_key);
            self.write(rows.clone(), Batch::Own(rows, ends, self.now));
            under_way += 1;
        }
    }

    fn persist(&mut self, rows: Vec<VerifiedRow>) {
        if !rows.is_empty() {
            self.write(rows.clone(), Batch::Append(rows));
        }
    }

    fn write(&mut self, rows: Vec<VerifiedRow>, as_batch: Batch) {
        let batch = self.next_batch();
        self.batches.push_back((batch, as_batch));
        self.outputs.push_back(Output::Persist { batch, rows, last_stamp: self.clock.last() });
    }

    fn next_batch(&mut self) -> BatchId {
        self.batch_last.0 += 1;
        self.batch_last
    }

    fn persisted(&mut self, now: Time, batch: BatchId) {
        let (mut applied, mut any) = (Vec::new(), false);
        while let Some((_, done)) = self.batches.pop_front_if(|(first, _)| *first <= batch) {
            any = true;
            let (rows, ends) = match done {
                Batch::Own(rows, ends, since) => {
                    self.slow = since.after(self.limits.commit_quick) < now;
                    (rows, ends)
                }
                Batch::Append(rows) => (rows, BTreeSet::new()),
                Batch::Keep(rows) => {
                    applied.extend(rows);
                    continue;
                }
                Batch::Adopt(vector) => {
                    self.durable.merge(&vector);
                    continue;
                }
            };
            for row in &rows {
                let Receipt { origin, seq, .. } = *row.receipt();
                assert_eq!(self.durable.get(&origin) + 1, seq, "persisted with a gap in {origin:?}");
                self.durable.raise(origin, seq);
                if origin == self.origin {
                    let (rows_max, bytes_max) = (self.limits.tail_rows_max, self.limits.tail_bytes_max);
                    self.tail.push(row.row(), ends.contains(&seq), rows_max, bytes_max);
                }
            }
            applied.extend(rows);
        }
        if any {
            self.unsettled = true;
            let durable = &self.durable;
            self.unplaced.retain(|_, needs| !durable.covers(needs));
            self.outputs.push_back(Output::Applied { rows: applied });
        }
        self.exchange_persisted(now, batch);
    }

    /// What others are told that the own disk holds. Not the place of a twin before both records are there: whoever has the
    /// other one there would take it for this one's, count it, and never push it again.
    fn shown(&self) -> Vector {
        self.durable.short_of(self.unplaced.keys())
    }

    /// Stages what continues an origin; looks at what is known already; leaves what is behind a gap.
    fn take(&mut self, unix_ms: u64, rows: Vec<VerifiedRow>) -> Taken {
        let mut taken = Taken { needs: Vector::new(), gap: false, fresh: false };
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            let Receipt { origin, seq, stamp, .. } = *row.receipt();
            let reached = self.staged.get(&origin);
            if seq <= reached || origin == self.origin {
                taken.needs.raise(origin, seq.min(reached));
                if let Some((place, fresh)) = self.keep_twin(&row, unix_ms) {
                    // It is as good as here once its own place is on the disk.
                    taken.needs.raise(place.origin, place.seq);
                    taken.fresh |= fresh;
                    if seq <= reached && self.durable.get(&place.origin) < place.seq {
                        self.unplaced.entry((origin, seq)).or_default().raise(place.origin, place.seq);
                    }
                }
            } else if seq == reached + 1 {
                self.clock.observe(stamp, unix_ms);
                self.staged.raise(origin, seq);
                let place = Place::of(row.receipt());
                self.recent.insert(row.receipt().record, place, self.limits.recent_rows_max);
                taken.needs.raise(origin, seq);
                fresh.push(row);
            } else {
                taken.gap = true;
            }
        }
        taken.fresh |= !fresh.is_empty();
        self.persist(fresh);
        taken
    }

    /// If the row's number stands for another record here, or for this one at another time, raises the alarm and takes
    /// the record into the own log, so that every tracker ends up with both. Looks no further back than the rows seen
    /// lately. Tells where the record stands then, and whether it was taken just now.
    fn keep_twin(&mut self, row: &VerifiedRow, unix_ms: u64) -> Option<(Place, bool)> {
        let Receipt { origin, seq, stamp, record, .. } = *row.receipt();
        let ours = self.recent.at(origin, seq);
        let foreign = origin == self.origin && seq > self.staged.get(&origin);
        if !(foreign || ours.is_some_and(|ours| ours != (record, stamp))) {
            return None;
        }
        Some(self.take_twin(ours.map(|(id, _)| id), row, unix_ms))
    }

    /// As [`Self::keep_twin`], for what only the disk could see.
    fn twins_kept(&mut self, unix_ms: u64, twins: Vec<Twin>) {
        for Twin { ours, row, placed } in twins {
            if placed {
                self.tell_of_twin(Some(ours), row.receipt());
            } else {
                self.take_twin(Some(ours), &row, unix_ms);
            }
        }
    }

    /// The same twin comes again as long as its own place is not on the disk, and from every tracker that has it.
    fn take_twin(&mut self, ours: Option<RecordId>, row: &VerifiedRow, unix_ms: u64) -> (Place, bool) {
        let Receipt { origin, seq, record, .. } = *row.receipt();
        self.tell_of_twin(ours, row.receipt());
        // The place about which the two differ is none: what came in its turn may turn out to be a twin on the disk.
        let contested = |place: &Place| (place.origin, place.seq) == (origin, seq) && ours != Some(record);
        match self.recent.place_of(&record).filter(|place| !contested(place)) {
            Some(place) => (place, false),
            None => {
                self.recent.forget_place_of(&record);
                (self.accept_own(Arc::clone(row.record()), unix_ms), true)
            }
        }
    }

    fn tell_of_twin(&mut self, ours: Option<RecordId>, theirs: &Receipt) {
        let Receipt { origin, seq, record, .. } = *theirs;
        if self.alarms.is_new(origin, seq, record, self.limits.alarms_max) {
            self.outputs.push_back(Output::Equivocation { origin, seq, ids: (ours, record) });
        }
    }

    /// Everything that follows from the new state and the time.
    fn advance(&mut self, now: Time, unix_ms: u64) {
        self.expire(now);
        self.expire_exchanges(now);
        self.start_pushes(now);
        if self.unsettled || self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            self.unsettled = false;
            self.answer_pushes();
            self.answer_submissions(now);
        }
        self.start_pulls(now);
        self.drive_comparison(now, unix_ms);
    }

    fn expire(&mut self, now: Time) {
        let mut late = Vec::new();
        for (id, peer) in &mut self.peers {
            let push_late = peer.push.take_if(|push| push.deadline <= now).is_some();
            let pull_late = peer.pull.take_if(|deadline| *deadline <= now).is_some();
            if pull_late {
                peer.pull_again = false;
                peer.pull_at = now.after(self.limits.pull_interval);
            }
            if push_late || pull_late {
                late.push(*id);
            }
        }
        for id in late {
            self.suspect(id);
        }
    }

    fn answer_submissions(&mut self, now: Time) {
        let Self { waiting, durable, peers, deadlines, limits, .. } = self;
        let of = 1 + peers.len() as u32;
        let answered = waiting.extract_if(.., |ticket, waiting| {
            if !durable.covers(&waiting.needs) {
                return false;
            }
            let deadline = *waiting.deadline.get_or_insert_with(|| {
                let deadline = now.after(limits.push_timeout);
                deadlines.insert((deadline, *ticket));
                deadline
            });
            let holders = peers.iter().filter(|(_, peer)| peer.vector.covers(&waiting.needs));
            waiting.durable_on.extend(holders.map(|(id, _)| *id));
            let settled = |(id, peer): (&PeerId, &Peer)| {
                peer.suspected || peer.lagging || waiting.durable_on.contains(id)
            };
            let done = deadline <= now || peers.iter().all(settled);
            if done {
                deadlines.remove(&(deadline, *ticket));
            }
            done
        });
        for (ticket, Waiting { needs: places, stamp, durable_on, .. }) in answered.collect::<Vec<_>>() {
            let durable_on = 1 + durable_on.len() as u32;
            self.outputs.push_back(Output::Answer { ticket, stamp, durable_on, of, places });
        }
    }

    fn wake_at(&self) -> Option<Time> {
        let reached = self.durable.get(&self.origin);
        let of_peers = self.peers.values().flat_map(|peer| {
            let push_due = !peer.suspected && peer.push.is_none() && peer.vector.get(&self.origin) < reached;
            let push = peer.push.map(|push| push.deadline).or(push_due.then_some(peer.push_not_before));
            let pull_due = self.snapshot.is_none().then_some(peer.pull_at);
            [push, peer.pull.or(pull_due)]
        });
        of_peers
            .flatten()
            .chain(self.exchange_wake_at())
            .chain(self.deadlines.first().map(|(at, _)| *at))
            .min()
    }
}
