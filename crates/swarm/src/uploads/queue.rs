//! Who waits for a slot and who has one, so that nobody has to look for them.

use std::collections::BTreeSet;

use super::Turn;
use crate::engine::Swarm;
use crate::peers::{Peer, Slot};

/// Where one peer is listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere.
    #[default]
    Out,
    /// Among those who wait; see [`Upload::served`](super::Upload).
    Waiting(u64),
    /// Among those who have a slot; `idle` if it wants nothing.
    Busy { idle: bool, slow: bool },
}

/// See the module. Every list changes in O(log peers).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Whoever has waited longest first.
    waiting: BTreeSet<(u64, Slot)>,
    /// Those who have a slot, and those of them who take little.
    busy: u32,
    slow: u32,
    /// Those who have a slot and want nothing.
    idle: BTreeSet<Slot>,
}

impl Queue {
    /// Whoever is to get the next slot.
    pub(crate) fn next(&self) -> Option<Slot> {
        self.waiting.first().map(|(_, slot)| *slot)
    }

    /// Whoever has a slot that it does not use.
    pub(crate) fn idle(&self) -> Option<Slot> {
        self.idle.first().copied()
    }

    pub(crate) fn busy(&self) -> u32 {
        self.busy
    }

    pub(crate) fn slow(&self) -> u32 {
        self.slow
    }

    fn enter(&mut self, slot: Slot, place: Place) {
        match place {
            Place::Out => {}
            Place::Waiting(served) => _ = self.waiting.insert((served, slot)),
            Place::Busy { idle, slow } => {
                self.busy += 1;
                self.slow += u32::from(slow);
                if idle {
                    self.idle.insert(slot);
                }
            }
        }
    }

    fn leave(&mut self, slot: Slot, place: Place) {
        match place {
            Place::Out => {}
            Place::Waiting(served) => _ = self.waiting.remove(&(served, slot)),
            Place::Busy { idle, slow } => {
                self.busy -= 1;
                self.slow -= u32::from(slow);
                if idle {
                    self.idle.remove(&slot);
                }
            }
        }
    }
}

/// Where it belongs.
fn place(peer: &Peer) -> Place {
    let upload = &peer.upload;
    match upload.turn {
        _ if peer.is_standard() => Place::Out,
        Turn::Serving | Turn::Finishing => Place::Busy { idle: !peer.remote_interested, slow: upload.slow },
        Turn::Waiting if peer.remote_interested && !peer.banned => Place::Waiting(upload.served),
        Turn::Waiting => Place::Out,
    }
}

impl Swarm {
    /// To be called after each change of what [`place`] reads.
    pub(crate) fn list_upload(&mut self, slot: Slot) {
        let to = place(&self.peers[slot]);
        self.move_upload(slot, to);
    }

    /// The connection ends.
    pub(crate) fn unlist_upload(&mut self, slot: Slot) {
        self.move_upload(slot, Place::Out);
    }

    fn move_upload(&mut self, slot: Slot, to: Place) {
        let from = std::mem::replace(&mut self.peers[slot].upload.place, to);
        if from != to {
            self.queue.leave(slot, from);
            self.queue.enter(slot, to);
        }
    }

    /// Lists everybody anew and compares.
    pub(crate) fn assert_uploads_consistent(&self) {
        let mut queue = Queue::default();
        for (slot, peer) in self.peers.iter() {
            queue.enter(slot, place(peer));
            assert_eq!(peer.upload.place, place(peer), "{:?} is listed at another place", peer.key);
        }
        assert_eq!(queue, self.queue);
    }
}
