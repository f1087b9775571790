//! A tracker's signed stamp on a record, and the order that follows from it.

use ed25519_dalek::{Signer, SigningKey};
use minicbor::{Decode, Encode, Encoder};
use peerage_types::{PublicKey, RecordId, Stamp, TrackerId};

use crate::body::written;
use crate::signature::{CheckedKey, SignatureCheck};

/// First item of the signed array: the cluster key signs other things too.
const DOMAIN: &str = "peerage receipt";

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
    /// ed25519 (RFC 8032) over the fields above, with a domain of its own.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

impl Receipt {
    /// Signs with the cluster key.
    pub fn sign(origin: Origin, seq: u64, stamp: Stamp, record: RecordId, key: &SigningKey) -> Self {
        let mut receipt = Self { origin, seq, stamp, record, signature: [0; 64] };
        receipt.signature = key.sign(&receipt.signed_bytes()).to_bytes();
        receipt
    }

    /// Did the holder of the cluster key sign exactly this?
    pub fn verify(&self, cluster_key: &PublicKey) -> bool {
        let key = CheckedKey::new(cluster_key);
        key.and_then(|key| self.check(&key)).is_some_and(|check| check.holds())
    }

    /// The same question, to be asked of many together. None: no.
    pub fn check(&self, cluster_key: &CheckedKey) -> Option<SignatureCheck> {
        SignatureCheck::new(cluster_key, &self.signed_bytes(), &self.signature)
    }

    /// The record's place in time, as far as this receipt tells.
    pub fn order(&self) -> Order {
        Order { stamp: self.stamp, origin: self.origin }
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::with_capacity(128));
        let mut put = || {
            e.array(5)?.str(DOMAIN)?.encode(self.origin)?.u64(self.seq)?;
            e.encode(self.stamp)?.encode(self.record)?.ok()
        };
        written(put());
        e.into_writer()
    }
}
