//! Connections, and what peers say about pieces.

use peerage_wire::{Bitfield, BlockRef};

use crate::api::{Output, PeerFault, PeerKey, PeerKind};
use crate::engine::Swarm;
use crate::peers::{Pieces, Slot};
use crate::timers::Timer;

impl Swarm {
    pub(crate) fn connect(&mut self, key: PeerKey, kind: PeerKind, request_queue: u32) {
        if let Some(slot) = self.peers.slot(key) {
            self.disconnect(slot);
        }
        let slot = self.peers.connect(key, kind, request_queue, &self.limits);
        self.upload_to(slot);
    }

    pub(crate) fn disconnect(&mut self, slot: Slot) {
        self.release_all(slot, Answer::Impossible);
        self.upload_ended(slot);
        match std::mem::replace(&mut self.peers[slot].pieces, Pieces::Nothing) {
            Pieces::Nothing => {}
            Pieces::All => self.picker.remove_seeder(),
            Pieces::Some(bits) => {
                self.picker.remove(&bits);
                self.offers.changed();
            }
        }
        self.timers.disarm(Timer::Peer(slot));
        self.peers.disconnect(slot);
        self.assign_slots();
        self.wake_all();
    }

    pub(crate) fn bitfield(&mut self, slot: Slot, bits: Bitfield) -> Result<(), PeerFault> {
        if bits.len() != self.have.len() {
            return Err(PeerFault::BitfieldLength { got: bits.len(), pieces: self.have.len() });
        }
        match bits.count() {
            0 => self.have_none(slot),
            count if count == bits.len() => self.have_all(slot),
            _ => {
                self.announce(slot)?;
                self.picker.add(&bits);
                self.offers.changed();
                let peer = &mut self.peers[slot];
                peer.fresh = bits.intersection_count(self.picker.fresh());
                peer.useful = bits.intersection_count(&self.lacking);
                peer.pieces = Pieces::Some(bits);
                self.offers_changed(slot);
                Ok(())
            }
        }
    }

    pub(crate) fn have_all(&mut self, slot: Slot) -> Result<(), PeerFault> {
        self.announce(slot)?;
        self.picker.add_seeder();
        self.peers[slot].pieces = Pieces::All;
        self.offers_changed(slot);
        Ok(())
    }

    pub(crate) fn have_none(&mut self, slot: Slot) -> Result<(), PeerFault> {
        self.announce(slot)
    }

    pub(crate) fn peer_has(&mut self, slot: Slot, piece: u32) -> Result<(), PeerFault> {
        self.check_piece(piece)?;
        let peer = &mut self.peers[slot];
        peer.announced = true;
        if matches!(peer.pieces, Pieces::Nothing) {
            peer.pieces = Pieces::Some(Bitfield::new(self.have.len()));
        }
        let Pieces::Some(bits) = &mut peer.pieces else { return Ok(()) };
        if bits.set(piece) {
            peer.fresh += u32::from(self.picker.fresh().get(piece));
            peer.useful += u32::from(self.lacking.get(piece));
            self.picker.have(piece);
            self.offers.have(piece);
            self.upload_arrived(slot, piece);
            self.offers_changed(slot);
        }
        Ok(())
    }

    pub(crate) fn choked(&mut self, slot: Slot) {
        self.peers[slot].choked = true;
        // What it wanted to send it has sent, or somebody else will.
        self.peers[slot].suggested.clear();
        let before = self.asked_total;
        self.release_all(slot, Answer::Possible);
        if self.asked_total < before {
            self.wake_all();
        }
    }

    pub(crate) fn unchoked(&mut self, slot: Slot) {
        self.peers[slot].choked = false;
        self.wake(slot);
    }

    pub(crate) fn suggested(&mut self, slot: Slot, piece: u32) -> Result<(), PeerFault> {
        self.check_piece(piece)?;
        self.peers[slot].suggest(piece);
        Ok(())
    }

    pub(crate) fn allowed_fast(&mut self, slot: Slot, piece: u32) -> Result<(), PeerFault> {
        self.check_piece(piece)?;
        let lacking = &self.lacking;
        let peer = &mut self.peers[slot];
        peer.allowed_fast.retain(|allowed| lacking.get(*allowed));
        peer.allow_fast(piece);
        self.wake(slot);
        Ok(())
    }

    /// Which requests are void when a peer chokes us or is gone, and how.
    pub(crate) fn release_all(&mut self, slot: Slot, answer: Answer) {
        let count = self.peers[slot].asked.len();
        for _ in 0..count {
            let Some(asked) = self.peers[slot].asked.pop_front() else { break };
            if answer == Answer::Possible && self.peers[slot].allowed_fast.contains(&asked.block.piece) {
                // Choked, but the piece is in its allowed fast set (BEP 6): the request stands.
                self.peers[slot].asked.push_back(asked);
                continue;
            }
            if answer != Answer::Impossible {
                self.peers[slot].expect_late(asked.block);
            }
            if answer == Answer::Unwanted {
                self.outputs.push_back(Output::Cancel(self.peers[slot].key, asked.block));
            }
            self.asked_total -= 1;
            self.release(slot, asked.block);
        }
        self.peers[slot].working = None;
        self.partials.disown(slot);
    }

    /// Requests of one block that were taken off the peer's list are off the piece too.
    pub(crate) fn release(&mut self, slot: Slot, block: BlockRef) {
        let Some(index) = self.layout.block_index(block) else { return };
        if self.partials.release(block.piece, index, slot) {
            self.abandon(block.piece);
        }
    }

    /// Nothing of `piece` is here or under way any more: it is fresh again, if it is wanted.
    pub(crate) fn abandon(&mut self, piece: u32) {
        self.partials.remove(piece);
        if !self.lacking.get(piece) {
            return;
        }
        self.picker.give_back(piece);
        for peer in self.peers.iter_mut() {
            peer.fresh += u32::from(peer.bits().is_some_and(|bits| bits.get(piece)));
        }
    }

    /// Tells the peer when it starts or stops having what we lack.
    pub(crate) fn update_interest(&mut self, slot: Slot) {
        let lacking = self.lacking.count();
        let peer = &mut self.peers[slot];
        let interested = match peer.pieces {
            Pieces::All => lacking > 0,
            Pieces::Nothing | Pieces::Some(_) => peer.useful > 0,
        };
        if std::mem::replace(&mut peer.interested, interested) != interested {
            let tell = if interested { Output::Interested } else { Output::NotInterested };
            self.outputs.push_back(tell(peer.key));
        }
    }

    fn offers_changed(&mut self, slot: Slot) {
        self.update_interest(slot);
        self.wake(slot);
    }

    /// A bitfield comes first or not at all (BEP 3).
    fn announce(&mut self, slot: Slot) -> Result<(), PeerFault> {
        let late = std::mem::replace(&mut self.peers[slot].announced, true);
        if late { Err(PeerFault::BitfieldLate) } else { Ok(()) }
    }

    pub(crate) fn check_piece(&self, piece: u32) -> Result<(), PeerFault> {
        let pieces = self.have.len();
        if piece < pieces { Ok(()) } else { Err(PeerFault::PieceOutOfRange { piece, pieces }) }
    }
}

/// What may become of requests that are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The peer is gone.
    Impossible,
    /// It choked us; what was on the way may come, and rejects will.
    Possible,
    /// We cancel them.
    Unwanted,
}
