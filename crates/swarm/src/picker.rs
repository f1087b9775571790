//! Which piece is rarest: the fresh pieces, partitioned by availability.
//!
//! *Fresh* means neither verified nor under way. `order` holds the fresh pieces in buckets of equal
//! availability, rarest first. A HAVE moves a piece into the next bucket by one swap with the boundary, and one
//! random swap inside the new bucket keeps ties random. A bitfield or a disconnect only marks the order dirty;
//! one counting sort repairs it when the next piece is picked. Seeders raise every piece alike, so they are one
//! counter and never move anything.
//!
//! Every choice examines a bounded number of entries, [`EXAMINED_MAX`]; up to that many pieces the choice is
//! exact, beyond it may miss the rarest piece but never misses that there is one.

use peerage_wire::Bitfield;

use crate::api::Rank;
use crate::rng::Rng;

/// Entries examined before a choice falls back to a cheaper, inexact search. Shares aim at 1,000–2,000 pieces,
/// so this is exact for nearly all of them.
const EXAMINED_MAX: u32 = 4_096;
/// Buckets up to this size are searched whole for the piece nearest on the ring; larger ones by walking the
/// ring, which soon hits one of so many.
const RING_BUCKET_MAX: u32 = 512;
/// Longest walk on the ring.
const RING_WALK_MAX: u32 = EXAMINED_MAX;
/// Candidates that the fallback compares.
const FALLBACK_CANDIDATES: u32 = 64;

const NONE: u32 = u32::MAX;

/// Which of a peer's fresh pieces is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Lowest availability; ties by distance on the ring from our shard, or at random.
    Rarest,
    /// Highest availability.
    Common,
    /// Any.
    Random,
}

/// What can be asked of one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    /// Its pieces; `None` for a seeder.
    pub(crate) bits: Option<&'a Bitfield>,
    /// Pieces not to ask it for.
    pub(crate) refused: &'a [u32],
}

impl Holder<'_> {
    fn offers(&self, piece: u32) -> bool {
        self.bits.is_none_or(|bits| bits.get(piece)) && !self.refused.contains(&piece)
    }
}

/// See the module's description. `bounds[a]..bounds[a + 1]` is the bucket of availability `a` in `order`.
#[derive(Debug)]
pub(crate) struct Picker {
    /// Copies among peers that are not seeders, of every piece.
    availability: Vec<u32>,
    seeders: u32,
    fresh: Bitfield,
    order: Vec<u32>,
    /// Piece to position in `order`; `NONE` unless fresh. Like `order` and `bounds` only valid if not dirty.
    position: Vec<u32>,
    bounds: Vec<u32>,
    dirty: bool,
    /// The piece where our shard starts, if there is a roster.
    shard: Option<u32>,
    /// No fresh piece is nearer to the shard's start.
    ring_cursor: u32,
    rng: Rng,
    /// Entries examined so far: what the tests bound.
    examined: u64,
}

impl Picker {
    pub(crate) fn new(fresh: Bitfield, rank: Option<Rank>, rng: Rng) -> Self {
        let pieces = fresh.len();
        let mut picker = Self {
            availability: vec![0; pieces as usize],
            seeders: 0,
            fresh,
            order: Vec::new(),
            position: vec![NONE; pieces as usize],
            bounds: Vec::new(),
            dirty: true,
            shard: None,
            ring_cursor: 0,
            rng,
            examined: 0,
        };
        picker.set_rank(rank);
        picker
    }

    /// Copies among all peers.
    pub(crate) fn availability(&self, piece: u32) -> u32 {
        self.availability.get(piece as usize).map_or(0, |copies| copies + self.seeders)
    }

    pub(crate) fn fresh(&self) -> &Bitfield {
        &self.fresh
    }

    pub(crate) fn examined(&self) -> u64 {
        self.examined
    }

    /// How many fresh pieces at least one peer has.
    pub(crate) fn fresh_available(&mut self) -> u32 {
        match self.seeders {
            0 => {
                self.clean();
                self.order.len() as u32 - self.bounds[1]
            }
            _ => self.fresh.count(),
        }
    }

    /// Moves our shard.
    pub(crate) fn set_rank(&mut self, rank: Option<Rank>) {
        self.shard = rank.map(|Rank { rank, of }| {
            let of = u64::from(of.max(1));
            (u64::from(rank) % of * u64::from(self.fresh.len()) / of) as u32
        });
        self.ring_cursor = 0;
        self.dirty = true;
    }

    pub(crate) fn add_seeder(&mut self) {
        self.seeders += 1;
    }

    pub(crate) fn remove_seeder(&mut self) {
        self.seeders -= 1;
    }

    pub(crate) fn add(&mut self, bits: &Bitfield) {
        for piece in bits.iter_set() {
            self.availability[piece as usize] += 1;
        }
        self.dirty = true;
    }

    pub(crate) fn remove(&mut self, bits: &Bitfield) {
        for piece in bits.iter_set() {
            self.availability[piece as usize] -= 1;
        }
        self.dirty = true;
    }

    /// One more peer, not a seeder, has `piece`.
    pub(crate) fn have(&mut self, piece: u32) {
        let bucket = self.availability[piece as usize] as usize;
        self.availability[piece as usize] += 1;
        if self.dirty || !self.fresh.get(piece) {
            return;
        }
        let last = self.bounds[bucket + 1] - 1;
        self.swap(self.position[piece as usize], last);
        self.bounds[bucket + 1] = last;
        if bucket + 2 == self.bounds.len() {
            self.bounds.push(self.order.len() as u32);
        }
        self.place_randomly(last, bucket + 1);
    }

    /// `piece` is no longer fresh.
    pub(crate) fn take(&mut self, piece: u32) {
        let was_fresh = self.fresh.clear(piece);
        if self.dirty || !was_fresh {
            return;
        }
        let mut hole = std::mem::replace(&mut self.position[piece as usize], NONE);
        for bucket in self.availability[piece as usize] as usize..self.bounds.len() - 1 {
            let last = self.bounds[bucket + 1] - 1;
            if last != hole {
                self.put(hole, self.order[last as usize]);
            }
            self.bounds[bucket + 1] = last;
            hole = last;
        }
        self.order.pop();
        assert_eq!(hole as usize, self.order.len(), "the hole must have travelled to the end");
    }

    /// `piece` is fresh again.
    pub(crate) fn give_back(&mut self, piece: u32) {
        let changed = self.fresh.set(piece);
        if let Some(shard) = self.shard {
            self.ring_cursor = self.ring_cursor.min(self.distance(shard, piece));
        }
        if self.dirty || !changed {
            return;
        }
        let bucket = self.availability[piece as usize] as usize;
        while self.bounds.len() < bucket + 2 {
            self.bounds.push(self.order.len() as u32);
        }
        let mut hole = self.order.len() as u32;
        self.order.push(piece);
        for later in (bucket + 1..self.bounds.len()).rev() {
            // `later` runs over the ends of buckets; the bucket behind each gives its first entry for the hole.
            let first = self.bounds[later];
            if first != hole {
                self.put(hole, self.order[first as usize]);
            }
            self.bounds[later] += 1;
            hole = first;
        }
        self.put(hole, piece);
        self.place_randomly(hole, bucket);
    }

    /// A fresh piece of `holder`, who has `wants > 0` of them before refusals; `None` only if it refused all.
    pub(crate) fn pick(&mut self, order: Order, holder: Holder<'_>) -> Option<u32> {
        self.clean();
        // Whoever is not a seeder is counted in the availability of what it has.
        let start = if holder.bits.is_some() { self.bounds[1] } else { 0 };
        let budget = self.examined + u64::from(EXAMINED_MAX);
        let len = self.order.len() as u32;
        let picked = match (order, self.shard) {
            (Order::Rarest, Some(shard)) => self.nearest(start, shard, holder, budget),
            (Order::Rarest, None) => self.first_offered(start..len, holder, budget),
            (Order::Common, _) => self.first_offered((start..len).rev(), holder, budget),
            (Order::Random, _) => {
                let from = start + self.rng.below(len - start);
                self.first_offered((from..len).chain(start..from), holder, budget)
            }
        };
        if picked.is_none() && self.examined >= budget { self.fallback(holder) } else { picked }
    }

    /// Recounts everything and compares. `holders`: the pieces of all peers that are not seeders.
    pub(crate) fn assert_consistent<'a>(&self, holders: impl Iterator<Item = &'a Bitfield>) {
        let mut counted = vec![0; self.availability.len()];
        holders.flat_map(Bitfield::iter_set).for_each(|piece| counted[piece as usize] += 1);
        assert_eq!(counted, self.availability);
        if self.dirty {
            return;
        }
        assert_eq!(self.order.len() as u32, self.fresh.count());
        assert_eq!(self.bounds.last().copied(), Some(self.order.len() as u32));
        for (at, piece) in self.order.iter().enumerate() {
            let bucket = self.availability[*piece as usize] as usize;
            assert!(self.fresh.get(*piece) && self.position[*piece as usize] == at as u32);
            assert!((self.bounds[bucket]..self.bounds[bucket + 1]).contains(&(at as u32)));
        }
    }

    fn first_offered(
        &mut self,
        positions: impl Iterator<Item = u32>,
        holder: Holder<'_>,
        budget: u64,
    ) -> Option<u32> {
        for at in positions {
            if self.examined >= budget {
                return None;
            }
            self.examined += 1;
            let piece = self.order[at as usize];
            if holder.offers(piece) {
                return Some(piece);
            }
        }
        None
    }

    /// The rarest piece, and among those the first on the ring from `shard`.
    fn nearest(&mut self, start: u32, shard: u32, holder: Holder<'_>, budget: u64) -> Option<u32> {
        while self.ring_cursor < self.fresh.len() && !self.fresh.get(self.on_ring(shard, self.ring_cursor)) {
            self.ring_cursor += 1;
        }
        for bucket in 0..self.bounds.len() - 1 {
            let (from, to) = (self.bounds[bucket].max(start), self.bounds[bucket + 1]);
            if from >= to {
                continue;
            }
            if self.examined >= budget {
                return None;
            }
            if to - from > RING_BUCKET_MAX
                && let Some(piece) = self.walk_ring(shard, bucket as u32, holder)
            {
                return Some(piece);
            }
            let to = if to - from > RING_WALK_MAX { from + RING_BUCKET_MAX } else { to };
            self.examined += u64::from(to - from);
            let entries = self.order[from as usize..to as usize].iter().copied();
            let nearest = entries.filter(|piece| holder.offers(*piece));
            if let Some(piece) = nearest.min_by_key(|piece| self.distance(shard, *piece)) {
                return Some(piece);
            }
        }
        None
    }

    fn walk_ring(&mut self, shard: u32, availability: u32, holder: Holder<'_>) -> Option<u32> {
        let end = self.fresh.len().min(self.ring_cursor.saturating_add(RING_WALK_MAX));
        for distance in self.ring_cursor..end {
            self.examined += 1;
            let piece = self.on_ring(shard, distance);
            let rare = self.fresh.get(piece) && self.availability[piece as usize] == availability;
            if rare && holder.offers(piece) {
                return Some(piece);
            }
        }
        None
    }

    /// For peers that have few of very many pieces: looks at 64 pieces at once from a random place on.
    fn fallback(&mut self, holder: Holder<'_>) -> Option<u32> {
        let words = self.fresh.words();
        let from = self.rng.below(words.len() as u32) as usize;
        let (mut best, mut candidates) = (None, 0);
        for at in (from..words.len()).chain(0..from) {
            let mut both = words[at] & holder.bits.map_or(u64::MAX, |bits| bits.words()[at]);
            while both != 0 {
                let bit = both.leading_zeros();
                both &= !(1 << (63 - bit));
                let piece = at as u32 * 64 + bit;
                if holder.offers(piece) {
                    candidates += 1;
                    let candidate = (self.availability[piece as usize], piece);
                    best = Some(best.map_or(candidate, |best: (u32, u32)| best.min(candidate)));
                }
            }
            self.examined += 1;
            if candidates >= FALLBACK_CANDIDATES {
                break;
            }
        }
        best.map(|(_, piece)| piece)
    }

    /// Counting sort by availability; ties in ring order or shuffled. Leaves at least one bucket.
    fn clean(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let mut fresh: Vec<u32> = self.fresh.iter_set().collect();
        match self.shard {
            Some(shard) => {
                let wrap = fresh.partition_point(|piece| *piece < shard);
                fresh.rotate_left(wrap);
            }
            None => self.rng.shuffle(&mut fresh),
        }
        let highest = fresh.iter().map(|piece| self.availability[*piece as usize]).max().unwrap_or(0);
        self.bounds.clear();
        self.bounds.resize(highest as usize + 2, 0);
        for piece in &fresh {
            self.bounds[self.availability[*piece as usize] as usize + 1] += 1;
        }
        for bucket in 1..self.bounds.len() {
            self.bounds[bucket] += self.bounds[bucket - 1];
        }
        self.order.clear();
        self.order.resize(fresh.len(), 0);
        self.position.fill(NONE);
        let mut next = self.bounds.clone();
        for piece in fresh {
            let at = &mut next[self.availability[piece as usize] as usize];
            self.order[*at as usize] = piece;
            self.position[piece as usize] = *at;
            *at += 1;
        }
    }

    fn place_randomly(&mut self, at: u32, bucket: usize) {
        let (from, to) = (self.bounds[bucket], self.bounds[bucket + 1]);
        assert!((from..to).contains(&at), "position {at} outside of bucket {from}..{to}");
        let other = from + self.rng.below(to - from);
        self.swap(at, other);
    }

    fn swap(&mut self, a: u32, b: u32) {
        let (first, second) = (self.order[a as usize], self.order[b as usize]);
        self.put(a, second);
        self.put(b, first);
    }

    fn put(&mut self, at: u32, piece: u32) {
        self.order[at as usize] = piece;
        self.position[piece as usize] = at;
    }

    fn on_ring(&self, shard: u32, distance: u32) -> u32 {
        ((u64::from(shard) + u64::from(distance)) % u64::from(self.fresh.len())) as u32
    }

    fn distance(&self, shard: u32, piece: u32) -> u32 {
        if piece >= shard { piece - shard } else { self.fresh.len() - shard + piece }
    }
}

#[cfg(test)]
mod tests;
