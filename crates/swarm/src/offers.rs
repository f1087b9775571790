//! What a seeder would like to send: the pieces by how many copies exist or are on their way.

use crate::picker::{EXAMINED_MAX, NONE, Partition, Picker};
use crate::rng::Rng;

/// Kept up to date only once somebody has asked what to suggest; until then a HAVE costs nothing here.
#[derive(Debug)]
pub(crate) struct Offers {
    /// Copies of each piece that we are sending.
    sending: Vec<u32>,
    /// By `copies`; only valid if not dirty.
    partition: Partition,
    copies: Vec<u32>,
    position: Vec<u32>,
    dirty: bool,
    rng: Rng,
}

impl Offers {
    pub(crate) fn new(pieces: u32, rng: Rng) -> Self {
        Self {
            sending: vec![0; pieces as usize],
            partition: Partition::default(),
            copies: Vec::new(),
            position: Vec::new(),
            dirty: true,
            rng,
        }
    }

    /// Somebody has a piece more.
    pub(crate) fn have(&mut self, piece: u32) {
        self.raise(piece);
    }

    /// Many pieces were added or lost.
    pub(crate) fn changed(&mut self) {
        self.dirty = true;
    }

    /// We began to send `piece`.
    pub(crate) fn taken(&mut self, piece: u32) {
        self.sending[piece as usize] += 1;
        self.raise(piece);
    }

    /// We have sent it, or will not.
    pub(crate) fn left(&mut self, piece: u32) {
        self.sending[piece as usize] -= 1;
        if !self.dirty {
            let copies = self.copies[piece as usize];
            self.partition.remove(piece, copies as usize, &mut self.position);
            self.copies[piece as usize] = copies - 1;
            self.partition.insert(piece, copies as usize - 1, &mut self.position, &mut self.rng);
        }
    }

    /// The piece with fewest copies of those that are `wanted`, if a bounded search finds one.
    pub(crate) fn pick(&mut self, picker: &Picker, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        self.clean(picker);
        let pieces = self.partition.pieces().iter().copied();
        pieces.take(EXAMINED_MAX as usize).find(|piece| wanted(*piece))
    }

    /// Like `pick`, of pieces that nobody else has or is getting from us.
    pub(crate) fn first_copy(&mut self, picker: &Picker, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        self.pick(picker, wanted).filter(|piece| self.copies[*piece as usize] == 0)
    }

    fn raise(&mut self, piece: u32) {
        if !self.dirty {
            let copies = self.copies[piece as usize];
            self.partition.raise(piece, copies as usize, &mut self.position, &mut self.rng);
            self.copies[piece as usize] = copies + 1;
        }
    }

    fn clean(&mut self, picker: &Picker) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let pieces = self.sending.len() as u32;
        let copies = (0..).zip(&self.sending).map(|(piece, sending)| picker.copies(piece) + sending);
        self.copies = copies.collect();
        self.position.clear();
        self.position.resize(pieces as usize, NONE);
        let mut order: Vec<u32> = (0..pieces).collect();
        self.rng.shuffle(&mut order);
        self.partition.rebuild(&order, &self.copies, &mut self.position);
    }
}
