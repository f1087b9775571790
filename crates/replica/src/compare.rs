//! Comparing digests with other trackers, and fetching what the own disk has lost.
//!
//! A round first scrubs the own store (its digests are made true to what can be read), then takes one tracker after the
//! other: roots; where they differ the digests of scopes; where those differ the facts; and the rows that we should have
//! and have not. A row that neither side could have yet, because it is on its way in the log, is no difference: only what
//! lies below the vectors counts, and what no log brings, because an unfinished snapshot left it beyond the vector of
//! whoever has it. Whoever lacks something is told to compare itself with us, and so both end with the union. A place that
//! stands for two records leads each side to another one for ever: it is no difference either once both have both.
//!
//! Driven by the replica, one step at a time; one round at a time.

use std::collections::{BTreeSet, VecDeque};

use peerage_ledger::Receipt;
use peerage_types::{RecordId, Scope, Time};

use crate::digest::Digest;
use crate::exchange::{Ask, Place, ROWS_PAGE_MAX, Told};
use crate::io::{BatchId, CompareFault, Comparison, Outcome, PeerId, Ticket};
use crate::row::VerifiedRow;
use crate::vector::Vector;
use crate::walk::{Next, Side, Walk};

/// What a round wants next.
#[derive(Debug)]
pub(crate) enum Step {
    Scrub(Option<Scope>),
    Look(Ask),
    Ask(PeerId, Ask),
    Keep(Vec<VerifiedRow>),
    /// The round is over.
    Finished {
        tickets: Vec<Ticket>,
        corrected: u64,
        peers: Vec<Comparison>,
    },
}

/// What a round waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// The own store.
    Own(u64),
    Peer(u64, PeerId, Time),
    Disk(BatchId),
}

#[derive(Debug)]
pub(crate) struct Compare {
    /// When the next round begins by itself.
    pub(crate) next_at: Time,
    /// When the last round ended.
    pub(crate) ended_at: Option<Time>,
    /// Who waits for the next round; and trackers that asked for it.
    pub(crate) waiting: Vec<Ticket>,
    pub(crate) asked: bool,
    /// Records that are fetched in the next round, whatever the digests say.
    pub(crate) damaged: BTreeSet<RecordId>,
    pub(crate) pending: Option<Pending>,
    /// The last question: the answer must be of its kind.
    asked_last: Option<Ask>,
    round: Option<Round>,
}

#[derive(Debug)]
struct Round {
    tickets: Vec<Ticket>,
    damaged: BTreeSet<RecordId>,
    /// Where the scrub goes on, while it does.
    scrub: Option<Option<Scope>>,
    corrected: u64,
    queue: VecDeque<PeerId>,
    done: Vec<Comparison>,
    with: Option<With>,
    keep: Option<Vec<VerifiedRow>>,
    /// What is on its way to the disk.
    keeping: Vec<Receipt>,
}

/// The tracker that is compared with now.
#[derive(Debug)]
struct With {
    peer: PeerId,
    ours: Option<Digest>,
    theirs: Option<Digest>,
    scopes: Walk<Scope, Digest>,
    facts: Option<(Scope, Walk<RecordId, Place>)>,
    fetch: Vec<RecordId>,
    repaired: u64,
    lacks: u64,
}

impl Compare {
    pub(crate) fn new(next_at: Time) -> Self {
        Self {
            next_at,
            ended_at: None,
            waiting: Vec::new(),
            asked: false,
            damaged: BTreeSet::new(),
            pending: None,
            asked_last: None,
            round: None,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.round.is_some()
    }

    /// With whom the running round compares now.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.round.as_ref()?.with.as_ref().map(|with| with.peer)
    }

    pub(crate) fn begin(&mut self, peers: impl Iterator<Item = PeerId>) {
        self.asked = false;
        self.round = Some(Round {
            tickets: std::mem::take(&mut self.waiting),
            damaged: std::mem::take(&mut self.damaged),
            scrub: Some(None),
            corrected: 0,
            queue: peers.collect(),
            done: Vec::new(),
            with: None,
            keep: None,
            keeping: Vec::new(),
        });
    }

    /// The tracker of the moment cannot be compared with.
    pub(crate) fn give_up(&mut self, why: CompareFault) {
        if let Some(round) = &mut self.round
            && let Some(With { peer, .. }) = round.with.take()
        {
            round.done.push(Comparison { peer, outcome: Outcome::Failed(why) });
        }
    }

    /// The own store cannot be read: there is nothing to compare.
    pub(crate) fn give_up_all(&mut self) {
        self.give_up(CompareFault::OwnStore);
        if let Some(round) = &mut self.round {
            round.scrub = None;
            let left = round.queue.drain(..);
            let outcome = Outcome::Failed(CompareFault::OwnStore);
            round.done.extend(left.map(|peer| Comparison { peer, outcome }));
        }
    }

    pub(crate) fn scrubbed(&mut self, next: Option<Scope>, corrected: u64) {
        if let Some(round) = &mut self.round {
            round.scrub = next.map(Some);
            round.corrected += corrected;
        }
    }

    /// An answer. False: it does not answer what was asked.
    pub(crate) fn told(&mut self, side: Side, told: Told<VerifiedRow>) -> bool {
        let asked = self.asked_last.take();
        let fits = matches!(
            (&asked, &told),
            (Some(Ask::Root), Told::Root(_))
                | (Some(Ask::Scopes(_)), Told::Scopes(..))
                | (Some(Ask::Facts(..)), Told::Facts(..))
                | (Some(Ask::Rows(_)), Told::Rows(_))
        );
        if !fits {
            return false;
        }
        let Some(round) = &mut self.round else { return true };
        let Some(with) = &mut round.with else { return true };
        match (told, side) {
            (Told::Root(digest), Side::Ours) => with.ours = Some(digest),
            (Told::Root(digest), Side::Theirs) => with.theirs = Some(digest),
            (Told::Scopes(page, more), side) => return with.scopes.page(side, page, more),
            (Told::Facts(page, more), side) => {
                return with.facts.as_mut().is_some_and(|(_, walk)| walk.page(side, page, more));
            }
            (Told::Rows(mut rows), Side::Theirs) => {
                rows.retain(|row| with.fetch.contains(&row.record().id()));
                rows.iter().for_each(|row| _ = round.damaged.remove(&row.record().id()));
                with.fetch.retain(|id| !rows.iter().any(|row| row.record().id() == *id));
                // What it does not have after all is not asked for for ever.
                if rows.is_empty() {
                    with.fetch.clear();
                }
                round.keep = Some(rows).filter(|rows| !rows.is_empty());
            }
            _ => return false,
        }
        true
    }

    /// What was to be kept has been written; `repairs` tells whether a row went to its place.
    pub(crate) fn kept(&mut self, repairs: impl Fn(&Receipt) -> bool) {
        let Some(round) = &mut self.round else { return };
        let repaired = round.keeping.drain(..).filter(|receipt| repairs(receipt)).count() as u64;
        if let Some(with) = &mut round.with {
            with.repaired += repaired;
        }
    }

    /// What to do next; nothing while no round runs. See [`Self::next`].
    pub(crate) fn step<'a>(
        &mut self,
        durable: &Vector,
        theirs: impl Fn(PeerId) -> Option<&'a Vector>,
        contested: impl Fn(&Place) -> bool,
    ) -> Option<Step> {
        let step = self.next(durable, theirs, contested);
        if let Some(Step::Look(ask) | Step::Ask(_, ask)) = &step {
            self.asked_last = Some(ask.clone());
        }
        step
    }

    /// `durable` is what the own disk holds, `theirs` what a tracker said of its own; `contested` places stand for several
    /// records.
    fn next<'a>(
        &mut self,
        durable: &Vector,
        theirs: impl Fn(PeerId) -> Option<&'a Vector>,
        contested: impl Fn(&Place) -> bool,
    ) -> Option<Step> {
        let round = self.round.as_mut()?;
        if let Some(after) = round.scrub {
            return Some(Step::Scrub(after));
        }
        loop {
            if let Some(with) = &mut round.with {
                if let Some(rows) = round.keep.take() {
                    round.keeping = rows.iter().map(|row| row.receipt().clone()).collect();
                    return Some(Step::Keep(rows));
                }
                match theirs(with.peer) {
                    None => {
                        let outcome = Outcome::Failed(CompareFault::Removed);
                        round.done.push(Comparison { peer: with.peer, outcome });
                    }
                    Some(vector) => match with.step(durable, vector, &contested) {
                        Ok(step) => return Some(step),
                        Err(outcome) => round.done.push(Comparison { peer: with.peer, outcome }),
                    },
                }
                round.with = None;
            }
            match round.queue.pop_front() {
                Some(peer) => round.with = Some(With::new(peer, &round.damaged)),
                None => break,
            }
        }
        let Round { tickets, corrected, done: peers, .. } = self.round.take()?;
        Some(Step::Finished { tickets, corrected, peers })
    }
}

impl With {
    fn new(peer: PeerId, damaged: &BTreeSet<RecordId>) -> Self {
        Self {
            peer,
            ours: None,
            theirs: None,
            scopes: Walk::new(),
            facts: None,
            fetch: damaged.iter().copied().collect(),
            repaired: 0,
            lacks: 0,
        }
    }

    /// The next question, or how it ended.
    fn step(
        &mut self,
        durable: &Vector,
        theirs: &Vector,
        contested: &impl Fn(&Place) -> bool,
    ) -> Result<Step, Outcome> {
        let peer = self.peer;
        if self.ours.is_none() && !self.fetch.is_empty() {
            return Ok(Step::Ask(peer, Ask::Rows(self.fetch.clone())));
        }
        match (self.ours, self.theirs) {
            (None, _) => return Ok(Step::Look(Ask::Root)),
            (_, None) => return Ok(Step::Ask(peer, Ask::Root)),
            (ours, theirs) if ours == theirs => return Err(self.outcome()),
            _ => {}
        }
        let put = |side, ask| match side {
            Side::Ours => Step::Look(ask),
            Side::Theirs => Step::Ask(peer, ask),
        };
        loop {
            if self.fetch.len() >= ROWS_PAGE_MAX {
                return Ok(Step::Ask(peer, Ask::Rows(self.fetch.clone())));
            }
            if let Some((scope, walk)) = &mut self.facts {
                match walk.next() {
                    Next::Page(side, after) => return Ok(put(side, Ask::Facts(*scope, after))),
                    Next::Key(id, ours, other) => {
                        // Whoever has the record and has the place for another one gets it no lower.
                        let known = ours.is_some() && other.is_some();
                        let hopeless = |place: &Place| known && contested(place);
                        self.weigh(id, (ours, durable), (other, theirs), hopeless);
                    }
                    Next::End => self.facts = None,
                }
                continue;
            }
            match self.scopes.next() {
                Next::Page(side, after) => return Ok(put(side, Ask::Scopes(after))),
                Next::Key(_, ours, other) if ours == other => {}
                Next::Key(scope, ..) => self.facts = Some((scope, Walk::new())),
                Next::End if !self.fetch.is_empty() => {
                    return Ok(Step::Ask(peer, Ask::Rows(self.fetch.clone())));
                }
                Next::End => return Err(self.outcome()),
            }
        }
    }

    fn outcome(&self) -> Outcome {
        match (self.repaired, self.lacks) {
            (0, 0) => Outcome::Equal,
            (repaired, lacks) => Outcome::Differed { repaired, lacks },
        }
    }

    /// Each side with its place of the record and with what its disk holds.
    fn weigh(
        &mut self,
        id: RecordId,
        (ours, durable): (Option<Place>, &Vector),
        (other, theirs): (Option<Place>, &Vector),
        hopeless: impl Fn(&Place) -> bool,
    ) {
        let lower = |a: Option<Place>, b: Option<Place>| match (a, b) {
            (Some(a), Some(b)) if a.order() < b.order() => Some(a),
            (Some(a), None) => Some(a),
            _ => None,
        };
        let due = |place: Place, vector: &Vector| {
            (place.ahead || place.seq <= vector.get(&place.origin)) && !hopeless(&place)
        };
        if lower(other, ours).is_some_and(|place| due(place, durable)) {
            self.fetch.push(id);
        }
        if lower(ours, other).is_some_and(|place| due(place, theirs)) {
            self.lacks += 1;
        }
    }
}
