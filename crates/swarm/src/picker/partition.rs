//! The fresh pieces of one priority, in buckets of equal availability, rarest first.

use crate::rng::Rng;

/// `position` of pieces that are in no partition.
pub(crate) const NONE: u32 = u32::MAX;

/// `bounds[a]..bounds[a + 1]` is the bucket of availability `a` in `order`. There is always at least one bucket.
///
/// Every piece is in one partition at most, so all of them share one table of positions.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    order: Vec<u32>,
    bounds: Vec<u32>,
}

impl Partition {
    /// Counting sort of `fresh`; pieces of equal availability keep their order.
    pub(crate) fn rebuild(&mut self, fresh: &[u32], availability: &[u32], position: &mut [u32]) {
        let highest = fresh.iter().map(|piece| availability[*piece as usize]).max().unwrap_or(0);
        self.bounds.clear();
        self.bounds.resize(highest as usize + 2, 0);
        for piece in fresh {
            self.bounds[availability[*piece as usize] as usize + 1] += 1;
        }
        for bucket in 1..self.bounds.len() {
            self.bounds[bucket] += self.bounds[bucket - 1];
        }
        self.order.clear();
        self.order.resize(fresh.len(), 0);
        let mut next = self.bounds.clone();
        for piece in fresh {
            let at = &mut next[availability[*piece as usize] as usize];
            self.order[*at as usize] = *piece;
            position[*piece as usize] = *at;
            *at += 1;
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.order.len() as u32
    }

    pub(crate) fn piece(&self, at: u32) -> u32 {
        self.order[at as usize]
    }

    pub(crate) fn pieces(&self) -> &[u32] {
        &self.order
    }

    pub(crate) fn bucket_count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Where the bucket of this availability begins and ends.
    pub(crate) fn bucket(&self, availability: usize) -> (u32, u32) {
        (self.bounds[availability], self.bounds[availability + 1])
    }

    /// Where those begin that somebody besides seeders has.
    pub(crate) fn shared_from(&self) -> u32 {
        self.bounds[1]
    }

    /// `piece`, which is in here, moves from `bucket` into the next one.
    pub(crate) fn raise(&mut self, piece: u32, bucket: usize, position: &mut [u32], rng: &mut Rng) {
        let last = self.bounds[bucket + 1] - 1;
        self.swap(position[piece as usize], last, position);
        self.bounds[bucket + 1] = last;
        if bucket + 2 == self.bounds.len() {
            self.bounds.push(self.order.len() as u32);
        }
        self.place_randomly(last, bucket + 1, position, rng);
    }

    /// Takes `piece` out of `bucket`.
    pub(crate) fn remove(&mut self, piece: u32, bucket: usize, position: &mut [u32]) {
        let mut hole = std::mem::replace(&mut position[piece as usize], NONE);
        for bucket in bucket..self.bounds.len() - 1 {
            let last = self.bounds[bucket + 1] - 1;
            if last != hole {
                self.put(hole, self.order[last as usize], position);
            }
            self.bounds[bucket + 1] = last;
            hole = last;
        }
        self.order.pop();
        assert_eq!(hole as usize, self.order.len(), "the hole must have travelled to the end");
    }

    /// Adds `piece` to `bucket`.
    pub(crate) fn insert(&mut self, piece: u32, bucket: usize, position: &mut [u32], rng: &mut Rng) {
        while self.bounds.len() < bucket + 2 {
            self.bounds.push(self.order.len() as u32);
        }
        let mut hole = self.order.len() as u32;
        self.order.push(piece);
        for later in (bucket + 1..self.bounds.len()).rev() {
            // `later` runs over the ends of buckets; the bucket behind each gives its first entry for the hole.
            let first = self.bounds[later];
            if first != hole {
                self.put(hole, self.order[first as usize], position);
            }
            self.bounds[later] += 1;
            hole = first;
        }
        self.put(hole, piece, position);
        self.place_randomly(hole, bucket, position, rng);
    }

    /// Recounts and compares.
    pub(crate) fn assert_consistent(&self, availability: &[u32], position: &[u32]) {
        assert_eq!(self.bounds.last().copied(), Some(self.order.len() as u32));
        for (at, piece) in self.order.iter().enumerate() {
            let bucket = availability[*piece as usize] as usize;
            assert_eq!(position[*piece as usize], at as u32);
            assert!((self.bounds[bucket]..self.bounds[bucket + 1]).contains(&(at as u32)));
        }
    }

    fn place_randomly(&mut self, at: u32, bucket: usize, position: &mut [u32], rng: &mut Rng) {
        let (from, to) = (self.bounds[bucket], self.bounds[bucket + 1]);
        assert!((from..to).contains(&at), "position {at} outside of bucket {from}..{to}");
        let other = from + rng.below(to - from);
        self.swap(at, other, position);
    }

    fn swap(&mut self, a: u32, b: u32, position: &mut [u32]) {
        let (first, second) = (self.order[a as usize], self.order[b as usize]);
        self.put(a, second, position);
        self.put(b, first, position);
    }

    fn put(&mut self, at: u32, piece: u32, position: &mut [u32]) {
        self.order[at as usize] = piece;
        position[piece as usize] = at;
    }
}
