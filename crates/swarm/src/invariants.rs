//! Recounting everything, for tests and simulations.

use std::time::Duration;

use peerage_types::Time;

use crate::api::Priority;
use crate::engine::Swarm;
use crate::partial::Block;
use crate::peers::{Peer, Pieces};
use crate::timers::Timer;

impl Swarm {
    /// Asserts that all redundant state agrees. Costs O(pieces × peers): not for production.
    #[doc(hidden)]
    pub fn assert_consistent(&self) {
        self.picker.assert_consistent(self.peers.iter().filter_map(|(_, peer)| peer.bits()));
        self.partials.assert_consistent(self.picker.fresh());
        let mut asked_total = 0;
        for (slot, peer) in self.peers.iter() {
            asked_total += peer.asked.len() as u32;
            if let Pieces::Some(bits) = &peer.pieces {
                assert_eq!(peer.fresh, bits.intersection_count(self.picker.fresh()));
                assert_eq!(peer.useful, bits.intersection_count(&self.lacking));
            }
            for asked in &peer.asked {
                let partial = self.partials.get(asked.block.piece);
                let index = self.layout.block_index(asked.block);
                let state = partial.zip(index).map(|(partial, index)| partial.blocks[index as usize]);
                let ours = match state {
                    Some(Block::Asked(first)) => first == slot,
                    Some(Block::AskedTwice(first, second)) => (first == slot) != (second == slot),
                    _ => false,
                };
                assert!(ours, "{:?} is asked of {:?} but is {state:?}", asked.block, peer.key);
            }
        }
        assert_eq!(asked_total, self.asked_total);
        let count =
            |which: fn(&Peer) -> bool| self.peers.iter().filter(|(_, peer)| which(peer)).count() as u32;
        assert_eq!(count(|peer| peer.remote_interested), self.interested_peers);
        assert_eq!(count(|peer| !peer.is_standard()), self.members);
        self.assert_uploads_consistent();
        self.assert_choker_consistent();
        for (slot, peer) in self.peers.iter() {
            let (true_one, armed) = (peer.deadline(&self.limits), self.timers.at(Timer::Peer(slot)));
            let in_time =
                true_one.is_none_or(|at| armed.is_some_and(|armed| armed <= at.max(self.next_ms())));
            assert!(in_time, "{:?} is due at {true_one:?} but comes at {armed:?}", peer.key);
        }
        let first = self.lacking.iter_set().filter(|piece| self.picker.priority(*piece) == Priority::First);
        assert_eq!(first.count() as u32, self.first_lacking);
        for piece in 0..self.have.len() {
            let wanted = self.picker.priority(piece) != Priority::Skip;
            assert_eq!(self.lacking.get(piece), wanted && !self.have.get(piece), "piece {piece} is lacking");
            let fresh = self.lacking.get(piece) && self.partials.get(piece).is_none();
            assert_eq!(self.picker.fresh().get(piece), fresh, "piece {piece} is fresh");
        }
    }

    /// Entries that were examined so far: to choose pieces and blocks, to give slots away, and for timers.
    #[doc(hidden)]
    pub fn entries_examined(&self) -> u64 {
        self.picker.examined() + self.work.stealing + self.work.uploads + self.work.timers
    }

    fn next_ms(&self) -> Time {
        self.now.after(Duration::from_millis(1))
    }
}
