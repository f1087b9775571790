//! A tracker's signed stamp on a record, and the order that follows from it.

use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use peerage_types::{PublicKey, RecordId, Stamp, TrackerId};

use crate::seal::{Seal, Sealed, seal};
use crate::signature::CheckedKey;

/// One run of one tracker: sequence numbers have no gaps within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Origin {
    /// The tracker.
    #[n(0)]
    pub tracker: TrackerId,
    /// Random, new at each boot.
    #[n(1)]
    pub incarnation: u64,
}

/// When a record came in. Every "first" means lowest (order, record id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Order {
    /// The accepting tracker's clock.
    #[n(0)]
    pub stamp: Stamp,
    /// Who accepted it; settles equal stamps.
    #[n(1)]
    pub origin: Origin,
}

impl Order {
    /// After every real one: for records that are looked at before a tracker stamps them.
    pub const LAST: Self = Self {
        stamp: Stamp(u64::MAX),
        origin: Origin { tracker: TrackerId([0xff; 16]), incarnation: u64::MAX },
    };
}

/// "I accepted this record as my number `seq` at `stamp`", signed by the cluster key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Receipt {
    /// Who accepted it.
    #[n(0)]
    pub origin: Origin,
    /// Place in the origin's log; the first is 1.
    #[n(1)]
    pub seq: u64,
    /// The origin's clock; never decreases with `seq`.
    #[n(2)]
    pub stamp: Stamp,
    /// The record.
    #[n(3)]
    pub record: RecordId,
    /// ed25519 (RFC 8032) over the fields above, alone or together with the rows that were written beside it.
    #[n(4)]
    pub seal: Seal,
}

impl Receipt {
    /// Signs with the cluster key.
    pub fn sign(origin: Origin, seq: u64, stamp: Stamp, record: RecordId, key: &SigningKey) -> Self {
        let mut seals = seal(&origin, seq, &[(stamp, record)], key);
        let seal = seals.pop().unwrap_or(Seal::alone([0; 64]));
        Self { origin, seq, stamp, record, seal }
    }

    /// Signs the receipts of rows that follow each other from number `first`, up to [`SEALED_MAX`](crate::SEALED_MAX) of
    /// them with one signature.
    pub fn sign_all(origin: Origin, first: u64, rows: &[(Stamp, RecordId)], key: &SigningKey) -> Vec<Self> {
        let sealed = rows.iter().zip(seal(&origin, first, rows, key)).zip(first..);
        sealed
            .map(|(((stamp, record), seal), seq)| Self { origin, seq, stamp: *stamp, record: *record, seal })
            .collect()
    }

    /// Did the holder of the cluster key sign exactly this?
    pub fn verify(&self, cluster_key: &PublicKey) -> bool {
        let check = CheckedKey::new(cluster_key).and_then(|key| self.sealed()?.check(&key));
        check.is_some_and(|check| check.holds())
    }

    /// What the cluster key must have signed, to be asked of many together: those that were signed together ask for the
    /// same. None: it cannot be right.
    pub fn sealed(&self) -> Option<Sealed> {
        Sealed::of(&self.origin, self.seq, self.stamp, &self.record, &self.seal)
    }

    /// Do both say the same? In whose company each was signed is beside the point.
    pub fn says_same(&self, other: &Self) -> bool {
        let said = |receipt: &Self| (receipt.origin, receipt.seq, receipt.stamp, receipt.record);
        said(self) == said(other)
    }

    /// The record's place in time, as far as this receipt tells.
    pub fn order(&self) -> Order {
        Order { stamp: self.stamp, origin: self.origin }
    }
}
