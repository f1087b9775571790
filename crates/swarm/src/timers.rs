//! Peers that fall silent, and refusals that end.
//!
//! There is one timer, `wake_at`. Blocks only move deadlines back, so it is not touched when they arrive; when
//! it fires too early it is set anew, which happens at most once per timeout.

use peerage_types::Time;

use crate::api::Output;
use crate::engine::Swarm;
use crate::events::Answer;
use crate::peers::Slot;

impl Swarm {
    pub(crate) fn timeout(&mut self) {
        for index in 0..self.peers.slot_count() {
            let Some(slot) = self.peers.nth(index) else { continue };
            let peer = &mut self.peers[slot];
            if peer.refused_until.is_some_and(|until| until <= self.now) {
                peer.forget_refusals();
                self.wake(slot);
            }
            let is_due = |at: Option<Time>| at.is_some_and(|at| at <= self.now);
            let peer = &self.peers[slot];
            if is_due(peer.silent_at(&self.limits)) {
                self.snub(slot);
            } else if is_due(peer.stale_at(&self.limits)) {
                self.give_up_stale(slot);
            }
            self.upload_timeout(slot);
        }
        let peers = self.peers.iter().map(|(_, peer)| peer);
        let timers = peers.flat_map(|p| {
            let limits = &self.limits;
            [p.silent_at(limits), p.stale_at(limits), p.refused_until, p.upload.idle_at(limits)]
        });
        self.wake_at = timers.flatten().min();
    }

    /// Makes sure that a timeout comes not later than `at`.
    pub(crate) fn arm(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |armed| armed.min(at)));
    }

    /// Queues the peer if it could be asked for more.
    pub(crate) fn wake(&mut self, slot: Slot) {
        let peer = &mut self.peers[slot];
        if !peer.hungry && peer.has_room() {
            peer.hungry = true;
            self.hungry.push_back(slot);
        }
    }

    /// Some block can be requested again, or a bound was lifted.
    pub(crate) fn wake_all(&mut self) {
        for index in 0..self.peers.slot_count() {
            if let Some(slot) = self.peers.nth(index) {
                self.wake(slot);
            }
        }
    }

    /// The peer does not answer: others get its blocks, and it gets one request at a time until it does.
    fn snub(&mut self, slot: Slot) {
        let peer = &mut self.peers[slot];
        peer.strikes += 1;
        peer.snubbed = true;
        peer.pipeline.reset();
        self.release_all(slot, Answer::Unwanted);
        self.wake_all();
        // Whoever answers comes first.
        self.hungry.retain(|other| *other != slot);
        self.peers[slot].hungry = false;
        self.wake(slot);
    }

    /// The peer answers other requests but not its oldest ones.
    fn give_up_stale(&mut self, slot: Slot) {
        let (now, longest) = (self.now, self.limits.request_stale);
        while self.peers[slot].stale_at(&self.limits).is_some_and(|at| at <= now) {
            let peer = &mut self.peers[slot];
            let Some(oldest) = peer.asked.pop_front() else { break };
            peer.expect_late(oldest.block);
            peer.refuse(now, oldest.block.piece, longest);
            self.asked_total -= 1;
            self.outputs.push_back(Output::Cancel(peer.key, oldest.block));
            self.release(slot, oldest.block);
        }
        self.wake_all();
    }
}
