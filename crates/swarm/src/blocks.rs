//! Blocks that arrive, or do not, and pieces that the shell has judged.

use peerage_wire::BlockRef;

use crate::api::{Output, PeerFault, PeerKey, Priority};
use crate::engine::Swarm;
use crate::partial::{Arrival, Block};
use crate::peers::Slot;
use crate::timers::Timer;

impl Swarm {
    pub(crate) fn block_arrived(&mut self, slot: Slot, block: BlockRef) -> Result<(), PeerFault> {
        let now = self.now;
        let peer = &mut self.peers[slot];
        let asked_at = peer.take_asked(block);
        match asked_at {
            Some(asked_at) => {
                self.asked_total -= 1;
                peer.pipeline.on_block(now, asked_at, block.len);
            }
            None if peer.take_late(block) => {}
            None if peer.forgive() => return Ok(()),
            None => return Err(PeerFault::Unrequested(block)),
        }
        peer.bytes_received += u64::from(block.len);
        peer.came_alive(now, asked_at.is_some());
        self.take_in(slot, block);
        self.wake(slot);
        Ok(())
    }

    pub(crate) fn rejected(&mut self, slot: Slot, block: BlockRef) -> Result<(), PeerFault> {
        let (now, longest) = (self.now, self.limits.request_stale);
        let peer = &mut self.peers[slot];
        // A cancelled request is answered before one that was made again later.
        if peer.take_late(block) {
            self.wake(slot);
            return Ok(());
        }
        if peer.take_asked(block).is_none() {
            return if peer.forgive() { Ok(()) } else { Err(PeerFault::Unrequested(block)) };
        }
        self.asked_total -= 1;
        let until = peer.refuse(now, block.piece, longest);
        self.arm(Timer::Peer(slot), until);
        self.release(slot, block);
        self.wake_all();
        Ok(())
    }

    /// By key: the sender may be gone before its block was checked.
    pub(crate) fn block_bad(&mut self, key: PeerKey, block: BlockRef) {
        let Some(index) = self.layout.block_index(block) else { return };
        let (was_here, untouched) = self.partials.spoil(block.piece, index, key);
        if untouched {
            self.abandon(block.piece);
        }
        self.drop_unwanted(block.piece);
        if let Some(slot) = self.peers.slot(key) {
            self.ban(slot);
            let peer = &mut self.peers[slot];
            if was_here {
                // It was counted when it arrived.
            } else if peer.take_asked(block).is_some() {
                self.asked_total -= 1;
                self.release(slot, block);
            } else {
                peer.take_late(block);
            }
        }
        self.wake_all();
    }

    pub(crate) fn piece_done(&mut self, piece: u32) {
        assert!(piece < self.have.len(), "piece {piece} of {} is done", self.have.len());
        if !self.have.set(piece) {
            return;
        }
        self.cancel_piece(piece);
        if self.picker.fresh().get(piece) {
            self.picker.take(piece);
            self.count_fresh_down(piece);
        }
        let was_lacking = self.lacking.clear(piece);
        let first = was_lacking && self.picker.priority(piece) == Priority::First;
        self.first_lacking -= u32::from(first);
        for index in 0..self.peers.slot_count() {
            let Some(slot) = self.peers.nth(index) else { continue };
            let peer = &mut self.peers[slot];
            if peer.has(piece) {
                peer.useful -= u32::from(was_lacking && peer.bits().is_some());
            }
            // Those who have it, too, want to know: whoever sent it has a slot free, and seeders count copies.
            self.outputs.push_back(Output::Have(peer.key, piece));
            self.update_interest(slot);
        }
        if self.capped {
            self.capped = false;
            self.wake_all();
        }
        if was_lacking && self.is_complete() {
            self.complete();
        }
    }

    /// The last wanted piece is there.
    pub(crate) fn complete(&mut self) {
        self.outputs.push_back(Output::Complete);
        self.dwell();
    }

    /// Nothing more is asked of the peer or given to it; the shell closes the connection.
    pub(crate) fn ban(&mut self, slot: Slot) {
        self.peers[slot].banned = true;
        self.list_upload(slot);
    }

    /// Without an open copy of the piece there is nothing to fetch again, and nothing happens.
    pub(crate) fn piece_failed(&mut self, piece: u32) {
        assert!(piece < self.have.len(), "piece {piece} of {} failed", self.have.len());
        if self.partials.reset(piece) {
            self.abandon(piece);
        }
        self.drop_unwanted(piece);
        self.wake_all();
    }

    /// It was complete when it became unwanted, and now it is not.
    fn drop_unwanted(&mut self, piece: u32) {
        if !self.lacking.get(piece) && self.partials.get(piece).is_some_and(|partial| !partial.is_complete())
        {
            self.cancel_piece(piece);
        }
    }

    /// A fresh piece stops being fresh.
    pub(crate) fn count_fresh_down(&mut self, piece: u32) {
        for peer in self.peers.iter_mut() {
            peer.fresh -= u32::from(peer.bits().is_some_and(|bits| bits.get(piece)));
        }
    }

    /// Takes an outstanding request back although the connection goes on.
    pub(crate) fn cancel(&mut self, slot: Slot, block: BlockRef) {
        let peer = &mut self.peers[slot];
        if peer.take_asked(block).is_some() {
            peer.expect_late(block);
            self.asked_total -= 1;
            self.outputs.push_back(Output::Cancel(peer.key, block));
        }
    }

    /// An answer that was given up comes late for a piece of which nothing else is under way: it makes a start.
    pub(crate) fn would_restart(&self, piece: u32) -> bool {
        self.picker.fresh().get(piece) && self.has_piece_room()
    }

    fn take_in(&mut self, slot: Slot, block: BlockRef) {
        let Some(index) = self.layout.block_index(block) else { return };
        let key = self.peers[slot].key;
        if self.would_restart(block.piece) {
            self.start(slot, block.piece);
        }
        match self.partials.arrive(block.piece, index, slot, key) {
            Arrival::Late | Arrival::Duplicate => {}
            Arrival::Taken(others) => {
                for other in others.into_iter().flatten() {
                    self.cancel(other, block);
                    self.wake(other);
                }
            }
        }
    }

    /// The piece came to us some other way, or some block was asked for once too often.
    pub(crate) fn cancel_piece(&mut self, piece: u32) {
        for index in 0..self.layout.block_count(piece) {
            let Some(partial) = self.partials.get(piece) else { return };
            let asked = match partial.blocks[index as usize] {
                Block::Missing | Block::Arrived(_) => [None, None],
                Block::Asked(first) => [Some(first), None],
                Block::AskedTwice(first, second) => [Some(first), Some(second)],
            };
            for slot in asked.into_iter().flatten() {
                self.cancel(slot, self.layout.block(piece, index));
                self.wake(slot);
            }
        }
        self.partials.remove(piece);
    }
}
