//! Pieces under way, block by block.

use peerage_wire::Bitfield;

use crate::api::PeerKey;
use crate::peers::Slot;

/// Where one block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// Nobody was asked.
    Missing,
    /// Outstanding at one peer.
    Asked(Slot),
    /// Outstanding at two peers (endgame only).
    AskedTwice(Slot, Slot),
    /// In the shell's buffer; a key and not a slot, because its sender may be gone.
    Arrived(PeerKey),
}

/// A piece of which at least one block was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    pub(crate) piece: u32,
    pub(crate) bytes: u32,
    /// The peer that works on it alone, as long as that peer is fast.
    pub(crate) owner: Option<Slot>,
    pub(crate) blocks: Vec<Block>,
    /// How many blocks are `Missing`, and `Arrived`.
    pub(crate) missing: u32,
    pub(crate) arrived: u32,
    /// No block before this one is `Missing`.
    cursor: u32,
    /// Position in `Partials::open`, if `missing > 0`.
    open_at: u32,
}

impl Partial {
    /// Whether every block is there and the shell is verifying the piece.
    pub(crate) fn is_complete(&self) -> bool {
        self.arrived as usize == self.blocks.len()
    }

    /// Whether nobody is being asked for any of it.
    pub(crate) fn is_idle(&self) -> bool {
        (self.missing + self.arrived) as usize == self.blocks.len()
    }

    fn is_untouched(&self) -> bool {
        self.missing as usize == self.blocks.len()
    }
}

/// What an arriving block met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Its piece is not under way (any more).
    Late,
    /// The block was there already.
    Duplicate,
    /// Taken; the peers in here were asked as well and should stop.
    Taken([Option<Slot>; 2]),
}

const NONE: u32 = u32::MAX;

/// All of them. Finished entries are reused, so the steady state allocates nothing.
#[derive(Debug)]
pub(crate) struct Partials {
    slab: Vec<Partial>,
    free: Vec<u32>,
    /// Piece to slab index, or `NONE`.
    of_piece: Vec<u32>,
    /// Slab indices of those with `missing > 0`, in no order.
    open: Vec<u32>,
    missing_total: u32,
    bytes: u64,
    complete: u32,
}

impl Partials {
    pub(crate) fn new(piece_count: u32) -> Self {
        Self {
            slab: Vec::new(),
            free: Vec::new(),
            of_piece: vec![NONE; piece_count as usize],
            open: Vec::new(),
            missing_total: 0,
            bytes: 0,
            complete: 0,
        }
    }

    pub(crate) fn get(&self, piece: u32) -> Option<&Partial> {
        let at = *self.of_piece.get(piece as usize)?;
        (at != NONE).then(|| &self.slab[at as usize])
    }

    /// Those with blocks that nobody was asked for.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Partial> {
        self.open.iter().map(|at| &self.slab[*at as usize])
    }

    /// How many pieces are under way, those being verified included.
    pub(crate) fn len(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    /// Size of all pieces under way: what the shell buffers.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks of pieces under way that nobody was asked for.
    pub(crate) fn missing_total(&self) -> u32 {
        self.missing_total
    }

    /// How many wait for the shell's verdict.
    pub(crate) fn complete(&self) -> u32 {
        self.complete
    }

    /// Piece indices, in no order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = u32> {
        self.slab.iter().filter(|partial| !partial.blocks.is_empty()).map(|partial| partial.piece)
    }

    /// Starts `piece`; all its blocks are missing.
    pub(crate) fn start(&mut self, piece: u32, bytes: u32, block_count: u32, owner: Option<Slot>) {
        assert!(self.get(piece).is_none() && block_count > 0, "piece {piece} is under way or empty");
        let at = self.free.pop().unwrap_or_else(|| {
            self.slab.push(Partial {
                piece,
                bytes: 0,
                owner: None,
                blocks: Vec::new(),
                missing: 0,
                arrived: 0,
                cursor: 0,
                open_at: NONE,
            });
            self.slab.len() as u32 - 1
        });
        let partial = &mut self.slab[at as usize];
        (partial.piece, partial.bytes, partial.owner) = (piece, bytes, owner);
        partial.blocks.resize(block_count as usize, Block::Missing);
        (partial.missing, partial.arrived, partial.cursor) = (block_count, 0, 0);
        self.of_piece[piece as usize] = at;
        self.missing_total += block_count;
        self.bytes += u64::from(bytes);
        self.enter_open(at);
    }

    /// Forgets `piece`. The caller has dealt with whoever was asked.
    pub(crate) fn remove(&mut self, piece: u32) {
        let Some(at) = self.index(piece) else { return };
        self.of_piece[piece as usize] = NONE;
        self.leave_open(at);
        let partial = &mut self.slab[at as usize];
        self.missing_total -= partial.missing;
        self.bytes -= u64::from(partial.bytes);
        self.complete -= u32::from(partial.is_complete());
        partial.blocks.clear();
        self.free.push(at);
    }

    /// Gives the first missing block of `piece` to `slot`.
    pub(crate) fn take(&mut self, piece: u32, slot: Slot) -> Option<u32> {
        let at = self.index(piece)?;
        let partial = &mut self.slab[at as usize];
        if partial.missing == 0 {
            return None;
        }
        while partial.blocks[partial.cursor as usize] != Block::Missing {
            partial.cursor += 1;
        }
        let index = partial.cursor;
        partial.blocks[index as usize] = Block::Asked(slot);
        partial.cursor += 1;
        self.count_missing(at, -1);
        Some(index)
    }

    /// Gives a block that is outstanding at another peer to `slot` as well; whether it could be.
    pub(crate) fn duplicate(&mut self, piece: u32, index: u32, slot: Slot) -> bool {
        match self.block_mut(piece, index) {
            Some(block) if matches!(*block, Block::Asked(first) if first != slot) => {
                if let Block::Asked(first) = *block {
                    *block = Block::AskedTwice(first, slot);
                }
                true
            }
            _ => false,
        }
    }

    /// Moves a block that is outstanding at `from` alone to `to`; whether it was.
    pub(crate) fn reassign(&mut self, piece: u32, index: u32, from: Slot, to: Slot) -> bool {
        match self.block_mut(piece, index) {
            Some(block) if *block == Block::Asked(from) => {
                *block = Block::Asked(to);
                true
            }
            _ => false,
        }
    }

    /// `from`, which is or was asked, has sent the block.
    pub(crate) fn arrive(&mut self, piece: u32, index: u32, slot: Slot, from: PeerKey) -> Arrival {
        let Some(at) = self.index(piece) else { return Arrival::Late };
        let Some(block) = self.block_mut(piece, index) else { return Arrival::Late };
        let others = match *block {
            Block::Arrived(_) => return Arrival::Duplicate,
            Block::Missing => [None, None],
            Block::Asked(first) => [Some(first), None],
            Block::AskedTwice(first, second) => [Some(first), Some(second)],
        };
        let was_missing = *block == Block::Missing;
        *block = Block::Arrived(from);
        if was_missing {
            self.count_missing(at, -1);
        }
        let partial = &mut self.slab[at as usize];
        partial.arrived += 1;
        if partial.is_complete() {
            partial.owner = None;
            self.complete += 1;
        }
        Arrival::Taken(others.map(|other| other.filter(|other| *other != slot)))
    }

    /// `slot` is no longer asked for the block. Returns whether nothing of the piece is left under way.
    pub(crate) fn release(&mut self, piece: u32, index: u32, slot: Slot) -> bool {
        let Some(at) = self.index(piece) else { return false };
        let Some(block) = self.block_mut(piece, index) else { return false };
        match *block {
            Block::Asked(first) if first == slot => {
                *block = Block::Missing;
                self.became_missing(at, index);
            }
            Block::AskedTwice(first, second) if second == slot => *block = Block::Asked(first),
            Block::AskedTwice(first, second) if first == slot => *block = Block::Asked(second),
            _ => {}
        }
        self.slab[at as usize].is_untouched()
    }

    /// The block that `from` sent is wrong. Returns whether it was here, and whether nothing is left under way.
    pub(crate) fn spoil(&mut self, piece: u32, index: u32, from: PeerKey) -> (bool, bool) {
        let Some(at) = self.index(piece) else { return (false, false) };
        let was_complete = self.slab[at as usize].is_complete();
        match self.block_mut(piece, index) {
            Some(block) if *block == Block::Arrived(from) => *block = Block::Missing,
            _ => return (false, false),
        }
        self.complete -= u32::from(was_complete);
        self.slab[at as usize].arrived -= 1;
        self.became_missing(at, index);
        (true, self.slab[at as usize].is_untouched())
    }

    /// None of the blocks that arrived is worth anything. Returns whether nothing is left under way.
    pub(crate) fn reset(&mut self, piece: u32) -> bool {
        let Some(at) = self.index(piece) else { return false };
        self.complete -= u32::from(self.slab[at as usize].is_complete());
        for index in 0..self.slab[at as usize].blocks.len() as u32 {
            let partial = &mut self.slab[at as usize];
            if matches!(partial.blocks[index as usize], Block::Arrived(_)) {
                partial.blocks[index as usize] = Block::Missing;
                partial.arrived -= 1;
                self.became_missing(at, index);
            }
        }
        self.slab[at as usize].is_untouched()
    }

    /// From now on `slot` works on `piece` alone.
    pub(crate) fn adopt(&mut self, piece: u32, slot: Slot) {
        if let Some(at) = self.index(piece) {
            self.slab[at as usize].owner = Some(slot);
        }
    }

    /// `slot` no longer works on anything alone.
    pub(crate) fn disown(&mut self, slot: Slot) {
        for partial in &mut self.slab {
            if partial.owner == Some(slot) {
                partial.owner = None;
            }
        }
    }

    /// Recounts everything and compares.
    pub(crate) fn assert_consistent(&self, fresh: &Bitfield) {
        let (mut missing_total, mut bytes, mut complete, mut count) = (0, 0, 0, 0);
        for (at, partial) in self.slab.iter().enumerate().filter(|(_, partial)| !partial.blocks.is_empty()) {
            let of = |wanted: fn(&Block) -> bool| partial.blocks.iter().filter(|b| wanted(b)).count() as u32;
            assert_eq!(self.of_piece[partial.piece as usize], at as u32);
            assert_eq!(partial.missing, of(|b| *b == Block::Missing));
            assert_eq!(partial.arrived, of(|b| matches!(b, Block::Arrived(_))));
            assert!(!partial.is_untouched(), "piece {} is under way for nothing", partial.piece);
            assert!(!fresh.get(partial.piece), "piece {} is both fresh and under way", partial.piece);
            assert!(partial.blocks[..partial.cursor as usize].iter().all(|b| *b != Block::Missing));
            match partial.missing {
                0 => assert_eq!(partial.open_at, NONE),
                _ => assert_eq!(self.open[partial.open_at as usize], at as u32),
            }
            missing_total += partial.missing;
            bytes += u64::from(partial.bytes);
            complete += u32::from(partial.is_complete());
            count += 1;
        }
        assert_eq!((missing_total, bytes, complete), (self.missing_total, self.bytes, self.complete));
        assert_eq!(count, self.len());
        assert_eq!(self.open().filter(|partial| partial.missing > 0).count(), self.open.len());
    }

    fn index(&self, piece: u32) -> Option<u32> {
        self.of_piece.get(piece as usize).copied().filter(|at| *at != NONE)
    }

    fn block_mut(&mut self, piece: u32, index: u32) -> Option<&mut Block> {
        let at = self.index(piece)?;
        self.slab[at as usize].blocks.get_mut(index as usize)
    }

    fn became_missing(&mut self, at: u32, index: u32) {
        let partial = &mut self.slab[at as usize];
        partial.cursor = partial.cursor.min(index);
        self.count_missing(at, 1);
    }

    fn count_missing(&mut self, at: u32, change: i32) {
        let partial = &mut self.slab[at as usize];
        let before = partial.missing;
        partial.missing = before.saturating_add_signed(change);
        self.missing_total = self.missing_total.saturating_add_signed(change);
        match (before, partial.missing) {
            (0, 1..) => self.enter_open(at),
            (1.., 0) => self.leave_open(at),
            _ => {}
        }
    }

    fn enter_open(&mut self, at: u32) {
        self.slab[at as usize].open_at = self.open.len() as u32;
        self.open.push(at);
    }

    fn leave_open(&mut self, at: u32) {
        let place = std::mem::replace(&mut self.slab[at as usize].open_at, NONE);
        if place == NONE {
            return;
        }
        self.open.swap_remove(place as usize);
        if let Some(moved) = self.open.get(place as usize) {
            self.slab[*moved as usize].open_at = place;
        }
    }
}
