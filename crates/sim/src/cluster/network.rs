//! The network between trackers: requests and answers that may be lost, late, doubled or held up.

use std::collections::{BTreeMap, BTreeSet};

use peerage_replica::{Ask, BatchId, ExchangeId, LogRow, Told, Vector};

use crate::rng::Rng;

/// A request or an answer.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Push { batch: BatchId, rows: Vec<LogRow> },
    PushAnswer { batch: BatchId, vector: Vector },
    Pull { vector: Vector },
    PullAnswer { rows: Vec<LogRow>, more: bool, snapshot: bool, vector: Vector, unix_ms: u64 },
    Ask { exchange: ExchangeId, ask: Ask },
    Told { exchange: ExchangeId, told: Told },
}

/// One message under way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Which run of the asking tracker it belongs to: an answer reaches no later run.
    pub(crate) life: u64,
    pub(crate) body: Body,
}

impl Message {
    /// Who asked.
    pub(crate) fn asker(&self) -> usize {
        match self.body {
            Body::Push { .. } | Body::Pull { .. } | Body::Ask { .. } => self.from,
            Body::PushAnswer { .. } | Body::PullAnswer { .. } | Body::Told { .. } => self.to,
        }
    }

    /// What the asking tracker is told when it learns that this got lost.
    pub(crate) fn failure(&self) -> Failure {
        let peer = if self.asker() == self.from { self.to } else { self.from };
        let request = match &self.body {
            Body::Push { batch, .. } | Body::PushAnswer { batch, .. } => Request::Push(*batch),
            Body::Pull { .. } | Body::PullAnswer { .. } => Request::Pull,
            Body::Ask { exchange, .. } | Body::Told { exchange, .. } => Request::Ask(*exchange),
        };
        Failure { node: self.asker(), life: self.life, peer, request }
    }
}

/// A request that came to nothing, as its sender learns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) peer: usize,
    pub(crate) request: Request,
}

/// What one tracker wants of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Push(BatchId),
    Pull,
    Ask(ExchangeId),
}

/// What becomes of a message.
pub(crate) enum Fate {
    /// It arrives after these delays in milliseconds, once for each.
    Arrives(Vec<u64>),
    /// It waits in a clogged link.
    Held,
    /// It is gone.
    Lost,
}

/// Links and their faults. Directions are separate.
#[derive(Debug)]
pub(crate) struct Network {
    loss_percent: u64,
    twice_percent: u64,
    delay_ms_max: u64,
    blocked: BTreeSet<(usize, usize)>,
    /// Trackers that a client does not reach: (person, tracker).
    cut: BTreeSet<(usize, usize)>,
    clogged: BTreeMap<(usize, usize), Vec<Message>>,
}

impl Network {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            loss_percent: rng.between(0, 15),
            twice_percent: rng.between(0, 15),
            delay_ms_max: *rng.pick(&[2, 20, 200, 1_500]).unwrap_or(&20),
            blocked: BTreeSet::new(),
            cut: BTreeSet::new(),
            clogged: BTreeMap::new(),
        }
    }

    pub(crate) fn send(&mut self, rng: &mut Rng, message: &Message) -> Fate {
        let link = (message.from, message.to);
        if self.blocked.contains(&link) || rng.chance(self.loss_percent) {
            return Fate::Lost;
        }
        if let Some(held) = self.clogged.get_mut(&link) {
            held.push(message.clone());
            return Fate::Held;
        }
        let copies = if rng.chance(self.twice_percent) { 2 } else { 1 };
        Fate::Arrives((0..copies).map(|_| rng.between(1, self.delay_ms_max)).collect())
    }

    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    /// Splits the trackers into two sides that do not hear each other.
    pub(crate) fn split(&mut self, rng: &mut Rng, trackers: usize) {
        let sides: Vec<bool> = (0..trackers).map(|_| rng.chance(50)).collect();
        for (from, to) in (0..trackers).flat_map(|from| (0..trackers).map(move |to| (from, to))) {
            if sides[from] != sides[to] {
                self.blocked.insert((from, to));
            }
        }
    }

    /// Cuts a client off from a tracker, or connects them again.
    pub(crate) fn toggle_client(&mut self, person: usize, tracker: usize) {
        if !self.cut.remove(&(person, tracker)) {
            self.cut.insert((person, tracker));
        }
    }

    /// How long a client's request or its answer takes; nothing if it gets lost.
    pub(crate) fn client_delay(&self, rng: &mut Rng, person: usize, tracker: usize) -> Option<u64> {
        let lost = self.cut.contains(&(person, tracker)) || rng.chance(self.loss_percent);
        (!lost).then(|| rng.between(1, self.delay_ms_max))
    }

    /// Whether a client reaches a tracker at all.
    pub(crate) fn reaches(&self, person: usize, tracker: usize) -> bool {
        !self.cut.contains(&(person, tracker))
    }

    /// All links between trackers work again.
    pub(crate) fn unblock_all(&mut self) {
        self.blocked.clear();
    }

    pub(crate) fn unblock_one(&mut self, rng: &mut Rng) {
        let links: Vec<_> = self.blocked.iter().copied().collect();
        if let Some(link) = rng.pick(&links) {
            self.blocked.remove(link);
        }
    }

    pub(crate) fn clog(&mut self, from: usize, to: usize) {
        self.clogged.entry((from, to)).or_default();
    }

    /// Opens one clogged link and hands out what it held, in an order of its own.
    pub(crate) fn unclog_one(&mut self, rng: &mut Rng) -> Vec<Message> {
        let links: Vec<_> = self.clogged.keys().copied().collect();
        rng.pick(&links).and_then(|link| self.clogged.remove(link)).unwrap_or_default()
    }

    /// From now on every message arrives once and soon. Hands out what clogged links held.
    pub(crate) fn heal(&mut self) -> Vec<Message> {
        self.loss_percent = 0;
        self.twice_percent = 0;
        self.delay_ms_max = 20;
        self.blocked.clear();
        self.cut.clear();
        std::mem::take(&mut self.clogged).into_values().flatten().collect()
    }
}
