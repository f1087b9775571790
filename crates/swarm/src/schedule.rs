//! What to ask a peer for. The order of preference is that of the design ("Choosing pieces").

use peerage_wire::BlockRef;

use crate::api::{Output, Priority};
use crate::engine::Swarm;
use crate::partial::Partial;
use crate::peers::{Asked, Slot};
use crate::picker::Order;
use crate::timers::Timer;

/// Rarer first, then more complete: comparing two partial pieces by what finishing them is worth.
type Worth = (u32, u32);

/// The best pieces under way that a peer could help with.
#[derive(Default)]
struct Open {
    /// One that it owns.
    own: Option<(Worth, u32)>,
    /// One that nobody works on at all: its owner left, choked us or fell silent.
    orphan: Option<(Worth, u32)>,
    /// One that nobody works on alone.
    shared: Option<(Worth, u32)>,
    /// Any.
    any: Option<(Worth, u32)>,
}

impl Swarm {
    /// Fills the peer's pipeline.
    pub(crate) fn feed(&mut self, slot: Slot) {
        if !self.peers.is_connected(slot) {
            return;
        }
        self.steal_first(slot);
        while self.peers[slot].has_room() {
            let Some(piece) = self.next_piece(slot) else {
                self.peers[slot].pipeline.starved();
                self.help_out(slot);
                break;
            };
            self.peers[slot].working = Some(piece);
            let taken = self.partials.take(piece, slot);
            assert!(taken.is_some(), "piece {piece} was chosen but has nothing missing");
            if let Some(index) = taken {
                self.request(slot, self.layout.block(piece, index));
            }
        }
        self.notice_endgame();
    }

    /// Nothing is under way that could lift the ceiling on unfinished pieces.
    pub(crate) fn may_exceed_cap(&self) -> bool {
        self.asked_total == 0 && self.partials.complete() == 0
    }

    /// A piece with a missing block that the peer may be asked for.
    fn next_piece(&mut self, slot: Slot) -> Option<u32> {
        let peer = &self.peers[slot];
        let goes_on = |piece: &u32| self.partials.get(*piece).is_some_and(|p| p.missing > 0);
        if let Some(piece) = peer.working.filter(goes_on).filter(|piece| peer.may_ask(*piece)) {
            return Some(piece);
        }
        if peer.choked {
            return self.choose_allowed(slot);
        }
        // 1. What is to come before everything else.
        if let Some(piece) = self.choose_first(slot) {
            return Some(piece);
        }
        let peer = &self.peers[slot];
        let (whole, snubbed) = (peer.is_whole(self.now, self.layout.piece_length()), peer.snubbed);
        let open = self.open(slot);
        let piece = |best: Option<(Worth, u32)>| best.map(|(_, piece)| piece);
        // 2. What it works on alone.
        if open.own.is_some() {
            return piece(open.own);
        }
        // What a seeder would like to send exists nowhere else, and what has begun can wait for others.
        if let Some(suggested) = self.choose_suggested(slot) {
            return Some(suggested);
        }
        // A started piece that nobody works on is as good as its own, and nearer to being one.
        if let Some(orphan) = piece(open.orphan).filter(|_| whole) {
            self.partials.adopt(orphan, slot);
            return Some(orphan);
        }
        // A slow peer helps where others help, so that pieces get finished.
        if !whole && !snubbed && open.shared.is_some() {
            return piece(open.shared);
        }
        // 3. Too much is unfinished.
        if open.any.is_some() && self.too_many_partials() {
            return piece(open.any);
        }
        // 4. to 7.: something new; else help anywhere.
        self.choose_fresh(slot).or_else(|| piece(open.shared.or(open.any)))
    }

    /// A piece of the highest priority, started or not: it is shared, because somebody waits for it.
    fn choose_first(&mut self, slot: Slot) -> Option<u32> {
        let peer = &self.peers[slot];
        let wanted = |partial: &&Partial| {
            self.picker.priority(partial.piece) == Priority::First && peer.may_ask(partial.piece)
        };
        if let Some(partial) = self.partials.open().filter(wanted).min_by_key(|partial| partial.missing) {
            return Some(partial.piece);
        }
        let fresh_total = self.picker.fresh().count();
        if peer.snubbed || peer.holder(fresh_total).is_none() || !self.picker.has_first() {
            return None;
        }
        let piece = self.picker.pick_first(self.peers[slot].holder(fresh_total)?)?;
        self.claim_piece_room().then(|| self.start(slot, piece))
    }

    /// A fresh piece that the peer would like to send.
    fn choose_suggested(&mut self, slot: Slot) -> Option<u32> {
        while let Some(piece) = self.peers[slot].suggested.last().copied() {
            if self.picker.fresh().get(piece) && self.peers[slot].may_ask(piece) {
                return self.claim_piece_room().then(|| {
                    self.peers[slot].suggested.pop();
                    self.start(slot, piece)
                });
            }
            self.peers[slot].suggested.pop();
        }
        None
    }

    fn open(&self, slot: Slot) -> Open {
        let peer = &self.peers[slot];
        let piece_length = self.layout.piece_length();
        let mut open = Open::default();
        for partial in self.partials.open().filter(|partial| peer.may_ask(partial.piece)) {
            let worth = (self.picker.availability(partial.piece), partial.missing);
            let keep = |best: &mut Option<(Worth, u32)>| {
                let better = best.is_none_or(|best| (worth, partial.piece) < best);
                if better {
                    *best = Some((worth, partial.piece));
                }
            };
            keep(&mut open.any);
            match self.owner(partial, piece_length) {
                Some(owner) if owner == slot => keep(&mut open.own),
                Some(_) => {}
                None => keep(&mut open.shared),
            }
            if partial.owner.is_none() && partial.is_idle() {
                keep(&mut open.orphan);
            }
        }
        open
    }

    /// Who works on it alone: an owner that has become slow no longer does.
    fn owner(&self, partial: &Partial, piece_length: u32) -> Option<Slot> {
        partial.owner.filter(|owner| self.peers[*owner].is_whole(self.now, piece_length))
    }

    fn too_many_partials(&self) -> bool {
        2 * self.partials.len() > 3 * self.peers.len()
            || self.partials.bytes() > self.limits.partial_bytes_target
    }

    /// Starts a fresh piece for the peer.
    fn choose_fresh(&mut self, slot: Slot) -> Option<u32> {
        let fresh_total = self.picker.fresh().count();
        self.peers[slot].holder(fresh_total)?;
        if !self.claim_piece_room() {
            return None;
        }
        let peer = &self.peers[slot];
        let order = match peer.snubbed {
            true => Order::Common,
            false if !self.ranked && self.have.count() < self.limits.random_first => Order::Random,
            false => Order::Rarest,
        };
        let piece = self.picker.pick(order, peer.holder(fresh_total)?)?;
        Some(self.start(slot, piece))
    }

    /// While it chokes us: only its allowed fast pieces (BEP 6).
    fn choose_allowed(&mut self, slot: Slot) -> Option<u32> {
        for at in 0..self.peers[slot].allowed_fast.len() {
            let piece = self.peers[slot].allowed_fast[at];
            if !self.peers[slot].may_ask(piece) {
                continue;
            }
            if self.partials.get(piece).is_some_and(|partial| partial.missing > 0) {
                return Some(piece);
            }
            if self.picker.fresh().get(piece) && self.claim_piece_room() {
                return Some(self.start(slot, piece));
            }
        }
        None
    }

    /// Whether one more piece may be buffered; remembers when not.
    fn claim_piece_room(&mut self) -> bool {
        let room = self.has_piece_room();
        self.capped |= !room;
        room
    }

    /// Whether one more piece may be buffered.
    pub(crate) fn has_piece_room(&self) -> bool {
        let bytes = self.partials.bytes() + u64::from(self.layout.piece_length());
        bytes <= self.limits.partial_bytes_max || self.may_exceed_cap()
    }

    /// Makes a fresh piece one under way, which `slot` works on alone if it is fast. Returns it.
    pub(crate) fn start(&mut self, slot: Slot, piece: u32) -> u32 {
        let peer = &self.peers[slot];
        let owner = peer.is_whole(self.now, self.layout.piece_length()).then_some(slot);
        self.picker.take(piece);
        self.count_fresh_down(piece);
        self.partials.start(piece, self.layout.piece_bytes(piece), self.layout.block_count(piece), owner);
        piece
    }

    pub(crate) fn request(&mut self, slot: Slot, block: BlockRef) {
        let now = self.now;
        let peer = &mut self.peers[slot];
        let first = peer.asked.is_empty();
        peer.asked.push_back(Asked { block, at: now });
        self.asked_total += 1;
        self.outputs.push_back(Output::Request(peer.key, block));
        if first {
            peer.pipeline.resume(now);
            if let Some(at) = peer.silent_at(&self.limits) {
                self.arm(Timer::Peer(slot), at);
            }
        }
    }

    /// When the last unrequested block was given away, peers that got nothing become useful.
    fn notice_endgame(&mut self) {
        let before = self.endgame;
        self.endgame = self.is_endgame();
        if self.endgame && !before {
            self.wake_all();
        }
    }

    pub(crate) fn is_endgame(&mut self) -> bool {
        self.asked_total > 0 && self.partials.missing_total() == 0 && self.picker.fresh_available() == 0
    }
}
