//! Recounting everything, for tests and simulations.

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
                assert_eq!(peer.useful, bits.difference_count(&self.have));
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
        let in_progress: u32 = self.partials.pieces().count() as u32;
        assert_eq!(in_progress + self.picker.fresh().count() + self.have.count(), self.have.len());
    }

    /// Entries that choosing pieces has examined so far.
    #[doc(hidden)]
    pub fn entries_examined(&self) -> u64 {
        self.picker.examined()
    }
}
