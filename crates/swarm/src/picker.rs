//! Which piece is rarest: the fresh pieces, partitioned by availability.
//!
//! *Fresh* means neither verified nor under way. `order` holds the fresh pieces in buckets of equal
//! availability, rarest first. A HAVE moves a piece into the next bucket by one swap with the boundary, and one
//! random swap inside the new bucket keeps ties random. A bitfield or a disconnect only marks the order dirty;
//! one counting sort repairs it when the next piece is picked. Seeders raise every piece alike, so they are one
//! counter and never move anything.
//!
//! Pieces of different priority are in partitions of their own, searched in turn; a priority that changes marks
//! them dirty, too.
//!
//! Every choice examines a bounded number of entries, [`EXAMINED_MAX`]; up to that many pieces the choice is
//! exact, beyond it may miss the rarest piece but never misses that there is one.

mod partition;

use peerage_wire::Bitfield;

use crate::api::{Priority, Rank};
use crate::rng::Rng;

pub(crate) use self::partition::{NONE, Partition};

/// Entries examined before a choice falls back to a cheaper, inexact search. Shares aim at 1,000–2,000 pieces,
/// so this is exact for nearly all of them.
pub(crate) const EXAMINED_MAX: u32 = 4_096;
/// Buckets up to this size are searched whole for the piece nearest on the ring; larger ones by walking the
/// ring, which soon hits one of so many.
const RING_BUCKET_MAX: u32 = 512;
/// Longest walk on the ring.
const RING_WALK_MAX: u32 = EXAMINED_MAX;
/// Candidates that the fallback compares.
const FALLBACK_CANDIDATES: u32 = 64;

/// Priorities that are fetched at all.
const CLASSES: usize = 3;

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

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Picker {
    /// Copies among peers that are not seeders, of every piece.
    availability: Vec<u32>,
    seeders: u32,
    fresh: Bitfield,
    priorities: Vec<Priority>,
    /// By priority, highest first.
    partitions: [Partition; CLASSES],
    /// Piece to its place in its partition; `NONE` unless fresh. Like `partitions` only valid if not dirty.
    position: Vec<u32>,
    dirty: bool,
    /// The piece where our shard starts, if there is a roster.
    shard: Option<u32>,
    /// No fresh piece is nearer to the shard's start.
    ring_cursor: u32,
    rng: Rng,
    /// Entries examined so far: what the tests bound.
    examined: u64,
}

/// The partition of a priority.
fn class(priority: Priority) -> usize {
    match priority {
        Priority::First => 0,
        Priority::Normal => 1,
        Priority::Low | Priority::Skip => 2,
    }
}

impl Picker {
    /// `priorities` is as long as `fresh`, and nothing fresh is skipped.
    pub(crate) fn new(fresh: Bitfield, priorities: Vec<Priority>, rank: Option<Rank>, rng: Rng) -> Self {
        let pieces = fresh.len();
        let mut picker = Self {
            availability: vec![0; pieces as usize],
            seeders: 0,
            fresh,
            priorities,
            partitions: Default::default(),
            position: vec![NONE; pieces as usize],
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

    /// Copies among peers that are not seeders.
    pub(crate) fn copies(&self, piece: u32) -> u32 {
        self.availability[piece as usize]
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
                self.partitions.iter().map(|part| part.len() - part.shared_from()).sum()
            }
            _ => self.fresh.count(),
        }
    }

    /// What each piece is worth.
    pub(crate) fn priority(&self, piece: u32) -> Priority {
        self.priorities.get(piece as usize).copied().unwrap_or(Priority::Skip)
    }

    /// Other priorities, and what is fresh with them.
    pub(crate) fn set_priorities(&mut self, priorities: Vec<Priority>, fresh: Bitfield) {
        (self.priorities, self.fresh) = (priorities, fresh);
        (self.ring_cursor, self.dirty) = (0, true);
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
        let class = class(self.priorities[piece as usize]);
        self.partitions[class].raise(piece, bucket, &mut self.position, &mut self.rng);
    }

    /// `piece` is no longer fresh.
    pub(crate) fn take(&mut self, piece: u32) {
        let was_fresh = self.fresh.clear(piece);
        if self.dirty || !was_fresh {
            return;
        }
        let class = class(self.priorities[piece as usize]);
        let bucket = self.availability[piece as usize] as usize;
        self.partitions[class].remove(piece, bucket, &mut self.position);
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
        let class = class(self.priorities[piece as usize]);
        let bucket = self.availability[piece as usize] as usize;
        self.partitions[class].insert(piece, bucket, &mut self.position, &mut self.rng);
    }

    /// A fresh piece of `holder`, who has `wants > 0` of them before refusals, of the highest priority that it
    /// offers; `None` only if it refused all.
    pub(crate) fn pick(&mut self, order: Order, holder: Holder<'_>) -> Option<u32> {
        self.clean();
        let budget = self.examined + u64::from(EXAMINED_MAX);
        let picked = (0..CLASSES).find_map(|class| self.pick_in(class, order, holder, budget));
        if picked.is_none() && self.examined >= budget { self.fallback(holder) } else { picked }
    }

    /// Like `pick`, among pieces that are to come first.
    pub(crate) fn pick_first(&mut self, holder: Holder<'_>) -> Option<u32> {
        self.clean();
        let budget = self.examined + u64::from(EXAMINED_MAX);
        self.pick_in(class(Priority::First), Order::Rarest, holder, budget)
    }

    /// Whether some fresh piece is to come first.
    pub(crate) fn has_first(&mut self) -> bool {
        self.clean();
        self.partitions[class(Priority::First)].len() > 0
    }

    /// Recounts everything and compares. `holders`: the pieces of all peers that are not seeders.
    pub(crate) fn assert_consistent<'a>(&self, holders: impl Iterator<Item = &'a Bitfield>) {
        let mut counted = vec![0; self.availability.len()];
        holders.flat_map(Bitfield::iter_set).for_each(|piece| counted[piece as usize] += 1);
        assert_eq!(counted, self.availability);
        assert!(self.fresh.iter_set().all(|piece| self.priorities[piece as usize] != Priority::Skip));
        if self.dirty {
            return;
        }
        assert_eq!(self.partitions.iter().map(Partition::len).sum::<u32>(), self.fresh.count());
        for (at, partition) in self.partitions.iter().enumerate() {
            partition.assert_consistent(&self.availability, &self.position);
            let ours = |piece: &u32| self.fresh.get(*piece) && class(self.priorities[*piece as usize]) == at;
            assert!(partition.pieces().iter().all(ours));
        }
    }

    fn pick_in(&mut self, class: usize, order: Order, holder: Holder<'_>, budget: u64) -> Option<u32> {
        let len = self.partitions[class].len();
        // Whoever is not a seeder is counted in the availability of what it has.
        let start = if holder.bits.is_some() { self.partitions[class].shared_from() } else { 0 };
        match (order, self.shard) {
            (Order::Rarest, Some(shard)) => self.nearest(class, start, shard, holder, budget),
            (Order::Rarest, None) => self.first_offered(class, start..len, holder, budget),
            (Order::Common, _) => self.first_offered(class, (start..len).rev(), holder, budget),
            (Order::Random, _) => {
                let from = start + self.rng.below(len - start);
                self.first_offered(class, (from..len).chain(start..from), holder, budget)
            }
        }
    }

    fn first_offered(
        &mut self,
        class: usize,
        positions: impl Iterator<Item = u32>,
        holder: Holder<'_>,
        budget: u64,
    ) -> Option<u32> {
        for at in positions {
            if self.examined >= budget {
                return None;
            }
            self.examined += 1;
            let piece = self.partitions[class].piece(at);
            if holder.offers(piece) {
                return Some(piece);
            }
        }
        None
    }

    /// The rarest piece, and among those the first on the ring from `shard`.
    fn nearest(
        &mut self,
        class: usize,
        start: u32,
        shard: u32,
        holder: Holder<'_>,
        budget: u64,
    ) -> Option<u32> {
        while self.ring_cursor < self.fresh.len() && !self.fresh.get(self.on_ring(shard, self.ring_cursor)) {
            self.ring_cursor += 1;
        }
        for bucket in 0..self.partitions[class].bucket_count() {
            let (from, to) = self.partitions[class].bucket(bucket);
            let from = from.max(start);
            if from >= to {
                continue;
            }
            if self.examined >= budget {
                return None;
            }
            if to - from > RING_BUCKET_MAX
                && let Some(piece) = self.walk_ring(class, shard, bucket as u32, holder)
            {
                return Some(piece);
            }
            let to = if to - from > RING_WALK_MAX { from + RING_BUCKET_MAX } else { to };
            self.examined += u64::from(to - from);
            let entries = self.partitions[class].pieces()[from as usize..to as usize].iter().copied();
            let nearest = entries.filter(|piece| holder.offers(*piece));
            if let Some(piece) = nearest.min_by_key(|piece| self.distance(shard, *piece)) {
                return Some(piece);
            }
        }
        None
    }

    fn walk_ring(&mut self, class: usize, shard: u32, availability: u32, holder: Holder<'_>) -> Option<u32> {
        let end = self.fresh.len().min(self.ring_cursor.saturating_add(RING_WALK_MAX));
        for distance in self.ring_cursor..end {
            self.examined += 1;
            let piece = self.on_ring(shard, distance);
            let rare = self.fresh.get(piece)
                && self.availability[piece as usize] == availability
                && self::class(self.priorities[piece as usize]) == class;
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
                    let class = class(self.priorities[piece as usize]);
                    let candidate = (class, self.availability[piece as usize], piece);
                    best = Some(best.map_or(candidate, |best: (usize, u32, u32)| best.min(candidate)));
                }
            }
            self.examined += 1;
            if candidates >= FALLBACK_CANDIDATES {
                break;
            }
        }
        best.map(|(.., piece)| piece)
    }

    /// Sorts everything anew; ties in ring order or shuffled.
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
        self.position.fill(NONE);
        let mut classes: [Vec<u32>; CLASSES] = Default::default();
        for piece in fresh {
            classes[class(self.priorities[piece as usize])].push(piece);
        }
        for (partition, fresh) in self.partitions.iter_mut().zip(&classes) {
            partition.rebuild(fresh, &self.availability, &mut self.position);
        }
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
