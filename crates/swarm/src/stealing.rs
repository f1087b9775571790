//! Blocks that were asked of one peer and go to another: rules 8 and 9 of the design ("Choosing pieces").
//!
//! *Endgame*: when nothing unrequested is left, an idle peer is asked for a second copy of one block of the peer that
//! will be last to finish. *Stealing*: before that, an idle peer takes a block over from a peer that would need far
//! longer for it, if few pieces are left or no new one may be started; that request is cancelled, so nothing comes twice but what was on its way already. What somebody waits
//! for ([`Priority::First`](crate::Priority)) is stolen by peers that are not idle, too.

use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::BlockRef;

use crate::api::Priority;
use crate::engine::Swarm;
use crate::partial::Block;
use crate::peers::Slot;

/// Peers whose requests are looked at for one block, slowest first, and requests of each.
const VICTIMS_MAX: usize = 4;
const REQUESTS_MAX: usize = 64;
/// Pieces that are lacking when stealing begins, in percent.
const LATE_PERCENT: u64 = 5;

impl Swarm {
    /// Something for a peer for which nothing unrequested is left.
    pub(crate) fn help_out(&mut self, slot: Slot) {
        let peer = &self.peers[slot];
        let idle = peer.asked.is_empty() && !peer.snubbed && !peer.choked;
        if !idle || self.asked_total == 0 {
            return;
        }
        if self.is_endgame() {
            if self.limits.endgame_copies > 1 {
                self.duplicate(slot);
            }
        } else if self.limits.steal && self.is_late() {
            self.steal(slot, |_| true);
        }
    }

    /// Takes over what is to come first from slower peers, if anything is.
    pub(crate) fn steal_first(&mut self, slot: Slot) {
        let peer = &self.peers[slot];
        if self.limits.steal
            && self.first_lacking > 0
            && self.asked_total > 0
            && peer.has_room()
            && !peer.snubbed
            && !peer.choked
        {
            self.steal(slot, |priority| priority == Priority::First);
        }
    }

    /// Whether a block that comes late holds us up. Before that, a peer that takes over single blocks of many pieces only
    /// keeps a slot from somebody who could use it (docs/performance.md).
    fn is_late(&self) -> bool {
        self.capped || u64::from(self.lacking.count()) * 100 <= u64::from(self.have.len()) * LATE_PERCENT
    }

    fn duplicate(&mut self, slot: Slot) {
        let taken = self.newest_of_slowest(slot, 0, |_| true);
        let Some((_, block)) = taken else { return };
        let index = self.layout.block_index(block);
        let copied = index.is_some_and(|index| self.partials.duplicate(block.piece, index, slot));
        assert!(copied, "{block:?} was duplicable");
        self.request(slot, block);
    }

    /// Takes one block of a piece that is worth it from a peer that needs more than twice as long for what it was
    /// asked for as `slot` would for one more block, and a round trip. Whoever was never measured steals nothing.
    fn steal(&mut self, slot: Slot, worth: impl Fn(Priority) -> bool) {
        let Some(mine_ms) = self.peers[slot].next_block_ms() else { return };
        let least_ms = mine_ms.saturating_mul(2).saturating_add(self.peers[slot].pipeline.service_ms() + 1);
        let Some((victim, block)) = self.newest_of_slowest(slot, least_ms, worth) else { return };
        let index = self.layout.block_index(block);
        let moved = index.is_some_and(|index| self.partials.reassign(block.piece, index, victim, slot));
        assert!(moved, "{block:?} was asked of the victim alone");
        let since = self.peers[victim].asked.front().map_or(self.now, |first| first.at);
        self.cancel(victim, block);
        self.peers[victim].robbed(self.now, since);
        self.request(slot, block);
        // With nothing left to answer, nothing else would ever ask it again.
        self.wake(victim);
    }

    /// The newest fitting request of the peer that will be last to finish, if that takes it `least_ms` or more.
    fn newest_of_slowest(
        &mut self,
        slot: Slot,
        least_ms: u64,
        worth: impl Fn(Priority) -> bool,
    ) -> Option<(Slot, BlockRef)> {
        let (mut below, now) = ((u64::MAX, None), self.now);
        for _ in 0..VICTIMS_MAX {
            self.work.stealing += self.peers.len() as u64;
            let others = self.peers.iter().filter(|(other, peer)| *other != slot && !peer.asked.is_empty());
            let etas = others.map(|(other, peer)| (peer.eta_ms(now), Some(other)));
            let slower = etas.filter(|eta| eta.0 >= least_ms && (below.1.is_none() || *eta < below)).max();
            let (eta, Some(victim)) = slower? else { return None };
            below = (eta, Some(victim));
            if let Some(block) = self.movable(slot, victim, &worth) {
                return Some((victim, block));
            }
        }
        None
    }

    /// The newest request of `victim` that nobody else has and `slot` could answer.
    fn movable(&mut self, slot: Slot, victim: Slot, worth: impl Fn(Priority) -> bool) -> Option<BlockRef> {
        self.work.stealing += self.peers[victim].asked.len().min(REQUESTS_MAX) as u64;
        let requests = self.peers[victim].asked.iter().rev().take(REQUESTS_MAX);
        let mut blocks = requests.map(|asked| asked.block);
        blocks.find(|block| {
            let partial = self.partials.get(block.piece);
            let index = self.layout.block_index(*block);
            let state = partial.zip(index).and_then(|(p, index)| p.blocks.get(index as usize).copied());
            state == Some(Block::Asked(victim))
                && worth(self.picker.priority(block.piece))
                && self.peers[slot].may_ask(block.piece)
        })
    }
}

impl crate::peers::Peer {
    /// How long until everything asked of it is here, in milliseconds. Whoever has not sent anything yet is expected
    /// to need as long for each block as it has taken so far, and whoever is silent to stay so.
    pub(crate) fn eta_ms(&self, now: peerage_types::Time) -> u64 {
        let Some(first) = self.asked.front() else { return 0 };
        let count = self.asked.len() as u64;
        let silent = now.since(self.last_block.max(first.at)).as_millis();
        let silent_ms = u64::try_from(silent).unwrap_or(u64::MAX);
        let expected = match self.pipeline.rate_max() {
            Some(rate) => count * u64::from(BLOCK_BYTES) * 1000 / rate.max(1),
            None => count.saturating_mul(silent_ms),
        };
        expected.max(silent_ms)
    }

    /// How long one more block would take, in milliseconds, if it was ever measured.
    fn next_block_ms(&self) -> Option<u64> {
        let bytes = (self.asked.len() as u64 + 1) * u64::from(BLOCK_BYTES);
        self.pipeline.rate_max().map(|rate| bytes * 1000 / rate.max(1))
    }
}
