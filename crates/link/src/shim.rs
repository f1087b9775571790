//! Until ledger and replica have these.
#![allow(missing_docs)]
use minicbor::{Decode, Encode};
use peerage_types::{RecordId, Stamp, TrackerId};
use std::collections::BTreeMap;
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Origin {
    #[n(0)]
    pub tracker: TrackerId,
    #[n(1)]
    pub incarnation: u64,
}
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Receipt {
    #[n(0)]
    pub origin: Origin,
    #[n(1)]
    pub seq: u64,
    #[n(2)]
    pub stamp: Stamp,
    #[n(3)]
    pub record: RecordId,
    #[cbor(n(4), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Vector(#[n(0)] BTreeMap<Origin, u64>);
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LogRow {
    #[n(0)]
    pub receipt: Receipt,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub record: Vec<u8>,
}
