//! Recounting everything, for tests and simulations.

use crate::api::Priority;
use crate::engine::Swarm;
use crate::partial::Block;
use crate::peers::Pieces;

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
        for piece in 0..self.have.len() {
            let wanted = self.picker.priority(piece) != Priority::Skip;
            assert_eq!(self.lacking.get(piece), wanted && !self.have.get(piece), "piece {piece} is lacking");
            let fresh = self.lacking.get(piece) && self.partials.get(piece).is_none();
            assert_eq!(self.picker.fresh().get(piece), fresh, "piece {piece} is fresh");
        }
    }

    /// Entries that choosing pieces has examined so far.
    #[doc(hidden)]
    pub fn entries_examined(&self) -> u64 {
        self.picker.examined()
    }
}
