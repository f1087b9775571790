//! What one engine is allowed to do, kept apart from it: every output is checked against this.

use std::collections::{BTreeMap, BTreeSet};

use peerage_swarm::{Layout, PeerKey};
use peerage_wire::{Bitfield, BlockRef};

/// A peer as the rules see it.
#[derive(Debug)]
pub struct Peer {
    pub has: Bitfield,
    pub unchoked: bool,
    /// Answered even while choked (BEP 6).
    pub allowed: BTreeSet<u32>,
    asked: BTreeSet<BlockRef>,
    /// Cancelled or void; an answer may come.
    late: Vec<BlockRef>,
    pub interested: bool,
    pub told: Bitfield,
}

/// One engine's world.
#[derive(Debug)]
pub struct Model {
    layout: Layout,
    pub have: Bitfield,
    pub arrived: BTreeSet<BlockRef>,
    pub peers: BTreeMap<PeerKey, Peer>,
    asked: BTreeMap<BlockRef, u32>,
}

impl Model {
    pub fn new(layout: Layout, have: Bitfield) -> Self {
        Self { layout, have, arrived: BTreeSet::new(), peers: BTreeMap::new(), asked: BTreeMap::new() }
    }

    pub fn connect(&mut self, key: PeerKey) {
        let has = Bitfield::new(self.have.len());
        let told = self.have.clone();
        self.peers.insert(
            key,
            Peer {
                has,
                unchoked: false,
                allowed: BTreeSet::new(),
                asked: BTreeSet::new(),
                late: Vec::new(),
                interested: false,
                told,
            },
        );
    }

    pub fn gone(&mut self, key: PeerKey) {
        self.void(key, |_| true);
        self.peers.remove(&key);
    }

    pub fn choked(&mut self, key: PeerKey) {
        let allowed = self.peers[&key].allowed.clone();
        self.void(key, |block| !allowed.contains(&block.piece));
        self.peers.get_mut(&key).unwrap().unchoked = false;
    }

    /// Checks a request against every rule, then counts it.
    pub fn request(&mut self, key: PeerKey, block: BlockRef) {
        assert!(self.layout.block_index(block).is_some(), "{block:?} is no block");
        let peer = &self.peers[&key];
        let answers = peer.unchoked || peer.allowed.contains(&block.piece);
        assert!(answers && peer.has.get(block.piece), "{key:?} cannot answer {block:?}");
        assert!(peer.interested, "{key:?} was not told that we are interested");
        assert!(!self.have.get(block.piece), "{block:?} is verified");
        assert!(!self.arrived.contains(&block), "{block:?} is here");
        match self.asked.get(&block) {
            None => {}
            Some(1) => assert!(self.nothing_unrequested(), "{block:?} is asked twice before the endgame"),
            Some(copies) => panic!("{block:?} is asked {copies} times already"),
        }
        assert!(self.peers.get_mut(&key).unwrap().asked.insert(block), "{block:?} asked twice of {key:?}");
        *self.asked.entry(block).or_default() += 1;
    }

    /// The peer answered with the block.
    pub fn answered(&mut self, key: PeerKey, block: BlockRef) {
        if !self.ended(key, block) {
            self.late_answer(key, block);
        }
    }

    /// The peer answered with a reject: of two requests for one block it means the cancelled one.
    pub fn rejected(&mut self, key: PeerKey, block: BlockRef) {
        if !self.late_answer(key, block) {
            self.ended(key, block);
        }
    }

    pub fn cancel(&mut self, key: PeerKey, block: BlockRef) {
        assert!(self.ended(key, block), "cancelled {block:?}, which {key:?} was not asked for");
        self.peers.get_mut(&key).unwrap().late.push(block);
    }

    fn late_answer(&mut self, key: PeerKey, block: BlockRef) -> bool {
        let Some(peer) = self.peers.get_mut(&key) else { return false };
        let at = peer.late.iter().position(|late| *late == block);
        at.map(|at| peer.late.swap_remove(at)).is_some()
    }

    fn ended(&mut self, key: PeerKey, block: BlockRef) -> bool {
        let ended = self.peers.get_mut(&key).is_some_and(|peer| peer.asked.remove(&block));
        if ended {
            self.uncount(block);
        }
        ended
    }

    /// The engine was told that everything that arrived of `piece` is void.
    pub fn forget(&mut self, piece: u32) {
        self.arrived.retain(|block| block.piece != piece);
    }

    /// Everything that somebody could be asked for has been asked for.
    fn nothing_unrequested(&self) -> bool {
        let lacking = (0..self.have.len()).filter(|piece| !self.have.get(*piece));
        let mut blocks = lacking.flat_map(|piece| {
            (0..self.layout.block_count(piece)).map(move |index| self.layout.block(piece, index))
        });
        let available = |piece: u32| self.peers.values().any(|peer| peer.has.get(piece));
        blocks.all(|b| self.arrived.contains(&b) || self.asked.contains_key(&b) || !available(b.piece))
    }

    fn void(&mut self, key: PeerKey, which: impl Fn(&BlockRef) -> bool) {
        let peer = self.peers.get_mut(&key).unwrap();
        let (asked, keep) = std::mem::take(&mut peer.asked).into_iter().partition::<Vec<_>, _>(which);
        peer.asked.extend(keep);
        peer.late.extend(&asked);
        asked.into_iter().for_each(|block| self.uncount(block));
    }

    fn uncount(&mut self, block: BlockRef) {
        let copies = self.asked.get_mut(&block).expect("counted");
        *copies -= 1;
        if *copies == 0 {
            self.asked.remove(&block);
        }
    }
}
