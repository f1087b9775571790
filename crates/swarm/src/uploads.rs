//! Whom we serve, and what seeders would like to send.
//!
//! A piece can be passed on only when it is complete. So an uplink that is shared by everybody who asks delays the
//! whole swarm: with a hundred pieces on their way at once, none arrives. Only [`Limits::upload_slots`] peers are
//! unchoked at a time, each for a turn of [`Limits::upload_turn_bytes`], at least one piece; then it is the turn of
//! whoever has waited longest. As long as there are not more peers than slots, everybody is unchoked all the time.
//!
//! A turn ends between pieces: with the last one that it covers the peer is choked, and that piece becomes *allowed
//! fast* (BEP 6), so that it is asked for and sent to its end. The slot is free when the peer has it.
//!
//! Whoever has everything hands out pieces that exist nowhere else one by one: each turn is a few of those, allowed fast
//! without an unchoke, so that the first copies are all different. Later it says which piece it would like to send (BEP 6
//! *suggest*): one of which fewest copies exist or are on their way.
//!
//! All of that is for members. Standard clients have slots of their own (`choker`).

mod choker;
mod queue;
mod uplink;

use peerage_types::Time;

use crate::api::{Limits, Output, PeerKey};
use crate::engine::Swarm;
use crate::peers::Slot;
use crate::timers::Timer;

pub(crate) use self::choker::{Choker, Standing};
use self::queue::Place;
pub(crate) use self::queue::Queue;
pub(crate) use self::uplink::Uplink;

/// Pieces on their way to one peer that are remembered; whoever asks for more at once asks for too many.
const TAKEN_MAX: usize = 64;

/// Suggestions that a peer has not taken up yet: enough for a deep pipeline of small pieces.
const SUGGESTED_AHEAD: usize = 4;

/// Where one peer stands with us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Choked.
    #[default]
    Waiting,
    /// Unchoked.
    Serving,
    /// Choked, but some pieces are still being sent.
    Finishing,
}

/// What one peer gets from us.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) turn: Turn,
    /// Bytes of pieces that it has begun to ask for in this turn.
    asked_bytes: u64,
    /// Bytes that have left for it in this turn.
    sent_bytes: u64,
    /// Pieces that it asks for and has not got yet.
    taken: Vec<u32>,
    /// What we suggested in this turn and it has not asked for.
    suggested: Vec<u32>,
    /// When its last turn ended, counted in turns: the smallest has waited longest.
    served: u64,
    /// It has asked for something in this turn.
    begun: bool,
    /// It left lying what we handed out, perhaps because it does not want those pieces: from now on it chooses.
    declined: bool,
    /// When something last went on.
    progress: Time,
    /// It takes so little that its slot does not count; when that is looked at next, and `sent_bytes` at the last look.
    slow: bool,
    look_at: Option<Time>,
    look_from: Time,
    sent_before: u64,
    place: Place,
}

impl Upload {
    /// When something is to be done about it.
    pub(crate) fn deadlines(&self, limits: &Limits) -> [Option<Time>; 2] {
        [self.idle_at(limits), self.look_at]
    }

    /// When it is given up.
    fn idle_at(&self, limits: &Limits) -> Option<Time> {
        let patience = match self.begun && !self.taken.is_empty() {
            true => limits.upload_stuck,
            false => limits.upload_idle,
        };
        (self.turn != Turn::Waiting).then(|| self.progress.after(patience))
    }
}

impl Swarm {
    /// A connection begins.
    pub(crate) fn upload_to(&mut self, slot: Slot) {
        if self.peers[slot].is_standard() {
            return self.standard_joined(slot);
        }
        self.members += 1;
        // Behind everybody who waits: else whoever connects anew after each turn is always first.
        self.peers[slot].upload.served = self.turns;
        if self.members <= self.limits.upload_slots {
            self.unchoke(slot);
        }
    }

    pub(crate) fn remote_interested(&mut self, slot: Slot, interested: bool) {
        if std::mem::replace(&mut self.peers[slot].remote_interested, interested) == interested {
            return;
        }
        match interested {
            true => self.interested_peers += 1,
            false => self.interested_peers -= 1,
        }
        if self.peers[slot].is_standard() {
            return self.standard_interested(slot, interested);
        }
        self.peers[slot].upload.progress = self.now;
        self.list_upload(slot);
        self.assign_slots();
    }

    /// The peer begins to ask for a piece.
    pub(crate) fn asked(&mut self, slot: Slot, piece: u32) {
        if self.peers[slot].is_standard() {
            return;
        }
        let bytes = u64::from(self.layout.piece_bytes(piece));
        let crowded = self.is_crowded();
        let peer = &mut self.peers[slot];
        (peer.upload.progress, peer.upload.begun) = (self.now, true);
        // What comes behind the end of its turn is rejected, and so not on its way.
        let counts = peer.upload.turn == Turn::Serving && peer.upload.taken.len() < TAKEN_MAX;
        if !counts || peer.has(piece) || peer.upload.taken.contains(&piece) {
            return;
        }
        peer.upload.taken.push(piece);
        peer.upload.asked_bytes += bytes;
        let over = peer.upload.asked_bytes >= self.limits.upload_turn_bytes;
        match peer.upload.suggested.iter().position(|suggested| *suggested == piece) {
            Some(at) => _ = peer.upload.suggested.swap_remove(at),
            None => self.offers.taken(piece),
        }
        if over && crowded {
            self.end_turn(slot);
        } else {
            self.suggest_some(slot);
        }
    }

    /// Bytes have left for the peer. Whoever takes more than its turn, by asking for the same piece again and again or
    /// for pieces that it says it has, loses it while others wait.
    pub(crate) fn uploaded(&mut self, slot: Slot, bytes: u64) {
        self.count_uplink(bytes);
        self.dwell_sent(bytes);
        let most = self.limits.upload_turn_bytes.saturating_add(2 * u64::from(self.layout.piece_length()));
        let crowded = self.is_crowded();
        let upload = &mut self.peers[slot].upload;
        upload.progress = self.now;
        upload.sent_bytes = upload.sent_bytes.saturating_add(bytes);
        if upload.turn == Turn::Serving && upload.sent_bytes > most && crowded {
            self.end_turn(slot);
            self.assign_slots();
        }
    }

    /// The peer has one more piece.
    pub(crate) fn upload_arrived(&mut self, slot: Slot, piece: u32) {
        let upload = &mut self.peers[slot].upload;
        let Some(at) = upload.taken.iter().position(|taken| *taken == piece) else { return };
        upload.taken.swap_remove(at);
        self.offers.left(piece);
        let upload = &mut self.peers[slot].upload;
        if upload.turn == Turn::Finishing && upload.taken.is_empty() {
            self.set_turn(slot, Turn::Waiting);
            self.assign_slots();
        } else if let Some(at) = upload.idle_at(&self.limits) {
            // Whoever has everything that it asked for is to ask for more soon.
            self.arm(Timer::Peer(slot), at);
        }
    }

    /// The connection has ended.
    pub(crate) fn upload_ended(&mut self, slot: Slot) {
        self.forget_upload(slot);
        self.unlist_upload(slot);
        self.interested_peers -= u32::from(std::mem::take(&mut self.peers[slot].remote_interested));
        match self.peers[slot].is_standard() {
            true => self.standard_left(slot),
            false => self.members -= 1,
        }
    }

    /// Peers that take part in nothing any more lose their slots.
    pub(crate) fn upload_timeout(&mut self, slot: Slot) {
        let due = self.peers[slot].upload.idle_at(&self.limits).is_some_and(|at| at <= self.now);
        if !due {
            return;
        }
        let upload = &mut self.peers[slot].upload;
        let left_lying = upload.turn == Turn::Finishing;
        upload.declined |= left_lying;
        if left_lying || self.is_crowded() {
            self.forget_upload(slot);
            self.end_turn(slot);
            self.assign_slots();
        } else {
            self.peers[slot].upload.progress = self.now;
        }
    }

    /// Whether somebody waits for a slot.
    fn is_crowded(&self) -> bool {
        self.queue.next().is_some()
    }

    /// Gives free slots to those who have waited longest.
    pub(crate) fn assign_slots(&mut self) {
        while let Some(next) = self.queue.next() {
            self.work.uploads += 1;
            if !self.has_free_slot() {
                // Whoever wants nothing makes room.
                let Some(idle) = self.queue.idle() else { return };
                self.forget_upload(idle);
                self.end_turn(idle);
                // One whose slot did not count has freed none.
                continue;
            }
            if !self.hand_out(next) {
                self.unchoke(next);
            }
        }
    }

    /// Gives the peer a turn of pieces that exist nowhere else, if we have everything and such are left. It stays
    /// choked and may ask for just these: so two peers never take the same one.
    fn hand_out(&mut self, slot: Slot) -> bool {
        if !self.limits.suggest || !self.have.is_full() || self.peers[slot].upload.declined {
            return false;
        }
        let mut bytes = 0;
        while bytes == 0
            || (bytes < self.limits.upload_turn_bytes && self.peers[slot].upload.taken.len() < TAKEN_MAX)
        {
            let peer = &self.peers[slot];
            let Some(piece) = self.offers.first_copy(&self.picker, |piece| !peer.has(piece)) else { break };
            bytes += u64::from(self.layout.piece_bytes(piece));
            self.offers.taken(piece);
            let peer = &mut self.peers[slot];
            peer.upload.taken.push(piece);
            self.outputs.push_back(Output::AllowFast(peer.key, piece));
        }
        if bytes == 0 {
            return false;
        }
        self.turns += 1;
        self.peers[slot].upload.served = self.turns;
        self.begin_turn(slot, Turn::Finishing);
        true
    }

    fn unchoke(&mut self, slot: Slot) {
        self.begin_turn(slot, Turn::Serving);
        self.suggest_some(slot);
        self.outputs.push_back(Output::Unchoke(self.peers[slot].key));
    }

    fn begin_turn(&mut self, slot: Slot, turn: Turn) {
        let upload = &mut self.peers[slot].upload;
        (upload.asked_bytes, upload.sent_bytes, upload.slow) = (0, 0, false);
        (upload.progress, upload.begun) = (self.now, false);
        self.set_turn(slot, turn);
        self.watch_turn(slot);
        if let Some(at) = self.peers[slot].upload.idle_at(&self.limits) {
            self.arm(Timer::Peer(slot), at);
        }
    }

    fn set_turn(&mut self, slot: Slot, turn: Turn) {
        let upload = &mut self.peers[slot].upload;
        upload.turn = turn;
        if turn == Turn::Waiting {
            (upload.slow, upload.look_at) = (false, None);
        }
        self.list_upload(slot);
    }

    /// What it asks for is sent to the end, and nothing else.
    fn end_turn(&mut self, slot: Slot) {
        self.turns += 1;
        let peer = &mut self.peers[slot];
        let key: PeerKey = peer.key;
        let was_serving = peer.upload.turn == Turn::Serving;
        peer.upload.served = self.turns;
        let turn = if peer.upload.taken.is_empty() { Turn::Waiting } else { Turn::Finishing };
        if was_serving {
            let taken = peer.upload.taken.iter();
            self.outputs.extend(taken.map(|piece| Output::AllowFast(key, *piece)));
            self.outputs.push_back(Output::Choke(key));
        }
        self.set_turn(slot, turn);
        let suggested = std::mem::take(&mut self.peers[slot].upload.suggested);
        suggested.into_iter().for_each(|piece| self.offers.left(piece));
    }

    fn forget_upload(&mut self, slot: Slot) {
        let upload = &mut self.peers[slot].upload;
        let lost = std::mem::take(&mut upload.taken).into_iter().chain(std::mem::take(&mut upload.suggested));
        lost.for_each(|piece| self.offers.left(piece));
    }

    /// Says what we would like to send next.
    fn suggest_some(&mut self, slot: Slot) {
        if !self.limits.suggest || !self.have.is_full() {
            return;
        }
        while self.peers[slot].upload.suggested.len() < SUGGESTED_AHEAD {
            let peer = &self.peers[slot];
            let new = |piece: u32| {
                let upload = &peer.upload;
                let known = upload.taken.contains(&piece) || upload.suggested.contains(&piece);
                !known && !peer.has(piece)
            };
            let Some(piece) = self.offers.pick(&self.picker, new) else { return };
            self.offers.taken(piece);
            let peer = &mut self.peers[slot];
            peer.upload.suggested.push(piece);
            self.outputs.push_back(Output::Suggest(peer.key, piece));
        }
    }
}
