//! Running digests by which two trackers (or a client and a tracker) compare what they know of a scope.

use std::fmt;

use minicbor::{Decode, Encode};
use peerage_ledger::Order;
use peerage_types::RecordId;

/// The sum, modulo 2^256, of one hash per fact (record and lowest receipt). Order of arrival does not matter,
/// and a fact can be taken out again: when an earlier receipt turns up, its old place is replaced.
///
/// It finds accidents. A member who wants to can search for two sets with one sum, and deceives nobody but
/// readers of a scope in which that member may write anyway.
#[derive(Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Digest(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl Digest {
    /// The digest of no facts.
    pub const EMPTY: Self = Self([0; 32]);

    /// Puts a fact in. The caller makes sure that it was not in yet.
    pub fn add(&mut self, record: &RecordId, order: &Order) {
        self.sum(&fact_hash(record, order));
    }

    /// Puts all facts of another digest in: the digest of two scopes together.
    pub fn merge(&mut self, other: &Self) {
        self.sum(&other.0);
    }

    fn sum(&mut self, hash: &[u8; 32]) {
        let mut carry = 0;
        for (sum, byte) in self.0.iter_mut().zip(hash) {
            carry += u16::from(*sum) + u16::from(*byte);
            *sum = carry as u8;
            carry >>= 8;
        }
    }

    /// Takes a fact out. The caller makes sure that it was in.
    pub fn remove(&mut self, record: &RecordId, order: &Order) {
        let mut borrow = 0;
        for (sum, byte) in self.0.iter_mut().zip(fact_hash(record, order)) {
            let difference = i16::from(*sum) - i16::from(byte) - borrow;
            *sum = difference.rem_euclid(256) as u8;
            borrow = i16::from(difference < 0);
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Digest({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

fn fact_hash(record: &RecordId, order: &Order) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("peerage 2026 fact digest");
    hasher.update(&record.0);
    hasher.update(&order.stamp.0.to_le_bytes());
    hasher.update(&order.origin.tracker.0);
    hasher.update(&order.origin.incarnation.to_le_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use peerage_ledger::Origin;
    use peerage_types::{Stamp, TrackerId};
    use proptest::prelude::*;

    use super::*;

    fn fact(n: u64) -> (RecordId, Order) {
        let origin = Origin { tracker: TrackerId([1; 16]), incarnation: 2 };
        (RecordId([n as u8; 32]), Order { stamp: Stamp(n), origin })
    }

    proptest! {
        #[test]
        fn depends_on_the_set_only(mut facts: Vec<u64>, extra: u64) {
            let sum = |facts: &[u64]| {
                let mut digest = Digest::EMPTY;
                for (record, order) in facts.iter().map(|n| fact(*n)) {
                    digest.add(&record, &order);
                }
                digest
            };
            let forwards = sum(&facts);
            let (left, right) = facts.split_at(facts.len() / 2);
            let mut joined = sum(left);
            joined.merge(&sum(right));
            prop_assert_eq!(joined, forwards);
            facts.reverse();
            prop_assert_eq!(sum(&facts), forwards);
            facts.push(extra);
            let mut with_extra = sum(&facts);
            prop_assert_ne!(with_extra, forwards);
            let (record, order) = fact(extra);
            with_extra.remove(&record, &order);
            prop_assert_eq!(with_extra, forwards);
            let (head, tail) = facts.split_at(facts.len() / 2);
            let mut both = sum(head);
            both.merge(&sum(tail));
            prop_assert_eq!(both, sum(&facts));
        }
    }
}
