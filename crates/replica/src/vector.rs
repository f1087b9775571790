//! Version vectors: how far each origin's log reaches, without gaps.

use std::collections::{BTreeMap, btree_map};

use minicbor::{Decode, Decoder, Encode, Encoder};
use peerage_ledger::Origin;

/// For each origin the highest sequence number up to which nothing is missing. The first number is 1; an origin
/// that is not listed stands at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(BTreeMap<Origin, u64>);

impl Vector {
    /// Nothing from anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// How far this origin's log reaches; 0 when nothing of it is known.
    pub fn get(&self, origin: &Origin) -> u64 {
        self.0.get(origin).copied().unwrap_or(0)
    }

    /// Moves one origin forward to `seq`; never back.
    pub fn raise(&mut self, origin: Origin, seq: u64) {
        if seq > 0 {
            let reached = self.0.entry(origin).or_insert(seq);
            *reached = seq.max(*reached);
        }
    }

    /// The same, but so that it covers none of these places.
    pub(crate) fn short_of<'a>(&self, places: impl IntoIterator<Item = &'a (Origin, u64)>) -> Self {
        let mut short = self.clone();
        for (origin, seq) in places {
            match short.0.get_mut(origin) {
                Some(_) if *seq <= 1 => short.forget(origin),
                Some(reached) => *reached = (*seq - 1).min(*reached),
                None => {}
            }
        }
        short
    }

    /// Takes one origin out.
    pub(crate) fn forget(&mut self, origin: &Origin) {
        self.0.remove(origin);
    }

    /// Does this vector reach at least as far as `other` everywhere?
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(origin, seq)| self.get(origin) >= *seq)
    }

    /// The least vector that covers both.
    pub fn merge(&mut self, other: &Self) {
        for (origin, seq) in &other.0 {
            self.raise(*origin, *seq);
        }
    }

    /// How many rows this vector has that `other` lacks.
    pub fn rows_beyond(&self, other: &Self) -> u64 {
        self.0.iter().map(|(origin, seq)| seq.saturating_sub(other.get(origin))).fold(0, u64::saturating_add)
    }

    /// Origins in their order, each with how far it reaches.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.0.iter().map(|(origin, seq)| (origin, *seq))
    }

    /// How many origins are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing from anybody?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Origin, u64)> for Vector {
    fn from_iter<I: IntoIterator<Item = (Origin, u64)>>(reached: I) -> Self {
        let mut vector = Self::new();
        for (origin, seq) in reached {
            vector.raise(origin, seq);
        }
        vector
    }
}

/// A CBOR array of `[origin, seq]` pairs, in the origins' order.
impl<C> Encode<C> for Vector {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for pair in &self.0 {
            pair.encode(e, ctx)?;
        }
        Ok(())
    }
}

/// Refuses origins that are repeated or stand at 0.
impl<'b, C> Decode<'b, C> for Vector {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let fault = |what| minicbor::decode::Error::message(what).at(at);
        let mut reached = BTreeMap::new();
        for pair in d.array_iter_with::<C, (Origin, u64)>(ctx)? {
            let (origin, seq) = pair?;
            match reached.entry(origin) {
                _ if seq == 0 => return Err(fault("a vector lists an origin at 0")),
                btree_map::Entry::Occupied(_) => return Err(fault("a vector lists an origin twice")),
                btree_map::Entry::Vacant(free) => free.insert(seq),
            };
        }
        Ok(Self(reached))
    }
}

#[cfg(test)]
mod tests {
    use peerage_types::TrackerId;
    use proptest::prelude::*;

    use super::*;

    fn origin(n: u8) -> Origin {
        Origin { tracker: TrackerId([n; 16]), incarnation: u64::from(n) }
    }

    fn vectors() -> impl Strategy<Value = Vector> {
        prop::collection::vec((0u8..5, 0u64..6), 0..6)
            .prop_map(|pairs| pairs.into_iter().map(|(n, seq)| (origin(n), seq)).collect())
    }

    proptest! {
        #[test]
        fn merge_is_the_least_cover(a in vectors(), b in vectors(), c in vectors()) {
            let mut both = a.clone();
            both.merge(&b);
            prop_assert!(both.covers(&a) && both.covers(&b));
            prop_assert!(!(c.covers(&a) && c.covers(&b)) || c.covers(&both));
            prop_assert_eq!(a.covers(&b), b.rows_beyond(&a) == 0);
            let bytes = minicbor::to_vec(&both).unwrap();
            prop_assert_eq!(minicbor::decode::<Vector>(&bytes).unwrap(), both);
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
            let _ = minicbor::decode::<Vector>(&bytes);
        }
    }

    #[test]
    fn refuses_what_no_tracker_writes() {
        let twice = minicbor::to_vec([(origin(1), 1u64), (origin(1), 2)]).unwrap();
        assert!(minicbor::decode::<Vector>(&twice).is_err());
        let zero = minicbor::to_vec([(origin(1), 0u64)]).unwrap();
        assert!(minicbor::decode::<Vector>(&zero).is_err());
        // An array that claims 2^60 pairs must fail on the first missing byte, not reserve room for them.
        assert!(minicbor::decode::<Vector>(&[0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
