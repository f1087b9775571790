//! Which pieces are wanted, and how much.

use peerage_wire::Bitfield;

use crate::api::Priority;
use crate::engine::Swarm;
use crate::peers::Pieces;

/// What is wanted and not there.
pub(crate) fn lacking(have: &Bitfield, priorities: &[Priority]) -> Bitfield {
    assert_eq!(priorities.len(), have.len() as usize, "there must be one priority for each piece");
    let mut lacking = Bitfield::new(have.len());
    for (piece, priority) in (0..).zip(priorities) {
        if *priority != Priority::Skip && !have.get(piece) {
            lacking.set(piece);
        }
    }
    lacking
}

/// How many pieces of the highest priority are lacking.
pub(crate) fn first_lacking(lacking: &Bitfield, priorities: &[Priority]) -> u32 {
    lacking.iter_set().filter(|piece| priorities[*piece as usize] == Priority::First).count() as u32
}

impl Swarm {
    pub(crate) fn set_priorities(&mut self, priorities: Vec<Priority>) {
        let was_complete = self.is_complete();
        let lacking = lacking(&self.have, &priorities);
        let unwanted = |piece: &u32| {
            let complete = self.partials.get(*piece).is_some_and(|partial| partial.is_complete());
            !lacking.get(*piece) && !complete
        };
        let dropped: Vec<u32> = self.partials.pieces().filter(unwanted).collect();
        dropped.into_iter().for_each(|piece| self.cancel_piece(piece));
        let mut fresh = lacking.clone();
        self.partials.pieces().for_each(|piece| _ = fresh.clear(piece));
        for peer in self.peers.iter_mut() {
            peer.working = None;
            if let Pieces::Some(bits) = &peer.pieces {
                let (fresh, useful) = (bits.intersection_count(&fresh), bits.intersection_count(&lacking));
                (peer.fresh, peer.useful) = (fresh, useful);
            }
        }
        self.first_lacking = first_lacking(&lacking, &priorities);
        self.lacking = lacking;
        self.picker.set_priorities(priorities, fresh);
        for index in 0..self.peers.slot_count() {
            if let Some(slot) = self.peers.nth(index) {
                self.update_interest(slot);
            }
        }
        self.wake_all();
        match self.is_complete() {
            true if !was_complete => self.complete(),
            true => {}
            false => self.stop_dwelling(),
        }
    }
}
